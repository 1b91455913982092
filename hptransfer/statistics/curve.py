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

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.seed_means import SeedMeans
from hptransfer.statistics.sensitivity import octave_off
from hptransfer.statistics.sizes_fit import SizesFit, lowest
from hptransfer.statistics.wiener_process import DRAWS

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
        correlation: probabilities of how alike noise is at neighbouring values (`tilt.SeedNoise`); None: independent.
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
    correlation: Array | None = None

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
    return fit_curves(tables, doublings=doublings, noise=noise).draws(at)


@dataclass(frozen=True, slots=True)
class FittedCurves:
    """All sizes fitted together, before it is known which value's loss is wanted.

    Attributes:
        number: how many sizes there are, those without a curve included.
        usable: which of them have a curve.
        fit: of these together; None where no size has a curve.
    """

    number: int
    usable: tuple[int, ...]
    fit: SizesFit | None

    def draws(self, at: float | None = None, *, ordered: bool = True) -> tuple[CurveDraws | None, ...]:
        """Draws per size, `None` for sizes that have no curve.

        Args:
            at: log2 value whose loss is wanted as well.
            ordered: whether optima may move steadily with size; otherwise the draws are those of a fit without
                `doublings`.
        """
        if self.fit is None:
            return (None,) * self.number
        drawn = self.fit.draw(ordered=ordered)
        found = {
            index: _summary(
                self.fit.tables[size],
                self.fit.grids[size],
                drawn.curves[size],
                drawn.ends[size],
                float(drawn.deviations[size]),
                self.fit.effects[size],
                at,
                None if self.fit.tables[size].runs.dense else self.fit.seeds.correlation,
            )
            for size, index in enumerate(self.usable)
        }
        return tuple(found.get(index) for index in range(self.number))


def fit_curves(
    tables: Sequence[SeedMeans], *, doublings: Sequence[float] | None = None, noise: float | None = None
) -> FittedCurves:
    """Fit all sizes together; `sample_curves` draws from this fit.

    Args:
        tables: seed means of each size, in any order.
        doublings: log2 of the sizes, for optima that move steadily with size.
        noise: standard deviation of one run in nats where it is known from elsewhere.
    """
    wide = [np.ptp(table.x) >= _NARROWEST for table in tables]
    usable = [index for index, table in enumerate(tables) if len(table.x) >= 3 and wide[index]]
    if len(usable) >= _ENOUGH_CURVES:
        pairs = [n for n, table in enumerate(tables) if len(table.x) == 2 and wide[n] and table.wall is not None]
        usable = sorted(usable + pairs)
    where = None if doublings is None else np.array([doublings[index] for index in usable])
    fit = SizesFit.of([tables[index] for index in usable], where, noise) if usable else None
    return FittedCurves(len(tables), tuple(usable), fit)


#: sizes whose curves show how much another one bends that has two values
_ENOUGH_CURVES = 2
#: octaves that values must span to show a curve
_NARROWEST = 0.01


def _summary(
    table: SeedMeans,
    grid: Array,
    curves: Array,
    end: Array,
    noise: float,
    seed_effect: Array,
    at: float | None,
    correlation: Array | None,
) -> CurveDraws:
    found = lowest(grid, curves, end)
    where, column, optimum = found.where, np.arange(DRAWS), found.at
    lost = _loss_at(table, at, grid, curves)
    median = np.median(curves, axis=1)
    pull = _pull(table, grid, median, float(optimum.std()))
    return CurveDraws(
        optimum=optimum,
        abrupt=np.where(
            found.interior,
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
        correlation=correlation,
    )


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
