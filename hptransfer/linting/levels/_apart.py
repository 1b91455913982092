"""Work of a level that may run a recipe's code, or train: in a process of its own, under limits of time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptransfer.errors import Finding, printable
from hptransfer.execution.limits import TaskLimits
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import WorkerPool

#: resident bytes of all its processes together
MEMORY = 4 * 2**30


def run_apart(function: str, payload: Mapping[str, Any], seconds: float | None) -> Any:
    """The answer of one of our functions, from a process of its own.

    Args:
        function: `module:function` of this package; it takes the payload, and returns what JSON can hold.
        payload: what it is given.
        seconds: of wall time after which it is ended; None where the work has a limit of its own.

    Returns:
        What the function returned, or a `Finding` that says how its process ended. The answer went through a process
        that may have run the recipe's code, so it is no better than that code.
    """
    with WorkerPool(function, 1, TaskLimits(seconds, MEMORY if seconds is not None else None)) as pool:
        pool.submit("apart", dict(payload))
        outcome = pool.next_result()
    if outcome is None or isinstance(outcome, Failure):
        received = "no answer" if outcome is None else f"{outcome.cause}: {printable(outcome.message)[:300]}"
        rule = "what a level runs of a recipe must answer within its limits, and not end its process"
        hint = "train a few steps by itself first, at the smallest and at the largest size of the recipe"
        return Finding(rule, received, hint, code="trust/process")
    return outcome.value
