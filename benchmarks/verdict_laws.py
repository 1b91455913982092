"""Ladders with known optima and known costs, from laws that the judge does not assume.

A world has a best loss per size, floor + scale * compute^-exponent, so what a doubling of compute buys is known
exactly; a loss curve above it per size, a path of the optimum, and what seeds and runs add. The path's amplitude is
chosen so that the carried value's largest true cost over the sizes is a wanted multiple of the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.seed_means import Point

Array = npt.NDArray[np.float64]

#: the bend of curves before they are scaled, nats per squared octave
BEND = 0.01
#: what the first octave beside the optimum costs at the largest size, doublings; the ladders in tests/data/ladders: 0.8
#: to 4.3, their median 2.9 (benchmarks/every_ladder.py)
OCTAVES = (0.8, 1.5, 3.0)
#: what a doubling of compute buys at the middle of a ladder, nats; the ladders in tests/data/ladders: 0.015 to 0.06
GAIN = 0.025
#: powers of compute by which the reducible loss falls
EXPONENTS = (0.05, 0.15, 0.3, 0.5)
#: octaves by which a search misses the proxy's optimum, standard deviation (docs/benchmarks.md)
TUNED_WITHIN = 0.13


@dataclass(frozen=True, slots=True)
class Law:
    """One way in which ladders differ from what a judge would like.

    Attributes:
        name: what tables call it.
        curve: (octaves above the optimum, rung as a share 0 to 1 of the ladder) to losses above the best, nats;
            infinite where training diverges; 0 and lowest at 0 octaves.
        path: share 0 to 1 of the ladder in doublings to the optimum's place, in units of the amplitude; 0 at 0.
        bent: whether the path is not a line.
        tilt: octaves by which a seed displaces the optimum, standard deviation; half its variance is common to sizes.
        correlation: of the noise between neighbouring values, autoregressive.
        corrupted: share of runs whose loss is wrong by up to ten deviations, either way.
        levels: the sizes' noise differs by these factors in turn.
        vanishing: the best loss falls to nearly nothing, and noise and curve are in proportion to it.
    """

    name: str
    curve: Callable[[Array, float], Array] = lambda u, _: BEND * u * u
    path: Callable[[Array], Array] = lambda t: t
    bent: bool = False
    tilt: float = 0.05
    correlation: float = 0.0
    corrupted: float = 0.0
    levels: tuple[float, ...] = (1.0,)
    vanishing: bool = False


def _lopsided(u: Array, skew: float) -> Array:
    return BEND * (np.exp(skew * u) - 1 - skew * u) * 2 / skew**2


def _until(u: Array, at: float, then: float) -> Array:
    return np.where(u < at, BEND * u * u, then)


def _turning(t: Array) -> Array:
    """Out and back: the largest move lies at two thirds of the ladder."""
    return np.where(t < 2 / 3, t * 1.5, 1 - 1.5 * (t - 2 / 3))


LAWS = (
    Law("parabola"),
    Law("steeper right", lambda u, _: _lopsided(u, 0.6)),
    Law("steeper left", lambda u, _: _lopsided(u, -0.6)),
    Law("deep valley", lambda u, _: BEND * 5 * (np.cosh(u) - 1)),
    Law("skew grows with size", lambda u, r: _lopsided(u, 0.15 + 0.7 * r)),
    Law("bend grows with size", lambda u, r: BEND * 2 ** (1.2 * r) * u * u),
    Law("kink at the optimum", lambda u, _: BEND * u * u * np.where(u < 0, 1, 4)),
    Law("plateau", lambda u, _: BEND * 2 * np.maximum(np.abs(u) - 0.7, 0) ** 2),
    Law("diverges at +1.2", lambda u, _: _until(u, 1.2, math.inf)),
    Law("divergence comes closer", lambda u, r: _until(u, 2.2 - 1.4 * r, math.inf)),
    Law("blows up to 4 at +0.9", lambda u, _: _until(u, 0.9, 4.0)),
    Law("blow-ups come closer", lambda u, r: _until(u, 2.0 - 1.4 * r, 1.5)),
    Law("seeds tilt 0.13", tilt=0.13),
    Law("seeds tilt 0.25", tilt=0.25),
    Law("correlated noise", correlation=0.6),
    Law("corrupted losses", corrupted=0.04),
    Law("noise differs by size", levels=(1.0, 3.0, 0.5, 2.0)),
    Law("vanishing losses", lambda u, _: np.expm1(0.35 * u * u), vanishing=True),
    Law("saturating path", path=lambda t: 1 - np.exp2(-4 * t), bent=True),
    Law("turning path", path=_turning, bent=True),
    Law("step path", path=lambda t: 1 / (1 + np.exp(-(t - 0.5) / 0.08)) - 1 / (1 + math.exp(0.5 / 0.08)), bent=True),
)
BY_NAME = {law.name: law for law in LAWS}

#: grids about the tuned value: offsets in octaves
GRIDS: tuple[tuple[str, Array], ...] = (
    ("half octaves, +-2", np.arange(-2, 2.01, 0.5)),
    ("octaves, +-3", np.arange(-3, 3.01, 1.0)),
    ("half octaves, -2 to +1", np.arange(-2, 1.01, 0.5)),
    ("uneven", np.array([-2.6, -1.7, -1.1, -0.5, -0.2, 0.3, 0.6, 1.4, 2.1])),
    ("1-3-10", np.log2([0.1, 0.3, 0.55, 1.0, 1.7, 3.0, 10.0])),
)


class Setting(NamedTuple):
    """What is drawn from; `noise` in deviations of one run over what a doubling of compute buys at the largest size.

    `octave` is what the first octave beside the optimum costs there, in doublings; None: one of `OCTAVES`.
    """

    law: str
    multiple: float
    noise: float
    seeds: int
    sizes: int
    grid: int
    octave: float | None = None


class Drawn(NamedTuple):
    """One ladder: its runs, the tuned value, and the truth."""

    groups: dict[float, list[Point]]
    transferred: float
    optima: Array
    costs: Array
    slope: float


class World:
    """The truth of one ladder, before any run."""

    def __init__(self, setting: Setting, rng: np.random.Generator, bound: float) -> None:
        """Choose sizes, exponent, and the amplitude at which the largest true cost is the wanted one."""
        self.law = BY_NAME[setting.law]
        steps = rng.choice([1.0, 1.0, 1.0, 1.585, 2.0], setting.sizes - 1)
        self.doublings = np.concatenate([[0.0], np.cumsum(steps)])
        self.share = self.doublings / self.doublings[-1]
        self.compute = 1.5 * self.doublings
        self.exponent = float(rng.choice(EXPONENTS))
        middle = self.compute[-1] / 2
        # reducible loss at the smallest size, so that a doubling buys GAIN at the ladder's middle
        self.scale = GAIN / (math.log(2) * self.exponent) * 2 ** (self.exponent * middle)
        if self.law.vanishing:
            self.exponent, self.scale = 1.0, 1.0
        self.floor = 0.0 if self.law.vanishing else 2.0
        self.best = self.floor + self.scale * np.exp2(-self.exponent * self.compute)
        octave = float(rng.choice(OCTAVES))
        self.unit = (octave if setting.octave is None else setting.octave) * self.gain / BEND
        self.missed = TUNED_WITHIN * float(rng.standard_normal()) if setting.multiple else 0.0
        sign = float(rng.choice([-1, 1]))
        self.amplitude = sign * self._amplitude(setting.multiple * bound, sign)

    @property
    def gain(self) -> float:
        """Loss that a doubling of compute buys at the largest size."""
        return float(math.log(2) * self.exponent * (self.best[-1] - self.floor))

    def above(self, rung: int, u: Array) -> Array:
        """Losses above the best, u octaves above the optimum of a rung."""
        unit = self.best[rung] if self.law.vanishing else self.unit
        return np.asarray(unit * self.law.curve(np.asarray(u, dtype=float), float(self.share[rung])))

    def cost(self, rung: int, lost: float) -> float:
        """Doublings of compute that buy back a loss, exactly."""
        reducible = self.best[rung] - self.floor
        return float(np.log2(1 + lost / reducible) / self.exponent)

    def optima(self, amplitude: float) -> Array:
        """log2 of the best value per size."""
        return np.asarray(-8 + amplitude * (self.law.path(self.share) - self.law.path(np.zeros(1))))

    def costs(self, amplitude: float) -> Array:
        """Of the tuned value, per size."""
        optima = self.optima(amplitude)
        at = optima[0] + self.missed
        lost = [float(self.above(rung, np.array([at - x]))[0]) for rung, x in enumerate(optima)]
        return np.array([self.cost(rung, each) if math.isfinite(each) else math.inf for rung, each in enumerate(lost)])

    def _amplitude(self, wanted: float, sign: float) -> float:
        """The smallest amplitude, to a thousandth of an octave, at which the largest cost reaches what is wanted."""
        if wanted == 0:
            return 0.0
        while self.costs(0.0).max() > wanted:  # a miss that costs more than is wanted
            self.missed /= 2
        for amplitude in np.arange(0, 8, 0.005):
            if self.costs(sign * float(amplitude)).max() >= wanted:
                return float(amplitude)
        return 8.0


def draw(setting: Setting, number: int, bound: float) -> Drawn:
    """The ladder with this number."""
    rng = np.random.default_rng([number, 13])
    world = World(setting, rng, bound)
    law, optima = world.law, world.optima(world.amplitude)
    at = float(optima[0]) + world.missed
    xs = at + GRIDS[setting.grid][1]
    common_offset, common_tilt = rng.standard_normal((2, setting.seeds))
    groups: dict[float, list[Point]] = {}
    for rung, doubling in enumerate(world.doublings):
        deviation = setting.noise * world.gain * law.levels[rung % len(law.levels)]
        if law.vanishing:
            deviation = 0.01 * setting.noise / 0.3 * world.best[rung]
        runs = []
        for seed in range(setting.seeds):
            own_offset, own_tilt = rng.standard_normal(2)
            offset = deviation * 0.7 * (math.sqrt(0.5) * common_offset[seed] + math.sqrt(0.5) * own_offset)
            moved = law.tilt * (math.sqrt(0.5) * common_tilt[seed] + math.sqrt(0.5) * own_tilt)
            expected = world.best[rung] + world.above(rung, xs - optima[rung] - moved)
            noise = _noise(len(xs), law.correlation, rng) * deviation
            wrong = rng.uniform(size=len(xs)) < law.corrupted
            noise = np.where(wrong, deviation * rng.uniform(-3, 10, len(xs)), noise)
            for x, loss in zip(xs, expected + offset + noise, strict=True):
                diverged = not math.isfinite(loss)
                flops = float(1e9 * np.exp2(world.compute[rung]))
                runs.append(Point(float(x), seed, math.nan if diverged else float(loss), diverged, flops))
        groups[float(64 * np.exp2(doubling))] = runs
    slope = float(np.polyfit(world.doublings, optima, 1)[0])
    return Drawn(groups, float(np.exp2(at)), optima, world.costs(world.amplitude), slope)


def _noise(values: int, correlation: float, rng: np.random.Generator) -> Array:
    """Standard normal noise, correlated between neighbouring values."""
    noise = rng.standard_normal(values)
    for i in range(1, values):
        noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
    return noise
