"""Loss against size: L = floor + amplitude * x^-exponent, and intervals for larger sizes that hold up out of sample.

A fitted law's own bootstrap is far too sure of itself: it knows the noise but not that the law may bend. On the logs
of published ladders it missed the largest size in 5 of 15 hold-outs. So the interval of a prediction is the widest of
three: the bootstrap, the law's own errors when it predicted the ladder's larger sizes from its smaller ones (rolling
origin), and a posterior under which the exponent wanders and the floor is open (`bending`). The estimate lies halfway
between the law, which is best when it is true, and that posterior's median, which is best when it bends.
Reference for the fit: Hoffmann et al. 2203.15556, section 3.3 (log residuals, Huber loss).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.wiener_process import covariance

# Extrapolating a loss when its power law may bend: the exponent wanders, and nobody knows the floor.
#
# For a given floor F, log(L - F) against log size is a straight line plus an integrated Wiener process: its slope, the
# exponent, wanders by a share of itself per e-fold of size. Gaussian, so everything but F, the wandering and the noise
# is integrated out exactly; those three are averaged over grids, weighted by their marginal likelihood and weak priors.
# References: Wahba, "Spline models for observational data" (1990), chapter 1; the floor as what wrecks extrapolation:
# OLMo ladder, where 0.14, 1.5 and 2.0 nats fit equally well.

#: share of the largest size's loss that size still could remove
_REDUCIBLE = np.geomspace(0.01, 1.0, 33)
#: standard deviation of the exponent's change per square root of an e-fold, as a share of the exponent
_WANDERING = np.array([0.0, 0.1, 0.2, 0.4, 0.8])
_WANDERING_WEIGHT = np.array([0.1, 0.2, 0.25, 0.25, 0.2])
#: relative noise where it is not given
_NOISE = np.geomspace(2e-4, 1.28e-2, 7)
#: exponents in the literature lie around this, within a factor of e or so
_EXPONENT = math.log(0.4)
_EXPONENT_SPREAD = 1.0
#: how far the evidence is trusted to tell floors and wanderings apart: the truth is none of the hypotheses
_TRUST = 0.8
#: equally likely standard normal numbers: of the curve, and of the noise of the run that is predicted
_CURVE_ATOMS, _RUN_ATOMS = (
    np.array([NormalDist().inv_cdf((rank + 0.5) / count) for rank in range(count)]) for count in (41, 9)
)


def bending_quantiles(x: Array, y: Array, size: float, *, noise: float | None = None) -> tuple[float, float, float]:
    """(2.5%, 50%, 97.5%) of one run's loss at a size.

    Args:
        x: (n,) sizes, positive and increasing.
        y: (n,) losses at these sizes, nats, positive.
        size: size at which one run's loss is predicted, in the unit of `x`.
        noise: relative standard deviation of one loss; None to infer it.
    """
    u, at = np.log(x / x[0]), math.log(size / x[0])
    floors = float(np.nextafter(y.min(), 0)) * (1 - _REDUCIBLE)
    r = np.log(y - floors[:, None])
    slope = -np.polyfit(u, r.T, 1)[0]
    falls = slope > 0
    if not falls.any():  # the loss does not fall with size: nothing to extrapolate but its level
        apart, middle = float(y.std()), float(y[-1])
        return middle - 4 * apart, middle, middle + 4 * apart
    floors, r, slope = floors[falls], r[falls], slope[falls]
    levels = _NOISE if noise is None else np.array([max(noise, 1e-5)])
    # hypotheses: floors x wanderings x noise levels
    wander = _WANDERING[None, :, None] * slope[:, None, None]
    seen = levels[:, None] * (y / (y - floors[:, None]))[:, None, None, :]
    mean, spread, evidence = _extrapolate(u, r, seen, wander, at)
    prior = -0.5 * ((np.log(slope) - _EXPONENT) / _EXPONENT_SPREAD) ** 2
    jacobian = r.sum(axis=1)
    weight = _TRUST * (evidence - jacobian[:, None, None]) + prior[:, None, None]
    weight += np.log(_WANDERING_WEIGHT)[None, :, None]
    return _quantiles(mean, spread, floors, levels, weight)


def _extrapolate(u: Array, r: Array, noise: Array, wander: Array, at: float) -> tuple[Array, Array, Array]:
    """(mean, spread, log evidence), each (floors, wanderings, levels), of the line plus process at `at`.

    Args:
        u: (n,) natural logarithms of the sizes over the smallest.
        r: (floors, n) logs of what size can still remove.
        noise: (floors, 1, levels, n) standard deviation of r.
        wander: (floors, wanderings, 1) of the process.
        at: natural logarithm of the wanted size over the smallest.
    """
    total = noise[..., None] ** 2 * np.eye(len(u)) + (wander**2)[..., None, None] * covariance(2, u[:, None], u[None])
    inverse = np.linalg.inv(total)
    basis = np.stack([np.ones_like(u), u], axis=1)
    weighted = inverse @ basis
    gram = basis.T @ weighted
    gram_inverse = np.linalg.inv(gram)
    observed = np.broadcast_to(r[:, None, None, :], inverse.shape[:-1])[..., None]
    beta = gram_inverse @ (np.swapaxes(weighted, -1, -2) @ observed)
    left = observed - basis @ beta
    explained = inverse @ left
    cross = (wander**2)[..., None, None] * covariance(2, u, np.array(at))[:, None]
    trend = np.array([1.0, at])[:, None]
    mean = (trend.T @ beta + np.swapaxes(cross, -1, -2) @ explained)[..., 0, 0]
    gap = trend - basis.T @ (inverse @ cross)
    own = wander**2 * float(covariance(2, np.array(at), np.array(at)))
    variance = own - (np.swapaxes(cross, -1, -2) @ inverse @ cross)[..., 0, 0]
    variance = variance + (np.swapaxes(gap, -1, -2) @ gram_inverse @ gap)[..., 0, 0]
    evidence = -0.5 * (np.swapaxes(left, -1, -2) @ explained)[..., 0, 0]
    evidence = evidence - 0.5 * (np.linalg.slogdet(total)[1] + np.linalg.slogdet(gram)[1])
    return mean, np.sqrt(np.maximum(variance, 1e-18)), evidence


def _quantiles(mean: Array, spread: Array, floors: Array, levels: Array, weight: Array) -> tuple[float, float, float]:
    """Quantiles of the mixture; every hypothesis contributes equally likely atoms, its own run's noise included."""
    share = np.exp(weight - weight.max())
    share[share < 1e-4] = 0
    kept = np.nonzero(share)
    curve = np.exp(np.clip(mean[kept][:, None] + spread[kept][:, None] * _CURVE_ATOMS, -700, 700))
    loss = floors[kept[0]][:, None] + curve
    run = loss[:, :, None] * (1 + levels[kept[2]][:, None, None] * _RUN_ATOMS)
    order = run.ravel().argsort()
    mass = np.repeat(share[kept], len(_CURVE_ATOMS) * len(_RUN_ATOMS))[order]
    cumulative = np.cumsum(mass) / mass.sum()
    low, middle, high = (float(np.interp(q, cumulative, run.ravel()[order])) for q in (0.025, 0.5, 0.975))
    return low, middle, high


