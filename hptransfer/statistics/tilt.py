"""What a seed does to its own loss curve beyond an offset: it tilts it, and its noise wanders from value to value.

Runs of one seed share initial draws and batches at all values of a size. So a seed's curve lies higher or lower than
the expected one (an offset, which moves no optimum), it is tilted (its optimum is displaced), and what is left is alike
at neighbouring values. Scatter about a smooth curve shows neither tilt nor wandering; seeds that ran at the same values
show both. With one seed the prior speaks, which was measured on the ladders of the recipes that ship
(`python -m benchmarks.seed_tilts`, docs/calibration.md).

A tilt is given as the displacement of the optimum in octaves: a slope of twice the curve's bend per octave. So it does
not depend on the unit of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array

#: standard deviations of the displacement, octaves, and their prior: log-normal about the median of the measured
#: ladders, 0.073 (0.099 near the optimum), with a factor of 2 where they differ by 1.5 to 1.75: other ladders may not
#: be like these. Its mean square is (0.12)^2
SPREADS = np.array([0.02, 0.035, 0.06, 0.1, 0.17, 0.3, 0.5])
_MEDIAN, _FACTOR = 0.1, 2.0
#: share of the displacement's variance that all sizes of a seed have in common: measured 0.5 (0.2 to 0.8)
COMMON = 0.5
#: correlations of the noise half an octave apart, and their prior: measured 0.6 (0.4 to 0.8) on average
_RHOS = np.array([0.0, 0.35, 0.6, 0.8])
_RHO_PRIOR = np.array([0.2, 0.25, 0.35, 0.2])
#: share of the noise that neighbouring values may have in common at all; the rest differs however close they are
_CORRELATED = 0.8
#: fewest values at which tilts are told from noise
_FEWEST = 5
#: seeds that are compared with each other; more add little
_COMPARED = 8
#: sizes' noise is alike: the common variance counts as so many degrees of freedom at each
_ALIKE_DF = 4.0
#: expected optima scatter about a line themselves, in octaves, with prior weights (as `drift` has it)
_OWN, _OWN_PRIOR = np.array([0.0, 0.03, 0.08]), np.array([0.4, 0.45, 0.15])
#: fewest sizes whose optima show by their scatter how far seeds displace them
_FEWEST_SCATTERED = 4


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """Which seed ran where at one size.

    Attributes:
        x: (m,) log2 values, increasing.
        mean: (m,) seed means, nats.
        trust: (m,) 1, less for a value whose runs scatter far more than others.
        ids: (S,) numbers of the seeds that ran at two values or more, increasing.
        number: (m, S) runs of each.
        loss: (m, S) their mean losses, nats; nan where none ran.
        alone: (m,) runs of seeds that ran at one value only.
        quiet: (m,) the value is one that noise is measured at.
        dense: values are averages over cells of a dense sweep, within which noise was measured.
    """

    x: Array
    mean: Array
    trust: Array
    ids: npt.NDArray[np.int64]
    number: Array
    loss: Array
    alone: Array
    quiet: npt.NDArray[np.bool_]
    dense: bool = False

    @property
    def bend(self) -> float:
        """Of a parabola through the means, nats per octave squared."""
        u = self.x - self.x.mean()
        basis = np.stack([np.ones_like(u), u, u * u], axis=1)
        return abs(float(np.linalg.lstsq(basis, self.mean, rcond=None)[0][2]))


class Tilted(NamedTuple):
    """What tilts do in a two-way layout of values and seeds.

    Attributes:
        response: (m, S) what one unit of a seed's tilt (nats per octave) adds to each value's mean, octaves.
        offsets: (S, S) what it adds to the seeds' offsets.
        gram: (S, S) information on the tilts that is left beside values and offsets.
    """

    response: Array
    offsets: Array
    gram: Array


def tilted(x: Array, number: Array, alone: Array) -> Tilted:
    """Least squares of value means and seed offsets, applied to tilts.

    Args:
        x: (m,) log2 values, increasing.
        number: (m, S) runs of seeds that have an offset.
        alone: (m,) runs of seeds that have none.
    """
    u, runs = x - x.mean(), number.sum(axis=1) + alone
    # tilts about the middle of the values: what that adds to a seed alone goes into its offset
    moved = number * u[:, None]
    share = number / runs[:, None]
    normal = np.diag(number.sum(axis=0)) - number.T @ share
    right = np.diag(moved.sum(axis=0)) - number.T @ (moved / runs[:, None])
    # with fewer than two such seeds there is nothing to compare, and no offset is removed
    offsets = np.linalg.pinv(normal, rcond=1e-9, hermitian=True) @ right if len(normal) > 1 else np.zeros_like(right)
    response = moved / runs[:, None] - share @ offsets
    gram = np.diag((moved * u[:, None]).sum(axis=0)) - moved.T @ response - moved.sum(axis=0)[:, None] * offsets
    return Tilted(response, offsets, (gram + gram.T) / 2)


class Untilted(NamedTuple):
    """Tilts fitted to the residuals of a two-way fit: what they explain in each cell (m, S), nats, and their number."""

    explained: Array
    rank: int


def fit_tilts(x: Array, number: Array, alone: Array, residual: Array) -> Untilted:
    """Fit each seed's tilt to what values and offsets leave over.

    Args:
        x: (m,) log2 values, increasing.
        number: (m, S) runs of seeds that have an offset.
        alone: (m,) runs of seeds that have none.
        residual: (m, S) sums of the residuals of these runs, nats.
    """
    if len(x) < _FEWEST or number.shape[1] < 2:
        return Untilted(np.zeros_like(number), 0)
    layout, u = tilted(x, number, alone), x - x.mean()
    # of what the tilts would show alone: where values and offsets take all of it, rounding is left and no tilt
    least = 1e-9 * float((u**2 @ number).max())
    values, vectors = np.linalg.eigh(layout.gram)
    seen = values > max(least, 1e-300)
    slopes = (vectors[:, seen] / values[seen]) @ (vectors[:, seen].T @ (u @ residual))
    explained = np.outer(u, slopes) - (layout.response @ slopes)[:, None] - layout.offsets @ slopes
    return Untilted(explained, int(seen.sum()))


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """Errors of all sizes' seed means: what one run's noise makes of them, and what tilts do.

    Attributes:
        noise: (m, m) covariance per size of its means, for runs whose noise has variance 1.
        tilts: (N, N) covariance of all sizes' means for displacements of variance 1 octave^2, in units of bend^2.
        displaced: (K, K) covariance of what the tilts displace the sizes' optima by, for variance 1 octave^2.
        ends: where the sizes end among the N means.
        levels: standard deviations of the displacement that are possible, octaves.
        weight: probability of each of them.
        seen: what residuals of variance 1 make of a sum of squares, and degrees of freedom, as fractions of those of
            uncorrelated noise, per size.
        compared: whether seeds could be compared at any size.
        correlation: probabilities of how alike one seed's noise is half an octave apart (see `noise_of_mean`).
    """

    noise: tuple[Array, ...]
    tilts: Array
    displaced: Array
    ends: tuple[int, ...]
    levels: Array
    weight: Array
    seen: tuple[tuple[float, float], ...]
    compared: bool
    correlation: Array

    @property
    def square(self) -> float:
        """Expected square of the displacement, octaves^2."""
        return float(self.weight @ self.levels**2)

    def spread(self) -> Array:
        """(DRAWS,) standard deviations of the displacement, octaves."""
        return np.asarray(
            self.levels[np.searchsorted(np.cumsum(self.weight), wiener_process.uniform(93)).clip(0, len(SPREADS) - 1)]
        )

    def start(self, size: int) -> int:
        """Where a size begins among the N means."""
        return self.ends[size - 1] if size else 0

    def alone(self, size: int, stop: int) -> tuple[Array, Array]:
        """(stop, stop) covariances of one size's first means: by noise, and by tilts in units of bend^2.

        Args:
            size: number of the size.
            stop: how many of its means.
        """
        first = self.start(size)
        mine = slice(first, first + stop)
        return self.noise[size][:stop, :stop], self.square * self.tilts[mine, mine]

    def scattered(self, optima: Array, inside: npt.NDArray[np.bool_], doublings: Array) -> SeedNoise:
        """Updated by how far optima scatter about a line in log2 size, where that is all there is to see tilts by.

        Args:
            optima: (K, n) draws of each size's optimum as if seeds had no tilts.
            inside: (K,) the optimum lies within the values that were run.
            doublings: (K,) log2 of the sizes.
        """
        if inside.sum() < _FEWEST_SCATTERED:
            return self
        middle, at = np.median(optima[inside], axis=1), doublings[inside]
        design = np.stack([np.ones_like(at), at - at.mean()], axis=1)
        known, displaced = np.cov(optima[inside]), self.displaced[np.ix_(inside, inside)]
        score = np.full(len(self.levels), -np.inf)
        for own, weight in zip(_OWN, _OWN_PRIOR, strict=True):
            total = known + (own**2 + 1e-8) * np.eye(len(at)) + (self.levels**2)[:, None, None] * displaced
            score = np.logaddexp(score, math.log(weight) + _log_restricted(middle, design, total))
        return replace(self, weight=_normalised(np.log(self.weight) + score))


def seed_noise(tables: Sequence[SeedRuns], given: float | Array | None = None) -> SeedNoise:
    """What is known about the errors of all sizes' seed means, from how far seeds agree.

    Args:
        tables: which seed ran where, per size.
        given: standard deviation of one run on the scale of these losses where it is known from elsewhere; one, or one
            per size. Tilts are part of it, so they are no larger than makes runs scatter by that.
    """
    known = np.broadcast_to(np.inf if given is None else given, len(tables))
    most = min(
        float(of) / max(2 * table.bend * float(table.x.std()), 1e-300) for of, table in zip(known, tables, strict=True)
    )
    levels = np.minimum(SPREADS, most)
    contrasts = [_contrasts(table) for table in tables]
    rho = np.log(_RHO_PRIOR) + np.sum([_log_correlated(each) for each in contrasts], axis=0)
    correlation = _normalised(rho)
    spread = -0.5 * (np.log(SPREADS / _MEDIAN) / math.log(_FACTOR)) ** 2
    weight = _normalised(spread + _log_displaced(contrasts, [table.bend for table in tables], correlation))
    noise = tuple(_error(table, correlation) for table in tables)
    tilts, displaced = _tilts(tables)
    return SeedNoise(
        noise=noise,
        tilts=tilts,
        displaced=displaced,
        ends=tuple(int(end) for end in np.cumsum([len(table.x) for table in tables])),
        levels=levels,
        weight=weight,
        seen=tuple(_seen(table, correlation) for table in tables),
        compared=any(contrasts),
        correlation=correlation,
    )


def noise_of_mean(x: Array, correlation: Array) -> float:
    """Variance of the mean of one seed's runs, for runs whose noise has variance 1; their offset and tilt apart.

    Args:
        x: (m,) log2 values that the seed ran at, at least one.
        correlation: probabilities of how alike its noise is half an octave apart, as in `SeedNoise`.
    """
    return float(np.tensordot(correlation, _alike(x), 1).mean())


def _normalised(score: Array) -> Array:
    weight = np.exp(score - score.max())
    return np.asarray(weight / weight.sum())


def _alike(x: Array) -> Array:
    """(rhos, m, m) correlations of one seed's noise at log2 values x."""
    apart = np.abs(x[:, None] - x[None])
    near = np.where(_RHOS[:, None, None] > 0, np.maximum(_RHOS, 1e-9)[:, None, None] ** (2 * apart), 0.0)
    return np.asarray(_CORRELATED * near + np.eye(len(x)) * (1 - _CORRELATED * near))


