"""The loss curve of one size as a posterior: the curves compatible with the seed means, and where their minima lie.

A curve is smooth up to some value and may then break off: beyond it losses follow no smooth continuation, or training
diverges. Where it breaks off, how rough it is and how its flanks are compressed is averaged over, weighted by
marginal likelihood. So clean parabolas get the interval of a parabola fit, and a cliff widens it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.evidence import process
from hptransfer.evidence.points import SeedMeans
from hptransfer.evidence.process import DRAWS
from hptransfer.evidence.smooth import SHAPE, Cell, SmoothStretch, Units

Array = npt.NDArray[np.float64]

#: how much of each other size's evidence about roughness and breaks a size takes over
_SHARING = 0.3
#: seed noise before any data: 0.2% of the loss, worth this many degrees of freedom
_NOISE_PRIOR = 0.002
_NOISE_PRIOR_DF = 2.0
#: prior probability that a curve breaks off within the values that trained
_BREAKS = 0.3
#: most places at which a break is considered
_MOST_BREAKS = 12


@dataclass(frozen=True, slots=True)
class CurveDraws:
    """Draws from the posterior of one size's loss curve.

    Attributes:
        optimum: (DRAWS,) log2 position of each drawn curve's minimum within the region that was sampled.
        below: (DRAWS,) the minimum lies on the region's low end, so the optimum is at most that.
        above: (DRAWS,) it lies on the high end and no divergence bounds it from there.
        loss: (DRAWS,) loss at the minimum, nats.
        at: (DRAWS,) loss at the value that was asked for; nan outside the region, inf beyond a divergence.
        noise: standard deviation of one run, nats.
        low: low end of the region.
        high: high end of the region: the largest value, or the first that diverged.
        grid: (G,) log2 values.
        median: (G,) median of the drawn curves, nats; inf beyond a divergence.
    """

    optimum: Array
    below: npt.NDArray[np.bool_]
    above: npt.NDArray[np.bool_]
    loss: Array
    at: Array
    noise: float
    low: float
    high: float
    grid: Array
    median: Array


def _log_normal(y: Array, covariance: Array) -> float:
    """Log density of a centred normal."""
    return float(-0.5 * (y @ np.linalg.solve(covariance, y) + np.linalg.slogdet(2 * math.pi * covariance)[1]))


@dataclass(frozen=True, slots=True)
class _Break:
    """The hypothesis that the curve is smooth on `stretch` and ends between its last value and `until`."""

    stretch: SmoothStretch
    until: float | None
    log_prior: float


def draw_curves(
    tables: Sequence[SeedMeans], *, at: float | None = None, noise: float | None = None
) -> tuple[CurveDraws | None, ...]:
    """Fit all sizes together (they share what is known about noise and roughness) and draw curves for each.

    Args:
        tables: one per size.
        at: log2 value whose loss is wanted as well.
        noise: standard deviation of one run in nats where it is known from elsewhere.

    Returns:
        Draws per size, `None` for sizes with fewer than three values, which have no curve.
    """
    prior = _noise_prior(tables, noise)
    fits = [_Fit(table, prior) if len(table.x) >= 3 else None for table in tables]
    total = np.stack([np.zeros((2, *SHAPE)), *(fit.common for fit in fits if fit is not None)]).sum(axis=0)
    return tuple(
        None if fit is None else fit.draw(_SHARING * (total - fit.common), at, stream)
        for stream, fit in enumerate(fits)
    )


def _noise_prior(tables: Sequence[SeedMeans], noise: float | None) -> tuple[float, float]:
    """(variance, degrees of freedom) every size starts from: a weak prior, or all sizes' seeds pooled."""
    if noise is not None:
        return noise**2, 1e4
    best = min(float(table.mean.min()) for table in tables)
    prior = (_NOISE_PRIOR * best) ** 2
    df = sum(table.residual_df for table in tables)
    if df:
        prior = (sum(t.residual_ss for t in tables) + _NOISE_PRIOR_DF * prior) / (df + _NOISE_PRIOR_DF)
    return prior, _NOISE_PRIOR_DF


