"""Learning problems whose loss after T steps is known exactly for every learning rate: what estimators are held to.

Nothing here uses the package under test. Formulas: quadratic gradient descent and linear-regression SGD are textbook
recursions; the isotropic case and the shallow linear network have published closed forms, named at each class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def exact_optimum(losses: Callable[[Array], Array], low: float, high: float) -> float:
    """log2 of the learning rate that minimises `losses` on [low, high], by scans that close in on the minimum."""
    for _ in range(6):
        grid = np.linspace(low, high, 401)
        values = losses(np.exp2(grid))
        best = int(np.where(np.isfinite(values), values, np.inf).argmin())
        low, high = float(grid[max(0, best - 2)]), float(grid[min(400, best + 2)])
    return (low + high) / 2


@dataclass(frozen=True)
class QuadraticDescent:
    """O1. Full-batch gradient descent on 1/2 sum l_j w_j^2: the optimum sits at the stability edge for large T."""

    eigenvalues: tuple[float, ...]
    weights: tuple[float, ...]
    steps: int

    def losses(self, rates: Array) -> Array:
        """Exact expected losses at each rate."""
        eigen, w = np.array(self.eigenvalues), np.array(self.weights)
        return np.asarray(0.5 * (eigen * w**2 * (1 - rates[:, None] * eigen) ** (2 * self.steps)).sum(axis=1))


@dataclass(frozen=True)
class LinearRegressionSgd:
    """O2. Minibatch SGD on linear regression with Gaussian features: exact second moments of the weights.

    `width` keeps the first modes of a power-law spectrum; the missing ones act as label noise, so the optimum moves
    with width until the truncation stops to matter: a transfer that fails and then recovers.
    """

    width: int
    steps: int
    batch: int
    decay: float = 1.5
    target: float = 1.75
    noise: float = 0.05

    @cached_property
    def spectrum(self) -> Array:
        """Eigenvalues of the features' covariance."""
        return np.asarray(np.arange(1, self.width + 1) ** -self.decay, dtype=float)

    @cached_property
    def initial(self) -> Array:
        """Second moments of the weight errors before the first step."""
        return np.arange(1, self.width + 1) ** -self.target / self.spectrum

    @cached_property
    def floor(self) -> float:
        """Label noise plus the power of the modes that this width cannot represent."""
        missing = np.arange(self.width + 1, 100_000) ** -self.target
        return self.noise + float(missing.sum())

    def losses(self, rates: Array) -> Array:
        """Exact expected losses at each rate."""
        eigen, b, rate = self.spectrum, self.batch, rates[:, None]
        v = np.repeat(self.initial[None], len(rates), axis=0)
        keep = 1 - 2 * rate * eigen + rate**2 * eigen**2 * (b + 1) / b
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.steps):
                v = keep * v + rate**2 / b * eigen * ((v @ eigen)[:, None] + self.floor)
            loss = 0.5 * (v @ eigen + self.floor)
        return np.where(np.isfinite(loss) & (loss < 1e3), loss, np.inf)


@dataclass(frozen=True)
class IsotropicSgd:
    """O3. O2 with unit spectrum and no noise: the optimum is batch / (batch + d + 1) for any number of steps."""

    dimension: int
    batch: int
    steps: int

    def losses(self, rates: Array) -> Array:
        """Exact expected losses at each rate."""
        b = self.batch
        return np.asarray((1 - 2 * rates + rates**2 * (b + self.dimension + 1) / b) ** self.steps)

    @property
    def optimum(self) -> float:
        """The closed form."""
        return self.batch / (self.batch + self.dimension + 1)


@dataclass(frozen=True)
class ShallowLinearNet:
    """O4. f = V' W1 W0 x with only W1 trained by gradient descent (Sakai and Imaizumi): exact at any width.

    Drawn through the distributions of ||V||^2 and W0'W0 (Bartlett), so the cost does not grow with width.

    Attributes:
        kernel_eigenvalues: of XX'/d, one per data point.
        steps: number of steps of gradient descent.
        width: n, the number of hidden units.
        standard: V ~ N(0, 1/n) (standard parameterization) instead of N(0, 1/n^2) (muP).
    """

    kernel_eigenvalues: tuple[float, ...]
    steps: int
    width: int
    standard: bool = False

    def draw(self, seed: int) -> Callable[[Array], Array]:
        """The losses as a function of learning rates for one seed's weights."""
        rng = np.random.default_rng([seed, self.width])
        m, n = len(self.kernel_eigenvalues), self.width
        root = np.sqrt(np.array(self.kernel_eigenvalues))
        lower = np.tril(rng.standard_normal((m, m)), -1) + np.diag(np.sqrt(rng.chisquare(n - np.arange(m))))
        wishart = lower @ lower.T  # H H' = X W0' W0 X' with W0'W0 d ~ Wishart(n)
        scale = rng.chisquare(n) / n ** (1 if self.standard else 2)
        a = scale * (root[:, None] * wishart * root[None])
        values, vectors = np.linalg.eigh(a)
        # f(0) ~ N(0, A / n); targets are one in every eigen direction of the kernel
        start = vectors @ (np.sqrt(values / n) * rng.standard_normal(m)) - np.ones(m)
        weight = (vectors.T @ start) ** 2

        def losses(rates: Array) -> Array:
            with np.errstate(over="ignore"):
                left = (1 - rates[:, None] * values / m) ** (2 * self.steps)
            return np.asarray((weight * left).sum(axis=1) / (2 * m))

        return losses

    def limit(self, rates: Array) -> Array:
        """The infinite-width losses under muP."""
        m, eigen = len(self.kernel_eigenvalues), np.array(self.kernel_eigenvalues)
        return np.asarray(((1 - rates[:, None] * eigen / m) ** (2 * self.steps)).sum(axis=1) / (2 * m))


