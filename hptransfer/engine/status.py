"""How far a run is, who works on it and what failed, read without locking or writing anything."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.artifacts.transfer import read_transfer
from hptransfer.artifacts.tuned import Tuned, read_tuned
from hptransfer.engine.run_lookup import Located
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.storage.run_folder import Owner, read_owner
from hptransfer.storage.snapshot import SeenTrial, read_trials
from hptransfer.trials.spec import TrialSpec, point_of
from hptransfer.trials.trial import Phase, TrialState

#: the trials that a check begins with: of a recipe, its folder and the tuned base-size values by name
FirstTrials = Callable[[Recipe, Path, Mapping[str, float]], Sequence[TrialSpec]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the journey.

    Attributes:
        phase: the trials of which step are counted.
        finished: number of wanted trials that are finished.
        wanted: number of trials in all; of a check those it begins with, None before anything is tuned.
    """

    phase: Phase
    finished: int
    wanted: int | None


@dataclass(frozen=True, slots=True)
class SizeStatus:
    """Trials of one size, each counted by its latest attempt.

    Attributes:
        finished: number of finished trials, divergences included.
        diverged: how many of them diverged.
        running: number of trials under way, or left so by a process that was killed.
        failed: number of trials that are not run again before `retry`.
        requeued: number of trials that failed and are free to run again.
        best_loss: lowest final validation loss, nats per prediction; None where no trial is complete.
    """

    finished: int
    diverged: int
    running: int
    failed: int
    requeued: int
    best_loss: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A trial that is under way or failed.

    Attributes:
        key: sha256 (hex), as `Trial.key`.
        size: label of its size, for example "w128-d2".
        phase: what it is run for.
        seed: of initialisation and data order.
        hyperparameters: base-size values by name.
        seconds: since it was started; None where an earlier version started it.
        cause: why it failed; None while it runs.
        message: what the failure said, as the process wrote it; may hold control characters.
    """

    key: str
    size: str
    phase: Phase
    seed: int
    hyperparameters: Mapping[str, float]
    seconds: float | None
    cause: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Results:
    """What commands wrote for this version of the recipe; None where it is not written yet.

    Attributes:
        tuned: recommended base-size values by name.
        verdict: the check's verdict, for example "TRANSFERS".
        target: path of the target's configuration, whatever recipe it was written for.
        coordinate: outcome of its coordinate check, with the sentence where it does not hold; None where none was made.
    """

    tuned: Mapping[str, float] | None
    verdict: str | None
    target: str | None
    coordinate: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A run folder at one moment.

    Attributes:
        recipe: name of the recipe.
        folder: path of the run folder.
        owner: the process that works there, or did when it was killed; None where the last one ended in good order.
        steps: how far each step is.
        sizes: trials by label of the size.
        running: trials under way, or left so by a process that was killed.
        failed: trials that are not run again before `retry`, the latest last.
        flops: floating point operations of finished trials.
        seconds_left: of the search and the check, by the mean of finished trials; None while nothing runs or is known.
        results: what commands wrote so far.
        elsewhere: number of finished trials of other versions of the recipe.
    """

    recipe: str
    folder: str
    owner: Owner | None
    steps: tuple[Step, ...]
    sizes: Mapping[str, SizeStatus]
    running: tuple[Attempt, ...]
    failed: tuple[Attempt, ...]
    flops: float
    seconds_left: float | None
    results: Results
    elsewhere: int

    @property
    def alive(self) -> bool:
        """Whether a process works there, as far as this machine can know."""
        return self.owner is not None and self.owner.alive is not False


