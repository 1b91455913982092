"""What growing buys: by how much the best loss falls per doubling, and what a loss costs in doublings.

Along the log2 of what grows (compute where it is known, otherwise the size) the best loss is level - drop * h(t), where
h rises by 1 over the ladder and h'(t) is in proportion to 2^(-exponent * t): a power law with a floor, or a straight
line where the exponent is 0. Best losses scatter about it, and what a doubling buys wanders off it by a share of
itself, as where two power laws add up (an integrated Wiener process along h). All of that is averaged over, each by how
well it explains the best losses.

A loss R is bought back by log2(1 + exponent * ln 2 * R / gain) / exponent doublings, which tends to R / gain where the
exponent is 0: a tuned run with so much less compute reaches the same loss. All of it is the same when losses are
written as a + b * loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array, root_of
from hptransfer.statistics.seed_offsets import SizeEffects

Index = npt.NDArray[np.intp]

#: powers by which a doubling buys less than the one before; negative: more. Width at fixed data saturates like 1/width
EXPONENTS = np.concatenate([np.arange(-4, 28) / 20, [1.5, 1.75, 2.0, 2.5, 3.0]])
#: centre and spread of their prior. The ladders of the recipes that ship and published exponents let expect 0.3 within
#: 0.2 (benchmarks/exchange_priors.py), but with that spread gains cover 81% where a law's exponent is 0.8 and few runs
#: show it: every law is to be covered, straight lines and exponents near 1 as well
_USUAL, _EXPONENT_SPREAD = 0.3, 0.3
#: best losses need not lie on a law: scatter as a share of the drop over the ladder, beside what seeds do to single
#: sizes; most likely none on these ladders, and a spread of 0.02 loses 1 in log likelihood, of 0.04 two
_SCATTER = np.array([0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16])
_SCATTER_SPREAD = 0.02
#: standard deviation by which the gain has wandered at the end of the ladder, as a share of itself; these ladders are
#: too short to tell 0 from 0.4 by more than 1 in log likelihood, so two power laws that add up keep their share
_WANDER = np.array([0.0, 0.1, 0.2, 0.4, 0.8])
_WANDER_SPREAD = 0.2
#: a best loss that a draw puts at c or below counts as this share of its distance from c
_LEAST_REDUCIBLE = 0.05
_LARGEST_EXPONENT = 300.0
#: places that differ by less than this many doublings show no rate
SHORTEST_SPAN = 0.5
#: streams of random numbers of their own
_PICK, _NOISE, _PATH = 64, 65, 66


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """Draws of the law of the best loss along what grows.

    Attributes:
        at: (K,) log2 of what grows, per size.
        gain: (K, DRAWS) loss that a doubling buys at each size, in the unit of the loss; may be negative.
        exponent: (DRAWS,) power by which a doubling buys less than the one before it.
        reducible: (K, DRAWS) best losses less c where the law is one of log(loss - c); None: one of the loss.
    """

    at: Array
    gain: Array
    exponent: Array
    reducible: Array | None = None

    @property
    def known(self) -> bool:
        """Whether growing clearly gains at every size."""
        return bool((np.quantile(self.gain, 0.025, axis=1) > 0).all())

    @property
    def odds(self) -> Array:
        """(len(EXPONENTS),) share of the draws under each exponent: what another ladder may take for its prior."""
        return np.asarray((np.abs(self.exponent[:, None] - EXPONENTS) < 1e-9).mean(axis=0))

    def doublings(self, size: int, lost: Array) -> Array:
        """How many doublings would buy back a loss at one size.

        Args:
            size: index of the size.
            lost: (DRAWS,) losses, at least 0, infinite where training diverges.

        Returns:
            (DRAWS,) doublings, at least 0; infinite where nothing buys it back.
        """
        gain = self.gain[size]
        if self.reducible is not None:
            gain, lost = gain / self.reducible[size], np.log1p(lost / self.reducible[size])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where(lost > 0, np.where(gain > 0, lost / np.maximum(gain, 1e-300), math.inf), 0.0)
            bent = self.exponent * math.log(2) * ratio
            curved = np.where(bent > -1, np.log1p(np.maximum(bent, -1)) / (math.log(2) * self.exponent), math.inf)
        return np.asarray(np.where((self.exponent == 0) | ~np.isfinite(ratio), ratio, curved))

    def loss(self, size: int, doublings: float) -> Array:
        """What a tuned run with so many doublings less would lose at one size: the inverse of `doublings`.

        Args:
            size: index of the size.
            doublings: how many of them, at least 0.

        Returns:
            (DRAWS,) losses in the unit of the loss; negative where growing costs.
        """
        shorter = -_rise(np.array([-doublings]), self.exponent)[:, 0]
        if self.reducible is None:
            return np.asarray(self.gain[size] * shorter)
        height = self.gain[size] / self.reducible[size] * shorter
        return np.asarray(self.reducible[size] * np.expm1(np.minimum(height, _LARGEST_EXPONENT)))


def exchange_rate(
    at: Array,
    best: Array,
    *,
    apart: SizeEffects | None = None,
    odds: Array | None = None,
    floor: float | None = None,
) -> ExchangeRate | None:
    """The law of the best losses; None where the places span less than half a doubling.

    Args:
        at: (K,) log2 of what grows, increasing with the size.
        best: (K, DRAWS) draws of the loss at each size's own optimum.
        apart: what other seeds would change at one size and not at the others; None where nothing is.
        odds: (len(EXPONENTS),) prior weights of the exponents, from another ladder of the same check; None for the
            default.
        floor: c where log(loss - c) is the scale on which sizes are alike, below every best loss: the law is then
            one of this logarithm, which a power law with that floor makes a straight line; None for one of the loss.
    """
    if len(at) < 2 or float(np.ptp(at)) < SHORTEST_SPAN or not np.isfinite(best).all():
        return None
    reducible = None
    if floor is not None:
        middle = np.median(best - floor, axis=1, keepdims=True)
        reducible = np.maximum(best - floor, _LEAST_REDUCIBLE * np.abs(middle))
        best = np.log(reducible)
        apart = None if apart is None else apart.over(np.abs(middle[:, 0]))
    first, span = at - at.min(), np.array([float(np.ptp(at))])
    total = _rise(span, EXPONENTS)[:, 0]
    rise = _rise(first, EXPONENTS) / total[:, None]
    size = float(np.ptp(np.median(best, axis=1)))
    fits = _Fits(rise, best, size, np.zeros((1, len(at))) if apart is None else apart.spread)
    weight = np.exp(fits.evidence - fits.evidence.max()) * _prior(odds, _USUAL if floor is None else 0.0)
    order = np.searchsorted(np.cumsum(weight) / weight.sum(), wiener_process.uniform(_PICK)).clip(0, weight.size - 1)
    cell = np.unravel_index(order, weight.shape)
    if apart is not None:
        best = best + apart.draws(cell[3])
        reducible = None if reducible is None else np.exp(best)
    drop, wandered = fits.draw(best, *cell)
    exponent = EXPONENTS[cell[0]]
    local = np.exp2(-exponent * first[:, None]) / total[cell[0]]
    gain = local * (drop - wandered)
    return ExchangeRate(at, gain if reducible is None else gain * reducible, exponent, reducible)


def _prior(odds: Array | None, usual: float) -> Array:
    """(exponents, wanders, scatters, 1) prior weights; levels of what seeds do are equally probable."""
    if odds is None:
        odds = _student(EXPONENTS, usual, _EXPONENT_SPREAD)
    wander, scatter = _student(_WANDER, 0.0, _WANDER_SPREAD), _student(_SCATTER, 0.0, _SCATTER_SPREAD)
    return np.asarray(np.maximum(odds, 1e-9)[:, None, None, None] * wander[:, None, None] * scatter[:, None])


def _student(at: Array, centre: float, spread: float) -> Array:
    """Prior weights of grid points, after Student's distribution of three degrees of freedom."""
    weight = np.gradient(at) * (1 + ((at - centre) / spread) ** 2 / 3) ** -2
    return np.asarray(weight / weight.sum())