def _error(table: SeedRuns, correlation: Array) -> Array:
    """(m, m) covariance of the means for noise of variance 1; in the cells of a dense sweep it is independent."""
    runs = table.number.sum(axis=1) + table.alone
    trust = np.sqrt(table.trust)
    if table.dense:
        return np.diag(1 / (runs * table.trust))
    share = table.number / runs[:, None]
    together = share @ share.T * np.tensordot(correlation, _alike(table.x), 1) + np.diag(table.alone / runs**2)
    return np.asarray(together / np.outer(trust, trust))


def _tilts(tables: Sequence[SeedRuns]) -> tuple[Array, Array]:
    """Covariances of all means (N, N), in units of bend^2, and of all sizes' displacements (K, K), octaves^2."""
    names = sorted({int(name) for table in tables for name in table.ids})
    column = {name: number for number, name in enumerate(names)}
    rows, pulls, lone, lone_pulls = [], np.zeros((len(tables), len(names))), [], []
    for size, table in enumerate(tables):
        u, mine = table.x - table.x.mean(), [column[int(name)] for name in table.ids]
        response = np.zeros((len(u), len(names)))
        response[:, mine] = tilted(table.x, table.number, table.alone).response
        rows.append(response)
        pulls[size] = u @ response / (u @ u) if len(u) > 1 else 0.0
        own = table.alone * (u / (table.number.sum(axis=1) + table.alone)) ** 2
        lone.append(own)
        lone_pulls.append(float(u**2 @ own) / float(u @ u) ** 2 if len(u) > 1 else 0.0)
    stacked, sizes = np.concatenate(rows), np.repeat(np.arange(len(tables)), [len(table.x) for table in tables])
    share = np.where(sizes[:, None] == sizes[None], 1.0, COMMON)
    per_size = np.where(np.eye(len(tables), dtype=bool), 1.0, COMMON)
    covariance = 4 * (share * (stacked @ stacked.T) + np.diag(np.concatenate(lone)))
    return np.asarray(covariance), np.asarray(per_size * (pulls @ pulls.T) + np.diag(lone_pulls))


