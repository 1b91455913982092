"""Rounds of a search under every sampler: resumable, within bounds, with the enqueued values first."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from hptransfer.errors import UsageError
from hptransfer.search.base import SAMPLERS
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import Decision, Rounds
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial
from tests.support.searches import LINE, PLANE, bowl, trial


def noisy(space: Space, decision: Decision) -> Trial:
    """A run with noise of 0.3% that depends on values and seed alone."""
    point = space.point(decision.values)
    noise = np.random.default_rng([decision.seed, *(round(1000 * x) + 10**6 for x in point)]).standard_normal()
    done = trial(space, point, bowl(point) * (1 + 0.003 * noise))
    return Trial(f"{point}{decision.seed}", done.size, done.hyperparameters, decision.seed, done.state, done.loss)


def searched(rounds: Rounds, stop_after: int = 10**6) -> tuple[list[Decision], list[Trial]]:
    """A search; `stop_after` trials the process ends, and another one goes on with what is stored."""
    asked: list[Decision] = []
    finished: list[Trial] = []
    while len(finished) < rounds.trials:
        decided = rounds.decide(asked, finished, min(rounds.round_size, rounds.trials - len(finished)))
        if not decided:
            break
        asked += decided
        for decision in decided:
            finished.append(noisy(rounds.space, decision))
            if len(finished) == stop_after:  # the rest of the round is trained by the next process
                rounds = Rounds(rounds.space, rounds.trials, rounds.first_seed, rounds.wanted_seeds, rounds.sampler)
    return asked, finished


@pytest.mark.parametrize("sampler", SAMPLERS.names)
@pytest.mark.parametrize("space", [LINE, PLANE], ids=["line", "plane"])
def test_every_sampler_reaches_the_total_within_bounds(sampler: str, space: Space) -> None:
    """Twelve trials, no point twice for one seed; a grid may end earlier, at its last point."""
    asked, finished = searched(Rounds(space, 12, sampler=sampler))

    assert len({(*space.point(d.values), d.seed) for d in asked}) == len(asked) == len(finished)
    assert len(finished) == 12
    assert all(space.contains(decision.values) for decision in asked)


@pytest.mark.parametrize("sampler", SAMPLERS.names)
def test_a_resumed_search_is_the_uninterrupted_one(sampler: str) -> None:
    """Points and recommendation are equal exactly, in the quasi-random phase and beyond it."""
    rounds = Rounds(PLANE, 10, sampler=sampler)
    whole, interrupted = searched(rounds), searched(rounds, stop_after=5)

    assert interrupted == whole
    assert recommend(PLANE, interrupted[1]) == recommend(PLANE, whole[1])


@pytest.mark.parametrize("sampler", SAMPLERS.names)
def test_all_samplers_share_the_recommendation_by_model(sampler: str) -> None:
    """Two axes, 24 trials, 0.3% noise: each recommends within one octave of the optimum's learning rate."""
    found = recommend(PLANE, searched(Rounds(PLANE, 24, sampler=sampler))[1])

    assert found is not None
    assert math.log2(found.values["learning_rate"]) == pytest.approx(-6, abs=1)


@pytest.mark.parametrize("sampler", SAMPLERS.names)
def test_settings_are_complete_and_fit_into_json(sampler: str) -> None:
    """Sampler, arguments, seeds and Optuna's version."""
    settings = Rounds(PLANE, 16, first_seed=7, sampler=sampler).settings

    assert json.loads(json.dumps(settings)) == settings
    assert settings["sampler"] == sampler
    assert settings["seeds"] == [7]
    assert settings["optuna"].startswith("5.")


@pytest.mark.parametrize("sampler", SAMPLERS.names)
def test_divergence_everywhere_ends_the_search(sampler: str) -> None:
    """Twelve divergences of two hyperparameters are enough; the budget of 40 is not spent on more."""
    asked: list[Decision] = []
    finished: list[Trial] = []
    rounds = Rounds(PLANE, 40, sampler=sampler)
    while decided := rounds.decide(asked, finished, 4):
        asked += decided
        finished += [trial(PLANE, PLANE.point(decision.values), math.inf) for decision in decided]

    assert len(finished) == 12


@pytest.mark.parametrize(
    ("moved", "seed", "values"),
    [(1, 2, range(-1, 4)), (2, 2, range(5)), (3, 1, range(3, 6))],
)
def test_a_moved_optimum_does_not_start_a_seed_again(moved: int, seed: int, values: range) -> None:
    """The second seed trained five values around the optimum, and its losses moved the optimum by some values.

    While most of the five values around the new optimum have the seed, it goes on to the third seed, at the new five.
    Once most of them are new, the second seed is trained at those that lack it.
    """
    rounds = Rounds(LINE, 27, wanted_seeds=3)
    step = LINE.spacing
    centre = -6 + step * moved
    explored = [(x, 0) for x in LINE.axes[0].lattice(step)]
    runs = [*explored, *((-6 + step * k, 1) for k in range(-2, 3))]
    asked = [Decision(LINE.values((x,)), of) for x, of in runs]
    finished = [replace(trial(LINE, (x,), 2 + 0.05 * (x - centre) ** 2), key=f"{x}-{of}", seed=of) for x, of in runs]
    decided = rounds.decide(asked, finished, 5)

    assert rounds.exploring == len(explored)
    assert {decision.seed for decision in decided} == {seed}
    places = sorted(math.log2(decision.values["learning_rate"]) for decision in decided)
    assert places == pytest.approx([-6 + step * k for k in values])


def test_enqueued_values_come_first() -> None:
    """Two sets of values, then the sampler's own."""
    enqueued = [{"learning_rate": 0.01, "init_scale": 1.0}, {"learning_rate": 0.02, "init_scale": 2.0}]
    rounds = Rounds(PLANE, 12, enqueued=enqueued)
    first = rounds.decide([], [], 4)

    assert [decision.values for decision in first] == [pytest.approx(values) for values in enqueued]
    later = rounds.decide(first, [noisy(PLANE, decision) for decision in first], 2)
    assert later == [Decision(values, 0) for values in (d.values for d in Rounds(PLANE, 12).decide([], [], 2))]


@pytest.mark.parametrize(
    "values",
    [{"learning_rate": 0.5, "init_scale": 1.0}, {"learning_rate": 0.01}],
    ids=["out of range", "one missing"],
)
def test_enqueued_values_outside_the_space_are_refused(values: dict[str, float]) -> None:
    """Fault F21: Optuna runs x = 5 in [0, 1]; this says what the bounds are."""
    with pytest.raises(UsageError, match=r"within `tune\.space`"):
        Rounds(PLANE, 12, enqueued=[values]).decide([], [], 2)


def test_in_two_dimensions_seeds_go_to_distinct_values() -> None:
    """The sets of lowest loss, each once, though every one of them has several seeds among the best."""
    rounds = Rounds(PLANE, 30, wanted_seeds=3)
    points = [(-6.0 + 0.1 * k, 0.1 * k) for k in range(8)]
    asked = [Decision(PLANE.values(point), seed) for point in points for seed in (0, 1)]
    losses = {point: 2.0 + 0.1 * k for k, point in enumerate(points)}
    finished = [
        replace(trial(PLANE, points[k // 2], losses[points[k // 2]]), seed=k % 2, key=str(k)) for k in range(16)
    ] + [replace(trial(PLANE, (-9.0, 0.0), 9.0), key=f"far{k}") for k in range(12)]

    decided = rounds.decide(asked, finished, 4)

    assert {decision.seed for decision in decided} == {2}
    assert [decision.values for decision in decided] == [PLANE.values(point) for point in points[: len(decided)]]
