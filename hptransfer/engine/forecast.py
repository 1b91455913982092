"""What a command would train and what that would cost, from a short real timing, before anything is spent.

Nothing is written and no lock is taken. Which trials a command wants its step says: `tuning.forecast`,
`checking.forecast`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.engine.budget import limits_of
from hptransfer.engine.flops import Costs
from hptransfer.engine.identity import identified
from hptransfer.engine.options import TrainingCommand, TrainingOptions
from hptransfer.engine.process_launch import require_workers_here, with_processes
from hptransfer.engine.step_timing import Timing, time_steps
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.snapshot import SeenTrial, read_trials
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import ENTRY
from hptransfer.trials.spec import TrialSpec

#: bytes that a finished trial adds to `study.db`, with a loss curve of 100 points; measured, Optuna 5.0, SQLite
TRIAL_BYTES = 12_000
#: bytes of an empty `study.db`, of documents and figures
FOLDER_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class PriorWork:
    """A recipe, and what earlier commands finished for it.

    Attributes:
        loaded: the recipe with its path.
        folder: its run folder, not locked; it may not exist.
        identity: what determines its trials.
        finished: finished trials in the folder, of other versions of the recipe too.
    """

    loaded: LoadedRecipe
    folder: RunFolder
    identity: Identity
    finished: tuple[SeenTrial, ...]


@dataclass(frozen=True, slots=True)
class WantedTrials:
    """What a command would train.

    Attributes:
        timed: one trial of each size to be timed, the smallest first.
        counts: wanted trials and, of those, finished ones, by size.
        notes: sentences on what the numbers rest on and leave out.
    """

    timed: tuple[TrialSpec, ...]
    counts: Mapping[Size, tuple[int, int]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeForecast:
    """Trials of one size.

    Attributes:
        size: the size that these trials have.
        trials: number of wanted trials.
        finished: how many of them are finished.
        flops: floating point operations of one trial.
        seconds: wall time of one trial.
    """

    size: Size
    trials: int
    finished: int
    flops: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left of a command, and what it would take.

    Attributes:
        recipe: name of the recipe.
        command: the command that would train.
        sizes: trials of each size, the smallest first.
        workers: trials at a time.
        seconds: wall time for what is left.
        flops: floating point operations of all wanted trials, finished ones included.
        flops_left: of those that are not finished.
        memory: bytes at once, all workers together.
        disk: bytes that the run folder grows by.
        disk_free: bytes free on the run folder's disk.
        target_flops: floating point operations of the target's run; None where they are not known.
        fraction_of_target: `flops / target_flops`, no unit; None where the target's are not known.
        timed: the sizes whose steps were timed, the proxy first.
        notes: what the numbers rest on and leave out.
    """

    recipe: str
    command: TrainingCommand
    sizes: tuple[SizeForecast, ...]
    workers: int
    seconds: float
    flops: float
    flops_left: float
    memory: int
    disk: int
    disk_free: int
    target_flops: float | None
    fraction_of_target: float | None
    timed: tuple[Size, ...]
    notes: tuple[str, ...]

    @property
    def trials(self) -> int:
        """Wanted trials."""
        return sum(size.trials for size in self.sizes)

    @property
    def finished(self) -> int:
        """Of those, finished."""
        return sum(size.finished for size in self.sizes)


def forecast(
    command: TrainingCommand, options: TrainingOptions, wanted: Callable[[PriorWork], WantedTrials], entry: str = ENTRY
) -> Forecast:
    """Says what a command would take: a few steps are timed at the proxy and, where sizes differ, at the largest.

    Args:
        command: the command that would train.
        options: of the command line.
        wanted: which trials the command would train.
        entry: "module:function" that a worker runs.

    Raises:
        RecipeError, UsageError: the recipe, its data or an option cannot be used.
        MachineError: the steps to be timed cannot be trained.
    """
    loaded = with_processes(load_recipe(options.recipe), options.launch)
    require_workers_here(options.launch, options.storage)
    limits = limits_of(loaded.recipe.budget, options.budget)
    folder = RunFolder(options.runs / loaded.recipe.name)
    finished = tuple(trial for trial in read_trials(folder.study) if trial.state == "finished")
    with WorkerPool(entry, options.workers, limits.trial) as pool:
        loaded, identity = identified(loaded, None, pool, folder.readings, writable=False)
        trials = wanted(PriorWork(loaded, folder, identity, finished))
        notes = trials.notes
        if (processes := loaded.recipe.training.processes) > 1:
            shared = f"{processes} share a trial's batches, and each worker takes as many"
            notes = (*notes, f"steps were timed in one process; {shared}")
        return _forecast(command, loaded.recipe, trials, notes, pool, options.runs)


def _forecast(
    command: TrainingCommand, recipe: Recipe, wanted: WantedTrials, notes: tuple[str, ...], pool: WorkerPool, runs: Path
) -> Forecast:
    """Times a few steps in all workers at once, because they share the machine's memory; extrapolates by FLOPs."""
    costs = Costs(recipe, wanted.timed[0].root, pool, None)
    flops = costs.of([*wanted.counts, *(request.size for request in wanted.timed)])
    timings = [time_steps(request, pool, flops[request.size]) for request in wanted.timed]
    sizes = tuple(
        SizeForecast(size, count, finished, flops[size], _seconds(recipe, size, flops[size], timings))
        for size, (count, finished) in sorted(wanted.counts.items())
    )
    left = sum(size.trials - size.finished for size in sizes)
    total = sum(size.trials * size.flops for size in sizes)
    target = costs.of_target()
    return Forecast(
        recipe=recipe.name,
        command=command,
        sizes=sizes,
        workers=pool.workers,
        seconds=_wall(sizes, pool.workers),
        flops=total,
        flops_left=sum((size.trials - size.finished) * size.flops for size in sizes),
        memory=min(pool.workers, max(left, 1)) * max(timing.memory for timing in timings),
        disk=FOLDER_BYTES + left * TRIAL_BYTES,
        disk_free=shutil.disk_usage(_existing(runs)).free,
        target_flops=target,
        fraction_of_target=total / target if target else None,
        timed=tuple(timing.size for timing in timings),
        notes=notes,
    )


def _seconds(recipe: Recipe, size: Size, flops: float, timings: Sequence[Timing]) -> float:
    """Wall time of one trial.

    Seconds per step and per evaluation batch are a line in FLOPs through the timed sizes; with one size timed they are
    proportional to FLOPs, which is too much for larger sizes, whose steps are more than overhead.
    """
    steps = recipe.steps(size)
    first, last = timings[0], timings[-1]
    per_step = flops / steps

    def at(small: float, large: float) -> float:
        low, high = first.flops / recipe.steps(first.size), last.flops / recipe.steps(last.size)
        if high <= low:
            return small * per_step / low
        return max(0.0, small + (large - small) * (per_step - low) / (high - low))

    evaluation = at(first.evaluation, last.evaluation) * (recipe.evaluation_examples / recipe.training.batch_size + 2)
    return at(first.build, last.build) + steps * at(first.step, last.step) + evaluation


def _wall(sizes: Sequence[SizeForecast], workers: int) -> float:
    """The longest first, each to the worker that is free: as trials are handed out."""
    ends = [0.0] * workers
    for seconds in sorted((s.seconds for s in sizes for _ in range(s.trials - s.finished)), reverse=True):
        ends[ends.index(min(ends))] += seconds
    return max(ends)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
