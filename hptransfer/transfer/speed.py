"""How fast transfer is: what the ratio of regret to gain says, together with what the value costs."""

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


def speed_of(rho: Interval | None, *, affordable: bool) -> Speed | None:
    """Fast, weak or open; None where the ratio is not known.

    A ladder that gains much makes a small ratio of a cost that is not allowed, and one that gains little a large ratio
    of a cost that is: neither is fast or weak.

    Args:
        rho: regret at the largest size over the loss gained from proxy to largest size, see `AxisReport.rho`.
        affordable: whether what the value costs is for sure within its bounds at every size.
    """
    if rho is None:
        return None
    if _is_small(rho):
        return Speed.FAST if affordable else Speed.OPEN
    return Speed.WEAK if rho.low >= _WEAK and not affordable else Speed.OPEN


def describe_speed(rho: Interval, *, affordable: bool) -> str:
    """The ratio's meaning in a few words.

    Args:
        rho: regret at the largest size over the loss gained from proxy to largest size.
        affordable: whether what the value costs is for sure within its bounds at every size.
    """
    if _is_small(rho):
        if affordable:
            return "fast: tuning the largest size would gain next to nothing"
        return "small, but the cost is not for sure within what is allowed"
    if rho.low >= _WEAK:
        if affordable:
            return "a good part of what growing gains, but the cost is within what is allowed"
        return "weak, not fast: the proxy's value costs a good part of what growing gains"
    if rho.low > _FAST and rho.high < _WEAK:
        return f"between fast (up to {_FAST:g}) and weak (from {_WEAK:g})"
    return f"undecided between fast (up to {_FAST:g}) and weak (from {_WEAK:g})"


def _is_small(rho: Interval) -> bool:
    return rho.estimate <= _FAST and rho.high <= _FAST_HIGH
