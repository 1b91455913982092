"""`hptransfer status`: how far a run is, who works on it and what failed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from hptransfer.checking.forecast import first_trials
from hptransfer.engine.run_lookup import Located, locate
from hptransfer.engine.status import Status, read_status
from hptransfer.report.status import render_status, status_document

#: seconds between two readings of `--watch`
INTERVAL = 2.0


def status_command(reference: str, runs: Path, watch: bool, as_json: bool) -> int:
    """Print the status, once or until nobody works there any more.

    Args:
        reference: a recipe, or a run folder's path or name.
        runs: the folder of run folders.
        watch: read again every two seconds; Ctrl-C ends it.
        as_json: print JSON; with `watch` one line per reading.

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


def _show(found: Located, watch: bool, as_json: bool) -> None:
    status = read_status(found, first_trials)
    console = Console(highlight=False)
    if as_json or not watch or not console.is_terminal:
        _print(status, console, as_json, indent=None if watch else 2)
        while watch and status.alive:
            time.sleep(INTERVAL)
            status = read_status(found, first_trials)
            _print(status, console, as_json, indent=None)
        return
    with Live(render_status(status), console=console, refresh_per_second=4) as live:
        while status.alive:
            time.sleep(INTERVAL)
            status = read_status(found, first_trials)
            live.update(render_status(status))


def _print(status: Status, console: Console, as_json: bool, indent: int | None) -> None:
    if as_json:
        print(json.dumps(status_document(status), indent=indent, allow_nan=False))
    else:
        console.print(render_status(status), soft_wrap=True)
    sys.stdout.flush()
