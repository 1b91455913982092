"""Sparing seeds: what paired seeds show to be clearly worse, and how a search goes on without it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import optuna
import pytest

from hptransfer.search import seed_pruning
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import Decision, Rounds
from hptransfer.search.seed_pruning import clearly_worse
from hptransfer.trials.trial import Trial
from tests.support.searches import LINE, PLANE, trial

BEST, OTHER = -6.0, -5.0


def with_seeds(x: float, losses: Iterable[float]) -> list[Trial]:
    """A run per loss at 2^x, with seeds 0, 1, 2, ..."""
    made = [trial(LINE, (x,), loss) for loss in losses]
    return [replace(each, seed=seed, key=f"{x}:{seed}") for seed, each in enumerate(made)]


def test_four_seeds_that_are_all_worse_are_enough() -> None:
    """Of 2^4 equally likely patterns of signs one is as extreme, so p = 1/16; three seeds give 1/8: too much."""
    best, worse = [2.0, 2.1, 1.9, 2.0], [2.03, 2.12, 1.94, 2.01]
    found = clearly_worse(LINE, [*with_seeds(BEST, best), *with_seeds(OTHER, worse)])

    assert list(found) == [(2.0**OTHER,)]
    assert found[2.0**OTHER,].p == 1 / 16
    assert found[2.0**OTHER,].pairs == 4
    assert found[2.0**OTHER,].excess == pytest.approx(0.025 / 2.0)
    assert "1.25% above that at learning_rate 0.01562 over 4 paired seeds" in found[2.0**OTHER,].reason
    assert clearly_worse(LINE, [*with_seeds(BEST, best[:3]), *with_seeds(OTHER, worse[:3])]) == {}


def test_a_value_on_the_plateau_keeps_its_seeds() -> None:
    """Always worse, by 0.2% of the loss: such values fix the optimum together, however sure the difference is."""
    assert clearly_worse(LINE, [*with_seeds(BEST, [2.0] * 12), *with_seeds(OTHER, [2.004] * 12)]) == {}
    assert clearly_worse(LINE, [*with_seeds(BEST, [2.0] * 12), *with_seeds(OTHER, [2.006] * 12)]) != {}


def test_the_seeds_common_luck_is_no_difference() -> None:
    """Losses that scatter by 0.1 from seed to seed hide a difference of 0.02 unless they are compared in pairs."""
    luck = np.random.default_rng(0).normal(0, 0.1, 6)
    found = clearly_worse(LINE, [*with_seeds(BEST, 2.0 + luck), *with_seeds(OTHER, 2.02 + luck)])
    unpaired = [*with_seeds(BEST, 2.0 + luck), *with_seeds(OTHER, 2.02 + luck[::-1])]

    assert found[2.0**OTHER,].p == 1 / 64
    assert clearly_worse(LINE, unpaired) == {}


def test_a_divergence_is_compared_with_nothing() -> None:
    """The fit leaves the value out, and the search keeps away from it by itself."""
    blown = with_seeds(OTHER, [2.5, 2.5, 2.5, 2.5, math.inf])

    assert clearly_worse(LINE, [*with_seeds(BEST, [2.0] * 5), *blown]) == {}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_test_is_that_of_optunas_pruner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plateau's margin, 200 pairs of values with 4 to 9 seeds: WilcoxonPruner says the same of each."""
    monkeypatch.setattr(seed_pruning, "PLATEAU", 0.0)
    rng, answers = np.random.default_rng(5), list[bool]()
    for _ in range(200):
        count = int(rng.integers(4, 10))
        best = rng.normal(2.0, 0.01, count)
        other = best + rng.normal(0.004, 0.01, count)
        if other.mean() <= best.mean():
            best, other = other, best
        found = clearly_worse(LINE, [*with_seeds(BEST, best), *with_seeds(OTHER, other)])
        assert bool(found) is _pruned(best.tolist(), other.tolist())
        answers.append(bool(found))

    assert 40 < sum(answers) < 160


def _pruned(best: list[float], other: list[float]) -> bool:
    study = optuna.create_study(pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.1))
    whole = optuna.trial.create_trial(value=float(np.mean(best)), intermediate_values=dict(enumerate(best)))
    study.add_trial(whole)
    running = study.ask()
    for step, loss in enumerate(other):
        running.report(loss, step)
    return running.should_prune()


def run(decision: Decision) -> Trial:
    """A parabola, 1% per octave squared, with luck of 1% that seeds share and 0.1% that they do not."""
    (x,) = LINE.point(decision.values)
    luck = np.random.default_rng(decision.seed).normal(0, 0.02)
    own = np.random.default_rng([decision.seed, round(1000 * x) + 10**6]).normal(0, 0.002)
    done = trial(LINE, (x,), 2.0 + 0.02 * (x - BEST) ** 2 + luck + own)
    return replace(done, seed=decision.seed, key=f"{x}:{decision.seed}")


def searched(rounds: Rounds) -> tuple[list[Decision], list[Trial]]:
    """A whole search."""
    asked: list[Decision] = []
    finished: list[Trial] = []
    while (left := rounds.trials - len(asked)) > 0 and (decided := rounds.decide(asked, finished, min(4, left))):
        asked += decided
        finished += [run(decision) for decision in decided if not decision.spared]
    return asked, finished


def test_a_search_spares_seeds_and_keeps_the_optimum() -> None:
    """Eight seeds: values an octave off get no fifth one, nothing is spared before, the optimum stays where it is."""
    whole = searched(Rounds(LINE, 46, wanted_seeds=8))[1]
    asked, finished = searched(Rounds(LINE, 46, wanted_seeds=8, sparing=True))
    spared = [decision for decision in asked if decision.spared]
    plain, found = recommend(LINE, whole), recommend(LINE, finished)

    assert len(whole) == len(asked) == 46
    assert len(finished) == 46 - len(spared) < 46
    assert {decision.seed for decision in spared} <= {4, 5, 6, 7}
    assert all(abs(LINE.point(decision.values)[0] - BEST) >= 0.5 for decision in spared)
    assert plain is not None
    assert found is not None
    assert math.log2(found.values["learning_rate"]) == pytest.approx(math.log2(plain.values["learning_rate"]), abs=0.1)


def test_a_seed_is_not_spent_on_one_value_alone() -> None:
    """Its luck could not be told from the value's own loss, so it is spared there too, and the reason says so."""
    values = [{"learning_rate": 2.0**x} for x in (-7.0, -6.5, -6.0, -5.5, -5.0)]
    asked = [Decision(value, seed) for value in values for seed in range(4)]
    finished = [
        replace(trial(LINE, LINE.point(each.values), 2.0 + abs(LINE.point(each.values)[0] + 6)), seed=each.seed)
        for each in asked
    ]
    rounds = Rounds(LINE, 30, wanted_seeds=6, sparing=True)
    asked += [Decision({"learning_rate": 2.0**-9}, 0)]
    finished += [trial(LINE, (-9.0,), 5.0)] * (rounds.exploring - 5)

    decided = rounds.decide(asked, finished, 4)

    assert {decision.seed for decision in decided} == {4}
    alone = [each for each in decided if "tells nothing" in each.spared]
    assert [each.values["learning_rate"] for each in alone] == [2.0**BEST]
    assert all(each.spared for each in decided)


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
