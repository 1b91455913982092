"""On which scale the losses of several sizes are alike: log(loss - c) with one c for all of them, or as they are.

What a wrong value costs, how much runs differ and how rough curves are goes with the height of the losses above some
c: of perplexities that is about 1, of errors and of losses that fall to nothing it is 0, of most losses in nats c is
so far below that the logarithm is a straight line. Every size then has its unit, its lowest loss less c, and in these
units sizes are fitted together. c is a number in the losses' own unit, found from differences alone: of a + b x loss
it is a + b x c, and everything that is measured in units stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.variances import (
    PRIOR_DF,
    log_evidence,
    log_prior_of_level,
    noise_level,
    relative_variances,
)

#: prior probability that losses are alike as they are: most lie so far above c that it cannot be told
_PLAIN = 0.95
#: candidates for c lie this factor apart, counted from the lowest loss
_APART = 2.0
#: and from this share of the rise next to the lowest mean up to this many times what sizes and values differ by
_NEAREST, _FARTHEST = 0.25, 10.0
#: candidates at most; beyond them the logarithm is straight
_MOST_CANDIDATES = 24
#: c lies below the lowest loss by at least this many times the distance from that loss to the lowest mean
_BELOW_RUNS = 3.0
#: a size's bend scatters by this share about the common one
_UNLIKE = 0.35
#: roughness over noise, as for the curves themselves but coarser
_ROUGHNESS = 10.0 ** np.arange(-3.0, 9.1, 2.0)
_ROUGH, _ROUGHNESS_DECADES = 2.0, 1.7
#: differences below this are none: their squares would be
_NOTHING = 1e-100
#: denser sweeps are averaged in this many cells
_MOST_VALUES = 32
#: exponents beyond this are no losses
_LARGEST_EXPONENT = 300.0


@dataclass(frozen=True, slots=True)
class LossScale:
    """The scale on which one size is fitted: 0 at its floor, and the same slope there as every other size in units.

    Attributes:
        floor: lowest mean of the size, in the losses' own unit.
        unit: floor - c; inf where losses are fitted as they are.
        factor: slope of the scale at the floor, per unit of the loss, positive.
    """

    floor: float
    unit: float = math.inf
    factor: float = 1.0

    def heights(self, loss: Array) -> Array:
        """Losses above the floor with slope 1 there: unit x log(1 + (loss - floor) / unit).

        Args:
            loss: losses above c, in any shape.
        """
        above = loss - self.floor
        return np.asarray(above if math.isinf(self.unit) else self.unit * np.log1p(above / self.unit))

    def losses(self, heights: Array) -> Array:
        """The inverse of `heights`.

        Args:
            heights: on this scale, in any shape.
        """
        if math.isinf(self.unit):
            return np.asarray(self.floor + heights)
        return np.asarray(self.floor + self.unit * np.expm1(np.minimum(heights / self.unit, _LARGEST_EXPONENT)))


class SizeMeans(NamedTuple):
    """What is known of one size before losses have a scale: only values that say something about its curve.

    Attributes:
        x: (m,) log2 values, increasing.
        mean: (m,) mean losses of these values.
        runs: (m,) runs behind each.
        squares: (m,) sums of squares of what runs differ by, seed offsets removed.
        df: degrees of freedom of all squares.
        floor: lowest mean among them.
        lowest: lowest loss of a single run or mean.
        rise: how far losses rise within two values of the lowest mean.
    """

    x: Array
    mean: Array
    runs: Array
    squares: Array
    df: float
    floor: float
    lowest: float
    rise: float


def common_scales(sizes: Sequence[SizeMeans]) -> tuple[LossScale, ...]:
    """The scale of every size: c is the candidate that explains best why sizes differ in bend, noise and roughness.

    Args:
        sizes: means of each size; sizes with fewer than three values have no say in c.
    """
    curved = [_thinned(size) for size in sizes if len(size.x) >= 3]
    below = _candidates(sizes) if len(curved) > 1 else np.array([math.inf])
    lowest = min(size.lowest for size in sizes)
    scores = _evidence(curved, below, lowest) if len(below) > 1 else np.zeros(1)
    chosen = float(below[int(scores.argmax())])
    if math.isinf(chosen):
        typical = typical_height([size.mean - size.floor for size in sizes], max(abs(size.floor) for size in sizes))
        return tuple(LossScale(size.floor, math.inf, 1 / typical) for size in sizes)
    units = [size.floor - lowest + chosen for size in sizes]
    return tuple(LossScale(size.floor, unit, 1 / unit) for size, unit in zip(sizes, units, strict=True))


def typical_height(heights: Sequence[Array], otherwise: float) -> float:
    """Median height of means above their size's lowest, positive.

    Args:
        heights: (m,) per size, at least 0.
        otherwise: what to take where all are alike; where it is 0 too, a number that can divide.
    """
    everything = np.concatenate(heights)
    seen = everything[everything > _NOTHING]
    return float(np.median(seen)) if len(seen) else max(otherwise, _NOTHING)


def _thinned(size: SizeMeans) -> SizeMeans:
    """Means of neighbouring values where there are many."""
    if len(size.x) <= _MOST_VALUES:
        return size
    starts = np.unique(np.linspace(0, len(size.x), _MOST_VALUES + 1).astype(np.intp)[:-1])
    runs = np.add.reduceat(size.runs, starts)
    x, mean = (np.add.reduceat(size.runs * values, starts) / runs for values in (size.x, size.mean))
    return size._replace(x=x, mean=mean, runs=runs, squares=np.add.reduceat(size.squares, starts))


def _candidates(sizes: Sequence[SizeMeans]) -> Array:
    """How far c may lie below the lowest loss, increasing; the last is infinity."""
    floor = min(size.floor for size in sizes)
    first = max(_NEAREST * min(size.rise for size in sizes), _BELOW_RUNS * (floor - min(size.lowest for size in sizes)))
    last = _FARTHEST * max(max(float(size.mean.max()) - size.floor, size.floor - floor) for size in sizes)
    if not _NOTHING < first < last:
        return np.array([math.inf])
    number = min(_MOST_CANDIDATES, math.ceil(math.log(last / first, _APART)) + 1)
    return np.append(last * _APART ** np.arange(1.0 - number, 1.0), math.inf)


def _evidence(sizes: Sequence[SizeMeans], below: Array, lowest: float) -> Array:
    """(candidates,) log evidence: every size a parabola and a rough remainder, in units alike but for the bend.

    What is free is so in the losses' own unit, and densities are those of the runs there: that makes candidates
    comparable.
    """
    plain = np.isinf(below)
    heights = [np.stack([_height(size, float(t), lowest) for t in below]) for size in sizes]
    # slopes of the scale at each mean, and at each floor
    at_means = [np.stack([_slope(size.mean, float(t), lowest) for t in below]) for size in sizes]
    at_floors = np.stack([_slope(np.array([size.floor for size in sizes]), float(t), lowest) for t in below])
    bend = np.median([_bends(size, z) for size, z in zip(sizes, heights, strict=True)], axis=0)
    bend = np.maximum(bend, 1e-6 * np.max([z.max(axis=1) for z in heights], axis=0))
    # what runs at one value differ by: its level is known before curves are fitted, and sizes may differ in it
    df = np.array([size.df for size in sizes])
    ss = np.stack([slope**2 @ size.squares for slope, size in zip(at_means, sizes, strict=True)], axis=1)
    variance = noise_level(ss.sum(axis=1), float(df.sum()), bend)
    relative = np.stack([relative_variances(row, df, float(v)) for row, v in zip(ss, variance, strict=True)])
    repeated = np.array([log_evidence(row, df, float(v)) for row, v in zip(ss, variance, strict=True)])
    repeated += log_prior_of_level(variance, bend)
    known_df = df.sum() + PRIOR_DF
    known = known_df * variance
    # (candidates, roughness) from here on
    shapes = [_Shape(size, z, relative[:, number]) for number, (size, z) in enumerate(zip(sizes, heights, strict=True))]
    scatter = ((_UNLIKE * bend) ** 2 / variance)[:, None]
    weight = np.stack([1 / (shape.variance + scatter) for shape in shapes])
    own = np.stack([shape.bends for shape in shapes])
    common = (weight * own).sum(axis=0) / weight.sum(axis=0)
    sums = (weight * (own - common) ** 2).sum(axis=0) + sum(shape.squares for shape in shapes) + known[:, None]
    left = sum(len(size.x) for size in sizes) - 2 * len(sizes) - 1 + known_df
    found = 0.5 * (np.log(weight).sum(axis=0) - np.log(weight.sum(axis=0))) - 0.5 * left * np.log(sums)
    found += (repeated + 0.5 * known_df * np.log(known))[:, None] - 0.5 * sum(shape.logdet for shape in shapes)
    centre = np.log10(np.maximum((_ROUGH * bend) ** 2 / variance, 1e-3))[:, None]
    found -= 0.5 * ((np.log10(_ROUGHNESS) - centre) / _ROUGHNESS_DECADES) ** 2
    total = np.logaddexp.reduce(found, axis=1)
    total += sum(np.log(slope) @ size.runs for slope, size in zip(at_means, sizes, strict=True))
    # free in the losses' own unit: a level and a slope per size, what its seeds have in common, and the bend
    free = [2 + max(0.0, size.runs.sum() - len(size.x) - size.df) for size in sizes]
    total -= np.log(at_floors) @ np.array(free) + np.log(at_floors).mean(axis=1)
    return np.asarray(total + np.where(plain, math.log(_PLAIN), math.log((1 - _PLAIN) / max(1, (~plain).sum()))))


def _height(size: SizeMeans, below: float, lowest: float) -> Array:
    """Means above the floor on a candidate's scale, in units."""
    if math.isinf(below):
        return size.mean - size.floor
    return np.log1p((size.mean - size.floor) / (size.floor - lowest + below))


