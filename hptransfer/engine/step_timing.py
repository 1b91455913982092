"""How long a training step takes here: a few real ones, timed in the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hptransfer.errors import MachineError, UsageError
from hptransfer.execution.limits import TaskLimits
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import ENTRY, TIMED_STEPS, TimingMessage
from hptransfer.trials.spec import TrialSpec


@dataclass(frozen=True, slots=True)
class Timing:
    """What a worker measured at one size, the slowest of those that ran at once.

    Attributes:
        size: that was trained for a few steps.
        flops: of a whole trial.
        build: seconds until the first step.
        step: seconds per optimizer step.
        evaluation: seconds per evaluation batch.
        memory: bytes, the most that the process held.
    """

    size: Size
    flops: float
    build: float
    step: float
    evaluation: float
    memory: int


def time_steps(request: TrialSpec, pool: WorkerPool, flops: float) -> Timing:
    """Trains a few steps in all workers at once, because they share the machine's memory.

    Args:
        request: the trial whose steps are timed.
        pool: of idle workers whose entry is `messages.ENTRY`.
        flops: floating point operations of the whole trial.

    Raises:
        MachineError: a worker could not train them, or none answered.
    """
    for worker in range(pool.workers):
        pool.submit(str(worker), TimingMessage.of(request).payload())
    results = []
    for _ in range(pool.workers):
        outcome = pool.next_result()
        if outcome is None or isinstance(outcome, Failure):
            said = "no worker answered" if outcome is None else f"{outcome.cause}: {outcome.message}"
            raise MachineError(f"{TIMED_STEPS} steps must train at {request.size.label} to be timed", received=said)
        results.append(outcome.value)
    slowest = {name: max(result[name] for result in results) for name in ("build", "step", "evaluation", "memory")}
    return Timing(request.size, flops, **slowest)


def time_all(
    requests: Sequence[TrialSpec], flops: Mapping[Size, float], workers: int, limits: TaskLimits
) -> list[Timing]:
    """Trains a few steps of each trial, one trial after the other.

    Args:
        requests: the trials whose steps are timed.
        flops: floating point operations of a whole trial, by size.
        workers: how many train the steps at once.
        limits: time and memory of each trial.

    Raises:
        UsageError: the recipe's trainer builds and trains its model by itself, so steps cannot be timed here.
        MachineError: a worker could not train them, or none answered.
    """
    for recipe in (request.recipe for request in requests):
        if recipe.model.kind == "external" or not TRAINERS.look_up(recipe.trainer.name).capabilities.diagnostics:
            raise UsageError(
                "`--time-steps` must be able to train the model's steps here",
                received=f"trainer: {recipe.trainer.name}",
                hint="leave it out: finished trials say how long one takes",
            )
    with WorkerPool(ENTRY, workers, limits) as pool:
        return [time_steps(request, pool, flops[request.size]) for request in requests]


def seconds_of_a_trial(recipe: Recipe, size: Size, flops: float, timings: Sequence[Timing]) -> float:
    """Wall time of one trial.

    Seconds per step and per evaluation batch are a line in FLOPs through the timed sizes; with one size timed they are
    proportional to FLOPs, which is too much for larger sizes, whose steps are more than overhead.

    Args:
        recipe: gives steps and evaluation.
        size: width, depth, batch and tokens of the trial.
        flops: floating point operations of the whole trial.
        timings: of one or two sizes, the smaller first.
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
