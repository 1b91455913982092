"""How fast the optimum moves: octaves per doubling of the size, from the drawn curves of all sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.curve import CurveDraws
from hptransfer.statistics.interval import Interval

#: optima need not lie on a line: scatter about it in octaves, with prior weights (half-normal of scale 0.04)
_SCATTER = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
_SCATTER_WEIGHT = np.exp(-0.5 * (_SCATTER / 0.04) ** 2) * np.array([0.02, 0.025, 0.04, 0.075, 0.15, 0.2])
#: a size whose optimum lies outside the sampled region in more than this share of the draws is known by bounds only
_OPEN = 0.025
#: an optimum beyond the sampled region is spread over this many octaves of it before it counts as unbounded
_BEYOND = 2.0
#: lines that make the bounds less likely than this share of what they could do not describe the ladder
_EXPLAINED = 0.02
#: scatter of optima about a line where sizes are mostly bounds, octaves, with prior weights
_BLURS = {0.1: 0.85, 0.3: 0.1, 0.6: 0.05}
#: largest drift considered, octaves per doubling; an interval that reaches it is open
_STEEPEST = 5.0


@dataclass(frozen=True, slots=True)
class KnownOptimum:
    """What is known of one size's optimum.

    Attributes:
        doublings: log2 of the size.
        draws: (DRAWS,) positions, at an end of the sampled region where they lie beyond it.
        below: (end, share): the optimum lies at or below `end` in this share of the draws.
        above: the same at the upper end.
    """

    doublings: float
    draws: Array
    below: tuple[float, float]
    above: tuple[float, float]

    @classmethod
    def of(cls, size: float, draws: CurveDraws) -> KnownOptimum:
        """Read a size's optimum off its drawn curves."""
        return cls(
            doublings=math.log2(size),
            draws=draws.optimum,
            below=(draws.low, float(draws.below.mean())),
            above=(draws.high, float(draws.above.mean())),
        )

    @property
    def bounded(self) -> bool:
        """Whether the optimum clearly lies within the sampled region."""
        return self.below[1] + self.above[1] <= _OPEN

    def likelihood(self, x: Array, blur: float | Array) -> Array:
        """Likelihood of positions x when the optimum scatters by `blur` octaves about them, up to a factor."""
        beyond = 1 - self.below[1] - self.above[1]
        total = np.zeros_like(x)
        if beyond > 0:
            atoms = np.quantile(self.draws, self.below[1] + beyond * (np.arange(48) + 0.5) / 48)
            width = np.hypot(blur, max(0.35 * float(atoms.std()), 1e-4))
            z = (x[..., None] - atoms) / np.expand_dims(width, -1)
            total += beyond * np.exp(-0.5 * z * z).mean(axis=-1) / (width * math.sqrt(2 * math.pi))
        edge = np.hypot(blur, 0.05)
        total += self.below[1] / _BEYOND * _ramp((self.below[0] - x) / edge)
        total += self.above[1] / _BEYOND * _ramp((x - self.above[0]) / edge)
        return total


def _ramp(z: Array) -> Array:
    """A smooth step from 0 to 1 (logistic with the spread of a standard normal)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(1.702 * z, -60, 60))))


def drift_per_doubling(known: Sequence[KnownOptimum]) -> Interval:
    """The slope of the optimum against log2 size, with its 95% interval.

    Optima are a line plus scatter; the line's position and the scatter are averaged over. Errors that all sizes share,
    as they do on a common grid, cancel. An optimum beyond the sampled region enters as the one-sided bound it is, so it
    can prove a drift but never hide one.

    Args:
        known: at least two sizes, whose draws belong together.
    """
    bounded = [k for k in known if k.bounded]
    if len(bounded) < 2:
        return _from_bounds(known)
    centre = float(np.mean([k.doublings for k in bounded]))
    heights, slopes, blur = _lines(bounded, centre)
    weight = np.ones_like(slopes)
    for k in known:
        if not k.bounded:
            weight *= k.likelihood(heights + slopes * (k.doublings - centre), blur)
    if not weight.sum() > 0 or _explained(known, weight) < _EXPLAINED:
        # bounds that no line through the others meets: neither may be lost
        return _from_bounds(known)
    order = np.argsort(slopes)
    cumulative = np.cumsum(weight[order]) / weight.sum()
    return _interval(cumulative, slopes[order])


def line_scatter(known: Sequence[KnownOptimum]) -> float:
    """By how many octaves optima lie off a line, median of its posterior; 0 where no three sizes are known.

    Args:
        known: sizes whose optimum is bounded on both sides, draws of which belong together.
    """
    if len(known) < 3:
        return 0.0
    *_, scatter = _lines(known, float(np.mean([k.doublings for k in known])))
    return float(np.median(scatter))


def _lines(known: Sequence[KnownOptimum], centre: float) -> tuple[Array, Array, Array]:
    """Draws of lines through the optima: heights at `centre`, slopes, and the scatter each was drawn under."""
    draws = np.stack([k.draws for k in known])
    design = np.stack([np.ones(len(known)), [k.doublings - centre for k in known]], axis=1)
    middle = np.median(draws, axis=1)
    spread = np.cov(draws) + 1e-12 * np.eye(len(known))
    fits, scores = [], []
    for scatter in _SCATTER:
        inverse = np.linalg.inv(spread + scatter**2 * np.eye(len(known)))
        gram = design.T @ inverse @ design
        fit = np.linalg.solve(gram, design.T @ inverse)
        residual = middle - design @ (fit @ middle)
        logdet = np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(gram)[1]
        scores.append(0.5 * (logdet - residual @ inverse @ residual))
        fits.append(fit)
    weight = _SCATTER_WEIGHT * np.exp(np.array(scores) - max(scores))
    chosen = np.searchsorted(np.cumsum(weight) / weight.sum(), wiener_process.uniform(60)).clip(0, len(_SCATTER) - 1)
    scattered = draws + _SCATTER[chosen] * wiener_process.normal(61, len(known))
    heights, slopes = np.einsum("dik,kd->id", np.stack(fits)[chosen], scattered)
    return heights, slopes, _SCATTER[chosen]


def _explained(known: Sequence[KnownOptimum], weight: Array) -> float:
    """How likely the drawn lines make the bounds, over what lines that meet them would."""
    most = math.prod(max(k.below[1], k.above[1]) / _BEYOND for k in known if not k.bounded)
    return float(weight.mean()) / most


def _from_bounds(known: Sequence[KnownOptimum]) -> Interval:
    """The slope on a grid of lines, for ladders that are mostly bounds; sizes are taken as independent.

    Optima scatter about the line by as much as the sizes ask for.
    """
    centre = float(np.mean([k.doublings for k in known]))
    ends = np.array([(k.below[0], k.above[0]) for k in known])
    heights = np.linspace(ends[:, 0].min() - 3, ends[:, 1].max() + 3, 241)
    slopes = np.linspace(-_STEEPEST, _STEEPEST, 401)
    weight = np.zeros(len(slopes))
    for blur, share in _BLURS.items():
        total = np.ones((len(heights), len(slopes)))
        for k in known:
            total *= k.likelihood(heights[:, None] + slopes * (k.doublings - centre), blur)
        weight += share * total.sum(axis=0)
    return _interval(np.cumsum(weight) / weight.sum(), slopes)


def _interval(cumulative: Array, slopes: Array) -> Interval:
    low, estimate, high = (float(np.interp(q, cumulative, slopes)) for q in (0.025, 0.5, 0.975))
    limit = _STEEPEST - 0.2
    return Interval(estimate, -math.inf if low < -limit else low, math.inf if high > limit else high)
