"""Work of a level that runs a recipe's code, or trains: in a process of its own, whose end is a finding too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hptransfer.errors import Finding
from hptransfer.execution.confined import Ended, Limits, run

LIMITS = Limits()
_NO_LIMIT = 2**62
#: of what a budget of the recipe's own limits: no time or memory is right for every recipe that trains
UNTIMED = replace(
    LIMITS,
    seconds=math.inf,
    processor=2**31,  # more, in nanoseconds, is beyond what the kernel counts with
    memory=_NO_LIMIT,
    address_space=_NO_LIMIT,
    file=_NO_LIMIT,
    processes=_NO_LIMIT,
    flood=_NO_LIMIT,
)


def timed(seconds: float) -> Limits:
    """The limits of work that trains for a while, on a GPU where there is one.

    Args:
        seconds: of wall time in all, and of processor time on each of some cores.
    """
    # the driver of a GPU maps all of its memory, and that of the machine, into address space
    return replace(LIMITS, seconds=seconds, processor=int(16 * seconds), address_space=_NO_LIMIT)


def run_trusted(function: str, payload: Mapping[str, Any], limits: Limits = LIMITS) -> Any:
    """The answer of one of our functions that calls a recipe's code, from a process of its own.

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
    within = "" if math.isinf(limits.seconds) else f" within {limits.seconds:.0f} s and {limits.memory // 2**30} GiB"
    rule = f"what a level runs of a recipe must answer{within}, and not end its process"
    hint = "build the model and train a few steps by itself first, at the smallest and at the largest size"
    return Finding(rule, said.received, hint, code=f"trust/{said.why}")
