"""Optuna's samplers by name: random, TPE, Gaussian process and CMA-ES, each point a pure function of what is finished.

A sampler of Optuna that is made anew after an interruption draws its first random numbers again, so it would repeat the
points it began with. Here every point has a sampler of its own, seeded from the search's seed and the point's number,
and the state of CMA-ES is rebuilt by replaying the points before. So a search goes on with the points it would have
tried anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial

from hptransfer.search.space import Space
from hptransfer.search.space_filling import Point, rounded
from hptransfer.trials.trial import Trial, TrialState

_KINDS: dict[str, type[BaseSampler]] = {
    "random": RandomSampler,
    "tpe": TPESampler,
    "gp": GPSampler,
    "cmaes": CmaEsSampler,
}
#: Optuna 5's own defaults, written out: a change of its defaults must not change a search silently
ARGUMENTS: dict[str, Mapping[str, Any]] = {
    "random": {},
    "tpe": {
        "n_startup_trials": 10,
        "n_ei_candidates": 24,
        "multivariate": True,
        "group": False,
        "constant_liar": True,
    },
    "gp": {"n_startup_trials": 10, "deterministic_objective": False},
    "cmaes": {"n_startup_trials": 1, "use_separable_cma": False, "with_margin": False, "lr_adapt": False},
}
#: a point that was decided before (CMA-ES meets corners again) is drawn anew this often
_MOST_DRAWS = 20


def propose(
    name: str,
    space: Space,
    finished: Sequence[Trial],
    asked: Sequence[Point],
    *,
    count: int,
    seed: int,
) -> list[Point]:
    """Points to try next.

    Args:
        name: a key of `ARGUMENTS`.
        space: what is searched.
        finished: results so far.
        asked: every point decided before, in order, whatever became of it; none is proposed again.
        count: points wanted at most.
        seed: of the search.

    Returns:
        Up to `count` points within the bounds.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    distributions: dict[str, BaseDistribution] = {axis.name: FloatDistribution(*axis.ends) for axis in space}
    losses = {
        rounded(space.point(trial.hyperparameters)): value
        for trial, value in zip(finished, values_for_optuna(finished), strict=True)
    }
    _replay(study, name, space, distributions, asked, losses, seed)
    taken, points = {rounded(point) for point in asked}, list[Point]()
    for draw in range(_MOST_DRAWS * count):
        if len(points) == count:
            break
        study.sampler = _sampler(name, derived_seed(seed, len(asked) + draw))
        params = study.ask(fixed_distributions=distributions).params  # it stays running, so the next one avoids it
        point = tuple(float(params[axis.name]) for axis in space)
        if rounded(point) not in taken:
            points.append(point)
            taken.add(rounded(point))
    return points


def values_for_optuna(finished: Sequence[Trial]) -> list[float]:
    """Losses, with divergences slightly worse than the worst finite one (1 where nothing is finite)."""
    finite = [trial.loss for trial in finished if trial.state is TrialState.COMPLETE]
    beyond = max(finite) + max(0.05 * (max(finite) - min(finite)), 1e-3) if finite else 1.0
    return [trial.loss if trial.state is TrialState.COMPLETE else beyond for trial in finished]


def derived_seed(seed: int, number: int) -> int:
    """A seed of its own for each point of a search, below 2^31."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big") >> 1


def _sampler(name: str, seed: int) -> BaseSampler:
    return _KINDS[name](seed=seed, **ARGUMENTS[name])  # type: ignore[call-arg]  # the base class takes nothing


def _replay(
    study: optuna.Study,
    name: str,
    space: Space,
    distributions: dict[str, BaseDistribution],
    asked: Sequence[Point],
    losses: Mapping[Point, float],
    seed: int,
) -> None:
    """Brings the study to where the search is: finished points with their losses, the others without."""
    for number, point in enumerate(asked):
        params = dict(zip(space.names, _inside(space, point), strict=True))
        loss = losses.get(rounded(point))
        if loss is None:
            continue
        left: dict[str, Any] = {}
        if name == "cmaes":  # its generations live in what asking leaves on each trial
            study.sampler = _sampler(name, derived_seed(seed, number))
            asking = study.ask(fixed_distributions=distributions)
            study.tell(asking, state=OptunaState.FAIL)
            left = study.get_trials(deepcopy=False)[-1].system_attrs
        study.add_trial(
            create_trial(
                params=params, distributions=distributions, value=loss, state=OptunaState.COMPLETE, system_attrs=left
            )
        )


def _inside(space: Space, point: Point) -> Point:
    """Rounding on the way through a logarithm may leave a bound by a hair."""
    return tuple(min(max(x, axis.ends[0]), axis.ends[1]) for x, axis in zip(point, space, strict=True))
