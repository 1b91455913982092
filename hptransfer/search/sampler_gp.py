"""Two to four searched hyperparameters: a few scrambled Sobol points, then those that improve the recommendation most.

Each later point is the one whose result is expected to lower the fitted mean at the recommended point most (the
knowledge gradient: Frazier, Powell and Dayanik, "The Knowledge-Gradient Policy for Correlated Normal Beliefs", 2009),
weighted by the probability that it trains. Expected improvement asks for the lowest single run instead, which is noise
in part. Points are pure functions of seed and results, so a search goes on after an interruption with the points it
would have tried anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import qmc

from hptransfer.search.base import Point
from hptransfer.search.space import Space
from hptransfer.search.space_filling import first_untaken, rounded, snap, sobol
from hptransfer.search.surrogate import COMPRESSED_ABOVE, Surrogate, fit_surrogate, stable_share
from hptransfer.statistics.arrays import Array
from hptransfer.trials.trial import Trial, TrialState

#: candidates: an even cover, and as many drawn about the four lowest means
_COVER, _CENTRES = 192, 4
#: the recommendation can move to any of this many candidates of lowest mean
_RIVALS = 160
#: points of Gauss-Hermite quadrature over what the next result may be
_NODES = 7
#: added to the mean where runs likely diverge, in units of the losses' spread: never recommended
_WALL = 10.0
SETTINGS: dict[str, Any] = {
    "model": "quadratic + matern 5/2",
    "compressed_above": COMPRESSED_ABOVE,
    "acquisition": "knowledge gradient",
    "candidates": 2 * _COVER,
}


def start_count(dimensions: int, total: int) -> int:
    """How many quasi-random points come before the model, at most all: few, because the model learns faster.

    Of 1000 pilot searches of benchmarks/efficiency.py, 16 trials over two to four hyperparameters, 51% reached the goal
    after 2d points and 56% after d + 1.
    """
    return min(total, dimensions + 1)


def propose(
    space: Space, finished: Sequence[Trial], unavailable: Sequence[Point], *, count: int, total: int, seed: int
) -> list[Point]:
    """Points to try next.

    Args:
        space: two to four axes.
        finished: complete and diverged trials so far.
        unavailable: points that were decided before, whatever became of them; none is proposed again.
        count: number of points wanted, at least 1.
        total: number of trials of the whole search.
        seed: seed of the search, at least 0.
    """
    start = first_untaken(sobol(space, start_count(len(space), total), seed), unavailable, count)
    if start:
        return start
    if not any(trial.state is TrialState.COMPLETE for trial in finished):
        return first_untaken(sobol(space, len(unavailable) + count, seed), unavailable, count)
    ends = np.array([axis.ends for axis in space])
    x, losses = unit_points(space, finished)
    rng = np.random.default_rng([seed, len(unavailable)])
    taken, points = {rounded(point) for point in unavailable}, list[Point]()
    for unit in _most_informative(fit_surrogate(x, losses), x, np.isfinite(losses), count, rng):
        exact = tuple((ends[:, 0] + unit * np.ptp(ends, axis=1)).tolist())
        near = snap(space, exact)
        points.append(exact if rounded(near) in taken else near)
        taken.add(rounded(points[-1]))
    return points


def unit_points(space: Space, finished: Sequence[Trial]) -> tuple[Array, Array]:
    """Places of trials in the unit cube, and their losses, infinite where diverged."""
    ends = np.array([axis.ends for axis in space])
    x = (np.array([space.point(trial.hyperparameters) for trial in finished]) - ends[:, 0]) / np.ptp(ends, axis=1)
    return x, np.array([trial.loss if trial.state is TrialState.COMPLETE else math.inf for trial in finished])


@lru_cache(maxsize=8)
def cover(dimensions: int, count: int) -> Array:
    """The first points of a Sobol sequence in the unit cube; `count` is a power of two."""
    return np.asarray(qmc.Sobol(dimensions, scramble=False).random(count))


def _most_informative(
    surrogate: Surrogate,
    x: Array,
    trained: np.ndarray[tuple[int], np.dtype[np.bool_]],
    count: int,
    rng: np.random.Generator,
) -> list[Array]:
    """The candidates of largest knowledge gradient, each as if those before had given their mean."""
    places = _candidates(surrogate, x[trained], rng)
    mean, covariance = surrogate.posterior(places)
    share = stable_share(x, trained, places)
    mean = mean + _WALL * (share < 0.5)
    rivals = np.argsort(mean, kind="stable")[:_RIVALS]
    base = mean[rivals]
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    chosen = []
    for _ in range(count):
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-12) + surrogate.noise**2)
        change = (
            covariance[:, rivals] / spread[:, None]
        )  # of the mean at the rivals, per standard deviation of the result
        lowest = sum(w * (base + z * change).min(1) for z, w in zip(nodes, weights / weights.sum(), strict=True))
        best = int(((base.min() - lowest) * share).argmax())
        chosen.append(places[best])
        covariance = covariance - np.outer(covariance[:, best], covariance[best]) / spread[best] ** 2
    return chosen


def _candidates(surrogate: Surrogate, trained: Array, rng: np.random.Generator) -> Array:
    dimensions = trained.shape[1]
    shift = rng.random(dimensions)
    even = (cover(dimensions, 256)[:_COVER] + shift) % 1.0
    centres = trained[np.argsort(surrogate.mean(trained), kind="stable")[:_CENTRES]]
    spread = np.minimum(0.5 * surrogate.lengths, 0.15)
    each = _COVER // len(centres)
    about = (centres[:, None, :] + rng.normal(0.0, spread, (len(centres), each, dimensions))).reshape(-1, dimensions)
    return np.concatenate([even, np.clip(about, 0.0, 1.0)])
