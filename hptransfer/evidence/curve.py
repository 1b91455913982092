"""The loss curve of one size as a posterior: the curves compatible with the seed means, and where their minima lie.

Model: near its minimum the loss is a parabola in x = log2(hyperparameter) plus a rough remainder, an integrated
Wiener process of order 2 or 3 (a smoothing spline; order 2 allows kinks), seen through noise. How rough, and whether
losses should be compressed first because one flank is a wall, is not chosen but averaged over, weighted by restricted
marginal likelihood. So a clean parabola gives the interval of a parabola fit, and a cliff widens it.
References: Wahba, "Spline models for observational data" (1990), ch. 1; Kimeldorf and Wahba (1970) for the process;
Journel and Huijbregts (1978) for drawing from the posterior by conditioning prior draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hptransfer.evidence.points import SeedMeans

Array = npt.NDArray[np.float64]

#: draws per posterior; quantiles at 2.5% are then good to about 4% of a standard deviation
DRAWS = 1024
#: squared roughness over squared noise, per octave to the power of the process
_ROUGHNESS = 10.0 ** np.arange(-3.0, 9.1, 0.75)
#: prior weight of the process orders: order 3 prefers parabolas, order 2 allows kinks
_ORDERS = {3: 0.7, 2: 0.3}
#: losses above the best are compressed beyond this many median excesses; infinity leaves them as they are
_COMPRESSIONS = {math.inf: 0.5, 3.0: 0.25, 0.3: 0.25}
#: spread (decades) of the prior of roughness around the parabola's own scale
_ROUGHNESS_DECADES = 2.0
#: how much of the other sizes' evidence about roughness a size takes over
_SHARING = 0.5
#: seed noise before any data: 0.2% of the loss, worth this many degrees of freedom
_NOISE_PRIOR = 0.002
_NOISE_PRIOR_DF = 2.0


@dataclass(frozen=True, slots=True)
class CurveDraws:
    """Draws from the posterior of one size's loss curve.

    Attributes:
        optimum: (DRAWS,) log2 position of each drawn curve's minimum within the region that was sampled.
        below: (DRAWS,) the minimum lies on the region's low end, so the optimum is at most that.
        above: (DRAWS,) it lies on the high end and no divergence bounds it from there.
        loss: (DRAWS,) loss at the minimum, nats.
        at: (DRAWS,) loss at the value that was asked for; nan outside the region.
        noise: standard deviation of one run, nats.
        low: low end of the region.
        high: high end of the region: the largest value, or the wall.
        grid: (G,) log2 values.
        median: (G,) median of the drawn curves, nats.
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
    fits = [_Fit(table, _noise_prior(tables, noise)) if len(table.x) >= 3 else None for table in tables]
    usable = [fit.evidence for fit in fits if fit is not None]
    total = np.sum(usable, axis=0) if usable else np.zeros(0)
    shared = _SHARING / max(1.0, len(usable) - 1)
    return tuple(
        None if fit is None else fit.draw(fit.evidence + shared * (total - fit.evidence), at, stream)
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


def _kernel(order: int, s: Array, t: Array) -> Array:
    """Covariance at s, t >= 0 of the process whose derivative of this order is white noise."""
    a, d = np.minimum(s, t), np.abs(s - t)
    if order == 2:
        return np.asarray(a**3 / 3 + d * a**2 / 2)
    return np.asarray((a**5 / 5 + d * a**4 / 2 + d * d * a**3 / 3) / 4)


def _basis(x: Array, centre: float) -> Array:
    """(len(x), 3) columns 1, x, x^2 around `centre`."""
    u = x - centre
    return np.stack([np.ones_like(u), u, u * u], axis=1)


class _Fit:
    """Restricted marginal likelihoods of all hypotheses for one table, and draws under any weighting of them."""

    def __init__(self, table: SeedMeans, prior: tuple[float, float]) -> None:
        self.table = table
        x, m = table.x, len(table.x)
        self.floor = float(table.mean.min())
        excess = table.mean - self.floor
        unit = float(np.median(excess[excess > 0])) if (excess > 0).any() else 1.0
        self.scales = [c * unit for c in _COMPRESSIONS]
        variance, df = prior
        self.df = m - 3 + table.residual_df + df
        self.ss = table.residual_ss + df * variance + 1e-20 * self.floor**2
        self.basis = _basis(x, float(x.mean()))
        self.solved: list[tuple[Array, Array, Array]] = []
        rows = []
        for order in _ORDERS:
            rows.append(self._order(order, x - x[0]))
        # both have the shape compressions x orders x roughness
        evidence, self.sums = (np.stack([row[i] for row in rows], axis=1) for i in (0, 1))
        guess = (self.ss / max(1.0, table.residual_df + df), 0.5 * self._curvature())
        centre = math.log10(max(guess[1] ** 2 / guess[0], 1e-3))
        prior_roughness = -0.5 * ((np.log10(_ROUGHNESS) - centre) / _ROUGHNESS_DECADES) ** 2
        weights = np.log(np.outer(list(_COMPRESSIONS.values()), list(_ORDERS.values())))
        self.evidence = evidence + prior_roughness + weights[:, :, None]

    def _curvature(self) -> float:
        """Least-squares curvature, nats per octave squared."""
        beta, *_ = np.linalg.lstsq(self.basis, self.table.mean, rcond=None)
        return abs(float(beta[2]))

    def _order(self, order: int, u: Array) -> tuple[Array, Array]:
        """Log evidence and sums of squares, both (compressions, roughness), for one process order."""
        basis = self.basis
        covariance = np.diag(1 / self.table.count) + _ROUGHNESS[:, None, None] * _kernel(order, u[:, None], u[None])
        inverse = np.asarray(np.linalg.inv(covariance), dtype=float)
        gram = basis.T @ inverse @ basis
        gram_inverse = np.asarray(np.linalg.inv(gram), dtype=float)
        projected = np.asarray(inverse - inverse @ basis @ gram_inverse @ basis.T @ inverse, dtype=float)
        logdet = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(gram)[1]
        self.solved.append((inverse, gram_inverse, projected))
        z = np.stack([self._compress(self.table.mean, scale) for scale in self.scales])
        q = np.maximum(np.einsum("ci,lij,cj->cl", z, projected, z), 0) + self.ss
        jacobian = [0.0 if math.isinf(c) else -np.log1p((self.table.mean - self.floor) / c).sum() for c in self.scales]
        return -0.5 * logdet - 0.5 * self.df * np.log(q) + np.array(jacobian)[:, None], q

    def _compress(self, y: Array, scale: float) -> Array:
        return y - self.floor if math.isinf(scale) else scale * np.log1p((y - self.floor) / scale)

    def _expand(self, z: Array, scale: float) -> Array:
        return self.floor + (z if math.isinf(scale) else scale * np.expm1(np.clip(z / scale, -30, 30)))

    def draw(self, log_weight: Array, at: float | None, stream: int) -> CurveDraws:
        """Draw curves with the hypotheses weighted by `log_weight`, in random stream `stream`."""
        weight = np.exp(log_weight - log_weight.max()).ravel()
        weight[weight < 1e-3 * weight.max()] = 0
        share = np.diff(np.round(np.cumsum(weight / weight.sum()) * DRAWS), prepend=0).astype(int)
        grid = self._grid()
        chi2, error = _noise_numbers(stream, len(self.table.x), round(self.df, 6))
        curves = np.empty((len(grid), DRAWS))
        noise = np.empty(DRAWS)
        start = 0
        for cell in np.flatnonzero(share):
            compression, order, level = (int(i) for i in np.unravel_index(cell, log_weight.shape))
            part = slice(start, start + share[cell])
            start += share[cell]
            noise[part] = np.sqrt(self.sums[compression, order, level] / chi2[part])
            z = self._conditioned((compression, order, level), grid, error[:, part], noise[part], stream, part)
            curves[:, part] = self._expand(z, self.scales[compression])
        return self._summary(grid, curves, float(np.sqrt(np.mean(noise**2))), at)

    def _grid(self) -> Array:
        """Where curves are evaluated: about eight values per spacing, from the first value to the last or the wall."""
        x, wall = self.table.x, self.table.wall
        high = float(x[-1]) if wall is None else wall
        return np.linspace(x[0], high, int(np.clip(8 * (high - x[0]) / np.diff(x).min(), 48, 128)) + 1)

    def _conditioned(
        self, cell: tuple[int, int, int], grid: Array, error: Array, noise: Array, stream: int, part: slice
    ) -> Array:
        """Draws of the compressed curve on `grid` given the means: prior draws plus the kriged residual."""
        compression, order, level = cell
        x, m = self.table.x, len(self.table.x)
        rough = math.sqrt(_ROUGHNESS[level])
        paths = _prior_paths(list(_ORDERS)[order], tuple(np.round(np.append(x, grid) - x[0], 9)), stream)[:, part]
        path = rough * noise * paths
        seen = path[:m] + noise * error / np.sqrt(self.table.count)[:, None]
        residual = self._compress(self.table.mean, self.scales[compression])[:, None] - seen
        inverse, gram_inverse, projected = (block[level] for block in self.solved[order])
        trend = _basis(grid, float(x.mean())) @ (gram_inverse @ (self.basis.T @ (inverse @ residual)))
        cross = _kernel(list(_ORDERS)[order], grid[:, None] - x[0], x[None] - x[0])
        return np.asarray(path[m:] + trend + _ROUGHNESS[level] * (cross @ (projected @ residual)))

    def _summary(self, grid: Array, curves: Array, noise: float, at: float | None) -> CurveDraws:
        low, high = float(grid[0]), float(grid[-1])
        lost = np.full(DRAWS, np.nan)
        if at is not None and low <= at <= high:
            cell = min(int(np.searchsorted(grid, at, side="right")) - 1, len(grid) - 2)
            fraction = (at - grid[cell]) / (grid[cell + 1] - grid[cell])
            lost = (1 - fraction) * curves[cell] + fraction * curves[cell + 1]
        where = curves.argmin(axis=0)
        column = np.arange(DRAWS)
        middle = np.clip(where, 1, len(grid) - 2)
        left, centre, right = (curves[middle + step, column] for step in (-1, 0, 1))
        bend = left - 2 * centre + right
        shift = np.divide(left - right, 2 * bend, out=np.zeros(DRAWS), where=bend > 0)
        interior = (where > 0) & (where < len(grid) - 1)
        optimum = grid[where] + np.where(interior, np.clip(shift, -1, 1), 0) * (grid[1] - grid[0])
        minimum = curves[where, column]
        return CurveDraws(
            optimum=optimum,
            below=where == 0,
            above=(where == len(grid) - 1) & (self.table.wall is None),
            loss=np.fmin(minimum, lost),
            at=lost,
            noise=noise,
            low=low,
            high=high,
            grid=grid,
            median=np.median(curves, axis=1),
        )


@lru_cache(maxsize=256)
def _noise_numbers(stream: int, m: int, df: float) -> tuple[Array, Array]:
    """Chi-square and (m, DRAWS) normal numbers of a stream; fixed, so the same evidence gives the same report."""
    rng = np.random.default_rng([stream, m, 1])
    return rng.chisquare(df, DRAWS), rng.standard_normal((m, DRAWS))


@lru_cache(maxsize=32)
def _prior_paths(order: int, u: tuple[float, ...], stream: int) -> Array:
    """(len(u), DRAWS) draws of the process at u; by eigenvalues, because dense grids make it all but singular."""
    at = np.array(u)
    values, vectors = np.linalg.eigh(_kernel(order, at[:, None], at[None]))
    used = values > 1e-13 * values[-1]
    rng = np.random.default_rng([stream, order, 2])
    return np.asarray((vectors[:, used] * np.sqrt(values[used])) @ rng.standard_normal((int(used.sum()), DRAWS)))
