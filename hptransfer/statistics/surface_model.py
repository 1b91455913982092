"""A polynomial response surface of several hyperparameters for all sizes together, as a posterior over surfaces.

log(loss - c), c common to the sizes (or the loss itself, its limit), is at every size a level, a gradient, a curvature
and terms of third and fourth order about one line of optima; curvature and higher terms are common to the sizes up to
how alike they are. What neither explains grows with the height above the optimum. The seeds of a size have levels of
their own, and each tilts the surface by a random amount. How large all this is is averaged over, by marginal likelihood
around its most likely value (Box and Wilson, 1951, for the surface; Lindley and Smith, 1972, for the linear model).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import numpy as np

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.surface_runs import MOST_SEEDS, SizeRuns, hessian_of, quadratic_terms
from hptransfer.statistics.tilt import COMMON

#: c lies this many typical heights below the lowest loss; infinity leaves losses as they are. Prior weights
FLOORS = {math.inf: 0.3, 10.0: 0.15, 3.0: 0.15, 1.0: 0.15, 0.3: 0.15, 0.1: 0.1}
#: third and fourth order terms at the edge of the runs, in units of the second order's; a bend that changes by half
#: per octave makes about 0.3
BENDS = {0.03: 0.2, 0.1: 0.3, 0.3: 0.35, 1.0: 0.15}
#: how alike sizes are: (share of the higher terms' variance that is common, spread of curvatures about the common one)
ALIKE = {(0.0, 0.35): 0.2, (0.9, 0.2): 0.4, (0.99, 0.07): 0.4}
#: scatter that noise does not explain, as a share of the height above the optimum
MISFITS = {0.0: 0.3, 0.03: 0.3, 0.1: 0.25, 0.3: 0.15}
#: octaves by which a seed displaces an optimum (standard deviation), about as the prior of `tilt` has it
TILTS = {0.03: 0.2, 0.1: 0.5, 0.2: 0.25, 0.4: 0.05}
#: noise in factors of the root of 2 about the first fit's
_NOISE = np.sqrt(2.0) ** np.arange(-8, 9)
#: curvature that changes steadily with log2 size, a fraction of the common one per standard deviation of log2 size
_STEADY = 0.2
#: a gradient at the first fit's optimum moves the optimum by at most about so many half-widths of the region
_WANDER = 3.0
#: hypotheses this much less likely than the best are left out
_NEGLIGIBLE = 0.01
_ORDERS = (0, 1, 2, 3, 4)


class Hypothesis(NamedTuple):
    """Indices into `FLOORS`, `BENDS`, `ALIKE`, `MISFITS`, the levels of noise and `TILTS`.

    Attributes:
        floor: index of what is taken off losses, c.
        bends: index of the size of terms above the second order.
        alike: index of how alike sizes are.
        misfit: index of the scatter that grows with the height.
        noise: index of the standard deviation of one run.
        tilt: index of what a seed displaces.
    """

    floor: int
    bends: int
    alike: int
    misfit: int
    noise: int
    tilt: int


class Monomials:
    """Products of d coordinates up to the fourth order, with their derivatives."""

    def __init__(self, dimension: int) -> None:
        """List the exponents.

        Args:
            dimension: number of coordinates d.
        """
        powers = []
        for order in _ORDERS:
            for factors in combinations_with_replacement(range(dimension), order):
                powers.append([factors.count(axis) for axis in range(dimension)])
        self.exponents = np.array(powers, dtype=int)
        self.order = self.exponents.sum(axis=1)
        self.dimension = dimension

    def values(self, u: Array, derivative: Sequence[int] = ()) -> Array:
        """(..., M) products at positions u, differentiated once by each axis of `derivative`.

        Args:
            u: (..., d) positions in half-widths.
            derivative: axes to differentiate by, in any order, repeated for higher derivatives.
        """
        factor, exponents = np.ones(len(self.exponents)), self.exponents.copy()
        for axis in derivative:
            factor = factor * exponents[:, axis]
            exponents[:, axis] = np.maximum(exponents[:, axis] - 1, 0)
        out = np.ones((len(factor), *u.shape[:-1]))
        for axis in range(self.dimension):
            powers = [np.ones(u.shape[:-1]), u[..., axis]]
            for _ in range(2, max(_ORDERS) + 1):
                powers.append(powers[-1] * powers[1])
            for row, power in enumerate(exponents[:, axis].tolist()):
                if power:
                    out[row] *= powers[power]
        out *= factor.reshape(-1, *[1] * (u.ndim - 1))
        return np.moveaxis(out, 0, -1)


@dataclass(frozen=True, slots=True)
class Scale:
    """What a choice of c makes of the losses.

    Attributes:
        floor: c; -inf where losses stay as they are.
        slope: what the logarithm is multiplied by, so that typical losses keep their unit.
        z: (n,) losses on this scale.
        height: (n,) height of a first quadratic above its lowest point at the size, on this scale.
        units: (d,) rise of this quadratic at the edge of the runs, along each axis.
        second: (d, d) its second derivatives.
        noise: standard deviation of the rows about it.
    """

    floor: float
    slope: float
    z: Array
    height: Array
    units: Array
    second: Array
    noise: float

    def compress(self, y: Array) -> Array:
        """From losses to this scale."""
        return y if math.isinf(self.floor) else np.asarray(self.slope * np.log(y - self.floor))

    def steepness(self, y: Array) -> Array:
        """Slope of this scale at losses."""
        return np.ones_like(y) if math.isinf(self.floor) else np.asarray(self.slope / (y - self.floor))

    def expand(self, z: Array) -> Array:
        """From this scale back to losses."""
        if math.isinf(self.floor):
            return z
        return np.asarray(self.floor + np.exp(np.clip(z / self.slope, -700, 700)))


@dataclass(frozen=True, slots=True)
class SurfaceDraws:
    """Surfaces that are compatible with the runs, under one choice of c; the same draw of all sizes belongs together.

    Attributes:
        scale: what c makes of the losses.
        coefficients: (K, M, n) of the monomials about each size's centre, in half-widths.
        noise: (K,) standard deviation of one run near each size's optimum, in the losses' unit.
    """

    scale: Scale
    coefficients: Array
    noise: Array


class SurfaceModel:
    """The evidence of hypotheses about the surfaces of all sizes, and draws."""

    def __init__(self, sizes: Sequence[SizeRuns], noise: float | None = None) -> None:
        """Set up what all hypotheses have in common.

        Args:
            sizes: the informative runs of each size, K of them.
            noise: standard deviation of one run in the losses' unit where it is known from elsewhere.
        """
        self.given = noise
        self.sizes = tuple(sizes)
        self.k, self.d = len(sizes), sizes[0].x.shape[1]
        self.owner = np.repeat(np.arange(self.k), [len(size.y) for size in sizes])
        self.y = np.concatenate([size.y for size in sizes])
        self.count = np.concatenate([size.count for size in sizes])
        self.seed = np.concatenate([size.seed for size in sizes])
        offset = np.concatenate([size.x - size.centre for size in sizes])
        # the edge of the runs, but for a few stragglers
        self.reach = np.maximum(np.quantile(np.abs(offset), 0.9, axis=0), 1e-6)
        self.u = offset / self.reach
        self.monomials = Monomials(self.d)
        doublings = np.array([size.doublings for size in sizes])
        self.trend = (doublings - doublings.mean()) / max(float(doublings.std()), 1e-12)
        self._memo: dict[Hypothesis, float] = {}
        self._scales: dict[int, Scale] = {}
        self._designs: dict[int, Array] = {}

    # ---- the scale of the losses

    def scale(self, floor: int) -> Scale:
        """The losses under one choice of c, with a first quadratic's fit of them."""
        if floor not in self._scales:
            self._scales[floor] = self._scaled(list(FLOORS)[floor])
        return self._scales[floor]

    def _scaled(self, below: float) -> Scale:
        lowest = np.array([self.y[self.owner == size].min() for size in range(self.k)])
        deepest = int(lowest.argmin())
        typical = float(np.median(self.y[self.owner == deepest] - lowest[deepest]))
        c, slope, z = -math.inf, 1.0, self.y
        if math.isfinite(below):
            c = float(lowest[deepest]) - below * typical
            logs = np.log(self.y - c)
            # the geometric mean as unit: the product of slopes is 1, and evidences compare (Box and Cox, 1964)
            slope = math.exp(float(logs.mean()))
            z = slope * logs
        fixed = np.concatenate([self._levels, self._gradients, quadratic_terms(self.u)], axis=1)
        fit = np.linalg.lstsq(fixed, z, rcond=1e-9)[0]
        surface = fixed @ fit
        bottom = np.array([surface[self.owner == size].min() for size in range(self.k)])
        height = np.maximum(surface - bottom[self.owner], 0)
        second = hessian_of(fit[-self.d * (self.d + 1) // 2 :], self.d)
        # a direction that is all but flat has the rise that the runs' heights allow
        units = np.maximum(0.5 * np.diag(second), 0.1 * float(np.median(height)) + 1e-12 * float(np.ptp(z)))
        residual = np.abs(z - surface)[height <= np.median(height)]
        noise = max(1.4826 * float(np.median(residual)), 1e-4 * float(units.max()), 1e-12 * float(np.ptp(z)))
        return Scale(c, slope, z, height, units, second, noise)

    @cached_property
    def _levels(self) -> Array:
        """(n, K + offsets) level of each size, and what its seeds add to all of its runs."""
        columns = [(self.owner == size).astype(float) for size in range(self.k)]
        for size, seeds in enumerate(self.crossed):
            marks = [((self.owner == size) & (self.seed == seed)).astype(float) for seed in seeds]
            columns += [mark - marks[-1] for mark in marks[:-1]]
        return np.stack(columns, axis=1)

    @cached_property
    def crossed(self) -> list[list[int]]:
        """Seeds of each size that ran at several positions, so that their level and tilt can be told from noise."""
        found = []
        for size in range(self.k):
            seeds, count = np.unique(self.seed[self.owner == size], return_counts=True)
            usable = [int(s) for s, n in zip(seeds, count, strict=True) if n >= self.d + 2 and s >= 0]
            found.append(usable if len(usable) == len(seeds) <= MOST_SEEDS else [])
        return found

    @cached_property
    def _gradients(self) -> Array:
        """(n, K d) gradient of each size."""
        columns = np.zeros((len(self.y), self.k * self.d))
        rows = np.arange(len(self.y))
        for axis in range(self.d):
            columns[rows, self.owner * self.d + axis] = self.u[:, axis]
        return columns

    # ---- the linear model

    def _design(self, floor: int) -> Array:
        """(n, P) every column; the tilts' depend on the curvature, and so on c."""
        if floor not in self._designs:
            second, higher = quadratic_terms(self.u), self.monomials.values(self.u)[:, self.monomials.order > 2]
            parts = [
                self._levels,
                second,
                self._gradients,
                second * self.trend[self.owner][:, None],
                *(second * (self.owner == size)[:, None] for size in range(self.k)),
                higher,
                *(higher * (self.owner == size)[:, None] for size in range(self.k)),
                self._tilts(self.scale(floor)),
            ]
            self._designs[floor] = np.concatenate(parts, axis=1)
        return self._designs[floor]

    def _tilts(self, scale: Scale) -> Array:
        """(n, T) what displacing the optimum by an octave along each axis does: common to a seed's sizes, then own."""
        moved = -(self.u @ scale.second) / self.reach
        names = sorted({seed for seeds in self.crossed for seed in seeds})
        marks = [np.isin(self.owner, self._sizes_with(seed)) & (self.seed == seed) for seed in names]
        marks += [
            (self.owner == size) & (self.seed == seed) for size, seeds in enumerate(self.crossed) for seed in seeds
        ]
        if not marks:
            return np.zeros((len(self.y), 0))
        return np.concatenate([moved * mark[:, None] for mark in marks], axis=1)

    def _sizes_with(self, seed: int) -> list[int]:
        return [size for size, seeds in enumerate(self.crossed) if seed in seeds]

    def _variances(self, hypothesis: Hypothesis) -> Array:
        """(P,) prior variances of the columns; infinite where nothing is assumed."""
        scale, d = self.scale(hypothesis.floor), self.d
        bends = list(BENDS)[hypothesis.bends]
        common, spread = list(ALIKE)[hypothesis.alike]
        tilt = list(TILTS)[hypothesis.tilt]
        i, j = np.triu_indices(d)
        second = np.sqrt(scale.units[i] * scale.units[j])
        exponents = self.monomials.exponents[self.monomials.order > 2]
        higher = bends * np.exp((exponents @ np.log(scale.units)) / exponents.sum(axis=1))
        shared = len({seed for seeds in self.crossed for seed in seeds}) * d
        own = sum(len(seeds) for seeds in self.crossed) * d
        return np.concatenate(
            [
                np.full(self._levels.shape[1] + len(second), math.inf),
                np.tile((2 * _WANDER * scale.units) ** 2, self.k),
                (_STEADY * second) ** 2,
                np.tile((spread * second) ** 2, self.k),
                common * higher**2,
                np.tile((1 - common) * higher**2 + 1e-12 * higher**2, self.k),
                np.full(shared, COMMON * tilt**2),
                np.full(own, (1 - COMMON) * tilt**2),
            ]
        )

    def _solve(self, hypothesis: Hypothesis) -> tuple[Array, Array, Array, float]:
        """(mean, Cholesky factor of the precision, columns' units, log evidence) under a hypothesis."""
        scale, design = self.scale(hypothesis.floor), self._design(hypothesis.floor)
        noise = self._noise(hypothesis)
        misfit = list(MISFITS)[hypothesis.misfit]
        variance = noise**2 / self.count + (misfit * scale.height) ** 2
        prior = self._variances(hypothesis)
        given = np.isfinite(prior)
        # columns in units of their own standard deviation, so that rounding does not decide
        units = np.where(given, np.sqrt(np.where(given, prior, 1.0)), float(np.median(scale.units)))
        weighted = design * units / np.sqrt(variance)[:, None]
        target = scale.z / np.sqrt(variance)
        precision = weighted.T @ weighted + np.diag(np.where(given, 1.0, 1e-10))
        factor = np.linalg.cholesky(precision)
        half = np.linalg.solve(factor, weighted.T @ target)
        evidence = -0.5 * (
            float(np.log(variance).sum())
            + 2 * float(np.log(np.diag(factor)).sum())
            - 2 * float(np.log(units[~given]).sum())
            + float(target @ target - half @ half)
        )
        return np.linalg.solve(factor.T, half), factor, units, evidence

    def _noise(self, hypothesis: Hypothesis) -> Array:
        """(n,) standard deviations of one run at each row."""
        scale = self.scale(hypothesis.floor)
        if self.given is not None:
            return np.asarray(self.given * scale.steepness(self.y))
        return np.full(len(self.y), scale.noise * float(_NOISE[hypothesis.noise]))

    def evidence(self, hypothesis: Hypothesis) -> float:
        """Log marginal likelihood with the prior weight of the hypothesis."""
        if hypothesis not in self._memo:
            weights = (
                list(FLOORS.values())[hypothesis.floor],
                list(BENDS.values())[hypothesis.bends],
                list(ALIKE.values())[hypothesis.alike],
                list(MISFITS.values())[hypothesis.misfit],
                list(TILTS.values())[hypothesis.tilt],
            )
            self._memo[hypothesis] = self._solve(hypothesis)[-1] + math.log(math.prod(weights))
        return self._memo[hypothesis]

    # ---- hypotheses

    def hypotheses(self) -> list[tuple[Hypothesis, float]]:
        """The most likely hypothesis and all that differ from it in at most two respects, with their weights."""
        levels = [len(FLOORS), len(BENDS), len(ALIKE), len(MISFITS), len(_NOISE), len(TILTS)]
        best = Hypothesis(0, 2, 1, 1, len(_NOISE) // 2, 1)
        if self.given is not None:
            levels[4], best = 1, best._replace(noise=0)
        for _ in range(4):
            before = best
            for axis in (4, 3, 0, 1, 2, 5, 4):
                best = max((_with(best, axis, level) for level in range(levels[axis])), key=self.evidence)
            if best == before:
                break
        found = {best, *_neighbours(best, levels)}
        scores = {hypothesis: self.evidence(hypothesis) for hypothesis in found}
        top = max(scores.values())
        weights = {h: math.exp(score - top) for h, score in scores.items() if score - top > math.log(_NEGLIGIBLE)}
        total = sum(weights.values())
        return sorted(((h, w / total) for h, w in weights.items()), key=lambda item: (-item[1], item[0]))

    def draw(self, hypothesis: Hypothesis, normals: Array) -> SurfaceDraws:
        """Surfaces of all sizes under one hypothesis, for the average seed.

        Args:
            hypothesis: what is taken for true.
            normals: (P, n) standard normal numbers; zeros make the mean.
        """
        mean, factor, units, _ = self._solve(hypothesis)
        drawn = (mean[:, None] + np.linalg.solve(factor.T, normals)) * units[:, None]
        levels, q, r = self._levels.shape[1], self.d * (self.d + 1) // 2, int((self.monomials.order > 2).sum())
        blocks = np.split(drawn, np.cumsum([levels, q, self.k * self.d, q, self.k * q, r, self.k * r]))
        level, second, gradient, steady, own_second, higher, own_higher = blocks[:7]
        n = normals.shape[1]
        coefficients = np.empty((self.k, len(self.monomials.order), n))
        for size in range(self.k):
            coefficients[size] = np.concatenate(
                [
                    level[size : size + 1],
                    gradient.reshape(self.k, self.d, n)[size],
                    second + self.trend[size] * steady + own_second.reshape(self.k, q, n)[size],
                    higher + own_higher.reshape(self.k, r, n)[size],
                ]
            )
        scale, noise = self.scale(hypothesis.floor), self._noise(hypothesis)
        lowest = np.array([np.where(self.owner == size, self.y, np.inf).argmin() for size in range(self.k)])
        return SurfaceDraws(scale, coefficients, noise[lowest] / scale.steepness(self.y[lowest]))

    @property
    def columns(self) -> int:
        """Number of unknowns P."""
        return int(self._design(0).shape[1])


def _with(hypothesis: Hypothesis, axis: int, level: int) -> Hypothesis:
    return hypothesis._replace(**{Hypothesis._fields[axis]: level})


def _neighbours(best: Hypothesis, levels: Sequence[int]) -> Iterator[Hypothesis]:
    """Everything one respect away, and two respects away; the noise by two levels at most."""
    choices = [
        [level for level in range(count) if level != best[axis] and (axis != 4 or abs(level - best[axis]) <= 2)]
        for axis, count in enumerate(levels)
    ]
    for axis, options in enumerate(choices):
        for level in options:
            yield _with(best, axis, level)
    for first, second in combinations(range(len(levels)), 2):
        for one in choices[first]:
            for other in choices[second]:
                yield _with(_with(best, first, one), second, other)
