"""How long a training step takes here: a few real ones, timed in the workers."""

from __future__ import annotations

from dataclasses import dataclass

from hptransfer.errors import MachineError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import WorkerPool
from hptransfer.sizes import Size
from hptransfer.trials.messages import TIMED_STEPS, TimingMessage
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