class _Contrast(NamedTuple):
    """Differences between pairs of seeds at the values that both ran, over sqrt(2).

    Attributes:
        x: (m,) log2 values that both ran.
        pairs: numbers of the seeds of each pair.
        difference: (n, m) nats, one row per pair.
        weight: 2 / S: where all seeds ran at all values, S (S - 1) / 2 pairs say as much as S - 1 contrasts.
    """

    x: Array
    pairs: list[tuple[int, int]]
    difference: Array
    weight: float


def _contrasts(table: SeedRuns) -> list[_Contrast]:
    """Differences between the seeds of one size where noise is measured, by the values that they were seen at."""
    ran = np.isfinite(table.loss) & table.quiet[:, None]
    chosen = np.sort(np.argsort(-ran.sum(axis=0), kind="stable")[:_COMPARED])
    chosen = chosen[ran[:, chosen].sum(axis=0) >= _FEWEST]
    if table.dense or not table.bend > 0:
        return []
    found: dict[bytes, list[tuple[tuple[int, int], Array]]] = {}
    for number, first in enumerate(chosen):
        for second in chosen[number + 1 :]:
            both = ran[:, first] & ran[:, second]
            if both.sum() >= _FEWEST:
                difference = (table.loss[:, first] - table.loss[:, second])[both] / math.sqrt(2)
                pair = int(table.ids[first]), int(table.ids[second])
                found.setdefault(both.tobytes(), []).append((pair, difference))
    return [
        _Contrast(
            table.x[np.frombuffer(mask, dtype=bool)],
            [pair for pair, _ in rows],
            np.stack([difference for _, difference in rows]),
            2 / len(chosen),
        )
        for mask, rows in found.items()
    ]


