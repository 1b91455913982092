"""Where the next runs go: arithmetic by hand, and the size that decides gets them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum
from hptransfer.statistics.path import Path
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.allocation import Lattice, TrialProposal, _rung, allocate
from hptransfer.transfer.cost import CostUnit
from hptransfer.transfer.criteria import SizeEvidence, TransferCriteria
from hptransfer.transfer.judge import AxisReport
from hptransfer.verdict import Verdict

LATTICE = Lattice(spacing=0.5, seeds=2)
WIDTHS = (64, 128, 256, 512)
#: the optimum of every size, log2
CENTRE = -8.0
#: half octaves over one octave to each side: with two seeds the squared distances sum to 5
GRID = tuple(CENTRE + 0.5 * step for step in range(-2, 3))
#: octaves, between which a finer grid shows more of the curve's shape
OCTAVES = tuple(CENTRE + step for step in range(-2, 3))


def size(
    width: int,
    *,
    error: float = 0.1,
    noise: float = 0.01,
    xs: tuple[float, ...] = GRID,
    seeds: int = 2,
    low: float = -8.5,
    high: float = -7.5,
    cost: float = 0.1,
) -> SizeEvidence:
    """Runs about a parabola of 0.05 nats per squared octave."""
    optimum = Optimum(
        log2_value=CENTRE,
        low=low,
        high=high,
        standard_error=error,
        edge=None,
        loss=Interval(3.0, 2.9, 3.1),
        best_point=(CENTRE, 3.0),
        noise=noise,
        noise_from="seeds",
        curvature=0.05,
        cliff_distance=math.inf,
        plateau=(-9.0, -7.0),
        n_points=len(xs) * seeds,
        n_seeds=seeds,
    )
    lost, doublings = Interval(0.001, 0.0, 0.002), Interval(cost / 2, 0.0, cost)
    points = tuple(Point(x, seed, 3.0) for x in xs for seed in range(seeds))
    return SizeEvidence(
        width, optimum, 3.0, lost, lost, lost.high, lost, doublings, doublings, doublings, lost, (), True, points
    )


def report(
    sizes: Mapping[int, SizeEvidence],
    *,
    axis: str = "width",
    verdict: Verdict = Verdict.INCONCLUSIVE,
    drift: float | None = 0.15,
) -> AxisReport:
    """A judgement over these sizes."""
    rungs = tuple(sizes.values())
    return AxisReport(
        axis=axis,
        hyperparameter="learning_rate",
        transferred=2.0**CENTRE,
        reference=rungs[0].value,
        criteria=TransferCriteria(drift=drift),
        sizes=rungs,
        unit=CostUnit("width", None, Interval(0.02, 0.01, 0.03), Interval(0.3, 0.1, 0.5), Interval(0.01, 0.008, 0.013)),
        cost=rungs[-1].cost,
        dearest=rungs[-1].value,
        drift=Interval(0.0, -0.3, 0.3),
        path=Path((), 0.0, "open"),
        regret=rungs[-1].relative_regret,
        rho=None,
        wider_is_not_worse=None,
        sensitivity_growth=None,
        verdict=verdict,
        sentence="",
        limits=(),
        would_decide=None,
    )


def first(*reports: AxisReport, lattice: Lattice = LATTICE) -> tuple[set[int], str]:
    """Sizes of the first action's runs, and what it is for."""
    runs, words = allocate(reports, lattice, lambda run: True, 1)
    return {run.value for run in runs}, words[0]


def test_the_variance_from_noise_is_that_of_a_parabolas_vertex() -> None:
    """Textbook: with a known curvature c the vertex has variance (noise / 2c)^2 / sum of squared distances.

    (0.01 / 0.1)^2 / 5 = 0.002 octaves^2; the rest of an error of 0.1 octaves is the curve's unknown shape.
    """
    rung = _rung("width", size(64), 1.0, LATTICE, math.inf)

    assert rung.variance(LATTICE) == pytest.approx(0.1**2)
    assert rung.shape == pytest.approx(0.1**2 - 0.002)


def test_runs_beyond_an_octave_say_nothing_about_the_optimum() -> None:
    """Two more values on each side, at 1.5 and 2 octaves, leave the variance from noise as it is."""
    wide = tuple(CENTRE + 0.5 * step for step in range(-4, 5))
    rung = _rung("width", size(64, xs=wide), 1.0, LATTICE, math.inf)

    assert rung.shape == pytest.approx(0.1**2 - 0.002)


def test_noise_cannot_explain_more_than_what_is_open() -> None:
    """An optimum known to 0.01 octaves: less than the noise of 0.002 octaves^2, which is cut to what is known."""
    rung = _rung("width", size(64, error=0.01), 1.0, LATTICE, math.inf)

    assert rung.shape == 0.0
    assert rung.variance(LATTICE) == pytest.approx(0.01**2)


