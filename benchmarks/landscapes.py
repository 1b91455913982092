"""Landscapes with a known optimum: synthetic bowls that end at a cliff, and tables of the project's own proxy.

A synthetic landscape is drawn from its seed. Along the learning rate the excess loss is c * (2 / k^2) * (e^(k d) - k d
- 1) with d octaves from the optimum: quadratic near it, steeper above than below, as sweeps are (Step Law: one octave
too much costs 0.4 to 2.9%, one too little 0.1 to 0.7%); other axes are parabolas and shift the best learning rate; 2.2
to 3.5 octaves above it everything diverges.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicSpline

from hptransfer.search.space import Axis, Space

LOSS = 2.5
AXES = (
    Axis("learning_rate", 2.0**-12, 2.0**-2, True),
    Axis("weight_decay", 2.0**-10, 2.0**-2, True),
    Axis("init_scale", 2.0**-3, 2.0**3, True),
    Axis("multiplier", 2.0**-3, 2.0**3, True),
)
_DATA = Path(__file__).resolve().parent / "data"


class Landscape(Protocol):
    """What a method is judged on."""

    @property
    def space(self) -> Space:
        """What is searched."""
        ...

    @property
    def optimum(self) -> float:
        """log2 of the best learning rate."""
        ...

    def excess(self, values: Mapping[str, float]) -> float:
        """True loss above the best, as a fraction of it; infinite where training diverges."""
        ...

    def loss(self, values: Mapping[str, float], seed: int) -> float:
        """What one run with this seed ends at, nats; the same again when asked again."""
        ...


@dataclass(frozen=True)
class Bowl:
    """A synthetic landscape; `of` draws one."""

    space: Space
    centre: tuple[float, ...]
    curvature: tuple[float, ...]
    tilt: tuple[float, ...]
    skew: float
    cliff: float
    noise: float
    seed: int

    @classmethod
    def of(cls, dimensions: int, noise: float, off_centre: bool, seed: int) -> Bowl:
        """One draw.

        Args:
            dimensions: number of searched values, 1 to 4.
            noise: standard deviation of one run, as a fraction of the best loss.
            off_centre: the optimum lies 8 to 22% of each range from one of its ends, else 25 to 65% from the low end.
            seed: of the draw and of the noise.
        """
        rng = np.random.default_rng([seed, dimensions, off_centre])
        share = rng.uniform(0.25, 0.65, dimensions)
        if off_centre:
            edge = rng.uniform(0.08, 0.22, dimensions)
            share = np.where(rng.random(dimensions) < 0.5, edge, 1 - edge)
        axes = AXES[:dimensions]
        centre = tuple(
            axis.ends[0] + part * (axis.ends[1] - axis.ends[0]) for axis, part in zip(axes, share.tolist(), strict=True)
        )
        rate = math.exp(rng.uniform(math.log(0.002), math.log(0.012)))
        others = np.exp(rng.uniform(math.log(0.0005), math.log(0.004), dimensions - 1)).tolist()
        tilt = (1.0, *rng.uniform(-0.5, 0.5, dimensions - 1).tolist())
        return cls(Space(axes), centre, (rate, *others), tilt, rng.uniform(1, 2), rng.uniform(2.2, 3.5), noise, seed)

    @property
    def optimum(self) -> float:
        """log2 of the best learning rate."""
        return self.centre[0]

    def excess(self, values: Mapping[str, float]) -> float:
        """See `Landscape`."""
        away = np.subtract(self.space.point(values), self.centre)
        along = float(away @ self.tilt)
        if along > self.cliff:
            return math.inf
        rate = self.curvature[0] * 2 / self.skew**2 * (math.exp(self.skew * along) - self.skew * along - 1)
        return rate + float((np.array(self.curvature[1:]) * away[1:] ** 2).sum())

    def loss(self, values: Mapping[str, float], seed: int) -> float:
        """See `Landscape`."""
        where = [round(1e6 * x) + 10**9 for x in self.space.point(values)]
        noise = np.random.default_rng([self.seed, seed, round(1e6 * self.noise), *where]).standard_normal()
        return LOSS * (1 + self.excess(values) + self.noise * float(noise))


class ProxyLine:
    """The quickstart proxy's own losses over the learning rate, one column of the table per seed."""

    def __init__(self, seed: int) -> None:
        x, losses = _table(_DATA / "proxy_1d.csv", 1)
        # nine of the table's ten octaves, so that seeds differ in where the range begins
        low = -11.5 + float(np.random.default_rng(seed).uniform(-0.5, 0.5))
        self.space = Space((Axis("learning_rate", 2.0**low, 2.0 ** (low + 9), True),))
        self._seed, self._seeds = seed, losses.shape[1]
        self._runs = [CubicSpline(x[:, 0], column) for column in losses.T]
        # 24 seeds leave noise in each value: a polynomial of sixth degree over the middle takes it out
        mean = losses.mean(axis=1)
        near = mean < 1.02 * mean.min()
        self._truth = np.polynomial.Polynomial.fit(x[near, 0], mean[near], 6)
        self._range = (float(x[near, 0].min()), float(x[near, 0].max()))
        fine = np.linspace(*self._range, 4001)
        self.optimum = float(fine[self._truth(fine).argmin()])
        self._best = float(self._truth(self.optimum))

    def excess(self, values: Mapping[str, float]) -> float:
        """See `Landscape`."""
        (x,) = self.space.point(values)
        inside = self._range[0] <= x <= self._range[1]
        return float(self._truth(x)) / self._best - 1 if inside else 0.02

    def loss(self, values: Mapping[str, float], seed: int) -> float:
        """See `Landscape`."""
        return float(self._runs[(self._seed + seed) % self._seeds](self.space.point(values)[0]))


def _table(path: Path, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, dimensions) and losses (n, seeds)."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    cells = np.array([[float(cell) if cell else math.nan for cell in row] for row in rows])
    return cells[:, :dimensions], cells[:, dimensions:]
