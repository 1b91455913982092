"""Two to four searched hyperparameters: scrambled Sobol points first, then Optuna's Gaussian-process sampler.

The start is a pure function of seed and number; every later point has a sampler of its own, seeded from both, so a
search that goes on after an interruption does not repeat points (Optuna's samplers, seeded once, do).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial
from scipy.stats import qmc

from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.search.space import Space

#: octaves; log-scaled values are tried at 2^(k/16), fine enough to cost nothing and coarse enough to read
_LATTICE = 1 / 16


def start_count(dimensions: int, total: int) -> int:
    """How many quasi-random points come before the model, at most all."""
    return min(total, max(8, 2 * dimensions + 4))


def propose(
    space: Space,
    finished: Sequence[Trial],
    unavailable: Collection[tuple[float, ...]],
    *,
    number: int,
    count: int,
    total: int,
    seed: int,
) -> list[tuple[float, ...]]:
    """Points to try next.

    Args:
        space: two to four axes.
        finished: results so far.
        unavailable: points that were decided before, whatever became of them; none is proposed again.
        number: how many points were decided before.
        count: points wanted.
        total: trials of the whole search.
        seed: of the search.
    """
    start = _start(space, start_count(len(space), total), seed)
    taken = {_rounded(point) for point in unavailable} | {_rounded(space.point(t.hyperparameters)) for t in finished}
    fresh = [point for point in start[number : number + count] if _rounded(point) not in taken]
    if fresh:
        return fresh
    if not any(trial.state is TrialState.COMPLETE for trial in finished):
        return []
    return _modelled(space, finished, taken, range(number, number + count), seed)


def _start(space: Space, count: int, seed: int) -> list[tuple[float, ...]]:
    sampler = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng([seed, len(space)]))
    unit = sampler.random_base2(max(1, math.ceil(math.log2(count))))[:count]
    ends = np.array([axis.ends for axis in space])
    return [_on_lattice(space, tuple(row)) for row in (ends[:, 0] + unit * (ends[:, 1] - ends[:, 0])).tolist()]


def _modelled(
    space: Space, finished: Sequence[Trial], taken: set[tuple[float, ...]], numbers: range, seed: int
) -> list[tuple[float, ...]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    distributions: dict[str, BaseDistribution] = {axis.name: FloatDistribution(*axis.ends) for axis in space}
    for trial, value in zip(finished, _told(finished), strict=True):
        params = dict(zip(space.names, space.point(trial.hyperparameters), strict=True))
        study.add_trial(
            create_trial(params=params, distributions=distributions, value=value, state=OptunaState.COMPLETE)
        )
    points = []
    for number in numbers:
        study.sampler = optuna.samplers.GPSampler(seed=_derived_seed(seed, number), n_startup_trials=0)
        asked = study.ask(fixed_distributions=distributions).params  # stays running, so the next point avoids it
        exact = tuple(float(asked[name]) for name in space.names)
        point = _on_lattice(space, exact)
        points.append(exact if _rounded(point) in taken else point)
        taken.add(_rounded(points[-1]))
    return points


def _told(finished: Sequence[Trial]) -> list[float]:
    """Losses, with divergences slightly worse than the worst finite one."""
    finite = [trial.loss for trial in finished if trial.state is TrialState.COMPLETE]
    beyond = max(finite) + max(0.05 * (max(finite) - min(finite)), 1e-3)
    return [trial.loss if trial.state is TrialState.COMPLETE else beyond for trial in finished]


def _on_lattice(space: Space, point: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(
        min(max(round(x / _LATTICE) * _LATTICE, axis.ends[0]), axis.ends[1])
        for axis, x in zip(space, point, strict=True)
    )


def _rounded(point: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(x, 6) for x in point)


def _derived_seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big") >> 1
