"""One wrong run among single runs is told from valleys, kinks, cliffs and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hptransfer.statistics.accidents import Means, single_accidents
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.optimum import Optimum, estimate_optimum
from hptransfer.statistics.seed_means import Point, average_seeds, average_sizes

Curve = Callable[[Array], Array]

#: what an octave off costs, nats
BEND = 0.005
HALF_OCTAVES = np.arange(-4, 4.01, 0.5)

#: shapes of the octaves above the optimum that no single run stands out of
SHAPES: dict[str, Curve] = {
    "parabola": lambda u: u * u,
    "kink at the optimum": lambda u: u * u * np.where(u < 0, 1, 4),
    "two straight lines": lambda u: np.abs(u) * np.where(u < 0, 1, 5),
    "exponential valley": lambda u: np.exp(0.35 * u * u),
    "deep valley": lambda u: 5 * (np.cosh(u) - 1),
    "cusp": lambda u: np.sqrt(np.abs(u)),
    "cliff": lambda u: np.where(u < 1.2, u * u, 50.0),
    "untrained on both sides": lambda u: np.where(np.abs(u) < 1.2, u * u, 10.0),
    "narrow valley between untrained values": lambda u: 10 * (1 - np.exp(-u * u / 0.1)),
    "flat bottom": lambda u: 2 * np.maximum(np.abs(u) - 0.7, 0) ** 2,
    "flat": lambda u: 0 * u,
    "falls to a level": lambda u: 10 / (1 + np.exp(4 * u)),
}


def _sweep(x: npt.NDArray[Any], loss: npt.NDArray[Any], seed: int = 0) -> list[Point]:
    return [Point(float(at), seed, float(each)) for at, each in zip(x, loss, strict=True)]


def _accidents(x: npt.NDArray[Any], loss: npt.NDArray[Any]) -> tuple[int, ...]:
    return single_accidents([Means(x, loss, np.ones(len(x)))])[0]


def _spoiled(
    rng: np.random.Generator, places: Sequence[int], wrong: float, *, noise: float, x: Array = HALF_OCTAVES
) -> tuple[Optimum, tuple[float, ...], float]:
    """The optimum of a parabola with wrong runs, what was named, and where the optimum lies."""
    centre = float(rng.uniform(-0.25, 0.25))
    loss = 2 + BEND * (x - centre) ** 2 + BEND * noise * rng.standard_normal(len(x))
    loss[list(places)] += wrong
    runs = _sweep(x, loss)
    return estimate_optimum(runs), average_seeds(runs).spiked, centre


@pytest.mark.parametrize("away", [0.5, 1.0, 1.5, 2.0, 2.5, -1.0, -2.0])
@pytest.mark.parametrize("wrong", [-0.025, -0.1, -1.0, 0.1, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_wrong_run_does_not_steer(away: float, wrong: float, noise: float) -> None:
    """Five octaves' cost too low and more, or too high, at any distance: it is named alone, and the optimum stays."""
    for seed in range(5):
        place = int(np.flatnonzero(np.isclose(HALF_OCTAVES, away))[0])
        found, named, centre = _spoiled(np.random.default_rng([seed, 4]), [place], wrong, noise=noise)
        assert named == (away,)
        assert found.log2_value == pytest.approx(centre, abs=0.15)
        assert found.low <= centre <= found.high