class _Fit:
    """All hypotheses about one size's curve."""

    def __init__(self, table: SeedMeans, prior: tuple[float, float]) -> None:
        self.table = table
        excess = table.mean - table.mean.min()
        typical = float(np.median(excess[excess > 0])) if (excess > 0).any() else abs(float(table.mean[0])) or 1.0
        self.units = Units(float(table.mean.min()), typical)
        ss = table.residual_ss + prior[0] * prior[1] + 1e-20 * self.units.floor**2
        self.noise = (ss, table.residual_df + prior[1])
        self.breaks = self._breaks()
        # evidence has the shape breaks x compressions x orders x roughness
        self.evidence = np.stack([b.stretch.evidence + b.log_prior for b in self.breaks])
        log_early: Array = self.evidence[1:] if len(self.breaks) > 1 else self.evidence
        early = np.asarray(np.logaddexp.reduce(log_early, axis=0))
        #: evidence on what sizes have in common: (runs to the end or breaks off, compression, order, roughness)
        self.common = np.stack([self.evidence[0], early])

    def _breaks(self) -> list[_Break]:
        """The curve may end at the last value (or run on, where nothing diverged), or at an earlier one."""
        table, m = self.table, len(self.table.x)
        best = int(table.mean.argmin())
        early = list(range(max(3, best), m))[:_MOST_BREAKS]
        breaks = [_Break(self._stretch(m), table.wall, math.log(1 - _BREAKS))]
        for stop in early:
            log_prior = math.log(_BREAKS / len(early)) + self._log_rise(stop)
            if math.isfinite(log_prior):
                breaks.append(_Break(self._stretch(stop), float(table.x[stop]), log_prior))
        return breaks

    def _stretch(self, stop: int) -> SmoothStretch:
        table = self.table
        return SmoothStretch(table.x[:stop], table.mean[:stop], table.count[:stop], self.units, self.noise)

    def _log_rise(self, stop: int) -> float:
        """Log density of the means from `stop` on, beyond a break: either another curve, or merely higher losses."""
        rise = self.table.mean[stop:] - self.table.mean[:stop].min()
        if (rise < 0).any():
            return -math.inf
        scale = self.units.excess
        anyhow = float(np.log(2 / math.pi * scale / (scale**2 + rise**2)).sum())
        return float(np.logaddexp(anyhow, self._log_curve(stop, rise)) - math.log(2))

    def _log_curve(self, stop: int, rise: Array) -> float:
        """Log density of a flank that is a rough line of any height and slope."""
        u = self.table.x[stop:] - self.table.x[stop]
        noise = self.noise[0] / self.noise[1]
        level, slope = max(float(rise[0]) ** 2, noise), max(float(rise.max()) ** 2, noise)
        rough = process.covariance(2, u[:, None], u[None])
        steady = np.diag(noise / self.table.count[stop:]) + level + slope * np.outer(u, u)
        densities = [_log_normal(rise, steady + share * slope * rough) for share in (0.001, 0.1)]
        return float(np.logaddexp(*densities) - math.log(2))

    def draw(self, shared: Array, at: float | None, stream: int) -> CurveDraws:
        """Draw curves with the hypotheses weighted by their evidence and by what other sizes say of smoothness."""
        log_weight = self.evidence + shared[[0] + [1] * (len(self.breaks) - 1)]
        weight = np.exp(log_weight - log_weight.max()).ravel()
        weight[weight < 1e-3 * weight.max()] = 0
        share = np.diff(np.round(np.cumsum(weight / weight.sum()) * DRAWS), prepend=0).astype(int)
        grid = self._grid()
        curves, noise, end = np.empty((len(grid), DRAWS)), np.empty(DRAWS), np.empty(DRAWS)
        start = 0
        for index in np.flatnonzero(share):
            which, *cell = (int(i) for i in np.unravel_index(index, log_weight.shape))
            part = slice(start, start + share[index])
            start += share[index]
            hypothesis = self.breaks[which]
            curves[:, part], noise[part] = hypothesis.stretch.draw(Cell(*cell), grid, part, stream)
            end[part] = self._break_off(hypothesis, grid, curves, part, stream)
        return self._summary(grid, curves, end, float(np.sqrt(np.mean(noise**2))), at)

    def _grid(self) -> Array:
        """Where curves are evaluated: about eight values per spacing, from the first value to the last or the wall."""
        x, wall = self.table.x, self.table.wall
        high = float(x[-1]) if wall is None else wall
        return np.linspace(x[0], high, int(np.clip(8 * (high - x[0]) / np.diff(x).min(), 48, 128)) + 1)

    def _break_off(self, hypothesis: _Break, grid: Array, curves: Array, part: slice, stream: int) -> Array:
        """End the drawn curves between the last value of the stretch and `until`; beyond they rise to the means."""
        if hypothesis.until is None:
            return np.full(part.stop - part.start, math.inf)
        last = float(hypothesis.stretch.x[-1])
        end = last + (hypothesis.until - last) * process.uniform(stream)[part]
        beyond = grid[:, None] > end
        stop = len(hypothesis.stretch.x)
        if stop == len(self.table.x):
            curves[:, part] = np.where(beyond, np.inf, curves[:, part])
            return np.asarray(end)
        means = np.interp(grid, self.table.x[stop:], self.table.mean[stop:])
        at_end = curves[np.clip(np.searchsorted(grid, end) - 1, 0, len(grid) - 1), np.arange(part.start, part.stop)]
        way = np.clip((grid[:, None] - end) / np.maximum(hypothesis.until - end, 1e-12), 0, 1)
        curves[:, part] = np.where(beyond, at_end + way * (means[:, None] - at_end), curves[:, part])
        return np.asarray(end)

    def _summary(self, grid: Array, curves: Array, end: Array, noise: float, at: float | None) -> CurveDraws:
        where = np.where(grid[:, None] <= end, curves, np.inf).argmin(axis=0)
        column = np.arange(DRAWS)
        middle = np.clip(where, 1, len(grid) - 2)
        left, centre, right = (curves[middle + step, column] for step in (-1, 0, 1))
        interior = (where > 0) & (where < len(grid) - 1) & (grid[middle + 1] <= end)
        bend = np.where(interior, left - 2 * centre + right, 0)
        shift = np.divide(left - right, 2 * bend, out=np.zeros(DRAWS), where=bend > 0)
        minimum = curves[where, column]
        lost = self._loss_at(at, grid, curves)
        return CurveDraws(
            optimum=grid[where] + np.clip(shift, -1, 1) * (grid[1] - grid[0]),
            below=where == 0,
            above=(where == len(grid) - 1) & (self.table.wall is None),
            loss=np.fmin(minimum, lost),
            at=lost,
            noise=noise,
            low=float(grid[0]),
            high=float(grid[-1]),
            grid=grid,
            median=np.median(curves, axis=1),
        )

    def _loss_at(self, at: float | None, grid: Array, curves: Array) -> Array:
        """(DRAWS,) losses at one value: from the curve, beyond it from the means; nan where nothing was run."""
        table = self.table
        if at is None or at < table.flank_x[0] or at > max(grid[-1], table.flank_x[-1]):
            return np.full(DRAWS, np.nan)
        if grid[0] <= at <= grid[-1]:
            cell = min(int(np.searchsorted(grid, at, side="right")) - 1, len(grid) - 2)
            share = (at - grid[cell]) / (grid[cell + 1] - grid[cell])
            return np.asarray(curves[cell] if share == 0 else (1 - share) * curves[cell] + share * curves[cell + 1])
        # far flanks inform no curve; the chord between neighbouring means bounds a convex flank from above
        return np.full(DRAWS, float(np.interp(at, table.flank_x, table.flank_mean)))
