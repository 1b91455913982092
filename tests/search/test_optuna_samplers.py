"""Optuna's samplers by name: plain, recorded, and never the same points twice."""

from __future__ import annotations

import inspect
import math

import optuna
import pytest

from hptransfer.search.base import SAMPLERS, Point
from hptransfer.search.optuna_samplers import OptunaSampler, values_for_optuna
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial, TrialState
from tests.support.searches import LINE, PLANE, bowl, trial

NAMES = ["cmaes", "gp", "random", "tpe"]


def sampler(name: str) -> OptunaSampler:
    """One of Optuna's, by name."""
    found = SAMPLERS.look_up(name)
    assert isinstance(found, OptunaSampler)
    return found


def propose(
    name: str, space: Space, finished: list[Trial], taken: list[Point], *, count: int, seed: int
) -> list[Point]:
    """The next points of a search of 40 trials."""
    return sampler(name).propose(space, finished, taken, count=count, total=40, seed=seed)


def searched(name: str, space: Space, total: int, *, rounds: int = 4, wall: float = math.inf) -> list[Trial]:
    """A whole search, each round by a new sampler, as after an interruption."""
    finished: list[Trial] = []
    while len(finished) < total:
        asked = [space.point(done.hyperparameters) for done in finished]
        new = propose(name, space, finished, asked, count=min(rounds, total - len(finished)), seed=0)
        assert new
        finished += [trial(space, point, bowl(point) if point[0] <= wall else math.inf) for point in new]
    return finished


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_optunas_and_have_its_defaults(name: str) -> None:
    """What is recorded is what Optuna 5 does when it is given nothing, so the search is the plain one."""
    kinds = {"random": "RandomSampler", "tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler"}
    arguments = sampler(name).arguments
    signature = inspect.signature(getattr(optuna.samplers, kinds[name]).__init__)
    defaults = {key: signature.parameters[key].default for key in arguments}

    if name == "tpe":
        assert defaults.pop("multivariate") is None  # and None means True for one objective (Optuna 5.0.0, PR 6746)
    assert defaults == {key: value for key, value in arguments.items() if key in defaults}


@pytest.mark.parametrize("name", NAMES)
def test_a_new_sampler_does_not_repeat_points(name: str) -> None:
    """Fault F17: rounds made by new samplers differ; Optuna's own, seeded once, begin again."""
    trials = searched(name, PLANE, 14)
    points = {tuple(round(x, 6) for x in PLANE.point(done.hyperparameters)) for done in trials}

    assert len(points) == 14
    assert all(PLANE.contains(done.hyperparameters) for done in trials)


@pytest.mark.parametrize("name", NAMES)
def test_the_next_points_are_a_function_of_results_and_seed(name: str) -> None:
    """Asked twice, the answer is the same; another seed gives another."""
    trials = searched(name, PLANE, 12)
    asked = [PLANE.point(done.hyperparameters) for done in trials]
    first = propose(name, PLANE, trials, asked, count=2, seed=0)

    assert propose(name, PLANE, trials, asked, count=2, seed=0) == first
    assert propose(name, PLANE, trials, asked, count=2, seed=1) != first


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_adaptive_samplers_learn(name: str) -> None:
    """The last ten of 40 trials lose less than half of what the first ten do, which needs the state of those before."""
    losses = [done.loss for done in searched(name, PLANE, 40)]

    assert sum(losses[30:]) - 20 < 0.5 * (sum(losses[:10]) - 20)


def test_points_without_a_result_are_not_asked_again() -> None:
    """A failed trial leaves its point taken, and the sampler goes on."""
    asked = propose("cmaes", LINE, [], [], count=4, seed=0)
    later = propose("cmaes", LINE, [trial(LINE, asked[0], 2.0)], asked, count=4, seed=0)

    assert set(later).isdisjoint(asked)


def test_divergence_is_told_as_slightly_worse_than_the_worst() -> None:
    """Losses 2 and 3 and a divergence: 3.05, a twentieth of their distance beyond; alone, 1."""
    blown = trial(LINE, (-2.0,), math.inf)

    assert blown.state is TrialState.DIVERGED
    assert values_for_optuna([trial(LINE, (-8.0,), 2.0), trial(LINE, (-7.0,), 3.0), blown]) == pytest.approx(
        [2.0, 3.0, 3.05]
    )
    assert values_for_optuna([blown]) == [1.0]


def test_tpe_leaves_the_region_of_divergence() -> None:
    """Half the plane diverges; after the random start at most a third of the trials go there."""
    trials = searched("tpe", PLANE, 40, wall=-5.0)

    assert sum(done.state is TrialState.DIVERGED for done in trials[10:]) <= 10
