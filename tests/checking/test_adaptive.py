"""The adaptive check on synthetic ladders: fewer trials, honest stops, the same way every time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.adaptive import Ladder, recipe
from hptransfer.checking.adaptive import AdaptiveResult, run_adaptive
from hptransfer.checking.design import CheckDesign
from hptransfer.recipe.schema import Recipe
from hptransfer.verdict import Verdict


def edited(**check: Any) -> Recipe:
    """The benchmark's recipe with other entries under `check`."""
    document: dict[str, Any] = json.loads(recipe(adaptive=True).model_dump_json())
    document["check"] |= check
    return Recipe.model_validate_json(json.dumps(document))


def climbed(ladder: Ladder, recipe_: Recipe | None = None) -> AdaptiveResult:
    """The check of one ladder, tuned exactly at its proxy."""
    design = CheckDesign(recipe_ or recipe(adaptive=True), Path(), {"learning_rate": 2.0 ** (-6.0 + ladder.offset)})
    return run_adaptive(design, ladder.run, workers=2)


@pytest.mark.parametrize(("drift", "verdict"), [(0.0, Verdict.TRANSFERS), (0.5, Verdict.DRIFTS)])
def test_a_clear_case_settles_in_fewer_trials_than_the_grid(drift: float, verdict: Verdict) -> None:
    """Half an octave of spacing costs 64 trials at once; from octaves on, the verdict is there with under 50."""
    result = climbed(Ladder(0, drift, 0.002))

    assert result.ended == "decided"
    assert result.rounds[-1].verdict is verdict
    assert len(result.trials) < 50


def test_where_divergence_leaves_no_curve_the_grid_is_refined() -> None:
    """Three finite values at width 256 give no curvature: a finer grid there, not seed after seed at the same values.

    Without the other sizes' curvature this ladder had 19 seeds at two values of one width, and 96 trials.
    """
    result = climbed(Ladder(3, 0.0, 0.003, wall=1.2))

    assert result.rounds[-1].verdict is Verdict.TRANSFERS
    assert len(result.trials) < 72
    assert max(trial.seed for trial in result.trials) < 8


def test_a_verdict_settles_only_when_two_looks_agree() -> None:
    """The last two looks, with trials between them, say the same; one look is never enough."""
    rounds = climbed(Ladder(1, 0.0, 0.001)).rounds

    assert rounds[-2].verdict is rounds[-1].verdict is Verdict.TRANSFERS
    assert rounds[-1].spent > 0


def test_the_way_depends_on_finished_trials_only() -> None:
    """The same ladder is climbed by the same trials, whatever was finished before."""
    first, second = (climbed(Ladder(2, 0.15, 0.003), edited(max_trials=60)) for _ in range(2))

    assert [trial.key for trial in first.trials] == [trial.key for trial in second.trials]
    assert first.rounds == second.rounds


def test_the_budget_is_kept() -> None:
    """At the band's edge no number of trials settles it: the check ends at its budget, INCONCLUSIVE."""
    result = climbed(Ladder(3, 0.15, 0.003), edited(max_trials=50, criteria={"cost": 0.25}))

    assert result.ended == "the budget is spent"
    assert len(result.trials) == 50
    assert result.rounds[-1].verdict is Verdict.INCONCLUSIVE


def test_no_run_is_asked_for_twice() -> None:
    """Every size, value and seed occurs once."""
    keys = [trial.key for trial in climbed(Ladder(4, 0.15, 0.003), edited(max_trials=70)).trials]

    assert len(keys) == len(set(keys))


def test_trials_go_to_the_ends_of_the_ladder() -> None:
    """Where the drift is bounded: its arms are longest there, so both ends get more trials than the other widths."""
    trials = climbed(Ladder(5, 0.15, 0.003), edited(max_trials=70, criteria={"cost": 10, "drift": 0.15})).trials
    count = {width: sum(trial.size.width == width for trial in trials) for width in (64, 128, 256, 512)}

    assert min(count[64], count[512]) > max(count[128], count[256])


def test_without_adaptivity_the_whole_grid_is_run() -> None:
    """`adaptive: false` runs every lattice value at every size, and no rounds."""
    result = climbed(Ladder(6, 0.0, 0.001), recipe(adaptive=False))

    assert result.rounds == ()
    assert len(result.trials) == 4 * 8 * 2


def test_a_ladder_too_short_to_settle_spends_nothing() -> None:
    """Two widths cannot show TRANSFERS, so no further trial is spent on them."""
    document: dict[str, Mapping[str, Any]] = json.loads(recipe(adaptive=True).model_dump_json())
    document["sizes"] = {**document["sizes"], "widths": [64, 128]}

    result = climbed(Ladder(7, 0.0, 0.002), Recipe.model_validate_json(json.dumps(document)))

    assert "too short" in result.ended
    assert len(result.rounds) == 1


def test_a_large_drift_never_transfers() -> None:
    """Five tables that drift by half an octave per doubling, noise of 1% of the loss: none is called TRANSFERS."""
    verdicts = {climbed(Ladder(table, 0.5, 0.01)).rounds[-1].verdict for table in range(5)}

    assert Verdict.TRANSFERS not in verdicts