class _Fits:
    """Laws under every exponent, wander, scatter and level of seeds' effects, with the evidence of each.

    Where the law starts and how far it drops have flat priors.
    """

    def __init__(self, rise: Array, best: Array, size: float, spread: Array) -> None:
        """Fit them.

        Args:
            rise: (E, K) share of the drop at each place under each exponent, from 0 to 1.
            best: (K, DRAWS) draws of the best losses.
            size: by how much the best losses differ, what wander and scatter are shares of.
            spread: (levels, K) standard deviations of what other seeds would change at single sizes.
        """
        self.rise, self.size = rise, size
        middle, tiny = np.median(best, axis=1), 1e-9 * (float(np.ptp(best)) or 1.0)
        one = np.eye(len(middle))
        early, late = rise[:, :, None], rise[:, None, :]
        along = wiener_process.covariance(2, early, late)
        rough = (size * _SCATTER[:, None, None, None]) ** 2 * one + spread[:, :, None] ** 2 * one
        total = (np.cov(best) + tiny**2 * one) + rough
        total = total + (size * _WANDER[:, None, None, None, None]) ** 2 * along[:, None, None, None]
        self.inverse = np.linalg.inv(total)
        design = np.stack([np.ones_like(rise), -rise], axis=2)[:, None, None, None]
        across = np.swapaxes(design, 4, 5) @ self.inverse
        gram = across @ design
        a, b, c = gram[..., 0, 0], gram[..., 0, 1], gram[..., 1, 1]
        # two parameters: written out it takes a fifth of the time
        det = a * c - b * b
        adjoint = np.stack([np.stack([c, -b], axis=-1), np.stack([-b, a], axis=-1)], axis=-2)
        self.fit = adjoint @ across / det[..., None, None]
        residual = middle - (design @ (self.fit @ middle)[..., None])[..., 0]
        misfit = (residual * (self.inverse @ residual[..., None])[..., 0]).sum(axis=-1)
        self.evidence = 0.5 * (np.linalg.slogdet(self.inverse)[1] - np.log(det) - misfit)
        # what gains wander by, at each place, against the losses at each: Brownian motion against its integral
        self.pull = np.where(late <= early, late**2 / 2, early * late - early**2 / 2)
        joint = np.block([[along, np.swapaxes(self.pull, 1, 2)], [self.pull, np.minimum(early, late)]])
        self.factor = root_of(joint)

    def draw(self, best: Array, bend: Index, wander: Index, scatter: Index, level: Index) -> tuple[Array, Array]:
        """(DRAWS,) drops of the law, and (K, DRAWS) by how much gains wandered off it, in the same unit."""
        places = len(best)
        share = self.size * _WANDER[wander]
        both = share * np.einsum("dij,jd->id", self.factor[bend], wiener_process.normal(_PATH, 2 * places))
        rough = self.size * _SCATTER[scatter] * wiener_process.normal(_NOISE, places)
        left = best - both[:places] - rough
        start, drop = np.einsum("dik,kd->id", self.fit[bend, wander, scatter, level], left)
        left = left - start + self.rise[bend].T * drop
        pulled = np.einsum("dij,djk,kd->id", self.pull[bend], self.inverse[bend, wander, scatter, level], left)
        return drop, both[places:] + share**2 * pulled


def _rise(at: Array, exponent: Array) -> Array:
    """(len(exponent), len(at)) h with h(0) = 0 and h'(t) = 2^(-exponent * t)."""
    bend = exponent[:, None] * math.log(2)
    straight = np.abs(bend) < 1e-12
    return np.asarray(np.where(straight, at, -np.expm1(-bend * at) / np.where(straight, 1.0, bend)))
