"""What a command would train and what that would cost, before anything is spent: from arithmetic, or real timings.

Nothing is written and no lock is taken. Which trials a command wants its step says: `tuning.forecast`,
`checking.forecast`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.engine.budget import limits_of
from hptransfer.engine.flops import run_costs, target_tokens_note
from hptransfer.engine.identity import identified
from hptransfer.engine.options import TrainingCommand, TrainingOptions
from hptransfer.engine.process_launch import require_workers_here, with_processes
from hptransfer.engine.step_timing import Timing, seconds_of_a_trial, time_all
from hptransfer.engine.throughput import achieved
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.identity import Identity
from hptransfer.trials.run_cost import RunCost
from hptransfer.trials.spec import TrialSpec

if TYPE_CHECKING:  # optuna is loaded only where there are trials to read
    from hptransfer.storage.snapshot import SeenTrial

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
        timed: one trial of each size to be timed where that is asked for, the smallest first.
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
        seconds: wall time of one trial; None where it is not known.
    """

    size: Size
    trials: int
    finished: int
    flops: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is left of a command, and what it would take.

    Attributes:
        recipe: name of the recipe.
        command: the command that would train.
        sizes: trials of each size, the smallest first.
        workers: trials at a time.
        seconds: wall time for what is left; None where it is not known.
        flops: floating point operations of all wanted trials, finished ones included; None where they are not known.
        flops_left: of those that are not finished.
        memory: bytes at once, all workers together; None where they are not known.
        disk: bytes that the run folder grows by.
        disk_free: bytes free on the run folder's disk.
        target_flops: floating point operations of the target's run; None where they are not known.
        fraction_of_target: `flops / target_flops`, no unit; None where the target's are not known.
        timed: the sizes whose steps were timed, the proxy first; none where everything is arithmetic.
        throughput: where times come from that were not timed, a clause.
        notes: what the numbers rest on and leave out.
    """

    recipe: str
    command: TrainingCommand
    sizes: tuple[SizeForecast, ...]
    workers: int
    seconds: float | None
    flops: float | None
    flops_left: float | None
    memory: int | None
    disk: int
    disk_free: int
    target_flops: float | None
    fraction_of_target: float | None
    timed: tuple[Size, ...]
    throughput: str
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
    command: TrainingCommand,
    options: TrainingOptions,
    wanted: Callable[[PriorWork], WantedTrials],
    *,
    time_steps: bool = False,
) -> Forecast:
    """Says what a command would take: by arithmetic, with the speed that finished trials achieved.

    Args:
        command: the command that would train.
        options: of the command line.
        wanted: which trials the command would train.
        time_steps: also train a few steps at the proxy and, where sizes differ, at the largest, for time and memory.

    Raises:
        RecipeError, UsageError: the recipe, its data or an option cannot be used.
        MachineError: the steps to be timed cannot be trained.
    """
    loaded = with_processes(load_recipe(options.recipe), options.launch)
    require_workers_here(options.launch, options.storage)
    limits = limits_of(loaded.recipe.budget, options.budget)
    folder = RunFolder(options.runs / loaded.recipe.name)
    finished = _finished(folder)
    loaded, identity = identified(loaded, None, None, folder.readings, writable=False)
    trials = wanted(PriorWork(loaded, folder, identity, finished))
    plain = _forecast(command, loaded, trials, finished, options)
    if not time_steps:
        return plain
    costs = run_costs(loaded.recipe, loaded.root, [request.size for request in trials.timed])
    flops = {size: cost.flops or 0.0 for size, cost in costs.items()}
    return _timed(plain, loaded.recipe, time_all(trials.timed, flops, options.workers, limits.trial))


def both(*wanted: Callable[[PriorWork], WantedTrials]) -> Callable[[PriorWork], WantedTrials]:
    """What several steps want together; a trial that two of them want is counted for each.

    Args:
        wanted: of each step, in their order.
    """

    def together(prior: PriorWork) -> WantedTrials:
        steps = [each(prior) for each in wanted]
        counts: dict[Size, tuple[int, int]] = {}
        for step in steps:
            for size, (count, finished) in step.counts.items():
                before = counts.get(size, (0, 0))
                counts[size] = (before[0] + count, before[1] + finished)
        timed = {request.size: request for step in steps for request in step.timed}
        notes = dict.fromkeys(note for step in steps for note in step.notes)
        shared = "a trial that both tuning and checking want is trained once; here it is counted for each"
        return WantedTrials(tuple(timed[size] for size in sorted(timed)), counts, (*notes, shared))

    return together


def _finished(folder: RunFolder) -> tuple[SeenTrial, ...]:
    if not folder.study.exists():
        return ()
    from hptransfer.storage.snapshot import read_trials

    return tuple(trial for trial in read_trials(folder.study) if trial.state == "finished")


def _forecast(
    command: TrainingCommand,
    loaded: LoadedRecipe,
    wanted: WantedTrials,
    finished: Sequence[SeenTrial],
    options: TrainingOptions,
) -> Forecast:
    """FLOPs and memory by arithmetic, time by what finished trials achieved."""
    speed = achieved(seen.trial for seen in finished if seen.trial is not None)
    recipe = loaded.recipe
    costs = run_costs(recipe, loaded.root, [*wanted.counts, recipe.target_size()])
    sizes = tuple(
        SizeForecast(size, count, done, costs[size].flops, speed.seconds(costs[size].flops, size))
        for size, (count, done) in sorted(wanted.counts.items())
    )
    left = sum(size.trials - size.finished for size in sizes)
    total, target = _sum(sizes, left_only=False), costs[recipe.target_size()]
    memories = [costs[size.size].memory for size in sizes if size.trials > size.finished]
    note = target_tokens_note(recipe, target.parameters)
    return Forecast(
        recipe=recipe.name,
        command=command,
        sizes=sizes,
        workers=options.workers,
        seconds=_wall(sizes, options.workers),
        flops=total,
        flops_left=_sum(sizes, left_only=True),
        memory=None if None in memories else min(options.workers, left) * max((m or 0 for m in memories), default=0),
        disk=FOLDER_BYTES + left * TRIAL_BYTES,
        disk_free=shutil.disk_usage(_existing(options.runs)).free,
        target_flops=target.flops,
        fraction_of_target=total / target.flops if total is not None and target.flops else None,
        timed=(),
        throughput=speed.source,
        notes=(*([] if note is None else [note]), *wanted.notes, *_of_costs(costs.values())),
    )


def _of_costs(costs: Iterable[RunCost]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for cost in costs for note in cost.notes))


def _sum(sizes: Sequence[SizeForecast], *, left_only: bool) -> float | None:
    """FLOPs of all wanted trials or of those that are left; None where those of a size are not known."""
    total = 0.0
    for size in sizes:
        if size.flops is None:
            return None
        total += (size.trials - (size.finished if left_only else 0)) * size.flops
    return total


def _timed(plain: Forecast, recipe: Recipe, timings: Sequence[Timing]) -> Forecast:
    """Time and memory from real steps, which all workers took at once, because they share the machine's memory."""
    sizes = tuple(
        replace(size, seconds=seconds_of_a_trial(recipe, size.size, size.flops or 0.0, timings)) for size in plain.sizes
    )
    left = plain.trials - plain.finished
    notes = plain.notes
    if (processes := recipe.training.processes) > 1:
        shared = f"{processes} share a trial's batches, and each worker takes as many"
        notes = (*notes, f"steps were timed in one process; {shared}")
    return replace(
        plain,
        sizes=sizes,
        seconds=_wall(sizes, plain.workers),
        memory=min(plain.workers, max(left, 1)) * max(timing.memory for timing in timings),
        timed=tuple(timing.size for timing in timings),
        notes=notes,
    )


def _wall(sizes: Sequence[SizeForecast], workers: int) -> float | None:
    """The longest first, each to the worker that is free, as trials are handed out; None where one is not known."""
    ends = [0.0] * workers
    times = [size.seconds for size in sizes for _ in range(size.trials - size.finished)]
    known = [seconds for seconds in times if seconds is not None]
    if len(known) < len(times):
        return None
    for seconds in sorted(known, reverse=True):
        ends[ends.index(min(ends))] += seconds
    return max(ends)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
