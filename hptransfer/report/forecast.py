"""A forecast of what a command takes, as tables and sentences or as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.spent import percent
from hptransfer.engine.forecast import Forecast
from hptransfer.report.progress import duration
from hptransfer.trials.messages import TIMED_STEPS


def forecast_document(found: Forecast) -> dict[str, Any]:
    """The forecast as JSON-able data."""
    return {**to_document(found), "trials": found.trials, "finished": found.finished}


def show_forecast(found: Forecast, *, as_json: bool) -> int:
    """Prints the forecast to stdout as a command does; the exit status 0.

    Args:
        found: what the command would take.
        as_json: print JSON instead of a table and sentences.
    """
    if as_json:
        print(json.dumps(forecast_document(found), indent=2, allow_nan=False))
    else:
        print_forecast(found, Console(highlight=False))
    return 0


def print_forecast(found: Forecast, console: Console) -> None:
    """Prints the forecast to a console; batch and tokens of a size are named where they differ from the proxy's."""
    table = Table(title=f"{found.recipe}: {found.command} (dry run)", title_justify="left", box=None, pad_edge=False)
    for column in ("size", "trials", "finished", "FLOPs each", "time each"):
        table.add_column(column, justify="left" if column == "size" else "right")
    for size in found.sizes:
        counts = str(size.trials), str(size.finished), f"{size.flops:.3g}", _each(size.seconds)
        table.add_row(size.size.label_relative_to(found.timed[0]), *counts)
    console.print(table)
    left = found.trials - found.finished
    console.print(f"trials: {found.trials}, {left} of them left; FLOPs: {found.flops:.3g}, {found.flops_left:.3g} left")
    if found.fraction_of_target is None:
        console.print("what the target's run costs is not known")
    else:
        console.print(
            f"all of it is {percent(found.fraction_of_target)} of the target run's {found.target_flops:.3g} FLOPs"
        )
    console.print(f"time: about {duration(found.seconds)} with {found.workers} workers")
    console.print(f"memory: about {found.memory / 1e9:.2g} GB at once")
    console.print(f"disk: about {found.disk / 1e6:.2g} MB of {found.disk_free / 1e9:.3g} GB free")
    timed = " and ".join(size.label for size in found.timed)
    console.print(f"rests on {TIMED_STEPS} real steps at {timed}, extrapolated by FLOPs", soft_wrap=True)
    for note in found.notes:
        console.print(note, soft_wrap=True)


def _each(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