#: fewest sizes for a law with three parameters
FEWEST_SIZES = 3
#: every exponent on this grid is a start; between its values the fit is refined
_EXPONENTS = np.geomspace(0.01, 4.0, 121)
#: relative residuals beyond this count linearly
_HUBER = 1e-3
_BOOTSTRAPS = 400
#: a hold-out at least this part of the wanted extrapolation (in doublings) says something about it
_COMPARABLE = 0.5


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """L(x) = floor + amplitude * x^-exponent.

    Attributes:
        floor: loss that size does not remove, nats, at least 0.
        amplitude: nats at x = 1.
        exponent: power of the size by which the loss above the floor falls, positive.
        residual: root mean square of the relative residuals.
    """

    floor: float
    amplitude: float
    exponent: float
    residual: float

    def at(self, x: float) -> float:
        """Loss at size x, nats."""
        return float(self.floor + self.amplitude * x**-self.exponent)


@dataclass(frozen=True, slots=True)
class LossPrediction:
    """The loss expected at a size that was not trained.

    Attributes:
        size: size that the prediction is for, in the unit of the ladder's sizes.
        loss: one run's loss, nats, with the interval that counts.
        bootstrap: the fit's own interval, too narrow by experience.
        backtest: relative error of the law on held-out sizes of the ladder, scaled to this extrapolation; None with
            fewer than four sizes.
        bending: interval when the exponent may wander.
        ratio: size over the ladder's largest.
        law: the power law that was fitted to all sizes of the ladder.
    """

    size: float
    loss: Interval
    bootstrap: Interval
    backtest: float | None
    bending: Interval
    ratio: float
    law: PowerLaw


def fit_power_law(sizes: Sequence[float], losses: Sequence[float]) -> PowerLaw:
    """Fit the law by Huber loss on relative residuals, globally over the exponent.

    Args:
        sizes: at least three, positive, distinct.
        losses: mean loss at each, nats, positive.

    Raises:
        UsageError: too few sizes, or numbers that are not positive and finite.
    """
    x, y = _ladder(sizes, losses)
    return _law(x, y)


def predict_loss(
    sizes: Sequence[float], losses: Sequence[float], size: float, *, noise: float | None = None
) -> LossPrediction:
    """Predict the loss of one run at a larger size.

    Args:
        sizes: at least three, positive, distinct.
        losses: loss at each, nats, positive.
        size: size at which one run's loss is predicted, positive, in the unit of `sizes`.
        noise: relative standard deviation of the losses where it is known; else it is inferred from the residuals.

    Raises:
        UsageError: too few sizes, or numbers that are not positive and finite.
    """
    x, y = _ladder(sizes, losses)
    law = _law(x, y)
    bootstrap = _bootstrap(x, y, law, size)
    low, middle, high = bending_quantiles(x, y, size, noise=noise)
    bending = Interval(middle, low, high)
    estimate = (law.at(size) + middle) / 2
    error = _backtest(x, y, size)
    reach = law.at(size) * (error or 0.0)
    low = min(bootstrap.low, bending.low, law.at(size) - reach)
    high = max(bootstrap.high, bending.high, law.at(size) + reach)
    return LossPrediction(
        size=size,
        loss=Interval(estimate, low, high),
        bootstrap=bootstrap,
        backtest=error,
        bending=bending,
        ratio=size / float(x[-1]),
        law=law,
    )