def _log_correlated(contrasts: Sequence[_Contrast]) -> Array:
    """(rhos,) log restricted likelihood of one size's differences, offsets, tilts and the level of the noise free."""
    logdet, squares, df = np.zeros(len(_RHOS)), np.zeros(len(_RHOS)), 0.0
    for each in contrasts:
        away = np.linalg.svd(_line(each.x))[0][:, 2:]
        noise = away.T @ _alike(each.x) @ away
        left = each.difference @ away
        logdet += each.weight * len(left) * np.linalg.slogdet(noise)[1]
        squares += each.weight * np.einsum("pi,rij,pj->r", left, np.linalg.inv(noise), left)
        df += each.weight * left.size
    if not (squares > 0).all():
        return np.zeros(len(_RHOS))
    return np.asarray(-0.5 * (logdet + df * np.log(squares)))


def _log_displaced(contrasts: Sequence[Sequence[_Contrast]], bends: Sequence[float], correlation: Array) -> Array:
    """(spreads,) log likelihood of how far seeds displace the optima of all sizes against each other."""
    squares, df = np.zeros(len(bends)), np.zeros(len(bends))
    slopes: dict[tuple[int, int], list[tuple[int, float, float, float]]] = {}
    for size, found in enumerate(contrasts):
        for each in found:
            line, inverse = _line(each.x), np.linalg.inv(np.tensordot(correlation, _alike(each.x), 1))
            gram = np.linalg.inv(line.T @ inverse @ line)
            fit = each.difference @ inverse @ line @ gram
            left = each.difference - fit @ line.T
            squares[size] += each.weight * float(np.einsum("pi,ij,pj->", left, inverse, left))
            df[size] += each.weight * len(left) * (len(each.x) - 2)
            steep = max(2 * bends[size], 1e-150)
            for pair, one in zip(each.pairs, fit[:, 1] / steep, strict=True):
                error = float(gram[1, 1]) / steep**2
                slopes.setdefault(pair, []).append((size, float(one), error, each.weight))
    score = np.zeros(len(SPREADS))
    if not squares.sum() > 0:
        return score
    variance = (squares + _ALIKE_DF * squares.sum() / df.sum()) / (df + _ALIKE_DF)
    for seen in slopes.values():
        sizes = [row[0] for row in seen]
        slope, unit, weight = (np.array([row[i] for row in seen]) for i in (1, 2, 3))
        common = np.where(np.eye(len(seen), dtype=bool), 1.0, COMMON)
        total = (SPREADS**2)[:, None, None] * common + np.diag(unit * variance[sizes])
        square = np.einsum("i,sij,j->s", slope, np.linalg.inv(total), slope)
        score -= 0.5 * float(weight.mean()) * (np.linalg.slogdet(total)[1] + square)
    return score


