"""Is transfer fast, or only weak? What the transferred value costs against what growing gains.

A hyperparameter transfers weakly when its optimum converges; it transfers fast when the loss it costs at the large size
vanishes against the loss gained by growing, c = o(a) (Ghosh et al.). Then tuning the large model is worth nothing.
There are problems, a linear network on orthonormal inputs is one, where c stays of the order of a at any size.
"""

from __future__ import annotations

from enum import StrEnum

from hptransfer.statistics.interval import Interval

#: regret over gain: fast if the estimate is at most the first and its interval ends below the second
_FAST, _FAST_HIGH = 0.05, 0.1
#: weak if all of the interval lies above
_WEAK = 0.25


class Speed(StrEnum):
    """What the ratio of regret to gain says."""

    FAST = "fast"
    OPEN = "open"
    WEAK = "weak"


def speed_of(rho: Interval | None) -> Speed | None:
    """Fast, weak or open; None where the ratio is not known.

    Args:
        rho: regret at the largest size over the loss gained from proxy to largest size, see `AxisReport.rho`.
    """
    if rho is None:
        return None
    if rho.estimate <= _FAST and rho.high <= _FAST_HIGH:
        return Speed.FAST
    return Speed.WEAK if rho.low >= _WEAK else Speed.OPEN


def describe_speed(speed: Speed) -> str:
    """The ratio's meaning in a few words."""
    return {
        Speed.FAST: "fast: tuning the larger size would gain next to nothing",
        Speed.WEAK: "weak, not fast: the proxy's value costs a good part of what growing gains",
        Speed.OPEN: "neither fast nor weak for sure",
    }[speed]
