"""How the optimum moves along a ladder: step by step, whether one line describes it, and where it goes beyond.

Beyond the ladder optima follow a path whose slope may wander and may fade: the slope is a process that is pulled back
to zero at some rate (none for a line, the rate of a finite-width shift for one that saturates) and pushed by white
noise (none for a line), and optima scatter about the path. All of it is Gaussian, so level and slope are integrated
out; how far the slope wanders, how fast it fades, how steep it is and how much optima scatter are averaged over,
weighted by how well each explains the ladder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import Literal

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array, root_of
from hptransfer.statistics.curve import CurveDraws
from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling, line_scatter
from hptransfer.statistics.interval import Interval

#: straight: one line describes the steps; bent: steps differ; turns: clearly up and clearly down; open: too noisy
Shape = Literal["straight", "bent", "turns", "open"]

#: a move or a deviation of the optimum below this many octaves is none: such steps come from seeds and grids
NOTICED = 0.1
#: a shape is said where it is this likely
_CLEAR = 0.9875
_STRAIGHT = 0.95
#: fewest sizes whose steps can differ
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Step:
    """Between two neighbouring sizes.

    Attributes:
        low: the smaller size, in the unit of the axis.
        high: the larger size, in the unit of the axis.
        slope: octaves per doubling, with its 95% interval, open where an optimum is only bounded.
    """

    low: float
    high: float
    slope: Interval


@dataclass(frozen=True, slots=True)
class Path:
    """The optima of a ladder in order.

    Attributes:
        steps: between neighbouring sizes, increasing; empty with one size.
        scatter: by how many octaves optima lie off the line, median of its posterior.
        shape: whether one line describes the path.
    """

    steps: tuple[Step, ...]
    scatter: float
    shape: Shape


def drift_and_path(seen: Sequence[tuple[float, CurveDraws]]) -> tuple[Interval, Path]:
    """How fast the optimum moves over the whole ladder, and how from size to size.

    Args:
        seen: sizes that have a curve, increasing, with draws that belong together.
    """
    known = [KnownOptimum.of(size, draws) for size, draws in seen]
    drift = drift_per_doubling(known) if len(known) > 1 else Interval(0.0, -math.inf, math.inf)
    return drift, path_of(known)


def path_of(known: Sequence[KnownOptimum]) -> Path:
    """The steps of a ladder and their shape, from draws that belong together.

    Args:
        known: what is known of each size's optimum, increasing; a size that is only bounded opens its steps.
    """
    steps = tuple(Step(2.0**a.doublings, 2.0**b.doublings, _slope(a, b)) for a, b in pairwise(known))
    bounded = [each for each in known if each.bounded]
    return Path(steps, line_scatter(bounded), _shape(bounded))


def _slope(a: KnownOptimum, b: KnownOptimum) -> Interval:
    """Octaves per doubling between two sizes; an end is open where an optimum may lie beyond what was sampled."""
    slopes = (b.draws - a.draws) / (b.doublings - a.doublings)
    low, middle, high = (float(q) for q in np.quantile(slopes, (0.025, 0.5, 0.975)))
    tail = 0.025
    if a.above[1] > tail or b.below[1] > tail:
        low = -math.inf
    if a.below[1] > tail or b.above[1] > tail:
        high = math.inf
    return Interval(middle, low, high)


def _shape(bounded: Sequence[KnownOptimum]) -> Shape:
    """What is clear of the path; sizes that are only bounded say nothing here."""
    if len(bounded) < _FEWEST:
        return "open"
    draws, at = np.stack([each.draws for each in bounded]), np.array([each.doublings for each in bounded])
    moves = [draws[j] - draws[i] for i, j in combinations(range(len(at)), 2)]
    up = max(moves, key=lambda move: float(np.median(move)))
    down = min(moves, key=lambda move: float(np.median(move)))
    if float((up > NOTICED).mean()) >= _CLEAR and float((down < -NOTICED).mean()) >= _CLEAR:
        return "turns"
    design = np.stack([np.ones(len(at)), at - at.mean()], axis=1)
    off = draws - design @ np.linalg.lstsq(design, draws, rcond=None)[0]
    if float((np.abs(off).max(axis=0) < NOTICED).mean()) >= _STRAIGHT:
        return "straight"
    # by how far a size lies off the chord of two others; the largest of many is large by chance
    bends = [
        abs(float(np.median(bend))) - _quantile_of(len(at)) * float(bend.std())
        for i, j, k in combinations(range(len(at)), 3)
        for bend in [draws[j] - (draws[i] * (at[k] - at[j]) + draws[k] * (at[j] - at[i])) / (at[k] - at[i])]
    ]
    return "bent" if max(bends) > NOTICED else "open"


def _quantile_of(sizes: int) -> float:
    """Standard errors by which the clearest of all chords must be off: one in a hundred ladders is so by chance."""
    chords = sizes * (sizes - 1) * (sizes - 2) / 6
    return math.sqrt(2 * math.log(100 * min(chords, 4.0)))


# Where the path goes beyond the ladder.

# Prior weights were settled on generated ladders (benchmarks/backtest.py, other seeds than its table's) and on the real
# ones with their largest size hidden, by coverage and width alone.

#: rates per doubling at which a slope fades: none, and shifts that go as width^-1/2, width^-1 and width^-2
_FADING = np.array([0.0, 0.5, 1.0, 2.0]) * math.log(2)
_FADING_WEIGHT = np.array([0.35, 0.25, 0.25, 0.15])
#: change of the slope per square root of a doubling, octaves per doubling
_WANDERING = np.array([0.0, 0.05, 0.15, 0.3])
_WANDERING_WEIGHT = np.array([0.52, 0.2, 0.18, 0.1])
#: change of the slope per doubling, octaves per doubling, of a path that bends steadily and may so turn round
_SWERVING = np.array([0.0, 0.2, 0.6])
_SWERVING_WEIGHT = np.array([0.7, 0.18, 0.12])
#: slope in octaves per doubling, at the middle of the ladder or, where it fades, at its beginning
_STEEPNESS = np.array([0.05, 0.2, 0.6, 1.5])
_STEEPNESS_WEIGHT = np.array([0.3, 0.35, 0.25, 0.1])
#: optima scatter about the path by octaves
_SCATTER = np.array([0.02, 0.05, 0.1])
_SCATTER_WEIGHT = np.array([0.7, 0.22, 0.08])
#: the path's level is open
_LEVEL = 10.0
#: streams of random numbers of their own
_PICK, _NOISE, _RESAMPLE = 90, 91, 92
#: bounds that leave fewer effective draws than this contradict the path
_FEWEST_DRAWS = 32


def follow_path(known: Sequence[KnownOptimum], at: Sequence[float], *, stream: int = 0) -> Array | None:
    """Draws of the optimum at further sizes; None with fewer than two sizes whose optimum is bounded on both sides.

    Args:
        known: what is known of each size's optimum, increasing, draws of which belong together. A size that is only
            bounded enters as the bound it is.
        at: log2 of the sizes.
        stream: a number of its own for every ladder whose draws are to be independent of others'.

    Returns:
        (len(at), DRAWS) log2 positions, the scatter of a single size included; draw i goes with draw i of the largest
        size unless bounds took part.
    """
    bounded = [each for each in known if each.bounded]
    others = [each for each in known if not each.bounded]
    if len(bounded) < 2:
        return None
    where = np.array([*(each.doublings for each in bounded), *at, *(each.doublings for each in others)])
    seen = np.stack([each.draws for each in bounded])
    drawn = _predicted(seen, where, len(bounded), stream)
    ahead = drawn[: len(at)]
    if not others:
        return ahead
    weight = np.ones(drawn.shape[1])
    for each, x in zip(others, drawn[len(at) :], strict=True):
        weight *= each.likelihood(x, 0.02)
    if not weight.sum() > 0 or weight.sum() ** 2 / (weight**2).sum() < _FEWEST_DRAWS:
        return None
    shares = np.cumsum(weight) / weight.sum()
    picked = np.searchsorted(shares, wiener_process.uniform(_RESAMPLE + 10 * stream)).clip(0, len(shares) - 1)
    return np.asarray(ahead[:, picked])


def _predicted(seen: Array, where: Array, count: int, stream: int) -> Array:
    """(len(where) - count, DRAWS) draws of the path's values, scatter included, at the places after the first ones."""
    middle = np.median(seen, axis=1)
    centre = float(middle.mean())
    errors = np.cov(seen) + 1e-12 * np.eye(count)
    hypotheses, scores = [], []
    for path, weight in _path_covariances(where, count):
        for scatter, share in zip(_SCATTER, _SCATTER_WEIGHT, strict=True):
            prior = _LEVEL**2 + path + scatter**2 * np.eye(len(where))
            inverse = np.linalg.inv(prior[:count, :count] + errors)
            residual = middle - centre
            score = 0.5 * (np.linalg.slogdet(inverse)[1] - residual @ inverse @ residual)
            gain = prior[count:, :count] @ inverse
            # the draws bring their own errors along; what is left is what the path adds
            left = prior[count:, count:] - gain @ prior[:count, count:] - gain @ errors @ gain.T
            hypotheses.append((gain, left))
            scores.append(score + math.log(weight * share))
    odds = np.exp(np.array(scores) - max(scores))
    pick = wiener_process.uniform(_PICK + 10 * stream)
    chosen = np.searchsorted(np.cumsum(odds) / odds.sum(), pick).clip(0, len(odds) - 1)
    noise = wiener_process.normal(_NOISE + 10 * stream, len(where) - count)
    drawn = np.empty((len(where) - count, seen.shape[1]))
    for index in np.unique(chosen):
        part, (gain, left) = chosen == index, hypotheses[index]
        drawn[:, part] = centre + gain @ (seen[:, part] - centre) + root_of(left) @ noise[:, part]
    return drawn