def _slope(loss: Array, below: float, lowest: float) -> Array:
    """Slopes of a candidate's scale at losses."""
    return np.ones_like(loss) if math.isinf(below) else 1 / (loss - lowest + below)


def _bends(size: SizeMeans, z: Array) -> Array:
    """(candidates,) size of the bend of a parabola."""
    u = size.x - size.x[0]
    return np.asarray(np.abs(np.linalg.lstsq(np.stack([np.ones_like(u), u, u * u], axis=1), z.T, rcond=None)[0][2]))


class _Shape:
    """One size's parabola with a rough remainder: what is left of the means, and its bend; (candidates, roughness)."""

    def __init__(self, size: SizeMeans, z: Array, noise: Array) -> None:
        u = size.x - size.x[0]
        basis = np.stack([np.ones_like(u), u, u * u], axis=1)
        rough = wiener_process.covariance(3, u[:, None], u[None])
        total = noise[:, None, None, None] * np.diag(1 / size.runs) + _ROUGHNESS[:, None, None] * rough
        inverse = np.linalg.inv(total)
        gram = basis.T @ inverse @ basis
        fit = np.linalg.solve(gram, basis.T @ inverse)
        projected = inverse - inverse @ basis @ fit
        self.bends = np.einsum("clj,cj->cl", fit[:, :, 2], z)
        self.squares = np.maximum(np.einsum("ci,clij,cj->cl", z, projected, z), 0)
        self.variance = np.linalg.inv(gram)[..., 2, 2]
        self.logdet = np.linalg.slogdet(total)[1] + np.linalg.slogdet(gram)[1]
