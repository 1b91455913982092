"""What a worker process executes: one pool serves every kind of task, so switching costs no restart."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hptransfer.execution.progress import announce
from hptransfer.registry import look_in
from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trainers._rehearsal import rehearse
from hptransfer.trainers._timing import time_steps
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import CostMessage, ReadingsMessage, TrialMessage
from hptransfer.trials.run_cost import RUN_COSTS
from hptransfer.trials.trial import OnLoss

#: seconds between two announcements of a run's loss at first, and later this share of the time since its start
_INTERVAL, _SHARE = 2.0, 0.02


def run_trial(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train one model with the recipe's trainer.

    Args:
        payload: JSON-able data of a `TrialMessage`.

    Returns:
        The payload of a `TrialResult`.
    """
    message = TrialMessage.parse(payload)
    _see(message.root)
    return TRAINERS.look_up(message.recipe.trainer.name).run(message, announced()).payload()


def announced() -> OnLoss:
    """Announces a run's losses to the coordinator, seldom: the mean since the last time, at growing intervals."""
    started = last = time.monotonic()
    since: list[float] = []

    def on_loss(step: int, loss: float) -> bool:
        nonlocal last
        since.append(loss)
        now = time.monotonic()
        if now - last >= max(_INTERVAL, _SHARE * (now - started)):
            mean = math.fsum(since) / len(since)
            if math.isfinite(mean):
                announce([[step, mean]])
            last = now
            since.clear()
        return False

    return on_loss


def _see(root: Path | None) -> None:
    if root is not None:
        look_in(root)


def count_costs(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Count FLOPs and memory on the meta device.

    Args:
        payload: JSON-able data of a `CostMessage`.

    Returns:
        "flops", one number per size; or "costs", `RunCost`s as plain data, where memory is asked for.
    """
    from hptransfer.trainers._costs import run_cost
    from hptransfer.trainers._flops import run_flops

    message = CostMessage.parse(payload)
    _see(message.root)
    root = message.root or Path()
    if not message.memory:
        return {"flops": [run_flops(message.recipe, size, root) for size in message.sizes]}
    costs = [run_cost(message.recipe, size, root, message.examples) for size in message.sizes]
    return {"costs": RUN_COSTS.dump_python(costs, mode="json")}


def read_models(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Read a model's parameters and roles on the meta device.

    Args:
        payload: JSON-able data of a `ReadingsMessage`.

    Returns:
        "readings", what `read_sizes` returns.
    """
    from hptransfer.models.recipe_reading import read_sizes

    message = ReadingsMessage.parse(payload)
    _see(message.root)
    return {"readings": read_sizes(message.model, message.base, message.sizes, message.init, message.covers)}


_TASKS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "trial": run_trial,
    "diagnostic": run_diagnostic,
    "cost": count_costs,
    "timing": time_steps,
    "readings": read_models,
    "rehearsal": rehearse,
}


def prepare() -> None:
    """Import what every task needs, before the time of the first one counts (`execution.worker` calls this)."""
    import hptransfer.models.api
    import hptransfer.models.recipe_reading
    import hptransfer.training.loop  # noqa: F401  # imported for its effect


def work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run the task that `payload["task"]` names, a key of `_TASKS`."""
    return _TASKS[str(payload["task"])](payload)
