"""What a task says while it runs: JSON-able values that reach the coordinator before the task's answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: takes one value; whoever runs tasks sets it, and nobody listens until then
_sinks: list[Callable[[Any], None]] = []


def listen(sink: Callable[[Any], None]) -> None:
    """Sends what tasks of this process announce from now on to `sink`, and nowhere else.

    Args:
        sink: called with each value.
    """
    _sinks[:] = [sink]


def announce(value: Any) -> None:
    """Says something about the task that this process works on; nothing happens where nobody listens.

    Args:
        value: what JSON can carry, short.
    """
    for sink in _sinks:
        sink(value)
