"""Values along batch and tokens: moved by a measured exponent where one describes the range, and left elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hptransfer.sizes import Size, SizeAxis
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.axis_facts import AxisFacts, Rung, axis_facts_from_report
from hptransfer.transfer.horizon import (
    CarriedExponent,
    carried_exponent,
    carried_exponents,
    carried_value,
    one_exponent,
    predict_carried,
)
from hptransfer.transfer.judge import TransferReport, judge
from hptransfer.trials.trial import Trial, TrialState
from tests.support.oracles import IsotropicSgd
from tests.support.synthetic_ladders import ladder, moved

PROXY = Size(64, 2, 64, 64_000)


def report_of(axis: SizeAxis, octaves: Sequence[float], values: Sequence[int]) -> TransferReport:
    """A ladder along one axis whose optima lie these octaves from 2^-8, judged; the first value is the proxy's."""
    grid = [-12 + 0.5 * step for step in range(17)]
    runs = ladder([moved(each) for each in octaves], values, grid, noise=0.0005, seeds=3)
    sizes = {value: replace(PROXY, **{axis: value}) for value in values}
    trials = [replace(run, size=sizes[run.size.width]) for run in runs]
    return judge(trials, proxy=sizes[values[0]], hyperparameter="learning_rate", transferred=2.0**-8)


def exponents(report: TransferReport, proxy: Size, target: Size) -> tuple[CarriedExponent, ...]:
    """What the report says of a target."""
    facts = [axis_facts_from_report(axis) for axis in report.axes]
    return carried_exponents(facts, "learning_rate", proxy=proxy, target=target)


def facts(optima: Sequence[float], *, spread: float = 0.03, drift: Interval | None = None) -> AxisFacts:
    """A ladder over tokens 1000, 2000, ... with these log2 optima."""
    rungs = tuple(Rung(1000.0 * 2**step, optimum, spread, 3.0, 3.0, 0.01) for step, optimum in enumerate(optima))
    return AxisFacts("tokens", 1000.0, rungs, drift or Interval(-0.3, -0.35, -0.25))


def test_a_value_moves_by_the_measured_exponent() -> None:
    """Optima that fall by 0.3 octaves per doubling of the tokens: 16 times as many are 1.2 octaves lower."""
    report = report_of("tokens", [0.0, -0.3, -0.6, -0.9], [64_000, 128_000, 256_000, 512_000])
    (found,) = exponents(report, PROXY, replace(PROXY, tokens=1_024_000))

    assert found.used
    assert (found.low, found.high, found.proxy, found.target) == (64_000, 512_000, 64_000, 1_024_000)
    assert found.exponent.contains(-0.3)
    assert found.octaves.contains(-1.2)
    # one doubling beyond the range adds 1.96 * 0.14 octaves to either side, in quadrature
    assert 0.55 < found.octaves.high - found.octaves.low < 0.8
    assert found.resolved
    assert carried_value(2.0**-8, [found]) == pytest.approx(2.0**-9.2, rel=0.1)
    assert "moves along tokens (64000 -> 1024000)" in found.sentence
    assert "2 times beyond that range" in found.sentence


def test_the_forecast_is_that_of_the_moved_value() -> None:
    """The penalty of the moved value is a small part of that of the value which was tuned; its move is said."""
    report = report_of("tokens", [0.0, -0.3, -0.6, -0.9], [64_000, 128_000, 256_000, 512_000])
    axes = [axis_facts_from_report(axis) for axis in report.axes]
    target = replace(PROXY, tokens=1_024_000)
    predicted = predict_carried(axes, "learning_rate", report.axes[0].transferred, proxy=PROXY, target=target)

    assert predicted is not None
    assert predicted.value == pytest.approx(2.0**-9.2, rel=0.1)
    assert predicted.penalty is not None
    # the parabola's bend is 0.00865 nats per octave squared: 1.2 octaves off would cost 0.0125 nats
    assert predicted.penalty.estimate < 0.001
    assert predicted.basis[0].startswith("learning_rate moves along tokens")


def test_where_the_run_is_the_proxys_nothing_moves() -> None:
    """A target that is only wider is no matter of the ladder over tokens."""
    report = report_of("tokens", [0.0, -0.3, -0.6], [64_000, 128_000, 256_000])

    assert exponents(report, PROXY, replace(PROXY, width=4096)) == ()


