"""`hptransfer status`: how far a run is, who works on it and what failed."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from hptransfer.cli.options import Json, Reference, Runs
from hptransfer.engine.options import DEFAULT_RUNS

if TYPE_CHECKING:
    from rich.console import Console

    from hptransfer.engine.run_lookup import Located
    from hptransfer.engine.status import Status

#: seconds between two readings of `--watch`
INTERVAL = 2.0


def status_command(
    reference: Reference,
    runs: Runs = DEFAULT_RUNS,
    watch: Annotated[bool, typer.Option("--watch", help="Read again until nobody works there.")] = False,
    as_json: Json = False,
) -> int:
    """Show how far a run is, who works on it and what failed.

    With `watch` it reads every two seconds, a line of JSON each with `as_json`; Ctrl-C ends it.

    Returns:
        0.

    Raises:
        UsageError: nothing was run there yet.
        MachineError: the study cannot be read.
    """
    from hptransfer.engine.run_lookup import locate

    found = locate(reference, runs)
    try:
        _show(found, watch, as_json)
    except KeyboardInterrupt:
        if not watch:
            raise
    return 0


def _show(found: Located, watch: bool, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    from hptransfer.checking.forecast import first_trials
    from hptransfer.engine.status import read_status
    from hptransfer.report.status import render_status

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
    from hptransfer.report.status import render_status, status_document

    if as_json:
        print(json.dumps(status_document(status), indent=indent, allow_nan=False))
    else:
        console.print(render_status(status), soft_wrap=True)
    sys.stdout.flush()