def read_status(found: Located, first_trials: FirstTrials) -> Status:
    """Reads how far a run is.

    Args:
        found: the run folder and its recipe.
        first_trials: which trials the recipe's check begins with.

    Raises:
        MachineError: the study cannot be read.
    """
    everything = read_trials(found.folder.study)
    suffix = None if found.experiment is None else found.experiment[:8]
    seen = [trial for trial in everything if suffix is not None and trial.study.endswith(f"-{suffix}")]
    finished = {trial.key: trial for trial in seen if trial.state == "finished"}
    owner = read_owner(found.folder.path)
    tuned = _tuned(found)
    steps = _steps(found, finished.values(), tuned, first_trials)
    running = [trial for trial in seen if trial.state == "running"]
    latest = {trial.key: trial for trial in seen}  # a requeued trial may have finished since
    failed = [trial for trial in latest.values() if trial.state == "failed"]
    return Status(
        recipe=found.recipe.name,
        folder=str(found.folder.path),
        owner=owner,
        steps=steps,
        sizes=_sizes(seen),
        running=tuple(_attempt(trial) for trial in running),
        failed=tuple(_attempt(trial) for trial in failed),
        flops=sum(trial.trial.flops for trial in finished.values() if trial.trial),
        seconds_left=_left(steps, finished.values(), len(running)) if owner and owner.alive else None,
        results=_results(found, tuned),
        elsewhere=len(
            {trial.key for trial in everything if trial.state == "finished"}
            - {key for trial in finished.values() for key in (trial.key, trial.adopted_from)}
        ),
    )


def _steps(
    found: Located, finished: Iterable[SeenTrial], tuned: Tuned | None, first_trials: FirstTrials
) -> tuple[Step, ...]:
    recipe, points = found.recipe, {point_of(trial.trial) for trial in finished if trial.trial is not None}
    phases = Counter(trial.phase for trial in finished)
    wanted = recipe.tune.trials
    steps = [
        Step(Phase.SEARCH, min(phases[Phase.SEARCH], wanted), wanted),
        Step(Phase.CONFIRM, min(phases[Phase.CONFIRM], recipe.tune.confirm_seeds), recipe.tune.confirm_seeds),
    ]
    if tuned is None:
        return (*steps, Step(Phase.CHECK, 0, None))
    first = first_trials(recipe, Path(), tuned.hyperparameters)
    done = sum(request.point in points for request in first)
    return (*steps, Step(Phase.CHECK, done, len(first)))


def _tuned(found: Located) -> Tuned | None:
    try:
        tuned = read_tuned(found.folder.tuned, found.reference)
    except UsageError:  # not tuned yet, or by another version
        return None
    return tuned if tuned.recipe_hash == found.recipe_hash else None


def _results(found: Located, tuned: Tuned | None) -> Results:
    verdict = coordinate = None
    with contextlib.suppress(UsageError):  # another version's
        transfer = read_transfer(found.folder.transfer)
        if transfer is not None and transfer.recipe_hash == found.recipe_hash:
            verdict = str(transfer.verdict)
            if transfer.coordinate is not None:
                said = transfer.coordinate
                coordinate = said.verdict + ("" if said.verdict == "HOLDS" else f" {said.sentence}")
    target = str(found.folder.target) if found.folder.target.exists() else None
    return Results(None if tuned is None else tuned.recommended, verdict, target, coordinate)


def _sizes(seen: Sequence[SeenTrial]) -> dict[str, SizeStatus]:
    sizes = {}
    for study in dict.fromkeys(trial.study for trial in seen):
        latest = {trial.key: trial for trial in seen if trial.study == study}
        counts = Counter(trial.state for trial in latest.values())
        trials = [trial.trial for trial in latest.values() if trial.trial is not None]
        losses = [trial.loss for trial in trials if trial.state is TrialState.COMPLETE]
        sizes[_size(study)] = SizeStatus(
            finished=counts["finished"],
            diverged=sum(trial.state is TrialState.DIVERGED for trial in trials),
            running=counts["running"],
            failed=counts["failed"],
            requeued=counts["requeued"],
            best_loss=min(losses, default=None),
        )
    return sizes


def _attempt(trial: SeenTrial) -> Attempt:
    seconds = None if trial.started is None else max(0.0, time.time() - trial.started)
    size, values = _size(trial.study), trial.hyperparameters
    return Attempt(trial.key, size, trial.phase, trial.seed, values, seconds, trial.cause, trial.message)


def _size(study: str) -> str:
    return study.rpartition("-")[0]


def _left(steps: Sequence[Step], finished: Iterable[SeenTrial], running: int) -> float | None:
    """By the mean of finished trials; a check's wide trials take longer than what was timed before them."""
    seconds = [trial.trial.seconds for trial in finished if trial.trial is not None]
    left = sum(step.wanted - step.finished for step in steps if step.wanted is not None)
    return left * sum(seconds) / len(seconds) / max(1, running) if seconds else None
