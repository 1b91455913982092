"""Seeds that tilt their curves and whose noise wanders over values, on constructed truth."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from hptransfer.statistics.curve import sample_curves
from hptransfer.statistics.optimum import estimate_optima
from hptransfer.statistics.seed_means import Point, SeedMeans, average_seeds
from hptransfer.statistics.tilt import SPREADS, SeedNoise, fit_tilts, seed_noise, tilted
from tests.support.tilted_ladders import Scene, draw

Array = npt.NDArray[np.float64]
X = np.arange(-10.0, -5.9, 0.5)


def _known(groups: dict[int, list[Point]] | list[list[Point]]) -> SeedNoise:
    rows = groups.values() if isinstance(groups, dict) else groups
    return seed_noise([average_seeds(points).runs for points in rows])


def _tables(scene: Scene, number: int) -> list[SeedMeans]:
    return [average_seeds(points) for points in draw(scene, number).groups.values()]


def _points(curve: Array, effects: Array) -> list[Point]:
    return [
        Point(float(x), seed, float(loss))
        for seed, row in enumerate(curve + effects)
        for x, loss in zip(X, row, strict=True)
    ]


@pytest.fixture(name="layout")
def _layout() -> tuple[Array, Array]:
    """Runs (9 values, 4 seeds), not all of them: seeds 2 and 3 ran near the middle; and runs of seeds that ran once."""
    number = np.ones((9, 4))
    number[:3, 2] = number[7:, 2] = number[:2, 3] = 0
    return number, np.array([0.0, 0, 0, 2, 0, 0, 1, 0, 0])


def test_tilts_are_those_of_one_dense_least_squares(layout: tuple[Array, Array]) -> None:
    """Oracle: numpy.linalg.lstsq on the whole design of values, seed offsets and tilts, one row per run."""
    number, alone = layout
    rng = np.random.default_rng(3)
    cells = [(i, s) for i in range(9) for s in range(4) if number[i, s]] + [(3, -1), (3, -1), (6, -1)]
    loss = rng.standard_normal(len(cells))
    values = np.array([[float(i == j) for j in range(9)] for i, _ in cells])
    seeds = np.array([[float(s == t) for t in range(4)] for _, s in cells])
    tilts = seeds * X[[i for i, _ in cells], None]

    def left(design: Array) -> Array:
        return np.asarray(loss - design @ np.linalg.lstsq(design, loss, rcond=None)[0])

    two_way, whole = left(np.hstack([values, seeds])), left(np.hstack([values, seeds, tilts]))
    sums = np.zeros((9, 4))
    for (i, s), residual in zip(cells, two_way, strict=True):
        if s >= 0:
            sums[i, s] += residual
    found = fit_tilts(X, number, alone, sums)
    mine = [n for n, (_, s) in enumerate(cells) if s >= 0]
    assert two_way[mine] - [found.explained[cells[n]] for n in mine] == pytest.approx(whole[mine], abs=1e-9)
    ranks = [np.linalg.matrix_rank(np.hstack(parts)) for parts in ([values, seeds], [values, seeds, tilts])]
    assert found.rank == ranks[1] - ranks[0]


def test_what_a_tilt_does_to_the_means_is_what_it_did(layout: tuple[Array, Array]) -> None:
    """Constructed truth: seed 2 alone is tilted by one nat per octave; the means move by its response."""
    number, alone = layout
    moved = {}
    for slope in (0.0, 1.0):
        points = [
            Point(float(X[i]), s, 3 + 0.02 * (X[i] + 8) ** 2 + slope * 1e-3 * float(X[i] + 8) * (s == 2))
            for i in range(9)
            for s in range(4)
            if number[i, s]
        ]
        points += [Point(float(X[i]), 10 + i, 3 + 0.02 * (X[i] + 8) ** 2) for i in (3, 6)]
        moved[slope] = average_seeds(points).mean
    alone = np.array([0.0, 0, 0, 1, 0, 0, 1, 0, 0])
    change = (moved[1.0] - moved[0.0]) / 1e-3
    response = tilted(X, number, alone).response[:, 2]
    # tilting about another place adds an offset of that seed, which the two-way fit removes
    assert change == pytest.approx(response, abs=1e-6)


def test_tilts_are_no_noise() -> None:
    """Seeds that differ by offsets and tilts alone scatter by nothing."""
    rng = np.random.default_rng(1)
    effects = rng.standard_normal((3, 1)) * 0.01 + rng.standard_normal((3, 1)) * 0.01 * (X + 8)
    table = average_seeds(_points(3 + 0.02 * (X + 8) ** 2, effects))
    assert table.residual_ss < 1e-20
    assert table.residual_df == 2 * 9 - 2 - 2


def test_seeds_that_show_tilts_widen_and_seeds_that_show_none_narrow() -> None:
    """Prior root mean square 0.15 octaves; 5 seeds at 4 sizes with 0.25 or with none say otherwise."""
    before = _known([[Point(float(x), 0, 3 + 0.02 * (x + 8) ** 2) for x in X]])
    assert not before.compared
    assert 0.1 < math.sqrt(before.square) < 0.2
    for number in range(5):
        none, much = (
            seed_noise([t.runs for t in _tables(Scene("parabola", 5, noise=0.001, tilt=tilt), number)])
            for tilt in (0.0, 0.25)
        )
        assert math.sqrt(none.square) < 0.06
        assert 0.15 < math.sqrt(much.square) < 0.4


def test_noise_that_wanders_is_seen_as_such() -> None:
    """Correlation of neighbouring means: of noise that is alike from value to value (0.6), and of noise that is not."""
    found = {}
    for rho in (0.0, 0.6):
        tables = [t for number in range(4) for t in _tables(Scene("parabola", 5, rho=rho), number)]
        noise = seed_noise([t.runs for t in tables]).noise[0]
        found[rho] = noise[4, 5] / noise[4, 4]
    assert found[0.0] < 0.15
    assert 0.35 < found[0.6] < 0.65


@pytest.mark.parametrize(("scale", "shift"), [(2.5, 0.0), (1.0, -2.0), (0.01, 40.0)])
def test_the_unit_of_the_loss_does_not_matter(scale: float, shift: float) -> None:
    """Displacements in octaves are the same for a + b loss."""
    scene = Scene("parabola", 3, noise=0.003, tilt=0.13, rho=0.6)
    groups = draw(scene, 5).groups
    plain = _known([list(points) for points in groups.values()])
    other = _known(
        [[Point(p.x, p.seed, shift + scale * p.loss, p.diverged) for p in points] for points in groups.values()]
    )
    assert other.weight == pytest.approx(plain.weight, rel=1e-6)
    assert other.noise[0] == pytest.approx(plain.noise[0], rel=1e-6)
    assert other.tilts == pytest.approx(plain.tilts, rel=1e-9)


def test_seeds_with_other_numbers_share_nothing() -> None:
    """The same seed at two sizes displaces both optima alike, in part; another does not; many displace less."""
    rows = [[Point(float(x), seed, 3 + 0.02 * (x + 8) ** 2) for x in X] for seed in (0, 0, 1)]
    displaced = _known(rows).displaced
    assert displaced[0, 0] == pytest.approx(1.0)
    assert displaced[0, 1] == pytest.approx(0.5)
    assert displaced[0, 2] == pytest.approx(0.0, abs=1e-12)
    four = _known([[Point(float(x), s, 3 + 0.02 * (x + 8) ** 2) for x in X for s in range(4)] for _ in range(2)])
    assert four.displaced == pytest.approx(np.array([[0.25, 0.125], [0.125, 0.25]]))


def test_optima_of_one_seed_that_scatter_show_tilts() -> None:
    """Six sizes, one seed: optima on a line make tilts less probable, optima 0.3 octaves beside it more."""
    known = _known([[Point(float(x), 0, 3 + 0.02 * (x + 8) ** 2) for x in X] for _ in range(6)])
    doublings, errors = np.arange(6.0), 0.02 * np.random.default_rng(0).standard_normal((6, 400))
    line = 0.1 * doublings[:, None] + errors
    beside = line + 0.3 * np.array([1.0, -1, 1, -1, 1, -1])[:, None]
    everywhere = np.ones(6, dtype=bool)
    still, scattered = (known.scattered(optima, everywhere, doublings) for optima in (line, beside))
    assert still.square < known.square < scattered.square
    few = everywhere.copy()
    few[3:] = False
    assert known.scattered(beside, few, doublings) is known


def test_a_tilt_that_sizes_share_moves_optima_and_no_drift() -> None:
    """Curves without noise, one seed: each optimum is open by about what a seed displaces it, differences by less."""
    curve = 3 + 0.02 * (X + 8) ** 2
    rng = np.random.default_rng(2)
    tables = [
        average_seeds(
            [Point(float(x), 0, float(y)) for x, y in zip(X, curve + 1e-4 * rng.standard_normal(9), strict=True)]
        )
        for _ in range(4)
    ]
    drawn = [each for each in sample_curves(tables, doublings=[6.0, 7.0, 8.0, 9.0]) if each is not None]
    assert len(drawn) == 4
    apart = [float((a.optimum - b.optimum).std()) for a, b in pairwise(drawn)]
    each = [float(d.optimum.std()) for d in drawn]
    # half of the variance is common: differences of two have that of one
    assert np.mean(each) > 0.05
    assert np.mean(apart) < 1.2 * float(np.mean(each))
    other = [average_seeds([Point(p.x[i], size, float(p.mean[i])) for i in range(9)]) for size, p in enumerate(tables)]
    unlike = [each for each in sample_curves(other, doublings=[6.0, 7.0, 8.0, 9.0]) if each is not None]
    assert float((unlike[0].optimum - unlike[1].optimum).std()) > 1.15 * float(np.mean(apart))


def test_more_seeds_narrow_what_tilts_leave_open() -> None:
    """Tilts of 0.25 octaves and hardly any noise: intervals shrink from one seed to five."""
    widths = []
    for seeds in (1, 5):
        groups = draw(Scene("parabola", seeds, noise=0.0005, tilt=0.25), 11).groups
        optima = estimate_optima(list(groups.values()))
        widths.append(float(np.mean([o.high - o.low for o in optima])))
    assert widths[1] < 0.9 * widths[0]


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_dense_sweep_is_averaged_and_still_tilted(seeds: int) -> None:
    """Sixty values: noise is independent in the cells that they are averaged in, a seed's tilt is not."""
    rng = np.random.default_rng(4)
    xs = np.linspace(-10, -6, 60)
    table = average_seeds(
        [Point(float(x), s, 3 + 0.02 * (x + 8) ** 2 + 0.003 * rng.standard_normal()) for x in xs for s in range(seeds)]
    )
    known = seed_noise([table.runs])
    assert table.runs.dense
    assert known.noise[0] == pytest.approx(np.diag(1 / table.count))
    assert known.displaced[0, 0] == pytest.approx(1 / seeds, rel=0.01)


def test_the_prior_is_that_of_the_measured_ladders() -> None:
    """docs/calibration.md: the median ladder's tilt is 0.07 to 0.1 octaves, and none exceeds 0.3."""
    weight = _known([[Point(float(x), 0, 3 + 0.02 * (x + 8) ** 2) for x in X]]).weight
    assert SPREADS[np.searchsorted(np.cumsum(weight), 0.5)] == pytest.approx(0.1)
    assert weight[SPREADS > 0.4].sum() < 0.05


def test_values_and_offsets_that_take_everything_leave_no_tilt() -> None:
    """A chain of runs, each value shared by two seeds at most: what is left of the tilts is rounding, and none is."""
    number = np.zeros((6, 5))
    for seed in range(5):
        number[seed, seed] = number[seed + 1, seed] = 1.0
    residual = 1e-12 * np.random.default_rng(0).standard_normal((6, 5)) * number
    found = fit_tilts(np.arange(-10.0, -4.0), number, np.zeros(6), residual)

    assert found.rank == 0
    assert np.abs(found.explained).max() < 1e-9
