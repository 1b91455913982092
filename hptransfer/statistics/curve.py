"""The loss curves of all sizes as a posterior: curves compatible with the seed means, and where their minima lie.

A curve is smooth up to some value and may then break off: beyond it losses follow no smooth continuation, or training
diverges. Where it breaks off, how rough it is, how its flanks are compressed and how much sizes have in common is
averaged over, weighted by marginal likelihood. So clean parabolas get the interval of a parabola fit, and a cliff
widens it. Up to there every drawn curve has one `valley`: it is convex at its bottom, unless runs say otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.joint import Hypothesis, JointFit
from hptransfer.statistics.noise import pooled_noise, seed_effect_std
from hptransfer.statistics.seed_means import SeedMeans
from hptransfer.statistics.sensitivity import octave_off
from hptransfer.statistics.stability_edge import Break, breaks_of
from hptransfer.statistics.tilt import SeedNoise, seed_noise
from hptransfer.statistics.valley import one_valley
from hptransfer.statistics.wiener_process import DRAWS

#: hypotheses this much less likely than the best are left out
_NEGLIGIBLE = 0.02
#: hypotheses are drawn from in multiples of this many draws; those that are owed less take turns
_HANDFUL = 16
#: a curve that breaks off may begin to rise this share of a spacing before its last value, too little to be seen there
_EARLY_RISE = 0.25
#: how far an abrupt change between unlike flanks displaces the minimum of a smooth curve, in standard errors of it
_ABRUPT = 2.5
#: and at least, in spacings
_ABRUPT_SPACINGS = 0.125
#: the bend of a flank is seen over this many standard errors of the optimum, and over at least so many spacings
_REACH = 6.0
_LEAST_REACH = 2.0


@dataclass(frozen=True, slots=True)
class CurveDraws:
    """Draws from the posterior of one size's loss curve; the same draw of different sizes belongs together.

    Attributes:
        optimum: (DRAWS,) log2 position of each drawn curve's minimum within the region that was sampled.
        abrupt: (DRAWS,) the same where flanks meet abruptly: of all sizes alike, so the drift's interval stays.
        below: (DRAWS,) the minimum lies on the region's low end, so the optimum is at most that.
        above: (DRAWS,) it lies on the high end and no divergence bounds it from there.
        loss: (DRAWS,) loss at the minimum, nats, for these seeds.
        seed_effect: (DRAWS,) what other seeds would add to all losses of this size, nats, about zero.
        typical: (DRAWS,) loss where the median of the drawn curves is lowest: at least `loss`.
        at: (DRAWS,) loss at the value that was asked for; nan outside the region, inf beyond a divergence.
        octave_off: (DRAWS,) what the worse of half and twice the optimum costs, nats; nan: not reached, inf: diverges.
        noise: standard deviation of one run, nats.
        low: low end of the region.
        high: high end of the region: the largest value, or the first that diverged.
        grid: (G,) log2 of the hyperparameter, evenly spaced over the region.
        median: (G,) median of the drawn curves, nats; inf beyond a divergence.
        curves: (G, DRAWS) the drawn curves themselves, nats; inf beyond a divergence.
        walled: the region ends above at a divergence or a jump, so that what lies beyond is known to be no good.
    """

    optimum: Array
    abrupt: Array
    below: npt.NDArray[np.bool_]
    above: npt.NDArray[np.bool_]
    loss: Array
    seed_effect: Array
    typical: Array
    at: Array
    octave_off: Array
    noise: float
    low: float
    high: float
    grid: Array
    median: Array
    curves: Array = field(repr=False)
    walled: bool = False

    def lost_off(self, off: Array) -> tuple[Array, Array]:
        """What being off the optimum costs, draw by draw: (least, most).

        Args:
            off: (DRAWS,) octaves above each draw's own optimum.

        Returns:
            (DRAWS,) losses above the minimum, twice. Beyond the sampled region the cost is at least that at the
            region's end, and nothing bounds it from above; beyond a wall it is infinite.
        """
        x = self.optimum + off
        place = np.clip((x - self.low) / (self.grid[1] - self.grid[0]), 0, len(self.grid) - 1)
        cell = np.minimum(place.astype(np.intp), len(self.grid) - 2)
        column, share = np.arange(self.curves.shape[1]), place - cell
        left, right = self.curves[cell, column], self.curves[cell + 1, column]
        with np.errstate(invalid="ignore"):
            value = np.where(share == 0, left, np.where(share == 1, right, (1 - share) * left + share * right))
        seen = np.maximum(value - self.loss, 0.0)
        above = x > self.high
        least = np.where(above, math.inf, seen) if self.walled else seen
        return least, np.where(above | (x < self.low), math.inf, least)


def sample_curves(
    tables: Sequence[SeedMeans],
    *,
    doublings: Sequence[float] | None = None,
    at: float | None = None,
    noise: float | None = None,
) -> tuple[CurveDraws | None, ...]:
    """Fit all sizes together and draw their curves.

    Args:
        tables: seed means of each size, K of them, in any order.
        doublings: log2 of the sizes, for optima that move steadily with size.
        at: log2 value whose loss is wanted as well.
        noise: standard deviation of one run in nats where it is known from elsewhere.

    Returns:
        Draws per size, `None` for sizes that have no curve: with fewer than three values, or all but the same ones. Two
        values below a wall have the bend of the other sizes, where these are enough.
    """
    wide = [np.ptp(table.x) >= _NARROWEST for table in tables]
    usable = [index for index, table in enumerate(tables) if len(table.x) >= 3 and wide[index]]
    if len(usable) >= _ENOUGH_CURVES:
        pairs = [n for n, table in enumerate(tables) if len(table.x) == 2 and wide[n] and table.wall is not None]
        usable = sorted(usable + pairs)
    if not usable:
        return (None,) * len(tables)
    chosen = [tables[index] for index in usable]
    where = None if doublings is None else np.array([doublings[index] for index in usable])
    drawn = dict(zip(usable, _draw(chosen, where, at, noise), strict=True))
    return tuple(drawn.get(index) for index in range(len(tables)))


def _draw(
    tables: Sequence[SeedMeans], doublings: Array | None, at: float | None, noise: float | None
) -> list[CurveDraws]:
    factors = np.array([table.scale.factor for table in tables])
    if all(math.isinf(table.scale.unit) for table in tables):
        # also where sizes were averaged one by one
        factors = np.full(len(tables), float(np.exp(np.log(factors).mean())))
    fitted = [table.in_units(factor) for table, factor in zip(tables, factors, strict=True)]
    given = None if noise is None else noise * factors
    seeds = seed_noise([table.runs for table in fitted], given)
    known = pooled_noise(fitted, given, seeds=seeds)
    grids = [_grid(table) for table in tables]
    fits = [
        (
            share,
            breaks,
            JointFit([b.stretch for b in breaks], known, seeds, _alignments(tables, doublings), _trend(doublings)),
        )
        for share, breaks in breaks_of(fitted, known, seeds)
    ]
    if not seeds.compared and doublings is not None:
        seeds = _scattered(seeds, tables, _curves(tables, factors, fits, grids, np.zeros(DRAWS)), grids, doublings)
    curves, ends, spread = _curves(tables, factors, fits, grids, seeds.spread())
    deviations = np.sqrt(np.mean(spread**2, axis=1)) / factors
    bend = float(np.average([fit.bends[0] for _, _, fit in fits], weights=[share for share, _, _ in fits]))
    errors = [
        deviation**2 * np.diag(of_noise) + (bend / factor) ** 2 * np.diag(of_tilts)
        for deviation, factor, (of_noise, of_tilts) in zip(
            deviations, factors, (seeds.alone(size, len(table.x)) for size, table in enumerate(tables)), strict=True
        )
    ]
    kept = uncontradicted(tables, grids, curves, ends, errors)
    seed_effects = (seed_effect_std(fitted, known) / factors)[:, None] * wiener_process.normal(70, len(tables))
    return [
        _summary(
            table,
            grids[size],
            curves[size][:, kept],
            ends[size, kept],
            float(deviations[size]),
            seed_effects[size],
            at,
        )
        for size, table in enumerate(tables)
    ]


def _curves(
    tables: Sequence[SeedMeans],
    factors: Array,
    fits: Sequence[tuple[float, tuple[Break, ...], JointFit]],
    grids: Sequence[Array],
    displaced: Array,
) -> tuple[list[Array], Array, Array]:
    """Draws of each size's curve (G, DRAWS), where they end (K, DRAWS), and one run's deviation (K, DRAWS), in units.

    Args:
        tables: seed means of each size.
        factors: (K,) units per nat of each size.
        fits: shares of the draws, with the breaks and the joint fit that they come from.
        grids: where curves are evaluated.
        displaced: (DRAWS,) standard deviations in octaves of what a seed displaces its optimum by.
    """
    curves = [np.empty((len(grid), DRAWS)) for grid in grids]
    ends = np.full((len(tables), DRAWS), math.inf)
    spread = np.empty((len(tables), DRAWS))
    start = 0
    for number, (share, breaks, fit) in enumerate(fits):
        stop = DRAWS if number == len(fits) - 1 else min(DRAWS, start + round(share * DRAWS))
        for cell, part in _allot(fit.evidence, start, stop):
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
    optima = [_lowest(grid, curves, end) for grid, curves, end in zip(grids, drawn[0], drawn[1], strict=True)]
    inside = np.array([0 < table.mean.argmin() < len(table.x) - 1 for table in tables])
    return seeds.scattered(np.stack([each.at for each in optima]), inside, doublings)


#: sizes whose curves show how much another one bends that has two values
_ENOUGH_CURVES = 2
#: octaves that values must span to show a curve
_NARROWEST = 0.01
#: a drawn curve is contradicted where it lies below what chords allow by more than this many standard errors
_CLEARLY = 3.0
#: at least this share of the draws is kept, those that are contradicted least
_LEAST_KEPT = 0.1


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


def _summary(
    table: SeedMeans, grid: Array, curves: Array, end: Array, noise: float, seed_effect: Array, at: float | None
) -> CurveDraws:
    lowest = _lowest(grid, curves, end)
    where, column, optimum = lowest.where, np.arange(DRAWS), lowest.at
    lost = _loss_at(table, at, grid, curves)
    median = np.median(curves, axis=1)
    pull = _pull(table, grid, median, float(optimum.std()))
    return CurveDraws(
        optimum=optimum,
        abrupt=np.where(
            lowest.interior,
            np.clip(optimum + pull * np.abs(wiener_process.normal(80, 1)[0]), grid[0], grid[-1]),
            optimum,
        ),
        below=where == 0,
        above=(where == len(grid) - 1) & (table.wall is None),
        loss=np.fmin(curves[where, column], lost),
        seed_effect=seed_effect,
        typical=curves[int(median.argmin())],
        at=lost,
        octave_off=octave_off(grid, curves, where, beyond=_beyond(table)),
        noise=noise,
        low=float(grid[0]),
        high=float(grid[-1]),
        grid=grid,
        median=median,
        curves=curves,
        walled=table.wall is not None,
    )


class _Lowest(NamedTuple):
    """Each draw's minimum: index on the grid, position in octaves, and whether it lies within the region."""

    where: npt.NDArray[np.intp]
    at: Array
    interior: npt.NDArray[np.bool_]


