"""A forecast of what a command takes, as tables and sentences or as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.spent import percent
from hptransfer.engine.forecast import Forecast, SizeForecast
from hptransfer.report.cost import UNKNOWN, print_whole, size_text, time_text
from hptransfer.report.progress import duration
from hptransfer.sizes import Size
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
    """Prints the forecast to a console; batch and tokens of a size are named where they differ from the others'.

    Args:
        found: what the command would take.
        console: where it is printed, at any width.
    """
    console.print(f"{found.recipe}: {found.command} (dry run)")
    header = [("", name) for name in ("size", "trials", "finished", "FLOPs each", "time each")]
    usual = found.timed[0] if found.timed else found.sizes[0].size
    print_whole(header, [_cells(size, usual) for size in found.sizes], console)
    left = found.trials - found.finished
    flops = "FLOPs are not known"
    if found.flops is not None:
        flops = f"FLOPs: {found.flops:.3g}, {found.flops_left:.3g} left"
    console.print(f"trials: {found.trials}, {left} of them left; {flops}")
    if found.fraction_of_target is None:
        console.print("what the target's run costs is not known")
    else:
        console.print(
            f"all of it is {percent(found.fraction_of_target)} of the target run's {found.target_flops:.3g} FLOPs"
        )
    for line in (*_time(found), _memory(found)):
        console.print(line, soft_wrap=True)
    console.print(f"disk: about {found.disk / 1e6:.2g} MB of {found.disk_free / 1e9:.3g} GB free")
    for note in found.notes:
        console.print(note, soft_wrap=True, markup=False)


def _time(found: Forecast) -> list[str]:
    if found.seconds is None:
        return [f"time is not known: {found.throughput}; `--time-steps` trains {TIMED_STEPS} real steps for it"]
    lines = [f"time: about {duration(found.seconds)} with {found.workers} workers"]
    if not found.timed:
        return [f"{lines[0]}, {found.throughput}"]
    timed = " and ".join(size.label for size in found.timed)
    return [*lines, f"rests on {TIMED_STEPS} real steps at {timed}, extrapolated by FLOPs"]


def _memory(found: Forecast) -> str:
    if found.memory is None:
        return "memory is not known"
    text = f"memory: about {size_text(found.memory)} at once"
    return text if found.timed else f"{text} for weights, gradients, optimizer and activations, besides the processes"


def _cells(size: SizeForecast, usual: Size) -> tuple[str, ...]:
    flops = UNKNOWN if size.flops is None else f"{size.flops:.3g}"
    time = UNKNOWN if size.seconds is None else time_text(size.seconds)
    return size.size.label_relative_to(usual), str(size.trials), str(size.finished), flops, time
