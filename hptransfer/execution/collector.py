"""Python's search for cycles, paused while many objects are made that have none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles within: it would look through all rows of a large table again and again, and find none.

    Memory that no cycle holds is freed as always; the search goes on afterwards where it was on before.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
