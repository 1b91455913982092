"""What a worker process executes: one pool serves every kind of task, so switching costs no restart."""

from __future__ import annotations

from hptransfer.engine.flops import count_costs
from hptransfer.trainers.bench import run_diagnostic
from hptransfer.trainers.timing import time_steps
from hptransfer.trainers.torch import run_trial

ENTRY = "hptransfer.trainers.tasks:work"

_TASKS = {
    "trial": run_trial,
    "diagnostic": run_diagnostic,
    "cost": count_costs,
    "timing": time_steps,
}


def prepare() -> None:
    """Import what every task needs, before the time of the first one counts (`execution.worker` calls this)."""
    import hptransfer.models.api
    import hptransfer.models.cost
    import hptransfer.training.loop  # noqa: F401  # imported for its effect


def work(payload: dict[str, object]) -> dict[str, object]:
    """Run the task that `payload["task"]` names, a key of `_TASKS`; "trial" is the default."""
    return _TASKS[str(payload.get("task", "trial"))](payload)
