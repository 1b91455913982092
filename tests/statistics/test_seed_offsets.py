"""What seeds do to losses: drawn tables whose deviations are known."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from benchmarks.seed_offsets import expected, load, scores_of
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.seed_means import Point
from hptransfer.statistics.seed_offsets import deviation_between_seeds, effect_between_sizes, offsets_of
from hptransfer.statistics.tilt import noise_of_mean
from hptransfer.transfer.evidence import MeasuredLadder


def table(
    rng: np.random.Generator, *, sizes: int, seeds: int, shared: float, own: float, noise: float
) -> list[list[Point]]:
    """Five values of a parabola per size; standard deviations over all sizes, at one, and of noise."""
    everywhere = shared * rng.standard_normal(seeds)
    made = []
    for size in range(sizes):
        offset = everywhere + own * rng.standard_normal(seeds)
        made.append(
            [
                Point(x, seed, 3 - 0.1 * size + 0.02 * x * x + offset[seed] + noise * rng.standard_normal())
                for x in (-1.0, -0.5, 0.0, 0.5, 1.0)
                for seed in range(seeds)
            ]
        )
    return made


@pytest.mark.parametrize(("shared", "own"), [(0.05, 0.0), (0.05, 0.01), (0.0, 0.02)])
def test_what_seeds_do_to_single_sizes_covers(shared: float, own: float) -> None:
    """The mean of a size's offsets, sizes against each other: 200 tables of 4 sizes and 3 seeds, 95% intervals."""
    rng, held = np.random.default_rng(7), []
    for _ in range(200):
        everywhere = shared * rng.standard_normal(3)
        offsets = [everywhere + own * rng.standard_normal(3) for _ in range(4)]
        sizes = [
            [
                Point(x, seed, 0.02 * x * x + offset[seed] + 0.005 * rng.standard_normal())
                for x in (-1.0, -0.5, 0.0, 0.5, 1.0)
                for seed in range(3)
            ]
            for offset in offsets
        ]
        effect = effect_between_sizes([offsets_of(points) for points in sizes], [0.005] * 4).draws()
        low, high = np.quantile(effect[0] - effect[3], (0.025, 0.975))
        held.append(low - 1e-12 <= offsets[0].mean() - offsets[3].mean() <= high + 1e-12)

    if own == 0:
        assert np.mean(held) == 1
    else:
        assert 0.9 <= np.mean(held) <= 1


