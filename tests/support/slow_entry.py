"""An entry whose import takes a while, as that of torch does."""

from __future__ import annotations

import time
from typing import Any


def prepare() -> None:
    """What a worker does before the time of its first task counts."""
    time.sleep(1.0)


def run(payload: dict[str, Any]) -> str:
    """Answers at once."""
    return "done"
