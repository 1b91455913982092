"""What a reader of exported files is, and the registry of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.trained import Reading
from hptransfer.registry import Registry


class Reader(Protocol):
    """Says what a framework makes of what its exporter wrote; it has the exporter's name."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """What the framework's model is initialised and trained with.

        Args:
            folder: that the exporter's files lie in, possibly edited since.
            target: the plan, in the exporter's gauge; only sizes and the model may be taken from it, never a value that
                the files are to hold.

        Raises:
            UsageError: a file is missing or damaged, or the framework refuses it.
            MachineError: the framework is not installed, and no record of it is kept.
        """


def _fault(entry: Any) -> str | None:
    """What an object lacks to be a reader; None where it lacks nothing."""
    if isinstance(entry, type):
        return f"a class; name an object of it, `READER = {entry.__name__}()`"
    return None if callable(getattr(entry, "read", None)) else "an object without a `read` that can be called"


READERS: Registry[Reader] = Registry(
    "reader", "hptransfer.roundtrip", "READER", group="hptransfer.readers", fault=_fault
)
