"""A smooth stretch of a loss curve: evidence for every hypothesis about it, and draws from what remains possible.

The stretch is a parabola in x = log2(hyperparameter) plus a rough remainder (`process`), seen through noise; losses may
be compressed first, because one flank can be much steeper than the other. Trend and noise level are integrated out.
Drawing by conditioning prior draws follows Journel and Huijbregts (1978).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.evidence import process

Array = npt.NDArray[np.float64]

#: squared roughness over squared noise (per octave to the power 2 * order - 1)
ROUGHNESS = 10.0 ** np.arange(-3.0, 9.1, 0.75)
#: prior weight of the process orders
ORDERS = {3: 0.7, 2: 0.3}
#: losses above the best are compressed beyond this many median excesses; infinity leaves them as they are
COMPRESSIONS = {math.inf: 0.5, 3.0: 0.25, 0.3: 0.25}
#: spread (decades) of the prior of roughness around the parabola's own scale
_ROUGHNESS_DECADES = 2.0


class Cell(NamedTuple):
    """Indices into `COMPRESSIONS`, `ORDERS`, `ROUGHNESS`."""

    compression: int
    order: int
    roughness: int


SHAPE = (len(COMPRESSIONS), len(ORDERS), len(ROUGHNESS))


@dataclass(frozen=True, slots=True)
class Units:
    """What losses are measured in: `floor` is the lowest mean, `excess` the median height above it, both nats."""

    floor: float
    excess: float

    def compress(self, y: Array, compression: int) -> Array:
        """Map losses to the scale on which the curve is smooth, monotonically, with slope 1 at the floor."""
        scale = list(COMPRESSIONS)[compression] * self.excess
        return y - self.floor if math.isinf(scale) else scale * np.log1p((y - self.floor) / scale)

    def expand(self, z: Array, compression: int) -> Array:
        """The inverse of `compress`."""
        scale = list(COMPRESSIONS)[compression] * self.excess
        return self.floor + (z if math.isinf(scale) else scale * np.expm1(np.clip(z / scale, -30, 30)))

    def log_jacobian(self, y: Array, compression: int) -> float:
        """Log of the product of slopes of `compress` at y, which makes likelihoods comparable."""
        scale = list(COMPRESSIONS)[compression] * self.excess
        return 0.0 if math.isinf(scale) else -float(np.log1p((y - self.floor) / scale).sum())


class SmoothStretch:
    """Seed means that lie on one smooth curve."""

    def __init__(self, x: Array, mean: Array, count: Array, units: Units, noise: tuple[float, float]) -> None:
        """Compute the evidence of every hypothesis.

        Args:
            x: (m,) log2 values, increasing, m >= 3.
            mean: (m,) seed means, nats.
            count: (m,) seeds behind each.
            units: of the losses, common to all stretches of a size.
            noise: (sum of squares, degrees of freedom) known about one run's noise.
        """
        self.x, self.mean, self.count, self.units = x, mean, count, units
        self.df = len(x) - 3 + noise[1]
        self.basis = self._trend(x)
        blocks = [self._order(order, noise[0]) for order in ORDERS]
        #: (compressions, orders, roughness) log marginal likelihood, prior of the hypotheses included
        self.evidence = np.stack([block[0] for block in blocks], axis=1) + self._log_prior(noise)
        self._sums = np.stack([block[1] for block in blocks], axis=1)
        self._solved = [block[2] for block in blocks]

    def _trend(self, x: Array) -> Array:
        u = x - self.x[0]
        return np.stack([np.ones_like(u), u, u * u], axis=1)

    def _log_prior(self, noise: tuple[float, float]) -> Array:
        """Roughness is expected near the scale of the parabola itself, within a wide range."""
        bend = float(np.linalg.lstsq(self.basis, self.mean, rcond=None)[0][2])
        centre = math.log10(max((0.5 * bend) ** 2 / (noise[0] / noise[1]), 1e-3))
        roughness = -0.5 * ((np.log10(ROUGHNESS) - centre) / _ROUGHNESS_DECADES) ** 2
        kinds = np.log(np.outer(list(COMPRESSIONS.values()), list(ORDERS.values())))
        return np.asarray(kinds[:, :, None] + roughness)

    def _order(self, order: int, known_ss: float) -> tuple[Array, Array, tuple[Array, Array, Array]]:
        """Log likelihoods and sums of squares, both (compressions, roughness), and the solved systems of one order."""
        m, basis, u = len(self.x), self.basis, self.x - self.x[0]
        rough = process.covariance(order, u[:, None], u[None])
        total = np.diag(1 / self.count) + ROUGHNESS[:, None, None] * rough
        inverse = np.asarray(np.linalg.inv(total), dtype=float)
        gram = basis.T @ inverse @ basis
        to_trend = np.asarray(np.linalg.solve(gram, basis.T @ inverse), dtype=float)
        projected = np.asarray(inverse - inverse @ basis @ to_trend, dtype=float)
        logdet = np.linalg.slogdet(total)[1] + np.linalg.slogdet(gram)[1]
        z = np.stack([self.units.compress(self.mean, c) for c in range(len(COMPRESSIONS))])
        sums = np.maximum(np.einsum("ci,lij,cj->cl", z, projected, z), 0) + known_ss
        jacobian = np.array([self.units.log_jacobian(self.mean, c) for c in range(len(COMPRESSIONS))])
        constant = math.lgamma(self.df / 2) - (m - 3) / 2 * math.log(math.pi)
        likelihood = constant - 0.5 * logdet - 0.5 * self.df * np.log(sums) + jacobian[:, None]
        return likelihood, sums, (inverse, to_trend, projected)

    def draw(self, cell: Cell, grid: Array, part: slice, stream: int) -> tuple[Array, Array]:
        """Draws of the curve under one hypothesis.

        Args:
            cell: the hypothesis.
            grid: (G,) where the curve is wanted, first value at x[0].
            part: which of the `process.DRAWS` draws of the stream.
            stream: random stream.

        Returns:
            (G, n) losses in nats and the (n,) noise standard deviations that go with them.
        """
        m, order = len(self.x), list(ORDERS)[cell.order]
        noise = np.sqrt(self._sums[cell] / process.chi_square(stream, round(self.df, 6))[part])
        where = tuple(np.round(np.append(self.x, grid) - self.x[0], 9))
        path = math.sqrt(ROUGHNESS[cell.roughness]) * noise * process.paths(order, where, stream)[:, part]
        seen = path[:m] + noise * process.normal(stream, m)[:, part] / np.sqrt(self.count)[:, None]
        residual = self.units.compress(self.mean, cell.compression)[:, None] - seen
        _, to_trend, projected = (block[cell.roughness] for block in self._solved[cell.order])
        cross = process.covariance(order, grid[:, None] - self.x[0], self.x[None] - self.x[0])
        rough = ROUGHNESS[cell.roughness] * (cross @ (projected @ residual))
        z = path[m:] + self._trend(grid) @ (to_trend @ residual) + rough
        return self.units.expand(z, cell.compression), noise
