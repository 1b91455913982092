"""Code that a recipe names, run for `validate --trust`: how its process ended is a finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptransfer.errors import Finding
from hptransfer.execution.confined import Ended, Limits, run

LIMITS = Limits()


def run_trusted(function: str, payload: Mapping[str, Any], limits: Limits = LIMITS) -> Any:
    """The answer of one of our functions that calls code of a recipe, from a process of its own.

    Args:
        function: `module:function` of this package; it takes the payload, and returns what JSON can hold.
        payload: what it is given.
        limits: what the process may take.

    Returns:
        What the function returned, or a `Finding` that says how its process ended. It went through a process that ran
        the recipe's code, so it is no better than that code.
    """
    said = run(function, payload, limits)
    if not isinstance(said, Ended):
        return said
    rule = (
        f"code that a recipe names must answer within {limits.seconds:.0f} s and {limits.memory // 2**30} GiB, "
        "and not end its process"
    )
    hint = "build the model by itself first, at the smallest and at the largest size of the recipe"
    return Finding(rule, said.received, hint, code=f"trust/{said.why}")
