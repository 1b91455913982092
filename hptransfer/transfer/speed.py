"""How fast transfer is: what the ratio of regret to gain says."""

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