def _line(x: Array) -> Array:
    """(m, 2) columns 1 and x about its mean."""
    return np.stack([np.ones_like(x), x - x.mean()], axis=1)


def _seen(table: SeedRuns, correlation: Array) -> tuple[float, float]:
    """What is seen of correlated noise once offsets and tilts are removed, as (sum of squares, degrees of freedom)."""
    x = table.x[table.quiet]
    if table.dense or len(x) < 2:
        return 1.0, 1.0
    basis = _line(x)[:, : 2 if len(x) >= _FEWEST else 1]
    left = len(x) - basis.shape[1]
    away = np.linalg.svd(basis)[0][:, basis.shape[1] :]
    seen = away.T @ np.tensordot(correlation, _alike(x), 1) @ away
    trace = float(np.trace(seen))
    return trace / left, trace**2 / float((seen**2).sum()) / left


def _log_restricted(y: Array, design: Array, covariance: Array) -> Array:
    """(n,) log restricted likelihood of y under each of n covariances, the line through it being free."""
    inverse = np.linalg.inv(covariance)
    gram = design.T @ inverse @ design
    projected = inverse - inverse @ design @ np.linalg.solve(gram, design.T @ inverse)
    logdet = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(gram)[1]
    return np.asarray(-0.5 * (logdet + np.einsum("i,nij,j->n", y, projected, y)))