def _ladder(sizes: Sequence[float], losses: Sequence[float]) -> tuple[Array, Array]:
    """Sorted sizes and losses."""
    x, y = np.asarray(sizes, dtype=float), np.asarray(losses, dtype=float)
    if len(x) != len(y) or len(np.unique(x)) != len(x) or len(x) < FEWEST_SIZES:
        raise UsageError(
            f"a law needs losses at {FEWEST_SIZES} or more distinct sizes", received=f"{len(np.unique(x))} sizes"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise UsageError(
            "sizes and losses of a law must be positive and finite", received=f"{x.tolist()}, {y.tolist()}"
        )
    order = x.argsort()
    return x[order], y[order]


def _law(x: Array, y: Array) -> PowerLaw:
    """The best law: every exponent of the grid, then a finer grid around the best, with Huber weights."""
    centre = float(np.exp(np.log(x).mean()))
    weight = np.ones_like(y)
    exponents = _EXPONENTS
    floor = amplitude = exponent = 0.0
    for _ in range(8):
        fits = _linear(x / centre, y[None], exponents, weight)
        best = int(fits[2][0].argmin())
        floor, amplitude, exponent = float(fits[0][0, best]), float(fits[1][0, best]), float(exponents[best])
        residual = (floor + amplitude * (x / centre) ** -exponent) / y - 1
        weight = _HUBER / np.maximum(np.abs(residual), _HUBER)
        step = max(float(exponents[1] / exponents[0]), 1.001)
        exponents = np.geomspace(exponent / step, exponent * step, 21)
    rms = float(np.sqrt(np.mean(residual**2)))
    return PowerLaw(floor, amplitude * centre**exponent, exponent, rms)


def _linear(z: Array, y: Array, exponents: Array, weight: Array) -> tuple[Array, Array, Array]:
    """For R loss vectors and G exponents: least-squares floor >= 0 and amplitude (R, G), and the objective (R, G)."""
    basis = z[None] ** -exponents[:, None]
    w = weight / y**2
    s0, s1 = w.sum(axis=1)[:, None], w @ basis.T
    s2 = w @ (basis**2).T
    t0, t1 = (w * y).sum(axis=1)[:, None], (w * y) @ basis.T
    determinant = s0 * s2 - s1**2
    safe = np.where(determinant > 1e-14 * s0 * s2, determinant, np.inf)
    floor = (s2 * t0 - s1 * t1) / safe
    floor = np.clip(floor, 0, None)
    amplitude = (t1 - floor * s1) / s2
    total = (w * y * y).sum(axis=1)[:, None]
    objective = total - 2 * floor * t0 - 2 * amplitude * t1
    objective = objective + floor**2 * s0 + 2 * floor * amplitude * s1 + amplitude**2 * s2
    return floor, amplitude, objective


def _bootstrap(x: Array, y: Array, law: PowerLaw, size: float) -> Interval:
    """Refit to the law plus noise like its residuals; a fit without spare points has no residuals and no interval."""
    centre = float(np.exp(np.log(x).mean()))
    spread = law.residual * math.sqrt(len(x) / max(1, len(x) - 3))
    rng = np.random.default_rng(0)
    fitted = law.floor + law.amplitude * x**-law.exponent
    drawn = fitted * (1 + spread * rng.standard_normal((_BOOTSTRAPS, len(x))))
    floor, amplitude, objective = _linear(x / centre, drawn, _EXPONENTS, np.ones_like(y))
    best = objective.argmin(axis=1)
    row = np.arange(_BOOTSTRAPS)
    predicted = floor[row, best] + amplitude[row, best] * (size / centre) ** -_EXPONENTS[best]
    low, high = (float(q) for q in np.quantile(predicted, (0.025, 0.975)))
    estimate = law.at(size)
    return Interval(estimate, min(low, estimate), max(high, estimate))


def _backtest(x: Array, y: Array, size: float) -> float | None:
    """The law's largest relative error on sizes it did not see, at the extrapolation that is wanted.

    Each origin beyond the ladder's middle predicts what follows it. Errors over shorter extrapolations are scaled up
    with the square of the doublings, as the error of a law that bends grows.
    """
    wanted = math.log(size / x[-1])
    if wanted <= 0 or len(x) <= FEWEST_SIZES:
        return None
    errors = []
    for origin in range(max(FEWEST_SIZES, len(x) // 2 + 1), len(x)):
        law = _law(x[:origin], y[:origin])
        for held in range(origin, len(x)):
            reach = math.log(x[held] / x[origin - 1]) / wanted
            errors.append((reach, abs(law.at(float(x[held])) / float(y[held]) - 1) * max(1.0, 1 / reach) ** 2))
    comparable = [error for reach, error in errors if reach >= _COMPARABLE]
    return max(comparable or [error for _, error in errors])
