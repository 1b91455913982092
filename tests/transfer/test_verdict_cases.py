"""Tables whose verdict went wrong before, with what is right (tests/data/README.md says where they are from)."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from hptransfer.transfer.judge import AxisReport, judge_axis
from hptransfer.trials.trial import Trial
from hptransfer.verdict import Verdict
from tests.support.synthetic_ladders import trial

DATA = Path(__file__).parents[1] / "data" / "verdict"


def _trials(name: str) -> list[Trial]:
    with (DATA / f"{name}.csv").open(encoding="utf-8") as file:
        return [
            trial(float(row["lr"]), float(row["loss"]), width=int(row["width"]), seed=int(row.get("seed", 0)))
            for row in csv.DictReader(file)
        ]


def _judge(trials: list[Trial], transferred: float) -> AxisReport:
    smallest = min(t.size.width for t in trials)
    return judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=transferred, reference=smallest)


def test_losses_near_zero_have_no_drift_and_no_minimum_below_them() -> None:
    """Five widths, base 1.0 to 0.0012 with 1% noise, lowest at 2^-6 everywhere: minima within 3% of the lowest mean."""
    report = _judge(_trials("near-zero-loss"), 2**-6)
    assert report.verdict is Verdict.TRANSFERS
    assert report.cost.high < 0.02  # noise of 1% where a doubling divides the loss by 3 to 8
    assert report.drift.contains(0)
    assert report.drift.inside(0.05)
    for size in report.sizes:
        assert size.optimum.loss.estimate == pytest.approx(size.best_loss, rel=0.03)
        assert size.optimum.interval.contains(-6)
        assert size.regret.low <= size.optimum.noise
        assert not size.spiked


def test_finite_blow_ups_are_named_and_bound_the_optimum() -> None:
    """Losses 3.550, 3.529, 3.538, 7.78 at rates 0.004 to 0.032 at every width: the best is among the first three."""
    report = _judge(_trials("finite-blow-up"), 0.008)
    for size in report.sizes:
        assert list(size.blown) == pytest.approx([math.log2(0.032)])
        assert 0.004 < size.optimum.value < 0.016
        assert 2**size.optimum.low > 0.004
        assert 2**size.optimum.high < 0.018
        named = f"At width {size.label} the losses at learning_rate 0.032 are blow-ups, not a curve"
        assert any(limit.startswith(named) for limit in report.limits)
    assert report.drift.contains(0)
    assert any("One seed" in limit for limit in report.limits)


def test_a_value_that_blows_up_at_the_largest_width_drifts() -> None:
    """Rates 0.004 to 0.032: half of the carried rate trains to 3.1 at the largest width, the rate itself to 7.8."""
    losses = {
        64: (3.60, 3.55, 3.53, 3.56),
        128: (3.50, 3.44, 3.42, 3.46),
        256: (3.36, 3.31, 3.30, 7.78),
        512: (3.20, 3.10, 7.80, 7.79),
    }
    trials = [
        trial(0.004 * 2**n, loss, width=width, seed=0) for width, row in losses.items() for n, loss in enumerate(row)
    ]
    report = _judge(trials, 0.016)
    assert report.verdict is Verdict.DRIFTS
    assert [len(size.blown) for size in report.sizes] == [0, 0, 1, 2]
    assert report.sizes[-1].measured
    assert report.sizes[-1].regret.low > 4


def test_a_value_in_the_blow_ups_of_a_size_without_a_curve_costs_what_it_lost() -> None:
    """One good value is no curve; a run four nats above it is a cost of four nats at least all the same."""
    losses = {64: (3.55, 3.53, 3.56, 3.60), 128: (3.44, 3.42, 3.46, 3.52), 256: (3.31, 7.78, 7.80, 7.79)}
    trials = [
        trial(0.004 * 2**n, loss, width=width, seed=0) for width, row in losses.items() for n, loss in enumerate(row)
    ]
    largest = _judge(trials, 0.008).sizes[-1]
    assert largest.regret.low == pytest.approx(4.47)
    assert largest.regret.high == math.inf
    assert largest.optimum.high == pytest.approx(math.log2(0.008))