def test_an_exponent_that_changes_is_not_used() -> None:
    """Exact SGD from far below its noise scale to far above: the exponent falls from 0.95 to 0.1 (O3)."""
    rng = np.random.default_rng(0)
    trials = []
    for batch in (4, 64, 1024):
        oracle = IsotropicSgd(100, batch, 2)
        for k in range(-6, 4):
            rate = 2.0 ** (round(4 * math.log2(oracle.optimum)) / 4 + k / 4)
            loss = float(oracle.losses(np.array([rate]))[0])
            trials += [
                Trial(f"{batch}{k}{seed}", replace(PROXY, batch_size=batch), {"learning_rate": rate}, seed,
                      TrialState.COMPLETE, (1 + loss) * (1 + 0.001 * float(rng.standard_normal())))
                for seed in range(3) if loss < 2
            ]  # fmt: skip
    proxy = replace(PROXY, batch_size=4)
    value = IsotropicSgd(100, 4, 2).optimum
    report = judge(trials, proxy=proxy, hyperparameter="learning_rate", transferred=value)
    (found,) = exponents(report, proxy, replace(proxy, batch_size=4096))

    assert not found.used
    assert found.octaves == Interval(0.0, 0.0, 0.0)
    assert "no one exponent describes" in found.sentence
    assert carried_value(value, [found]) == value


@pytest.mark.parametrize(
    ("ladder_of", "target", "reason"),
    [
        (facts([0.0, -0.3]), 4000.0, "3 are needed to see one exponent"),
        (facts([0.0, -0.3, -0.6], drift=Interval(-0.3, -math.inf, -0.1)), 4000.0, "bounds the exponent on one side"),
        (facts([0.0, -0.3, -0.6, 0.6]), 16000.0, "no one exponent describes"),
        # 20 doublings times an interval 0.12 wide are 2.4 octaves
        (facts([0.0, -0.3, -0.6], drift=Interval(-0.3, -0.36, -0.24)), 1000.0 * 2**20, "leaves 2.4 octaves open"),
    ],
)
def test_an_exponent_is_not_used_where_it_says_too_little(ladder_of: AxisFacts, target: float, reason: str) -> None:
    """Two sizes, an open end, optima off every line, or a target so far that the interval says nothing."""
    found = carried_exponent(ladder_of, "learning_rate", target)

    assert not found.used
    assert found.reason is not None
    assert reason in found.reason
    assert "is not moved along tokens" in found.sentence


def test_the_same_exponent_is_used_nearer_by() -> None:
    """At 10 doublings the interval of 0.12 leaves 1.2 octaves, which is less than two."""
    found = carried_exponent(facts([0.0, -0.3, -0.6], drift=Interval(-0.3, -0.36, -0.24)), "learning_rate", 1024000.0)

    assert found.used
    # 10 doublings at +-0.06, and 8 of them beyond the range at +-0.2744: hypot(0.6, 2.195) to either side of -3
    assert found.octaves.low == pytest.approx(-3 - 2.2757, abs=1e-3)
    assert found.octaves.high == pytest.approx(-3 + 2.2757, abs=1e-3)
    assert not found.resolved


def test_within_the_range_the_interval_is_the_exponents() -> None:
    """4000 tokens are 2 doublings: -0.6 with twice the interval of the exponent."""
    found = carried_exponent(facts([0.0, -0.3, -0.6], drift=Interval(-0.3, -0.36, -0.24)), "learning_rate", 4000.0)

    assert found.resolved
    assert [found.octaves.low, found.octaves.high] == pytest.approx([-0.72, -0.48])


def test_a_smaller_run_moves_the_other_way() -> None:
    """A quarter of the tokens is two doublings down: the value rises by 0.6 octaves."""
    found = carried_exponent(facts([0.0, -0.3, -0.6]), "learning_rate", 250.0)

    assert found.octaves.estimate == pytest.approx(0.6)
    assert found.octaves.low < 0.6 < found.octaves.high
    assert "4 times beyond that range" in found.sentence


def test_a_line_is_refused_about_as_often_as_the_test_says() -> None:
    """5% of straight paths with normal errors are taken for bent; a bend of 0.3 octaves is seen almost always."""
    rng = np.random.default_rng(1)
    error = math.hypot(0.03, 0.05)

    def share(bend: float) -> float:
        straight = [-0.2 * step + bend * abs(step - 2) for step in range(5)]
        seen = (facts(list(straight + error * rng.standard_normal(5))).rungs for _ in range(1000))
        return float(np.mean([not one_exponent(rungs) for rungs in seen]))

    assert 0.03 < share(0.0) < 0.07
    assert share(0.15) > 0.9