def test_without_a_wrong_run_nothing_is_named() -> None:
    """The control: noise of 0 to 10 times what an octave costs, 300 sweeps of 7 to 30 values; 2% are allowed."""
    named = 0
    for seed in range(300):
        rng = np.random.default_rng([seed, 5])
        x = 0.5 * np.arange(rng.integers(7, 31))
        loss = (x - x.mean()) ** 2 + rng.choice([0.0, 0.3, 1.0, 10.0]) * rng.standard_normal(len(x))
        named += bool(_accidents(x, loss))
    assert named <= 6


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("spacing", [0.5, 1.0])
def test_no_exact_shape_holds_an_accident(name: str, spacing: float) -> None:
    """Wherever the grid lies: kinks, cliffs, plateaus, and valleys narrower than the spacing keep full trust."""
    for values in (7, 9, 17):
        for offset in np.linspace(-0.5, 0.5, 21):
            for middle in (2, values // 2, values - 3):
                x = spacing * (np.arange(values) - middle + offset)
                assert _accidents(x, 3 + 0.01 * SHAPES[name](x)) == ()


def test_the_bottom_of_a_narrow_valley_is_believed_through_noise() -> None:
    """One value trained among noisy ones that did not, 1,000 sweeps: the bottom is distrusted in under 1%."""
    distrusted = 0
    for seed in range(1000):
        rng = np.random.default_rng([seed, 6])
        values = int(rng.integers(7, 18))
        bottom = int(rng.integers(1, values - 1))
        x = np.arange(float(values)) - bottom + rng.uniform(-0.3, 0.3)
        loss = SHAPES["narrow valley between untrained values"](x) + float(rng.choice([0.03, 0.3, 1])) * rng.normal(
            size=values
        )
        distrusted += bottom in _accidents(x, loss)
    assert distrusted < 10


def test_the_next_to_last_value_is_believed() -> None:
    """A lowest value with one value on a side, or among six, may be the optimum."""
    loss = 2 + BEND * HALF_OCTAVES**2
    for place in (0, 1, len(loss) - 2, len(loss) - 1):
        changed = loss.copy()
        changed[place] -= 0.1
        assert _accidents(HALF_OCTAVES, changed) == ()
    short = loss[5:11].copy()
    short[3] -= 0.1
    assert _accidents(HALF_OCTAVES[5:11], short) == ()


@pytest.mark.parametrize("write", [(0.0, 1.0), (8.0, 1 / math.log(2)), (-2.1, 1000.0), (0.0, 1e-6)])
def test_how_a_loss_is_written_does_not_matter(write: tuple[float, float]) -> None:
    """Written as a + b x loss: the same run is named, and the same optimum is found."""
    a, b = write
    rng = np.random.default_rng(2)
    loss = 2 + BEND * HALF_OCTAVES**2 + 0.1 * BEND * rng.standard_normal(len(HALF_OCTAVES))
    loss[12] -= 0.03
    plain, written = _sweep(HALF_OCTAVES, loss), _sweep(HALF_OCTAVES, a + b * loss)
    assert average_seeds(plain).spiked == average_seeds(written).spiked == (2.0,)
    assert estimate_optimum(written).log2_value == pytest.approx(estimate_optimum(plain).log2_value, abs=1e-6)


@pytest.mark.parametrize("share", [0.03, 0.06])
def test_a_few_wrong_runs_of_a_long_sweep(share: float) -> None:
    """40 random values, wrong by 5 to 20 octaves' cost either way: the optimum is within half an octave in 19 of 20."""
    missed = 0
    for seed in range(20):
        rng = np.random.default_rng([seed, 7])
        x = np.sort(rng.uniform(-4, 4, 40))
        loss = 2 + BEND * x**2 + 0.2 * BEND * rng.standard_normal(len(x))
        wrong = rng.uniform(size=len(x)) < share
        loss += np.where(wrong, BEND * rng.uniform(5, 20, len(x)) * rng.choice([-1, 1], len(x)), 0.0)
        missed += abs(estimate_optimum(_sweep(x, loss)).log2_value) > 0.5
    assert missed <= 1


@pytest.mark.parametrize("seeds", [2, 3, 4])
@pytest.mark.parametrize("values", [7, 9, 17])
@pytest.mark.parametrize("wrong", [-0.1, -0.025, 0.04])
def test_one_seed_of_several_is_wrong_at_one_value(seeds: int, values: int, wrong: float) -> None:
    """Its seeds contradict each other there, also where few values let a seed's offset and tilt take up much of it."""
    x = 0.5 * (np.arange(values) - values // 2)
    place = values // 2 + 2
    for number in range(4):
        rng = np.random.default_rng([number, 3])
        centre, luck = rng.uniform(-0.25, 0.25), 0.01 * rng.standard_normal(seeds)
        runs = []
        for seed in range(seeds):
            loss = 2 + BEND * (x - centre) ** 2 + luck[seed] + 0.05 * BEND * rng.standard_normal(values)
            loss[place] += wrong if seed == 1 else 0.0
            runs += _sweep(x, loss, seed)
        assert average_seeds(runs).spiked == (x[place],)
        assert estimate_optimum(runs).log2_value == pytest.approx(centre, abs=0.1)


def test_seeds_that_agree_by_chance_accuse_nobody() -> None:
    """The control: two seeds on five to nine values, 300 sweeps of nothing but noise; 5% are allowed."""
    named = 0
    for number in range(300):
        rng = np.random.default_rng([number, 8])
        x = 0.5 * np.arange(5 + number % 5)
        runs = [
            run
            for seed in range(2)
            for run in _sweep(x, 2 + BEND * (x - 1) ** 2 + BEND * rng.standard_normal(len(x)), seed)
        ]
        named += bool(average_seeds(runs).spiked)
    assert named <= 15


def test_a_wrong_run_beyond_a_blow_up_is_part_of_it() -> None:
    """Losses of models that did not train scatter as they like: they are named as blown up, and nothing else is."""
    losses = [3.02, 3.005, 3.0, 3.005, 3.02, 7.2, 7.21, 7.2, 7.9, 7.2, 7.21]
    table = average_seeds([Point(float(x), 0, loss) for x, loss in enumerate(losses)])
    assert table.blown == (5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
    assert table.spiked == ()


def test_other_sizes_say_what_a_run_differs_by() -> None:
    """A size that happens to be quiet accuses no run of what is noise at the others."""
    quiet = BEND * HALF_OCTAVES**2
    quiet[10] += 4 * BEND
    noise = np.random.default_rng(9).standard_normal((3, len(quiet)))
    others = [2 + BEND * HALF_OCTAVES**2 + 2 * BEND * row for row in noise]
    assert average_seeds(_sweep(HALF_OCTAVES, quiet)).spiked == (1.0,)
    assert average_sizes([_sweep(HALF_OCTAVES, loss) for loss in (quiet, *others)])[0].spiked == ()
