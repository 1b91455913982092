"""`tune --dry-run` and `check --dry-run`: trials, FLOPs, time, memory and disk, before anything is spent."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from hptransfer.artifacts.json_data import to_document
from hptransfer.checking.design import CheckDesign
from hptransfer.data.corpus import read_text
from hptransfer.engine.budget import limits_of
from hptransfer.engine.flops import percent
from hptransfer.engine.forecast import Forecast, forecast
from hptransfer.engine.options import TrainingOptions
from hptransfer.engine.process_launch import require_workers_here, with_processes
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.report.progress import duration
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.snapshot import SeenTrial, read_trials
from hptransfer.trainers.tasks import ENTRY
from hptransfer.trainers.timing import STEPS
from hptransfer.trials.spec import TrialSpec
from hptransfer.tuning.tuned_file import read_tuned


def dry_run(command: Literal["tune", "check"], options: TrainingOptions, entry: str = ENTRY) -> int:
    """Print what the command would take; nothing is written and no lock is taken.

    Args:
        command: which one.
        options: of the command line.
        entry: "module:function" that a worker runs.

    Returns:
        0.

    Raises:
        RecipeError, UsageError: the recipe, its data or an option cannot be used.
        MachineError: the steps to be timed cannot be trained.
    """
    loaded, runs = with_processes(load_recipe(options.recipe), options.launch), options.runs
    require_workers_here(options.launch, options.storage)
    limits = limits_of(loaded.recipe.budget, options.budget)
    folder = RunFolder(runs / loaded.recipe.name)
    fingerprint = read_text(loaded.recipe.data, loaded.path.parent.absolute()).fingerprint
    seen = [trial for trial in read_trials(folder.study) if trial.state == "finished"]
    with WorkerPool(entry, options.workers, limits.trial) as pool:
        if command == "tune":
            found = _tune(loaded, seen, fingerprint, pool, runs)
        else:
            found = _check(loaded, seen, fingerprint, pool, runs)
    if (processes := loaded.recipe.training.processes) > 1:
        alone = f"steps were timed in one process; {processes} share a trial's batches, and each worker takes as many"
        found = replace(found, notes=(*found.notes, alone))
    if options.as_json:
        print(json.dumps(forecast_document(found), indent=2, allow_nan=False))
    else:
        proxy = loaded.recipe.proxy
        print_forecast(found, Console(highlight=False), loaded.recipe.size(proxy.width, proxy.depth))
    return 0


def forecast_document(found: Forecast) -> dict[str, Any]:
    """The forecast as JSON-able data."""
    return {**to_document(found), "trials": found.trials, "finished": found.finished}


def print_forecast(found: Forecast, console: Console, usual: Size) -> None:
    """Print the forecast as tables and sentences; batch and tokens are named where they are not the usual size's."""
    table = Table(title=f"{found.recipe}: {found.command} (dry run)", title_justify="left", box=None, pad_edge=False)
    for column in ("size", "trials", "finished", "FLOPs each", "time each"):
        table.add_column(column, justify="left" if column == "size" else "right")
    for size in found.sizes:
        counts = str(size.trials), str(size.finished), f"{size.flops:.3g}", _each(size.seconds)
        table.add_row(size.size.label_beside(usual), *counts)
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
    console.print(f"rests on {STEPS} real steps at {timed}, extrapolated by FLOPs", soft_wrap=True)
    for note in found.notes:
        console.print(note, soft_wrap=True)


def _each(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _tune(loaded: LoadedRecipe, seen: list[SeenTrial], fingerprint: str, pool: WorkerPool, runs: Path) -> Forecast:
    recipe, root = loaded.recipe, loaded.path.parent.absolute()
    proxy = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    request = TrialSpec(recipe, root, proxy, {}, recipe.tune.seed)
    experiment = request.experiment(fingerprint)
    study = f"{proxy.label}-{experiment[:8]}"
    finished = Counter(
        trial.phase for trial in seen if trial.study == study and trial.trial and trial.trial.size == proxy
    )
    done = min(finished["search"], recipe.tune.trials) + min(finished["confirm"], recipe.tune.confirm_seeds)
    counts = {proxy: (recipe.tune.trials + recipe.tune.confirm_seeds, done)}
    notes = ["points that diverge or fail cost time beyond this; a recommendation that diverges is replaced"]
    return forecast("tune", recipe, [request], counts, pool=pool, runs=runs, notes=notes)


def _check(loaded: LoadedRecipe, seen: list[SeenTrial], fingerprint: str, pool: WorkerPool, runs: Path) -> Forecast:
    recipe, root = loaded.recipe, loaded.path.parent.absolute()
    folder, notes = RunFolder(runs / recipe.name), []
    if folder.tuned.exists():
        values = read_tuned(folder.tuned, str(loaded.path))["hyperparameters"]
    else:
        values = defaults(recipe.training)
        notes.append("nothing is tuned yet: the grid is centred on the recipe's own value, and `tune` comes first")
    designs = [CheckDesign(recipe, root, values, name) for name in recipe.check.checked]
    design, first = designs[0], [request for each in designs for request in each.first()]
    keys = {trial.key for trial in seen}
    wanted: Counter[Size] = Counter(request.size for request in first)
    finished: Counter[Size] = Counter(request.size for request in first if request.key(fingerprint) in keys)
    counts = {size: (count, finished[size]) for size, count in wanted.items()}
    middle = design.grid()[len(design.grid()) // 2]
    requests = [
        design.request(size, middle, 0) for size in dict.fromkeys((design.proxy, max(design.all_sizes(), key=_work)))
    ]
    notes.append("sizes whose optimum lies on the grid's edge train more values; the coordinate check is not counted")
    if recipe.check.adaptive:
        notes.append("the check is adaptive: these are the trials it begins with")
    return forecast("check", recipe, requests, counts, pool=pool, runs=runs, notes=notes)


def _work(size: Size) -> float:
    return float(size.width**2 * size.depth * size.tokens)
