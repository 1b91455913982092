"""The smooth stretches of all sizes fitted together: what sizes have in common makes their differences sharp.

Every size has its own level, slope and noise. Curvatures scatter about a common one, and the rough remainder is partly
common to all sizes, at the same x or at the same distance from a moving optimum; or the shape changes steadily with the
size. How alike sizes are is averaged over by marginal likelihood. Whatever the common part does to one optimum it does
to all of them, so it hardly touches the drift; what changes steadily touches nothing else.
Drawing by conditioning prior draws follows Journel and Huijbregts (1978).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.noise import Noise
from hptransfer.statistics.smooth import (
    COMPRESSIONS,
    ORDERS,
    ROUGHNESS,
    SmoothSegment,
    kink_variance,
    kinked,
    log_prior,
    trend,
)
from hptransfer.statistics.tilt import SeedNoise


class Similarity(NamedTuple):
    """How alike the shapes of different sizes are.

    Attributes:
        common: share of the rough part's variance that all sizes have in common.
        bends: standard deviation of a size's curvature about the common one, as a fraction of it.
        steady: what is not common changes in proportion to log2 size; otherwise every size has its own.
        weight: prior probability of this similarity, between 0 and 1.
    """

    common: float
    bends: float
    steady: bool
    weight: float


#: from unlike to all but the same; the last changes steadily
SIMILARITIES = (
    Similarity(0.0, 0.35, False, 0.15),
    Similarity(0.9, 0.35, False, 0.25),
    Similarity(0.99, 0.07, False, 0.3),
    Similarity(0.7, 0.2, True, 0.3),
)
#: correlation of kinks between sizes: what limits stability at one size limits it at the others
_SAME_KINK = 0.9


class Hypothesis(NamedTuple):
    """A hypothesis: indices into alignments, `SIMILARITIES`, `COMPRESSIONS`, `ORDERS`, `ROUGHNESS`.

    Attributes:
        alignment: index into the alignments of the fit: where the sizes have their common part.
        likeness: index into the similarities of the fit.
        compression: index into the keys of `COMPRESSIONS`.
        order: index into the keys of `ORDERS`.
        roughness: index into the values of `ROUGHNESS`.
    """

    alignment: int
    likeness: int
    compression: int
    order: int
    roughness: int


class JointFit:
    """One choice of smooth stretches, one per size, with the evidence of every hypothesis about them."""

    def __init__(
        self,
        stretches: Sequence[SmoothSegment],
        noise: Noise,
        seeds: SeedNoise,
        shifts: Sequence[Array],
        trend: Array | None = None,
    ) -> None:
        """Compute the evidence.

        Args:
            stretches: the smooth part of each size's seed means, K of them.
            noise: what is known about one run's noise at each of the K sizes.
            seeds: what seeds do to the means of these sizes, of which the stretches are the first ones.
            shifts: alignments: (K,) octaves by which each size's common part is moved; the first moves none.
            trend: (K,) what changes steadily is proportional to it; None where sizes have no order.
        """
        self.stretches, self.noise, self.shifts, self.trend = stretches, noise, shifts, trend
        # one size alone has nothing to be like
        self.likeness = (
            SIMILARITIES[:1]
            if len(stretches) == 1
            else tuple(h for h in SIMILARITIES if trend is not None or not h.steady)
        )
        self.sizes = np.repeat(np.arange(len(stretches)), [len(s.x) for s in stretches])
        self.x = np.concatenate([s.x for s in stretches])
        self.errors = _block_diagonal([r * s.noise for r, s in zip(noise.relative, stretches, strict=True)])
        rows = np.concatenate([seeds.start(size) + np.arange(len(s.x)) for size, s in enumerate(stretches)])
        self.tilts, self.tilts_square = seeds.tilts[np.ix_(rows, rows)], seeds.square
        self.own_zero = np.array([s.x[0] for s in stretches])
        self.error_root, self.tilt_root = np.linalg.cholesky(self.errors), _root(self.tilts)
        self.has_kinks = any(s.kink is not None for s in stretches)
        self.z = np.concatenate([s.compressed() for s in stretches], axis=1)
        self.basis = self._basis(self.x, self.sizes)
        self.df = len(self.x) - self.basis.shape[1] + noise.df
        steepest = max(s.steepest for s in stretches if len(s.x) > 2)
        bends = [abs(float(np.linalg.lstsq(self.basis, z, rcond=None)[0][-1])) for z in self.z]
        self.bends = np.minimum(bends, steepest)
        shape = (len(shifts), len(self.likeness), len(COMPRESSIONS), len(ORDERS), len(ROUGHNESS))
        self.evidence, self.sums = np.empty(shape), np.empty(shape)
        self.crossed: dict[tuple[int, int], tuple[Array, Array, Array, Array]] = {}
        self.turned: dict[tuple[int, int, int, int], tuple[Array, Array]] = {}
        for alignment in range(len(shifts)):
            for order in range(len(ORDERS)):
                self._fill(alignment, order)
        jacobian = sum(s.log_jacobians() for s in stretches)
        prior = log_prior(float(self.bends[0]), noise.ss / noise.df) + np.reshape(jacobian, (-1, 1, 1))
        self.evidence += prior + np.log([h.weight for h in self.likeness]).reshape(-1, 1, 1, 1)

    @property
    def unordered(self) -> Array:
        """The evidence where nothing is known of the sizes' order: none for what moves or changes steadily."""
        evidence = np.full_like(self.evidence, -np.inf)
        still = [not h.steady for h in self.likeness]
        evidence[0, still] = self.evidence[0, still]
        return evidence

    def _basis(self, x: Array, sizes: npt.NDArray[np.intp]) -> Array:
        """(len(x), 2K + 1) level and slope of each size, and the common bend."""
        k = len(self.stretches)
        columns = np.zeros((len(x), 2 * k + 1))
        u = trend(x - self.own_zero[sizes], 0.0)
        rows = np.arange(len(x))
        columns[rows, sizes], columns[rows, k + sizes], columns[:, -1] = u[:, 0], u[:, 1], u[:, 2]
        return columns

    def _covariances(
        self, order: int, alignment: int, x: Array, sizes: npt.NDArray[np.intp]
    ) -> tuple[Array, Array, Array, Array]:
        """(len(x), N) covariances with the data of the own rough part, the common one, of unit bends, and of kinks."""
        same = sizes[:, None] == self.sizes[None]
        own, own_data = x - self.own_zero[sizes], self.x - self.own_zero[self.sizes]
        moved, moved_data = self._moved(x, sizes, alignment), self._moved(self.x, self.sizes, alignment)
        rough = same * wiener_process.covariance(order, own[:, None], own_data[None])
        common = wiener_process.covariance(order, moved[:, None], moved_data[None])
        bends = np.outer(own**2, own_data**2)
        if not self.has_kinks:
            return np.asarray(rough), common, bends, np.zeros((len(x), len(self.x)))
        kinks = kink_variance(1.0, 1.0) * self._kinked(x, sizes) @ self._kinked(self.x, self.sizes).T
        return np.asarray(rough), common, bends, np.where(same, 1.0, _SAME_KINK) * kinks

    def _mixed(
        self, parts: tuple[Array, Array, Array, Array], likeness: Similarity, sizes: npt.NDArray[np.intp]
    ) -> tuple[Array, Array]:
        """(len(x), N) covariances of the rough part, and of bends and kinks, under a likeness."""
        own, common, bends, kinks = parts
        if likeness.steady and self.trend is not None:
            apart = np.outer(self.trend[sizes], self.trend[self.sizes])
            rough = (likeness.common + (1 - likeness.common) * apart) * common
        else:
            apart = sizes[:, None] == self.sizes[None]
            rough = (1 - likeness.common) * own + likeness.common * common
        return rough, likeness.bends**2 * apart * bends + kinks

    def _kinked(self, x: Array, sizes: npt.NDArray[np.intp]) -> Array:
        """(len(x), 2) kink columns, each size with its own kink."""
        columns = np.zeros((len(x), 2))
        for size, stretch in enumerate(self.stretches):
            here = sizes == size
            columns[here] = kinked(x[here], stretch.kink)
        return columns

    def _moved(self, x: Array, sizes: npt.NDArray[np.intp], alignment: int) -> Array:
        """Position on the common axis, 0 at the first value of any size."""
        shift = self.shifts[alignment]
        return np.asarray(np.maximum(x - shift[sizes] - float((self.own_zero - shift).min()), 0.0), dtype=float)

    def _bend_units(self, compression: int) -> float:
        """The squared common bend over the variance of the noise."""
        return float(self.bends[compression] ** 2 / (self.noise.ss / self.noise.df))

    def _fill(self, alignment: int, index: int) -> None:
        """Evidence and sums of squares of one alignment and order."""
        order = list(ORDERS)[index]
        parts = self._covariances(order, alignment, self.x, self.sizes)
        mixed = [self._mixed(parts, likeness, self.sizes) for likeness in self.likeness]
        rough, bend = np.stack([m[0] for m in mixed]), np.stack([m[1] for m in mixed])
        for c in range(len(COMPRESSIONS)):
            steady = self.errors + self._bend_units(c) * self.tilts_square * self.tilts
            # one basis in which all roughnesses are diagonal stands for an inverse each
            root = np.linalg.cholesky(steady + self._bend_units(c) * bend)
            inverse = np.linalg.inv(root)
            roughness, turned = np.linalg.eigh(inverse @ rough @ inverse.transpose(0, 2, 1))
            roughness, vectors = np.maximum(roughness, 0), inverse.transpose(0, 2, 1) @ turned
            basis = vectors.transpose(0, 2, 1) @ self.basis
            z = vectors.transpose(0, 2, 1) @ self._without_trend(c)
            weight = 1 / (1 + ROUGHNESS[:, None] * roughness[:, None])
            weighted = basis.transpose(0, 2, 1)[:, None] * weight[:, :, None]
            gram, right = weighted @ basis[:, None], weighted @ z[:, None, :, None]
            explained = (right * np.linalg.solve(gram, right)).sum(axis=(-2, -1))
            logdet = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)[:, None]
            logdet = logdet - np.log(weight).sum(axis=-1) + np.linalg.slogdet(gram)[1]
            sums = np.maximum((weight * z[:, None] ** 2).sum(axis=-1) - explained, 0) + self.noise.ss
            self.sums[alignment, :, c, index] = sums
            self.evidence[alignment, :, c, index] = -0.5 * logdet - 0.5 * self.df * np.log(sums)
            for number in range(len(self.likeness)):
                self.turned[alignment, number, c, index] = (vectors[number], roughness[number])

    def _without_trend(self, compression: int) -> Array:
        """(N,) the means less their levels, slopes and common bend by least squares, which are free anyway."""
        z = self.z[compression]
        return np.asarray(z - self.basis @ np.linalg.lstsq(self.basis, z, rcond=None)[0])

    def _solved(self, cell: Hypothesis) -> tuple[Array, Array]:
        """What takes residuals to the trend (2K + 1, N), and to the weights of everything else (N, N)."""
        vectors, roughness = self.turned[cell.alignment, cell.likeness, cell.compression, cell.order]
        inverse = vectors / (1 + ROUGHNESS[cell.roughness] * roughness) @ vectors.T
        weighted = self.basis.T @ inverse
        to_trend = np.linalg.solve(weighted @ self.basis, weighted)
        return to_trend, inverse - weighted.T @ to_trend

    def draw(
        self, cell: Hypothesis, grids: Sequence[Array], spread: Array, part: slice, stream: int
    ) -> tuple[list[Array], Array]:
        """Draws of all sizes' expected curves under one hypothesis, without these seeds' tilts.

        Args:
            cell: indices of the hypothesis that the curves are drawn under.
            grids: where each size's curve is wanted, the same in every call.
            spread: (DRAWS,) standard deviations in octaves of what a seed displaces its optimum by.
            part: which of the `wiener_process.DRAWS` draws of the stream.
            stream: number of the random stream, so that the same draws come again.

        Returns:
            Per size (G, n) losses in nats; and (K, n) standard deviations of one run.
        """
        n, sizes = len(self.x), np.repeat(np.arange(len(grids)), [len(g) for g in grids])
        x = np.concatenate(grids)
        scale = np.sqrt(self.sums[cell] / wiener_process.chi_square(stream, round(self.df, 6))[part])
        everywhere, owner = np.append(self.x, x), np.append(self.sizes, sizes)
        path = scale * self._prior_paths(cell, everywhere, owner, part, stream)
        error = scale * (self.error_root @ wiener_process.normal(stream, n)[:, part])
        tilted = self.bends[cell.compression] * spread[part] * (self.tilt_root @ wiener_process.normal(92, n)[:, part])
        residual = self.z[cell.compression][:, None] - path[:n] - error - tilted
        to_trend, projected = self._solved(cell)
        key = (cell.alignment, cell.order)
        if key not in self.crossed:
            self.crossed[key] = self._covariances(list(ORDERS)[cell.order], cell.alignment, x, sizes)
        rough, bend = self._mixed(self.crossed[key], self.likeness[cell.likeness], sizes)
        cross = ROUGHNESS[cell.roughness] * rough + self._bend_units(cell.compression) * bend
        z = path[n:] + self._basis(x, sizes) @ (to_trend @ residual) + cross @ (projected @ residual)
        ends = np.cumsum([len(g) for g in grids])[:-1]
        curves = [
            s.expand(part_z, cell.compression) for s, part_z in zip(self.stretches, np.split(z, ends), strict=True)
        ]
        return curves, np.sqrt(self.noise.relative)[:, None] * scale

    def _prior_paths(self, cell: Hypothesis, x: Array, sizes: npt.NDArray[np.intp], part: slice, stream: int) -> Array:
        """(len(x), n) draws of everything random but noise, in units of the noise."""
        order, likeness = list(ORDERS)[cell.order], self.likeness[cell.likeness]
        steady = self.trend[sizes][:, None] if likeness.steady and self.trend is not None else None
        own = x - self.own_zero[sizes]
        moved = self._moved(x, sizes, cell.alignment)
        path = math.sqrt(likeness.common) * wiener_process.paths(order, moved, float(moved.max()), stream, part)
        if steady is not None:
            changing = wiener_process.paths(order, moved, float(moved.max()), 90, part)
            path += math.sqrt(1 - likeness.common) * steady * changing
        elif likeness.common < 1:
            for size in range(len(self.stretches)):
                here = sizes == size
                mine = wiener_process.paths(order, own[here], float(own.max()), 100 + size, part)
                path[here] += math.sqrt(1 - likeness.common) * mine
        k = len(self.stretches)
        unit, numbers = math.sqrt(self._bend_units(cell.compression)), wiener_process.normal(50, 3 * k)[:, part]
        bends = likeness.bends * (own**2)[:, None] * (numbers[:k][sizes] if steady is None else steady * numbers[:1])
        if not self.has_kinks:
            return np.asarray(math.sqrt(ROUGHNESS[cell.roughness]) * path + unit * bends)
        apart = np.stack([numbers[k : 2 * k][sizes], numbers[2 * k :][sizes]], axis=1)
        alike = wiener_process.normal(51, 2)[None, :, part]
        slope_and_bend = math.sqrt(_SAME_KINK) * alike + math.sqrt(1 - _SAME_KINK) * apart
        kinks = math.sqrt(kink_variance(1.0, 1.0)) * np.einsum("ij,ijn->in", self._kinked(x, sizes), slope_and_bend)
        return np.asarray(math.sqrt(ROUGHNESS[cell.roughness]) * path + unit * (bends + kinks))


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    """The blocks along the diagonal of one matrix, zeros elsewhere."""
    ends = np.cumsum([len(block) for block in blocks])
    whole = np.zeros((ends[-1], ends[-1]))
    for block, end in zip(blocks, ends, strict=True):
        whole[end - len(block) : end, end - len(block) : end] = block
    return whole


def _root(covariance: Array) -> Array:
    """A square root of a covariance of low rank, to about 1e-5 of its largest standard deviation."""
    largest = float(np.diag(covariance).max(initial=1e-300))
    return np.asarray(np.linalg.cholesky(covariance + 1e-10 * largest * np.eye(len(covariance))))
