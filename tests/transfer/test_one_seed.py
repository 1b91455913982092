"""When one seed settles a ladder, and how often that is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from benchmarks.calibration_laws import BEND
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.transfer.one_seed import one_seed_settles, values_near
from hptransfer.verdict import Verdict
from tests.support.synthetic_ladders import parabola
from tests.support.tilted_ladders import Scene, draw

HALVES = [-8 + 0.5 * step for step in range(-3, 4)]


def _report(sizes: Sequence[int], xs: Sequence[float], *, diverged: float = 0.0, at: float = -8.0) -> AxisReport:
    """One seed without noise; x at or beyond `diverged` blows up."""
    groups = {
        size: [Point(x, 0, parabola(x - at - 8) * (1 - 0.03 * rung), diverged=x >= diverged) for x in xs]
        for rung, size in enumerate(sizes)
    }
    return judge_ladder(groups, axis="width", hyperparameter="learning_rate", transferred=2**at, reference=sizes[0])


@pytest.mark.parametrize(
    ("sizes", "xs", "lacks"),
    [
        ((64, 128, 256, 512), HALVES, None),
        ((64, 128, 256), HALVES, "there are 3 sizes"),
        ((64, 96, 144, 216), HALVES, "the sizes span 3.38x"),
        ((64, 128, 256, 512), HALVES[1:5], "at 64 "),  # four values
        ((64, 128, 256, 512), [*HALVES[3:], -6.0], "at 64 they do not lie on both sides of it"),
        ((64, 128, 256, 512), [-12.0, -8.5, -8.0, -7.5, -4.0], "at 64 "),  # three of five are near
        ((64, 128, 256, 512), [-10.0, -9.0, -8.0, -7.0, -6.0], None),  # octaves
    ],
)
def test_sizes_and_values_are_what_settles(sizes: tuple[int, ...], xs: list[float], lacks: str | None) -> None:
    """Four sizes over 8x, five values near each optimum, two of them on each side."""
    report = _report(sizes, xs, at=-7.9)
    assert one_seed_settles(report.sizes) is (lacks is None)
    if lacks is not None:
        assert report.verdict is not Verdict.TRANSFERS
        assert f"and {lacks}" in report.sentence


def test_a_divergence_bounds_an_optimum_from_above() -> None:
    """One value above the optimum is enough where the next one diverges; the diverged one is no value near it."""
    report = _report((64, 128, 256, 512), [*HALVES[:5], -7.0], diverged=-7.0, at=-7.9)
    assert [values_near(size) for size in report.sizes] == [5] * 4
    open_above = _report((64, 128, 256, 512), HALVES[:5], at=-7.9)
    assert [values_near(size) for size in open_above.sizes] == [0] * 4


def _verdicts(drift: float, first: int, ladders: int) -> tuple[Counter[str], float]:
    """Verdicts by the default criteria, with the largest true cost in doublings of width.

    Five widths over 16x, seven values, signal to noise of the default recipe, tilts as they were measured. Every
    doubling takes 3% of the first size's loss off all of its losses, so it gains the same everywhere: a loss costs so
    many doublings as it is times that gain.
    """
    scene = Scene("parabola", 1, noise=0.001, tilt=0.13, rungs=5, values=7, drifts=(drift,), tuned=0.13)
    found: Counter[str] = Counter()
    dearest = 0.0
    for number in range(first, first + ladders):
        drawn = draw(scene, number)
        report = judge_ladder(
            drawn.groups, axis="width", hyperparameter="learning_rate", transferred=2**drawn.middle, reference=64
        )
        found[str(report.verdict)] += 1
        for level, optimum in enumerate(drawn.optima):
            lost = BEND * (drawn.middle - optimum) ** 2 * (1 - 0.03 * level)
            dearest = max(dearest, lost / (0.03 * 3))
    return found, dearest


def test_one_seed_finds_transfer() -> None:
    """Asked for: at least 40% of the true ones; 15 of them would come out below 4 by chance in one of a hundred."""
    found, truth = _verdicts(0.0, 1_000, 15)
    assert truth < 0.01
    assert found["TRANSFERS"] >= 4
    assert found["DRIFTS"] == 0


@pytest.mark.parametrize("drift", [-0.2, -0.3])
def test_a_drift_that_costs_less_than_the_bound_is_none(drift: float) -> None:
    """0.2 and 0.3 octaves per doubling cost at most 0.11 and 0.19 doublings here: TRANSFERS is right, DRIFTS never."""
    found, truth = _verdicts(drift, 2_000, 12)
    assert 0.05 < truth < 0.2
    assert found["DRIFTS"] == 0


@pytest.mark.parametrize("drift", [-0.6, -0.8])
def test_one_seed_calls_no_drift_transfer(drift: float) -> None:
    """Drifts of 0.6 and 0.8 octaves per doubling cost about twice and four times the bound at the fifth width."""
    found, truth = _verdicts(drift, 2_000, 12)
    assert truth > 0.5
    assert found["TRANSFERS"] == 0
    assert found["DRIFTS"] >= 6