def test_from_one_seed_the_ladders_that_ship_say_how_much_a_seed_does() -> None:
    """Own offsets over noise are spread as they let expect of another one: 0.65 times within a factor of 3.5.

    Seven equally probable levels are root mean squares of sevenths of a log-normal distribution, which has a closed
    form: the mean square between two quantiles is that of the whole times what a normal shifted by 2 sigma has between.
    """
    another = expected(scores_of(load()))
    sigma, normal = math.log(another.factor), NormalDist()
    seventh = normal.inv_cdf(1 / 7)
    whole = 7 * another.median**2 * math.exp(2 * sigma**2)
    first, last = (math.sqrt(whole * normal.cdf(z)) for z in (seventh - 2 * sigma, seventh + 2 * sigma))
    one = [offsets_of(points) for points in table(np.random.default_rng(3), sizes=4, seeds=1, shared=1, own=1, noise=1)]
    effect = effect_between_sizes(one, [0.01] * 4)

    middle = float(effect.spread[len(effect.spread) // 2, 0]) / 0.01
    assert middle == pytest.approx(another.median, rel=0.1)
    assert effect.spread[0, 0] / 0.01 == pytest.approx(first, rel=0.15)
    assert effect.spread[-1, 0] / 0.01 == pytest.approx(last, rel=0.15)
    np.testing.assert_allclose(np.bincount(effect.level) / len(effect.level), 1 / 7, atol=0.04)


def wandering(rng: np.random.Generator, x: Array) -> Array:
    """Noise of variance 1 of which 80% is 0.6 alike half an octave apart."""
    alike = 0.8 * 0.6 ** (2 * np.abs(x[:, None] - x)) + 0.2 * np.eye(len(x))
    return np.asarray(np.linalg.cholesky(alike) @ rng.standard_normal(len(x)))


def test_the_mean_of_noise_that_wanders_keeps_more_of_it() -> None:
    """Three values half an octave apart: (3 + 2 * 0.8 * (0.6 + 0.6 + 0.36)) / 9 of the variance; a third alone."""
    x = np.array([-0.5, 0.0, 0.5])
    assert noise_of_mean(x, np.array([0.0, 0.0, 1.0, 0.0])) == pytest.approx(5.496 / 9)
    assert noise_of_mean(x, np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("own", [0.0, 0.005, 0.02])
def test_noise_that_wanders_is_no_effect_of_the_seed(own: float) -> None:
    """12 sizes of 6 seeds whose noise of 0.01 is alike at neighbouring values: only their own offsets are found.

    Taken for independent the means of noise look like offsets, of 0.6 of it where there are none.
    """
    rng, x = np.random.default_rng(21), np.arange(-1, 1.01, 0.5)
    sizes = []
    for _ in range(12):
        runs = []
        for seed in range(6):
            offset = own * rng.standard_normal()
            loss = 2 + 0.05 * x * x + offset + 0.01 * wandering(rng, x)
            runs += [Point(float(at), seed, float(each)) for at, each in zip(x, loss, strict=True)]
        sizes.append(runs)

    def found(correlation: Array | None) -> float:
        offsets = [offsets_of(points, correlation) for points in sizes]
        return float(effect_between_sizes(offsets, [0.01] * 12).spread[3, 0]) * math.sqrt(6)

    wanders = np.array([0.0, 0.0, 1.0, 0.0])
    if own == 0:
        assert found(wanders) < 0.003
        assert found(None) > 0.004
    else:
        assert found(wanders) == pytest.approx(own, rel=0.4)


def test_curves_say_how_alike_noise_is() -> None:
    """Eight seeds at four sizes: noise that wanders is told from noise that does not, and the gain's effect shrinks."""
    x = np.arange(-2, 2.01, 0.5)

    def effect(wanders: bool) -> tuple[Array, float]:
        rng = np.random.default_rng(5)
        groups = {
            float(size): [
                Point(float(at), seed, float(2 - 0.05 * math.log2(size) + 0.03 * at**2 + 0.01 * each))
                for seed in range(8)
                for at, each in zip(x, wandering(rng, x) if wanders else rng.standard_normal(len(x)), strict=True)
            ]
            for size in (1, 2, 4, 8)
        }
        ladder = MeasuredLadder.of(groups, "width", 0.0)
        first = ladder.drawn[0]
        assert first is not None
        assert first.correlation is not None
        assert ladder.effects is not None
        return first.correlation, float(ladder.effects.spread[3, 0]) * math.sqrt(8)

    # that noise is independent is ruled out by the one, and that much of it is alike by the other
    correlation, spread = effect(True)
    assert correlation[0] < 0.05
    assert spread < 0.006
    assert effect(False)[0][2:].sum() < 0.05


@pytest.mark.parametrize("own", [0.0, 0.1])
def test_seeds_overrule_the_prior(own: float) -> None:
    """Four seeds at five sizes: own offsets of 0 or 20 times the noise are seen, though both are rare ladders."""
    made = table(np.random.default_rng(4), sizes=5, seeds=4, shared=0.0, own=own, noise=0.005)
    spread = effect_between_sizes([offsets_of(points) for points in made], [0.005] * 5).spread[3, 0] * math.sqrt(4)

    assert spread < 0.005 if own == 0 else 0.07 < spread < 0.14


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_effect_is_the_same_in_other_units(seeds: int) -> None:
    """Losses b times as large, b a power of two: b times the effect, bit for bit."""
    made = table(np.random.default_rng(5), sizes=4, seeds=seeds, shared=0.01, own=0.01, noise=0.01)
    plain, other = (
        effect_between_sizes(
            [offsets_of([Point(p.x, p.seed, b * p.loss) for p in points]) for points in made], [b * 0.01] * 4
        ).draws()
        for b in (1, 1024)
    )
    np.testing.assert_allclose(other, 1024 * plain, rtol=1e-12)


def test_what_seeds_do_to_all_sizes_alike_cancels() -> None:
    """Seeds that lift all sizes by 0.05 leave sizes comparable to the noise of their means."""
    sizes = table(np.random.default_rng(8), sizes=5, seeds=4, shared=0.05, own=0.0, noise=0.005)
    effect = effect_between_sizes([offsets_of(points) for points in sizes], [0.005] * 5).draws()

    assert effect.std() < 0.004
    apart = table(np.random.default_rng(8), sizes=5, seeds=4, shared=0.0, own=0.05, noise=0.005)
    assert effect_between_sizes([offsets_of(points) for points in apart], [0.005] * 5).draws().std() > 0.015


def test_seeds_of_their_own_at_every_size_share_nothing() -> None:
    """Other seeds at every size: nothing shows what sizes have in common, so nothing cancels."""
    sizes = table(np.random.default_rng(9), sizes=4, seeds=3, shared=0.05, own=0.0, noise=0.002)
    renamed = [[Point(p.x, p.seed + 10 * number, p.loss) for p in points] for number, points in enumerate(sizes)]

    same, other = (
        effect_between_sizes([offsets_of(points) for points in each], [0.002] * 4).draws().std()
        for each in (sizes, renamed)
    )
    assert other > 5 * same


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_deviation_between_seeds_covers(seeds: int) -> None:
    """One run scatters by sqrt(0.02^2 + 0.01^2) between seeds: 600 tables of 4 sizes with offsets of their own."""
    truth, held = math.hypot(0.02, 0.01), 0
    rng = np.random.default_rng(seeds)
    for _ in range(600):
        sizes = table(rng, sizes=4, seeds=seeds, shared=0.0, own=0.02, noise=0.01)
        found = deviation_between_seeds([offsets_of(points) for points in sizes], [0.01] * 4).interval
        held += found.contains(truth)

    assert 0.93 <= held / 600 <= 0.98


def test_one_seed_leaves_the_deviation_open_above() -> None:
    """Its own effect is in all of its losses, and nothing is there to compare."""
    sizes = table(np.random.default_rng(10), sizes=3, seeds=1, shared=0.1, own=0.0, noise=0.01)
    found = deviation_between_seeds([offsets_of(points) for points in sizes], [0.01] * 3)

    assert not found.known
    assert 0 < found.interval.low < 0.01
    assert found.interval.high == math.inf
    assert deviation_between_seeds([], [], given=0.02).interval.high == 0.02


def test_values_that_diverged_say_nothing_of_seeds() -> None:
    """A value at which one seed blew up is left out for all of them."""
    points = table(np.random.default_rng(11), sizes=1, seeds=2, shared=0.0, own=0.02, noise=0.001)[0]
    blown = [*points, Point(0.25, 0, math.inf, diverged=True), Point(0.25, 1, 2.0)]

    assert offsets_of(blown) == offsets_of(points)


def by_definition(points: list[Point]) -> tuple[dict[int, float], int, float]:
    """Offsets, values and residual squares as `Offsets` defines them, by sets and loops: an oracle."""
    runs: dict[float, dict[int, list[float]]] = {}
    for point in points:
        runs.setdefault(point.x, {}).setdefault(point.seed, []).append(math.inf if point.diverged else point.loss)
    means = {x: {seed: sum(found) / len(found) for seed, found in seeds.items()} for x, seeds in runs.items()}
    finite = {x: seeds for x, seeds in means.items() if all(map(math.isfinite, seeds.values()))}
    ordered = sorted(finite, key=lambda x: (sum(finite[x].values()) / len(finite[x]), x))
    for most in range(min(len(ordered), max(3, len(ordered) // 2)), 1, -1):
        seeds = sorted(set.intersection(*(set(finite[x]) for x in ordered[:most])))
        if len(seeds) > 1:
            rows = [[finite[x][seed] for seed in seeds] for x in ordered[:most]]
            grand = sum(map(sum, rows)) / (most * len(seeds))
            of = {seed: sum(row[n] for row in rows) / most - grand for n, seed in enumerate(seeds)}
            left = [row[n] - sum(row) / len(row) - of[seed] for row in rows for n, seed in enumerate(seeds)]
            return of, most, sum(each * each for each in left)
    return {}, 0, 0.0


@pytest.mark.parametrize("number", range(60))
def test_offsets_are_those_of_the_lowest_values_that_seeds_share(number: int) -> None:
    """Tables with gaps, repeats, divergences and any numbers of seeds, against loops over sets."""
    rng = np.random.default_rng([13, number])
    seeds, values = rng.choice(1000, rng.integers(1, 7), replace=False), rng.integers(1, 14)
    kept, gone = rng.choice([0.5, 0.8, 1.0]), rng.choice([0.0, 0.1])
    points = [
        Point(float(x), int(seed), float(0.1 * (x - 4) ** 2 + rng.standard_normal()), bool(rng.random() < gone))
        for x in range(values)
        for seed in seeds
        for _ in range(rng.integers(1, 3))
        if rng.random() < kept
    ]
    points = points or [Point(0.0, 1, 1.0)]
    found = offsets_of([points[index] for index in rng.permutation(len(points))])
    of, most, left = by_definition(points)

    assert found.of == pytest.approx(of, abs=1e-12)
    assert (found.values, found.n_seeds) == (most, len({point.seed for point in points}))
    assert found.residual_ss == pytest.approx(left, abs=1e-12)