def _lowest(grid: Array, curves: Array, end: Array) -> _Lowest:
    """Minima of the drawn curves, between the grid's values by parabolas."""
    where = np.where(grid[:, None] <= end, curves, np.inf).argmin(axis=0)
    column = np.arange(len(where))
    middle = np.clip(where, 1, len(grid) - 2)
    interior = (where > 0) & (where < len(grid) - 1) & (grid[middle + 1] <= end)
    left, centre, right = (np.where(interior, curves[middle + step, column], 0) for step in (-1, 0, 1))
    bend = left - 2 * centre + right
    shift = np.divide(left - right, 2 * bend, out=np.zeros(len(where)), where=bend > 0)
    return _Lowest(where, grid[where] + np.clip(shift, -1, 1) * (grid[1] - grid[0]), interior)


def _beyond(table: SeedMeans) -> float:
    """Loss beyond the region: infinite at a divergence, the mean at a jump, nan where nothing was run."""
    if table.wall is None:
        return math.nan
    return math.inf if table.wall in table.diverged else float(table.flank_mean[table.flank_x == table.wall][0])


def _pull(table: SeedMeans, grid: Array, median: Array, error: float) -> float:
    """How far towards the steeper flank the optimum may lie from where smooth curves have it, octaves, with its sign.

    A smooth curve averages its bend over a stretch that is wider the larger the noise. Where the right flank bends more
    than the left, the change may be abrupt and lie at the optimum itself, as where stability ends; smooth curves then
    have their minimum too far on the flatter side, by about their own error times the difference of the flanks. The
    bend of each flank is measured over the stretch that such errors come from.
    """
    finite = np.isfinite(median)
    x, y = grid[finite], median[finite]
    centre = float(x[y.argmin()])
    near = int(np.clip(np.searchsorted(table.x, centre), 1, len(table.x) - 1))
    spacing = float(table.x[near] - table.x[near - 1])
    far = max(_LEAST_REACH * spacing, _REACH * error)
    reach = [min(far, centre - float(x[0])), min(far, float(x[-1]) - centre)]
    if min(reach) < spacing:
        return 0.0
    left, right = (
        float(np.interp(centre + d, x, y) - 2 * np.interp(centre + d / 2, x, y) + y.min()) / d**2
        for d in (-reach[0], reach[1])
    )
    if min(left, right) <= 0:
        return 0.0
    return (right - left) / (right + left) * math.hypot(_ABRUPT * error, _ABRUPT_SPACINGS * spacing)


def _loss_at(table: SeedMeans, at: float | None, grid: Array, curves: Array) -> Array:
    """(DRAWS,) losses at one value: from the curve, beyond it from the means; nan where nothing was run."""
    if at is None or at < table.flank_x[0] or at > max(grid[-1], table.flank_x[-1]):
        return np.full(DRAWS, np.nan)
    if grid[0] <= at <= grid[-1]:
        cell = min(int(np.searchsorted(grid, at, side="right")) - 1, len(grid) - 2)
        share = (at - grid[cell]) / (grid[cell + 1] - grid[cell])
        if min(share, 1 - share) < 1e-9:  # on a node; its neighbour may be infinite
            return np.asarray(curves[cell + round(share)])
        return np.asarray((1 - share) * curves[cell] + share * curves[cell + 1])
    # far flanks inform no curve; the chord between neighbouring means bounds a convex flank from above
    return np.full(DRAWS, float(np.interp(at, table.flank_x, table.flank_mean)))