@pytest.mark.parametrize("worst", [64, 512])
def test_of_two_equal_arms_the_larger_error_gets_the_runs(worst: int) -> None:
    """Both ends of the ladder have the longest arm; an error that is 10% larger decides."""
    sizes = {width: size(width, error=0.11 if width == worst else 0.1, xs=OCTAVES) for width in WIDTHS}

    assert first(report(sizes))[0] == {worst}


def test_the_arm_counts_by_its_square() -> None:
    """The ends' arms are three times those of the middle: their variance counts nine times.

    So an error of 0.25 octaves at width 128 loses against 0.1 at the ends (6.25 to 9), and one of 0.35 wins (12.25).
    """
    for error, expected in ((0.25, {64, 512}), (0.35, {128})):
        sizes = {width: size(width, error=error if width == 128 else 0.1, xs=OCTAVES) for width in WIDTHS}
        found, _ = first(report(sizes))

        assert found <= expected


def test_a_cost_that_is_open_draws_runs_to_its_size() -> None:
    """It may be twice what is allowed at width 256 and counts twice; a settled one counts a tenth of that.

    So an error of 0.2 octaves there goes before one whose variance is five times as large elsewhere, and not before one
    that is twenty times as large.
    """
    for ratio, expected in ((5.0, {256}), (20.0, {64})):
        sizes = {
            width: size(
                width,
                error=0.2 * ratio**0.5 if width == 64 else 0.2,
                xs=OCTAVES,
                cost=1.0 if width == 256 else 0.1,
            )
            for width in WIDTHS
        }

        assert first(report(sizes, drift=None))[0] == expected


def test_an_open_axis_goes_before_a_settled_one() -> None:
    """However large the errors of an axis that transfers."""
    settled = report({width: size(width, error=1.0) for width in WIDTHS}, axis="width", verdict=Verdict.TRANSFERS)
    depths = report({depth: size(depth) for depth in (2, 4, 8, 16)}, axis="depth")
    runs, _ = allocate([settled, depths], LATTICE, lambda run: True, 4)

    assert {run.axis for run in runs} == {"depth"}


@pytest.mark.parametrize(
    ("low", "high", "beyond"), [(-math.inf, -7.5, -20), (-8.5, math.inf, -12)], ids=["below", "above"]
)
def test_an_open_end_is_extended_by_an_octave(low: float, high: float, beyond: int) -> None:
    """Beyond the last value that was tried, with all seeds of a new value; lattice indices are half octaves."""
    sizes = {width: size(width, error=2.0 if width == 512 else 0.1, low=low, high=high) for width in WIDTHS}
    runs, words = allocate([report(sizes)], LATTICE, lambda run: True, 1)

    assert runs == tuple(TrialProposal("width", 512, beyond, seed) for seed in range(2))
    assert words == (f"extend to 2^{beyond / 2:g} at width 512",)


def test_an_end_is_extended_once_in_a_round() -> None:
    """What lies beyond is known once it was tried: the rest of the round goes elsewhere."""
    sizes = {width: size(width, error=2.0 if width == 512 else 0.1, high=math.inf) for width in WIDTHS}
    _, words = allocate([report(sizes)], LATTICE, lambda run: True, 12)

    assert [word for word in words if word.startswith("extend") and word.endswith(" 512")] == [
        "extend to 2^-6 at width 512"
    ]
    assert len(words) > 1


def test_a_coarse_lattice_is_extended_by_one_step() -> None:
    """Where values lie two octaves apart, the next one is as near as can be."""
    sizes = {width: size(width, error=2.0, low=-math.inf, xs=(-10.0, -8.0, -6.0)) for width in WIDTHS}
    runs, _ = allocate([report(sizes)], Lattice(spacing=2.0, seeds=1), lambda run: True, 1)

    assert [run.index for run in runs] == [-6]


def test_what_the_shape_leaves_open_is_met_by_a_finer_grid() -> None:
    """Octaves, and an error that noise does not explain: the two halves nearest to the optimum, with all seeds."""
    sizes = {width: size(width, error=0.5 if width == 512 else 0.1, xs=OCTAVES) for width in WIDTHS}
    runs, words = allocate([report(sizes)], LATTICE, lambda run: True, 1)

    assert words == ("halve the spacing at width 512",)
    assert runs == tuple(TrialProposal("width", 512, index, seed) for index in (-17, -15) for seed in range(2))


def test_what_noise_leaves_open_is_met_by_another_seed() -> None:
    """No value lies between half octaves of the finest lattice; a third seed goes to the five values around."""
    sizes = {width: size(width, noise=0.02 if width == 512 else 0.01) for width in WIDTHS}
    runs, words = allocate([report(sizes)], LATTICE, lambda run: True, 1)

    assert words == ("seed 2 at width 512",)
    assert runs == tuple(TrialProposal("width", 512, index, 2) for index in range(-18, -13))


def test_a_run_that_was_tried_is_not_asked_for() -> None:
    """Nothing is allowed: nothing comes out, and the loop ends."""
    sizes = {width: size(width) for width in WIDTHS}

    assert allocate([report(sizes)], LATTICE, lambda run: False, 4) == ((), ())
