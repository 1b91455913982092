"""Optuna's samplers behind `Sampler`: each point a pure function of what is finished.

A sampler of Optuna that is made anew after an interruption draws its first random numbers again, so it would repeat the
points it began with. Here every point has a sampler of its own, seeded from the search's seed and the point's number,
and the state of CMA-ES is rebuilt by replaying the points before. So a search goes on with the points it would have
tried anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState as OptunaState
from optuna.trial import create_trial

from hptransfer.search.base import Point, limited_count
from hptransfer.search.space import Space
from hptransfer.search.space_filling import rounded
from hptransfer.trials.trial import Trial, TrialState

#: a point that was decided before (CMA-ES meets corners again) is drawn anew this often
_MOST_DRAWS = 20


@dataclass(frozen=True, slots=True)
class OptunaSampler:
    """A sampler of Optuna; see `Sampler`.

    Attributes:
        kind: Optuna's class of samplers.
        arguments: given to it besides the seed: its own defaults, written out, because a change of its defaults must
            not change a search silently.
        has_state: whether it keeps its state on Optuna's trials, so that points before are replayed through it.
    """

    kind: type[BaseSampler]
    arguments: Mapping[str, Any]
    has_state: bool = False

    def propose(
        self, space: Space, finished: Sequence[Trial], taken: Sequence[Point], *, count: int, total: int, seed: int
    ) -> list[Point]:
        """See `Sampler.propose`."""
        count = limited_count(space, finished, count, total)
        if not count:
            return []
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=RandomSampler(seed=0))
        distributions: dict[str, BaseDistribution] = {axis.name: FloatDistribution(*axis.ends) for axis in space}
        losses = {
            rounded(space.point(trial.hyperparameters)): value
            for trial, value in zip(finished, values_for_optuna(finished), strict=True)
        }
        self._replay(study, space, distributions, taken, losses, seed)
        known, points = {rounded(point) for point in taken}, list[Point]()
        for draw in range(_MOST_DRAWS * count):
            if len(points) == count:
                break
            study.sampler = self._seeded(derived_seed(seed, len(taken) + draw))
            params = study.ask(fixed_distributions=distributions).params  # it stays running, so the next one avoids it
            point = tuple(float(params[axis.name]) for axis in space)
            if rounded(point) not in known:
                points.append(point)
                known.add(rounded(point))
        return points

    def settings(self, space: Space, total: int) -> dict[str, Any]:
        """See `Sampler.settings`."""
        return dict(self.arguments)

    def _seeded(self, seed: int) -> BaseSampler:
        return self.kind(seed=seed, **self.arguments)  # type: ignore[call-arg]  # the base class takes nothing

    def _replay(
        self,
        study: optuna.Study,
        space: Space,
        distributions: dict[str, BaseDistribution],
        taken: Sequence[Point],
        losses: Mapping[Point, float],
        seed: int,
    ) -> None:
        """Brings the study to where the search is: finished points with their losses, the others without."""
        for number, point in enumerate(taken):
            params = dict(zip(space.names, _inside(space, point), strict=True))
            loss = losses.get(rounded(point))
            if loss is None:
                continue
            left: dict[str, Any] = {}
            if self.has_state:
                study.sampler = self._seeded(derived_seed(seed, number))
                asking = study.ask(fixed_distributions=distributions)
                study.tell(asking, state=OptunaState.FAIL)
                left = study.get_trials(deepcopy=False)[-1].system_attrs
            study.add_trial(
                create_trial(
                    params=params,
                    distributions=distributions,
                    value=loss,
                    state=OptunaState.COMPLETE,
                    system_attrs=left,
                )
            )


def values_for_optuna(finished: Sequence[Trial]) -> list[float]:
    """Losses, nats, with divergences slightly worse than the worst finite one (1 where nothing is finite)."""
    finite = [trial.loss for trial in finished if trial.state is TrialState.COMPLETE]
    beyond = max(finite) + max(0.05 * (max(finite) - min(finite)), 1e-3) if finite else 1.0
    return [trial.loss if trial.state is TrialState.COMPLETE else beyond for trial in finished]


def derived_seed(seed: int, number: int) -> int:
    """A seed of its own for each point of a search, below 2^31."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big") >> 1


def _inside(space: Space, point: Point) -> Point:
    """Rounding on the way through a logarithm may leave a bound by a hair."""
    return tuple(min(max(x, axis.ends[0]), axis.ends[1]) for x, axis in zip(point, space, strict=True))
