"""What the evidence says: three outcomes, each with its sentence and exit status; and how fast transfer is."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from hptransfer.statistics.interval import Interval


class Verdict(StrEnum):
    """The outcome of an equivalence test; INCONCLUSIVE is an answer, not a failure.

    Attributes:
        exit_status: what a command that was asked for the verdict exits with.
        template: the sentence users read, to be filled in by `sentence`.
    """

    exit_status: int
    template: str

    def __new__(cls, value: str, exit_status: int, template: str) -> Verdict:
        """Give the member its text value and attach what it owns."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.exit_status = exit_status
        member.template = template
        return member

    TRANSFERS = (
        "TRANSFERS",
        0,
        "{subject} tuned at {axis} {reference} carries over to {axis} {largest}: {drift}; {regret}.",
    )
    DRIFTS = (
        "DRIFTS",
        1,
        "{subject} tuned at {axis} {reference} does not carry over to {axis} {largest}: {reason}.",
    )
    INCONCLUSIVE = (
        "INCONCLUSIVE",
        3,
        "It is undecided whether {subject} tuned at {axis} {reference} carries over to {axis} {largest}: {reason}.",
    )

    def sentence(self, **facts: str | int) -> str:
        """The sentence with its facts.

        Args:
            facts: `subject`, `axis`, `reference`, `largest`, and `drift` and `regret` or `reason`.

        Raises:
            KeyError: a fact that the template names is missing.
        """
        return self.template.format(**facts)

    @classmethod
    def combine(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """One verdict over several axes: any DRIFTS decides, then any INCONCLUSIVE; nothing judged is INCONCLUSIVE."""
        seen = set(verdicts)
        if cls.DRIFTS in seen:
            return cls.DRIFTS
        return cls.TRANSFERS if seen == {cls.TRANSFERS} else cls.INCONCLUSIVE


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
