"""Extrapolating a loss when its power law may bend: the exponent wanders, and nobody knows the floor.

For a given floor F, log(L - F) against log size is a straight line plus an integrated Wiener process: its slope, the
exponent, wanders by a share of itself per e-fold of size. Gaussian, so everything but F, the wandering and the noise is
integrated out exactly; those three are averaged over grids, weighted by their marginal likelihood and weak priors.
References: Wahba, "Spline models for observational data" (1990), chapter 1; the floor as what wrecks extrapolation:
OLMo ladder, where 0.14, 1.5 and 2.0 nats fit equally well.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.wiener_process import covariance

Array = npt.NDArray[np.float64]

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