def _path_covariances(where: Array, count: int) -> Iterator[tuple[Array, float]]:
    """Prior covariance of the path at all places, without its level, under every hypothesis, and its weight."""
    first, middle = where - where[:count].min(), where - where[:count].mean()
    line, parabola = np.outer(middle, middle), np.outer(middle**2, middle**2) / 4
    fades = list(zip(_FADING, _FADING_WEIGHT, strict=True))
    wanders = list(zip(_WANDERING, _WANDERING_WEIGHT, strict=True))
    swerves = list(zip(_SWERVING, _SWERVING_WEIGHT, strict=True))
    for fading, share in fades:
        drift = line if fading == 0 else _fading_covariance(first, fading)
        wander = _wander_covariance(first, fading)
        for (steep, p), (wandering, q) in product(zip(_STEEPNESS, _STEEPNESS_WEIGHT, strict=True), wanders):
            plain = steep**2 * drift + wandering**2 * wander
            for swerving, r in swerves if fading == 0 else [(0.0, 1.0)]:
                yield plain + swerving**2 * parabola, share * p * q * r


def _fading_covariance(t: Array, fading: float) -> Array:
    """Covariance of what a slope of 1 at t = 0 adds, which fades at this rate; before it the slope is constant."""
    reached = np.where(t > 0, -np.expm1(-fading * np.maximum(t, 0)) / fading, t)
    return np.outer(reached, reached)


def _wander_covariance(t: Array, fading: float) -> Array:
    """Covariance of what white noise on the slope from t = 0 adds; integral of both responses over the noise's time."""
    s, u = np.maximum(t, 0)[:, None], np.maximum(t, 0)[None]
    m = np.minimum(s, u)
    if fading == 0:
        return wiener_process.covariance(2, s, u)
    k = fading
    # (1 - e^(-k (s - v))) (1 - e^(-k (u - v))) / k^2, integrated over v from 0 to m
    first = np.exp(-k * s) * np.expm1(k * m) / k
    second = np.exp(-k * u) * np.expm1(k * m) / k
    both = np.exp(-k * (s + u)) * np.expm1(2 * k * m) / (2 * k)
    return np.asarray((m - first - second + both) / k**2)
