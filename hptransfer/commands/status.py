"""`hptransfer status`: how far a run is, who works on it and what failed."""

from __future__ import annotations

from pathlib import Path

from hptransfer.engine.run_lookup import locate
from hptransfer.engine.status import _show


def status_command(reference: str, runs: Path, watch: bool, as_json: bool) -> int:
    """Print the status, once or until nobody works there any more.

    Args:
        reference: a recipe, or a run folder's path or name.
        runs: the folder of run folders.
        watch: look again every two seconds; Ctrl-C ends it.
        as_json: print JSON; with `watch` one line per look.

    Returns:
        0.

    Raises:
        UsageError: nothing was run there yet.
        MachineError: the study cannot be read.
    """
    found = locate(reference, runs)
    try:
        _show(found, watch, as_json)
    except KeyboardInterrupt:
        if not watch:
            raise
    return 0
