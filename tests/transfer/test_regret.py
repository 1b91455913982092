"""Bounds that a user chooses besides the cost: on the drift, and on the regret as a fraction of the loss.

Expected outcomes are the table of docs/verdicts.md, written out by hand: TRANSFERS needs the whole drift inside the
band and the upper end of the regret at most the bound; DRIFTS needs the whole drift outside the band, or a regret that
is clearly above the bound at a size beyond the proxy and clearly larger than at it; anything else is INCONCLUSIVE.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path

import pytest

from hptransfer.sizes import Size
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge, judge_axis
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.verdict import Verdict
from tests.support.synthetic_ladders import BEND, ladder, moved, parabola

#: losses (nats per byte) of the trials that `hptransfer run recipes/gpt.yaml` trained for its two ladders
GPT = Path(__file__).parents[1] / "data" / "gpt_ladder.csv"

#: octaves per doubling by which the optimum of `drifting` moves; over three doublings the value is 0.9 octaves off
DRIFT = 0.3
#: so it costs this at width 512, as a fraction of the loss there: 3 at the optimum, less 0.1 nats per doubling
COST = BEND * (3 * DRIFT) ** 2 / (3 - 0.3)

TRANSFERS, DRIFTS, OPEN = ("TRANSFERS", 0), ("DRIFTS", 1), ("INCONCLUSIVE", 3)


@cache
def drifting(criteria: TransferCriteria) -> AxisReport:
    """Widths 64 to 512 whose optimum drifts, judged at the value that is best at width 64; three seeds, 0.1% noise."""
    losses = [moved(DRIFT * k) for k in range(4)]
    trials = ladder(losses, noise=0.001, seeds=3)
    return judge_axis(
        trials, axis="width", hyperparameter="learning_rate", transferred=2**-8, reference=64, criteria=criteria
    )


def test_the_evidence_of_the_nine_cases_holds_the_truth() -> None:
    """The drift and the regret of the ladder have intervals that exclude zero: all nine cases can be asked of it."""
    report = drifting(TransferCriteria())

    assert report.drift.contains(DRIFT)
    assert report.regret.contains(COST)
    assert report.drift.low > 0
    assert report.regret.low > 0


#: where the criterion lies, from below the interval (the evidence is outside) to above it (the evidence is inside);
#: "straddling" stands for two criteria, one on each side of the estimate: the estimate decides nothing
PLACES = ("outside", "straddling", "inside")


def bounds(place: str, low: float, estimate: float, high: float) -> list[float]:
    """Criteria that put an interval of positive numbers in a place."""
    if place == "outside":
        return [low / 2]
    if place == "straddling":
        return [(low + estimate) / 2, (estimate + high) / 2]
    return [2 * high]


@pytest.mark.parametrize(
    ("drift", "regret", "expected"),
    [
        ("inside", "inside", TRANSFERS),
        ("inside", "straddling", OPEN),
        ("inside", "outside", DRIFTS),
        ("straddling", "inside", OPEN),
        ("straddling", "straddling", OPEN),
        ("straddling", "outside", DRIFTS),
        ("outside", "inside", DRIFTS),
        ("outside", "straddling", DRIFTS),
        ("outside", "outside", DRIFTS),
    ],
)
def test_drift_and_regret_decide_together(drift: str, regret: str, expected: tuple[str, int]) -> None:
    """One ladder, nine questions: each half of the evidence inside, straddling or outside what is asked."""
    found = drifting(TransferCriteria())
    asked = [
        TransferCriteria(cost=None, drift=band, regret=bound)
        for band in bounds(drift, found.drift.low, found.drift.estimate, found.drift.high)
        for bound in bounds(regret, found.regret.low, found.regret.estimate, found.regret.high)
    ]
    verdicts = [drifting(criteria).verdict for criteria in asked]

    assert [(verdict.value, verdict.exit_status) for verdict in verdicts] == [expected] * len(asked)


@pytest.mark.parametrize(("band", "expected"), [("inside", OPEN), ("straddling", OPEN)])
def test_a_regret_that_is_as_large_at_the_proxy_is_no_drift(band: str, expected: tuple[str, int]) -> None:
    """The value is 1.8 octaves off at every width: it costs too much everywhere, so it was tuned badly."""

    def report(criteria: TransferCriteria) -> AxisReport:
        trials = ladder([parabola] * 4, noise=0.001, seeds=3)
        return judge_axis(
            trials, axis="width", hyperparameter="learning_rate", transferred=2**-6.2, reference=64, criteria=criteria
        )

    found = report(TransferCriteria(cost=None, regret=0.0025))
    assert found.regret.low > 0.0025
    widest = max(abs(found.drift.low), abs(found.drift.high))
    drift = 2 * widest if band == "inside" else widest / 2
    verdict = report(TransferCriteria(cost=None, drift=drift, regret=0.0025)).verdict

    assert (verdict.value, verdict.exit_status) == expected


def test_a_bound_that_is_met_exactly_is_met() -> None:
    """The upper end of the regret is to be *at most* the bound, and the drift *inside* the band, ends included."""
    found = drifting(TransferCriteria())
    exact = TransferCriteria(cost=None, drift=found.drift.high, regret=found.regret.high)
    tighter = TransferCriteria(cost=None, drift=found.drift.high, regret=math.nextafter(found.regret.high, 0))

    assert drifting(exact).verdict is Verdict.TRANSFERS
    assert drifting(tighter).verdict is Verdict.INCONCLUSIVE


def test_the_sentence_names_the_half_that_is_open() -> None:
    """A drift inside the band is not what is in question when the regret's interval reaches above its bound."""
    found = drifting(TransferCriteria())
    bound = (found.regret.estimate + found.regret.high) / 2
    sentence = drifting(TransferCriteria(cost=None, drift=1.0, regret=bound)).sentence

    assert f"allowed is {bound:.2%}" in sentence
    assert "octaves per doubling" not in sentence


def test_the_depths_of_the_gpt_recipe_are_inconclusive_by_their_regret() -> None:
    """Along depth the drift lies inside the band, and the regret's interval reaches above its bound.

    Its estimate, 0.14%, is half of the 0.25% that are allowed: judged by the estimate the axis would read TRANSFERS.
    Along width the three seeds displace their optima by 0.07 to 0.2 octaves, which leaves the regret open as well.
    """
    with GPT.open(encoding="utf-8") as file:
        trials = [
            Trial(
                f"{row['width']}-{row['depth']}-{row['learning_rate']}-{row['seed']}",
                Size(int(row["width"]), int(row["depth"]), 16, 76_800),
                {"learning_rate": float(row["learning_rate"])},
                int(row["seed"]),
                TrialState.COMPLETE,
                float(row["loss"]),
            )
            for row in csv.DictReader(file)
        ]
    proxy = Size(64, 2, 16, 76_800)
    report = judge(
        trials,
        proxy=proxy,
        hyperparameter="learning_rate",
        transferred=0.011893547656416033,
        criteria=TransferCriteria(cost=None, drift=0.15, regret=0.0025),
    )
    width, depth = report.axes

    assert [(axis.axis, axis.verdict.value, axis.verdict.exit_status) for axis in report.axes] == [
        ("width", *OPEN),
        ("depth", *OPEN),
    ]
    assert (report.verdict.value, report.verdict.exit_status) == OPEN
    assert width.regret.estimate < 0.0025 < width.regret.high
    assert depth.drift.inside(0.15)
    assert depth.regret.estimate < 0.0025 < depth.regret.high
