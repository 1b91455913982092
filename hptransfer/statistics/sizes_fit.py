"""All sizes fitted together, and the curves that are drawn from the fit.

The fit takes most of the time and is made once: from one fit curves are drawn with and without the knowledge that sizes
have an order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.joint import Hypothesis, JointFit
from hptransfer.statistics.noise import pooled_noise, seed_effect_std
from hptransfer.statistics.seed_means import SeedMeans
from hptransfer.statistics.stability_edge import Break, breaks_of
from hptransfer.statistics.tilt import SeedNoise, seed_noise
from hptransfer.statistics.units import typical_height
from hptransfer.statistics.valley import one_valley
from hptransfer.statistics.wiener_process import DRAWS

#: hypotheses this much less likely than the best are left out
_NEGLIGIBLE = 0.02
#: hypotheses are drawn from in multiples of this many draws; those that are owed less take turns
_HANDFUL = 16
#: a curve that breaks off may begin to rise this share of a spacing before its last value, too little to be seen there
_EARLY_RISE = 0.25
#: a drawn curve is contradicted where it lies below what chords allow by more than this many standard errors
_CLEARLY = 3.0
#: losses are written with about this accuracy, as a share of what they usually differ by: noise is no less
_ROUNDING = 1e-6
#: at least this share of the draws is kept, those that are contradicted least
_LEAST_KEPT = 0.1


def _least(tables: Sequence[SeedMeans]) -> float:
    """The least noise that runs can have, whatever is known of it from elsewhere."""
    return _ROUNDING * typical_height([table.mean - table.mean.min() for table in tables], 1.0)


class Drawn(NamedTuple):
    """Curves of all sizes; the same draw of different sizes belongs together.

    Attributes:
        curves: (G, DRAWS) losses of each size on its grid, nats; inf beyond a divergence.
        ends: (K, DRAWS) where smooth curves end, inf where they run on.
        deviations: (K,) standard deviations of one run, nats.
    """

    curves: Sequence[Array]
    ends: Array
    deviations: Array


@dataclass(frozen=True, slots=True, eq=False)
class SizesFit:
    """The joint fit of sizes that all have curves.

    Attributes:
        tables: seed means of each size, K of them.
        factors: (K,) units per nat of each size.
        doublings: (K,) log2 of the sizes; None where they have no order.
        seeds: what seeds do to the means.
        grids: (G,) per size where its curve is evaluated.
        fits: shares of the draws, with the breaks and the joint fit that they come from.
        effects: (K, DRAWS) what other seeds would add to all losses of a size, nats, about zero.
    """

    tables: Sequence[SeedMeans]
    factors: Array
    doublings: Array | None
    seeds: SeedNoise
    grids: Sequence[Array]
    fits: Sequence[tuple[float, tuple[Break, ...], JointFit]]
    effects: Array

    @classmethod
    def of(cls, tables: Sequence[SeedMeans], doublings: Array | None, noise: float | None) -> SizesFit:
        """Fit all sizes together.

        Args:
            tables: seed means of each size, all with curves.
            doublings: (K,) log2 of the sizes, for optima that move steadily with size; None where they have no order.
            noise: standard deviation of one run in nats where it is known from elsewhere.
        """
        factors = np.array([table.scale.factor for table in tables])
        if all(math.isinf(table.scale.unit) for table in tables):
            # also where sizes were averaged one by one
            factors = np.full(len(tables), float(np.exp(np.log(factors).mean())))
        fitted = [table.in_units(factor) for table, factor in zip(tables, factors, strict=True)]
        given = None if noise is None else np.maximum(noise * factors, _least(fitted))
        seeds = seed_noise([table.runs for table in fitted], given)
        known = pooled_noise(fitted, given, seeds=seeds)
        alignments, changing = _alignments(tables, doublings), _trend(doublings)
        fits = [
            (share, breaks, JointFit([b.stretch for b in breaks], known, seeds, alignments, changing))
            for share, breaks in breaks_of(fitted, known, seeds)
        ]
        effects = (seed_effect_std(fitted, known) / factors)[:, None] * wiener_process.normal(70, len(tables))
        return cls(tables, factors, doublings, seeds, tuple(map(_grid, tables)), tuple(fits), effects)

    def draw(self, *, ordered: bool) -> Drawn:
        """Draw the curves of all sizes.

        Args:
            ordered: whether optima may move steadily with size; otherwise what is drawn is that of a fit without
                `doublings`.
        """
        tables, factors, seeds, grids, fits = self.tables, self.factors, self.seeds, self.grids, self.fits
        ordered = ordered and self.doublings is not None
        if not seeds.compared and ordered and self.doublings is not None:
            untilted = _curves(tables, factors, fits, grids, np.zeros(DRAWS), ordered)
            seeds = _scattered(seeds, tables, untilted, grids, self.doublings)
        curves, ends, spread = _curves(tables, factors, fits, grids, seeds.spread(), ordered)
        deviations = np.sqrt(np.mean(spread**2, axis=1)) / factors
        bend = float(np.average([fit.bends[0] for _, _, fit in fits], weights=[share for share, _, _ in fits]))
        errors = [
            deviation**2 * np.diag(of_noise) + (bend / factor) ** 2 * np.diag(of_tilts)
            for deviation, factor, (of_noise, of_tilts) in zip(
                deviations, factors, (seeds.alone(size, len(table.x)) for size, table in enumerate(tables)), strict=True
            )
        ]
        kept = uncontradicted(tables, grids, curves, ends, errors)
        return Drawn([each[:, kept] for each in curves], ends[:, kept], deviations)


def _curves(
    tables: Sequence[SeedMeans],
    factors: Array,
    fits: Sequence[tuple[float, tuple[Break, ...], JointFit]],
    grids: Sequence[Array],
    displaced: Array,
    ordered: bool,
) -> tuple[list[Array], Array, Array]:
    """Draws of each size's curve (G, DRAWS), where they end (K, DRAWS), and one run's deviation (K, DRAWS), in units.

    Args:
        tables: seed means of each size.
        factors: (K,) units per nat of each size.
        fits: shares of the draws, with the breaks and the joint fit that they come from.
        grids: where curves are evaluated.
        displaced: (DRAWS,) standard deviations in octaves of what a seed displaces its optimum by.
        ordered: whether optima may move steadily with size.
    """
    curves = [np.empty((len(grid), DRAWS)) for grid in grids]
    ends = np.full((len(tables), DRAWS), math.inf)
    spread = np.empty((len(tables), DRAWS))
    start = 0
    for number, (share, breaks, fit) in enumerate(fits):
        stop = DRAWS if number == len(fits) - 1 else min(DRAWS, start + round(share * DRAWS))
        for cell, part in _allot(fit.evidence if ordered else fit.unordered, start, stop):
            drawn, spread[:, part] = fit.draw(cell, grids, displaced, part, stream=0)
            for size, (table, factor, values) in enumerate(zip(tables, factors, drawn, strict=True)):
                curves[size][:, part] = table.scale.losses(values / factor)
        for size, (table, hypothesis) in enumerate(zip(tables, breaks, strict=True)):
            part = slice(start, stop)
            curves[size][:, part] = one_valley(grids[size], curves[size][:, part], hypothesis.stretch.x)
            ends[size, part] = _break_off(table, hypothesis, grids[size], curves[size], part, size)
        start = stop
    return curves, ends, spread


def _scattered(
    seeds: SeedNoise,
    tables: Sequence[SeedMeans],
    drawn: tuple[list[Array], Array, Array],
    grids: Sequence[Array],
    doublings: Array,
) -> SeedNoise:
    """What the optima of curves without tilts say about tilts, by their scatter over sizes."""
    optima = [lowest(grid, curves, end) for grid, curves, end in zip(grids, drawn[0], drawn[1], strict=True)]
    inside = np.array([0 < table.mean.argmin() < len(table.x) - 1 for table in tables])
    return seeds.scattered(np.stack([each.at for each in optima]), inside, doublings)


class Lowest(NamedTuple):
    """Each draw's minimum.

    Attributes:
        where: (n,) its index on the grid.
        at: (n,) its position in octaves.
        interior: (n,) whether it lies within the region.
    """

    where: npt.NDArray[np.intp]
    at: Array
    interior: npt.NDArray[np.bool_]


def lowest(grid: Array, curves: Array, end: Array) -> Lowest:
    """Minima of the drawn curves, between the grid's values by parabolas.

    Args:
        grid: (G,) evenly spaced log2 values.
        curves: (G, n) drawn losses.
        end: (n,) where smooth curves end.
    """
    where = np.where(grid[:, None] <= end, curves, np.inf).argmin(axis=0)
    column = np.arange(len(where))
    middle = np.clip(where, 1, len(grid) - 2)
    interior = (where > 0) & (where < len(grid) - 1) & (grid[middle + 1] <= end)
    left, centre, right = (np.where(interior, curves[middle + step, column], 0) for step in (-1, 0, 1))
    bend = left - 2 * centre + right
    shift = np.divide(left - right, 2 * bend, out=np.zeros(len(where)), where=bend > 0)
    return Lowest(where, grid[where] + np.clip(shift, -1, 1) * (grid[1] - grid[0]), interior)


def uncontradicted(
    tables: Sequence[SeedMeans], grids: Sequence[Array], curves: Sequence[Array], ends: Array, errors: Sequence[Array]
) -> npt.NDArray[np.intp]:
    """Which draws to go on with: those with a minimum clearly below what the runs allow give way to others.

    A curve that is convex about its minimum lies above the chords through neighbouring means, extended beyond them. A
    draw counts with the curves of all sizes, so it is kept or replaced as a whole.

    Args:
        tables: seed means of each size, K of them.
        grids: (G,) log2 values of each size's curves.
        curves: (G, DRAWS) drawn losses of each size.
        ends: (K, DRAWS) where smooth curves end.
        errors: (m,) variances of each size's means where losses are lowest, nats squared.

    Returns:
        (DRAWS,) numbers of draws; those that were replaced occur twice or more.
    """
    worst = np.full(DRAWS, -math.inf)
    for table, grid, drawn, end, error in zip(tables, grids, curves, ends, errors, strict=True):
        where = np.where(grid[:, None] <= end, drawn, np.inf).argmin(axis=0)
        least = _lower_bound(table, grid, error)[where]
        worst = np.maximum(worst, (least - drawn[where, np.arange(DRAWS)]) / math.sqrt(error[table.mean.argmin()]))
    contradicted = worst > max(0.0, float(np.sort(worst)[round(_LEAST_KEPT * DRAWS)]))
    kept = np.arange(DRAWS)
    if contradicted.any():
        others = np.flatnonzero(~contradicted)
        number = int(contradicted.sum())
        # an even sample of the others takes their place
        kept[contradicted] = others[(np.arange(number) * len(others) // number) % len(others)]
    return kept


def _lower_bound(table: SeedMeans, grid: Array, error: Array) -> Array:
    """(G,) what a convex curve through the means cannot fall below, less what their errors can explain."""
    x, y = table.x, table.mean
    # noise grows with the height on scales that are logarithms
    steepness = 1 + (y - table.scale.floor) / table.scale.unit
    variance = error * np.maximum(steepness, 0.0) ** 2
    cell = np.clip(np.searchsorted(x, grid, side="right") - 1, 0, len(x) - 1)
    bound = np.full(len(grid), -math.inf)
    for near, far, opposite in ((cell, cell - 1, cell + 1), (cell + 1, cell + 2, cell)):
        usable = (np.minimum(near, far) >= 0) & (np.maximum(near, far) < len(x))
        i, j = np.where(usable, near, 0), np.where(usable, far, 1)
        # where means are not convex themselves, as on a flank that flattens, a chord bounds nothing
        k = np.clip(opposite, 0, len(x) - 1)
        usable &= (opposite >= len(x)) | (y[i] + (y[i] - y[j]) * (x[k] - x[i]) / (x[i] - x[j]) <= y[k])
        t = (grid - x[i]) / (x[i] - x[j])
        chord = y[i] + (y[i] - y[j]) * t - _CLEARLY * np.sqrt((1 + t) ** 2 * variance[i] + t**2 * variance[j])
        bound = np.maximum(bound, np.where(usable, chord, -math.inf))
    return bound


def _allot(evidence: Array, start: int, stop: int) -> list[tuple[Hypothesis, slice]]:
    """Share out the draws from start to stop among hypotheses in proportion to their evidence, by the handful."""
    weight = np.exp(evidence - evidence.max()).ravel()
    weight[weight < _NEGLIGIBLE] = 0
    handfuls = np.round(np.cumsum(weight / weight.sum()) * (stop - start) / _HANDFUL)
    bounds = np.minimum(start + _HANDFUL * handfuls.astype(int), stop)
    parts, first = [], start
    bounds[np.flatnonzero(weight)[-1]] = stop
    for index in np.flatnonzero(weight):
        if bounds[index] > first:
            parts.append(
                (Hypothesis(*(int(i) for i in np.unravel_index(index, evidence.shape))), slice(first, bounds[index]))
            )
            first = int(bounds[index])
    return parts


def _alignments(tables: Sequence[SeedMeans], doublings: Array | None) -> list[Array]:
    """Sizes may have their common shape at the same x, or at the same distance from an optimum that moves steadily."""
    still = np.zeros(len(tables))
    if doublings is None or len(tables) < 2:
        return [still]
    lowest = np.array([table.x[table.mean.argmin()] for table in tables])
    arm = doublings - doublings.mean()
    moving = arm * float(arm @ lowest / (arm @ arm))
    spacing = min(float(np.diff(table.x).min()) for table in tables)
    return [still, moving] if np.ptp(moving) > spacing else [still]


def _trend(doublings: Array | None) -> Array | None:
    """log2 sizes about their mean in units of their spread, what steady changes of the shape are proportional to."""
    if doublings is None or len(doublings) < 2:
        return None
    return np.asarray((doublings - doublings.mean()) / doublings.std())


def _grid(table: SeedMeans) -> Array:
    """Where curves are evaluated: eight values per spacing or more, from the first value to the last or the wall.

    On an even grid all values that were run are among them: next to a cliff the loss between them means little.
    """
    high = float(table.x[-1]) if table.wall is None else table.wall
    spacings = (high - table.x[0]) / np.diff(table.x).min()
    return np.linspace(table.x[0], high, round(min(max(8, math.ceil(48 / spacings)) * spacings, 128)) + 1)


def _break_off(table: SeedMeans, hypothesis: Break, grid: Array, curves: Array, part: slice, stream: int) -> Array:
    """End the drawn curves between the last value of the stretch and `until`; beyond they rise to the means.

    Returns:
        (n,) where the smooth curves end, inf where they run on.
    """
    if hypothesis.until is None:
        return np.full(part.stop - part.start, math.inf)
    last = float(hypothesis.stretch.x[-1])
    first = last - _EARLY_RISE * float(last - hypothesis.stretch.x[-2])
    end = first + (hypothesis.until - first) * wiener_process.uniform(stream)[part]
    # a rise that begins before the last value is too little to be seen there
    start = np.maximum(end, last)
    beyond = grid[:, None] > start
    if hypothesis.until in table.diverged:
        curves[:, part] = np.where(beyond, np.inf, curves[:, part])
        return np.asarray(end)
    known = table.flank_x >= hypothesis.until
    means = np.interp(grid, table.flank_x[known], table.flank_mean[known])
    at_end = curves[
        np.clip(np.searchsorted(grid, start, "right") - 1, 0, len(grid) - 1), np.arange(part.start, part.stop)
    ]
    way = np.clip((grid[:, None] - start) / np.maximum(hypothesis.until - start, 1e-12), 0, 1)
    curves[:, part] = np.where(beyond, at_end + way * (means[:, None] - at_end), curves[:, part])
    return np.asarray(end)