@dataclass(frozen=True)
class DeepLinearStep:
    """O5 and O6. One step of gradient descent on a deep linear network in muP, W_1 to W_L trained: real matrices.

    f = V' (W_L ... W_1) W_0 x, or with residual layers h + L^-alpha W h, variances 1/d, 1/n and 1/n^2 of W_0, W and V.
    Then f(0) and everything beyond first order in the rate vanish as n^-1/2, and the closed form is left.

    Attributes:
        width: n, the number of hidden units.
        depth: L, the number of hidden layers.
        alpha: of the residual branches; None for a plain network.
    """

    width: int
    depth: int
    alpha: float | None = None

    #: inputs and targets: the same for all draws
    @property
    def data(self) -> tuple[Array, Array]:
        """X (m, d) and y (m,)."""
        rng = np.random.default_rng(7)
        return rng.standard_normal((4, 8)), rng.standard_normal(4)

    @property
    def optimum(self) -> float:
        """At infinite width: m y'Ky / (|Ky|^2 c), c = L, or L^(1 - 2 alpha) (1 + L^(-2 alpha))^(L - 1)."""
        x, y = self.data
        ky = x @ x.T / x.shape[1] @ y
        depth = self.depth
        gain = depth
        if self.alpha is not None:
            gain = depth ** (1 - 2 * self.alpha) * (1 + depth ** (-2 * self.alpha)) ** (depth - 1)
        return float(len(y) * (y @ ky) / (ky @ ky) / gain)

    def draw(self, seed: int) -> Callable[[Array], Array]:
        """Losses after the step as a function of its rates; a seed's first layers are the same at every depth."""
        rng = np.random.default_rng([seed, self.width])
        x, y = self.data
        n, m, skip = self.width, len(y), self.alpha is not None
        branch = 1.0 if self.alpha is None else self.depth**-self.alpha
        first = rng.standard_normal((n, x.shape[1])) / x.shape[1] ** 0.5
        out = rng.standard_normal(n) / n
        single = np.float32(branch / n**0.5)  # single precision is enough for losses of order one
        weights = [single * rng.standard_normal((n, n), dtype=np.float32) for _ in range(self.depth)]
        h = [first @ x.T]
        for w in weights:
            h.append(w @ h[-1] + (h[-1] if skip else 0))
        error = out @ h[-1] - y
        backward, back = [], out
        for w in reversed(weights):
            backward.append(back)
            back = w.T @ back + (back if skip else 0)
        backward.reverse()

        def losses(rates: Array) -> Array:
            now = np.repeat(h[0][:, None], len(rates), axis=1).astype(np.float32)  # n x rates x m
            for w, b, before in zip(weights, backward, h[:-1], strict=True):
                # the gradient of W_l is branch * b (sum_i error_i h_i)' / m: rank one
                along = np.einsum("n,nrm->rm", before @ error / m, now) * rates[:, None] * branch**2
                step = (w @ now.reshape(n, -1)).reshape(now.shape) - b[:, None, None] * along
                now = (step + now if skip else step).astype(np.float32)
            return np.asarray(((np.einsum("n,nrm->rm", out, now) - y) ** 2).mean(axis=1) / 2)

        return losses


@dataclass(frozen=True)
class RegressionGradients:
    """O9. Gradients of squared error on one example each, at weights off by d: (x'd - e) x with x ~ N(0, Lambda).

    Attributes:
        features: dimension; Lambda has the eigenvalues 1 / i, and d is one everywhere.
        noise: variance of the labels.
    """

    features: int
    noise: float

    @property
    def spectrum(self) -> Array:
        """Eigenvalues of Lambda."""
        return 1 / np.arange(1, self.features + 1)

    @property
    def signal(self) -> float:
        """|G|^2 = |Lambda d|^2."""
        return float((self.spectrum**2).sum())

    @property
    def noise_trace(self) -> float:
        """Tr S = |Lambda d|^2 + (d' Lambda d + s2) tr Lambda, by the fourth moments of Gaussians."""
        return self.signal + float((self.spectrum.sum() + self.noise) * self.spectrum.sum())

    @property
    def noise_scale(self) -> float:
        """Tr S / |G|^2."""
        return self.noise_trace / self.signal

    def gradients(self, rng: np.random.Generator, count: int) -> Array:
        """(count, features) gradients of that many examples."""
        x = rng.standard_normal((count, self.features)) * np.sqrt(self.spectrum)
        error = x.sum(axis=1) - self.noise**0.5 * rng.standard_normal(count)
        return np.asarray(error[:, None] * x)
