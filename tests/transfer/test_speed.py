"""Fast and weak agree with what the value costs."""

from __future__ import annotations

import numpy as np
import pytest

from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.transfer.speed import Speed, describe_speed, speed_of
from hptransfer.verdict import Verdict


def judged(carried: float, allowed: float) -> AxisReport:
    """Widths 64 to 1024, best losses 1.7 + 6 n^-0.25, a bend of 0.03 nats per squared octave about 2^-8."""
    rng = np.random.default_rng(3)
    groups = {
        64.0 * 2**step: [
            Point(x, seed, 1.7 + 6 * (64 * 2**step) ** -0.25 + 0.03 * (x + 8) ** 2 + 0.002 * rng.standard_normal())
            for x in np.arange(-11.0, -4.9)
            for seed in range(3)
        ]
        for step in range(5)
    }
    return judge_ladder(
        groups,
        axis="width",
        hyperparameter="learning_rate",
        transferred=2.0**carried,
        reference=64,
        criteria=TransferCriteria(cost=allowed),
    )


def test_a_small_ratio_is_not_fast_where_the_cost_is_not_allowed() -> None:
    """1.25 octaves off lose 0.047 nats, 4.4% of the 1.06 gained, and 0.25 doublings, by inverting the law itself."""
    law = [1.7 + 6 * (1024 * 2**-k) ** -0.25 for k in (0.0, 0.249, 0.252)]
    assert law[1] - law[0] < 0.03 * 1.25**2 < law[2] - law[0]

    report = judged(-6.75, 0.4)  # a doubling of width counts as two of compute
    assert report.rho is not None
    assert report.rho.high < 0.05
    assert report.verdict is Verdict.DRIFTS
    assert speed_of(report.rho, affordable=report.affordable) is Speed.OPEN
    assert "next to nothing" not in describe_speed(report.rho, affordable=report.affordable)

    within = judged(-6.75, 1.0)
    assert within.verdict is Verdict.TRANSFERS
    assert speed_of(within.rho, affordable=within.affordable) is Speed.FAST


@pytest.mark.parametrize(
    ("rho", "affordable", "speed", "words"),
    [
        (Interval(0.3, 0.26, 0.4), False, Speed.WEAK, "weak"),
        (Interval(0.3, 0.26, 0.4), True, Speed.OPEN, "within what is allowed"),
        (Interval(0.12, 0.1, 0.2), False, Speed.OPEN, "between fast (up to 0.05) and weak (from 0.25)"),
        (Interval(0.12, 0.01, 0.4), True, Speed.OPEN, "undecided between fast"),
    ],
)
def test_words_follow_ratio_and_cost(rho: Interval, *, affordable: bool, speed: Speed, words: str) -> None:
    """A large ratio of an allowed cost is not called weak."""
    assert speed_of(rho, affordable=affordable) is speed
    assert words in describe_speed(rho, affordable=affordable)
    assert speed_of(None, affordable=affordable) is None
