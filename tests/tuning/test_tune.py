"""The search on the proxy: the total holds through every interruption, and the result with it."""

from __future__ import annotations

import itertools
import json
import math
import random
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from hptransfer.artifacts.tuned import Tuned, read_tuned
from hptransfer.errors import InconclusiveError
from hptransfer.recipe.schema import Range
from hptransfer.search.space import Space
from hptransfer.sizes import Size
from hptransfer.trials.trial import Phase, Trial, TrialState
from hptransfer.tuning.outcome import constant_warning
from hptransfer.tuning.search import Search
from tests.support.landscape import recipe_text
from tests.support.processes import wait_until_dead
from tests.support.sessions import in_database, recipe_session, start, trainings, tune_and_write

TWO_AXES = (
    "learning_rate: {low: 0.0009765625, high: 0.25}\n    weight_decay: {low: 0.0001, high: 1.0}"  # optimum 2^-6, 0.01
)


def tuned(tmp_path: Path, landscape: dict[str, Any], workers: int = 2, **options: Any) -> Tuned:
    """Tunes in tmp_path/runs; a second call continues there."""
    landscape = landscape | {"log": str(tmp_path / "log")}
    with recipe_session(tmp_path / "runs", recipe_text(landscape, **options), workers) as session:
        return tune_and_write(session)


def kill_after_trainings(process: subprocess.Popen[str], tmp_path: Path, count: int, seconds: float) -> None:
    """Kills the process `seconds` after the log holds more than `count` trainings, unless it ends before."""
    while len(trainings(tmp_path)) <= count and process.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()


def test_the_optimum_of_a_parabola_is_found(tmp_path: Path) -> None:
    """Without noise, 12 trials recover log2(learning rate) = -6.3, which lies on no lattice point."""
    result = tuned(tmp_path, {"optimum": -6.3})

    assert result.recommended["learning_rate"] == pytest.approx(2**-6.3, rel=0.02)
    low, high = result.intervals["learning_rate"]
    assert low is not None
    assert high is not None
    assert low <= 2**-6.3 <= high
    assert result.trials.finished == 12
    assert result.warnings == ()


def test_further_seeds_train_the_values_around_the_optimum(tmp_path: Path) -> None:
    """Of three seeds two train the five values of check's grid nearest to the optimum 2^-6, and only those."""
    with recipe_session(tmp_path / "runs", recipe_text({"noise": 0.01}, trials=20)) as session:
        tune_and_write(session)
        trials = session.store.trials(phase=Phase.SEARCH)

    central = {-7.0, -6.5, -6.0, -5.5, -5.0}
    further = sorted((t.seed, math.log2(t.hyperparameters["learning_rate"])) for t in trials if t.seed > 0)
    assert further == [(seed, x) for seed in (1, 2) for x in sorted(central)]
    assert len(trials) == 20


def test_the_recommendation_is_confirmed_with_fresh_seeds(tmp_path: Path) -> None:
    """Twelve trials pay for seeds 0 and 1 in the search; the confirmation takes 2, 3, 4."""
    result = tuned(tmp_path, {"noise": 0.01}, confirm=3)

    assert result.confirmation.seeds == (2, 3, 4)
    assert result.confirmation.mean == pytest.approx(2.0, abs=0.01)
    assert len(set(trainings(tmp_path))) == len(trainings(tmp_path)) == 15


def test_tuned_yaml_holds_the_result(tmp_path: Path) -> None:
    """The file is complete, plain YAML, and the reader of the other commands takes it."""
    result = tuned(tmp_path, {})
    path = tmp_path / "runs" / "landscape" / "tuned.yaml"

    assert yaml.safe_load(path.read_text()) == json.loads(result.to_json())
    read = read_tuned(path, "landscape")
    assert read == result
    assert read.hyperparameters["learning_rate"] == result.recommended["learning_rate"]
    assert read.hyperparameters["beta2"] == 0.95
    assert list(yaml.safe_load(path.read_text()))[:4] == ["format", "recipe", "recipe_hash", "identity"]


def test_a_finished_search_run_again_trains_nothing(tmp_path: Path) -> None:
    """The second run is a no-op with the same result."""
    first = tuned(tmp_path, {"noise": 0.01})
    count = len(trainings(tmp_path))

    assert tuned(tmp_path, {"noise": 0.01}) == first
    assert len(trainings(tmp_path)) == count


def test_more_trials_continue_the_search(tmp_path: Path) -> None:
    """`trials` is a total: from 8 to 12 costs four more, and the confirmation of the new recommendation."""
    tuned(tmp_path, {"noise": 0.01}, trials=8)
    before = trainings(tmp_path)
    result = tuned(tmp_path, {"noise": 0.01}, trials=12)

    assert result.trials.finished == 12
    assert len(trainings(tmp_path)) - len(before) == 4 + 2


def test_the_number_of_workers_does_not_change_the_result(tmp_path: Path) -> None:
    """Rounds depend on finished rounds, not on which worker was faster."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = tuned(tmp_path / "one", {"noise": 0.02}, workers=1)
    two = tuned(tmp_path / "two", {"noise": 0.02}, workers=2)

    assert one == two


def finish_under_fire(
    folder: Path, landscape: dict[str, Any], work: str, growth: tuple[int, int], **options: Any
) -> tuple[list[str], int]:
    """Starts the work again and again, killing it with SIGKILL at random moments, until it ends by itself.

    Args:
        folder: in which the search keeps its study.
        landscape: settings of what its trials return.
        work: what is interrupted, "tune" or "grid".
        growth: fewest and most trainings after which it is killed.
        options: keys of the recipe that differ.

    Returns:
        Keys of the finished trials, and the number of kills. After each kill it asserts that what was finished stays
        finished and is not trained again.
    """
    rng, finished = random.Random(1), list[str]()
    for attempt in range(40):
        before = trainings(folder)
        process = start(folder, landscape, work, **options)
        if attempt < 2:  # while modules are loaded and the database is made
            time.sleep(rng.uniform(0.3, 0.9))
            process.kill()
        else:
            kill_after_trainings(process, folder, len(before) + rng.randint(*growth), rng.uniform(0, 0.2))
        _, stderr = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), stderr
        time.sleep(0.1)  # workers see the end of their input
        assert set(trainings(folder)[len(before) :]).isdisjoint(finished)
        earlier, finished = finished, in_database(folder, "COMPLETE")
        assert set(earlier) <= set(finished)
        if process.returncode == 0:
            return finished, attempt
    pytest.fail("the work did not end")


@pytest.mark.parametrize(
    "space",
    [pytest.param("", id="one dimension"), pytest.param(TWO_AXES, id="two dimensions", marks=pytest.mark.slow)],
)
def test_a_search_under_sigkill_loses_and_repeats_nothing(tmp_path: Path, space: str) -> None:
    """Killed again and again, the search ends with the total, the points and the result of an undisturbed one."""
    landscape = {"noise": 0.01, "seconds": 0.06, "wall": -4.0}
    for name in ("quiet", "stormy"):
        (tmp_path / name).mkdir()
    undisturbed = tuned(tmp_path / "quiet", landscape, space=space)
    finished, kills = finish_under_fire(tmp_path / "stormy", landscape, "tune", (1, 6), space=space)

    assert kills >= 3
    assert len(finished) == len(set(finished)) == 12 + 2
    assert in_database(tmp_path / "stormy", "RUNNING") == []
    assert set(trainings(tmp_path / "quiet")) == set(finished)
    assert tuned(tmp_path / "stormy", landscape, space=space) == undisturbed


def test_a_ladder_under_sigkill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed again and again, a check's 32 trials of four sizes are each finished once."""
    finished, kills = finish_under_fire(tmp_path, {"seconds": 0.04}, "grid", (5, 14))

    assert kills >= 3
    assert len(finished) == len(set(finished)) == 32
    assert in_database(tmp_path, "RUNNING") == []


def test_a_killed_search_leaves_no_worker(tmp_path: Path) -> None:
    """No process that the search started outlives it."""
    process = start(tmp_path, {"seconds": 30})
    children: list[int] = []
    while len(children) < 2:
        listing = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        children = [int(line) for line in listing.stdout.split()]
        assert process.poll() is None
    process.kill()
    process.communicate()

    wait_until_dead(*children)


def test_ctrl_c_lets_running_trials_end_and_keeps_them(tmp_path: Path) -> None:
    """One Ctrl-C: exit status 130, nothing left running, and the next run trains only the rest."""
    process = start(tmp_path, {"seconds": 0.3}, trials=12)
    while not in_database(tmp_path, "COMPLETE"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "continues" in stderr
    assert in_database(tmp_path, "RUNNING") == []
    assert in_database(tmp_path, "FAIL") == []
    assert tuned(tmp_path, {}, trials=12).trials.finished == 12
    assert len(trainings(tmp_path)) == 12 + 2


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    """Trials that would take long are given up, and trained by the next run."""
    process = start(tmp_path, {"seconds": 90}, trials=12)
    while not in_database(tmp_path, "RUNNING"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=45)  # half a trial: a loaded machine may need seconds for nothing

    assert process.returncode == 130
    assert len(in_database(tmp_path, "FAIL")) == 2


def test_divergence_everywhere_is_no_answer(tmp_path: Path) -> None:
    """Exit status 3, with a range to try instead; nothing is recommended."""
    with pytest.raises(InconclusiveError) as stop:
        tuned(tmp_path, {"wall": -20.0})

    assert "low: 1.53e-05, high: 0.000977" in (stop.value.findings[0].hint or "")
    assert not (tmp_path / "runs" / "landscape" / "tuned.yaml").exists()


def test_a_diverged_trial_is_never_recommended(tmp_path: Path) -> None:
    """The curve falls until the divergence at 2^-5; the recommendation stays below it and confirms."""
    result = tuned(tmp_path, {"optimum": -3.0, "wall": -5.0})

    assert result.recommended["learning_rate"] <= 2**-5
    assert result.trials.diverged > 0
    assert len(result.confirmation.losses) == 2
    assert result.warnings == ()  # a wider range would not help


def test_an_optimum_on_the_bound_says_what_to_widen(tmp_path: Path) -> None:
    """The optimum lies below the range: the warning names the bound and a value."""
    result = tuned(tmp_path, {"optimum": -12.0})

    assert len(result.warnings) == 1
    assert "`tune.space.learning_rate.low` to 0.000244" in result.warnings[0]
    assert result.intervals["learning_rate"][0] is None
    assert result.recommended["learning_rate"] >= 2**-10


def test_what_a_bound_advises_leads_to_the_optimum(tmp_path: Path) -> None:
    """The optimum 2^-2 lies 3 octaves above the range: following the advice reaches it, each round trains there."""
    high, trials = 2.0**-5, 12
    for _ in range(4):
        known = len(trainings(tmp_path))
        space = f"learning_rate: {{low: 0.0009765625, high: {high}}}"
        result = tuned(tmp_path, {"optimum": -2.0, "wall": 9.0}, trials=trials, space=space)
        assert len(trainings(tmp_path)) > known
        if not result.warnings:
            break
        widened = re.search(r"learning_rate.high` to ([0-9.e-]+)", result.warnings[0])
        raised = re.search(r"tune.trials` to (\d+)", result.warnings[0])
        assert raised is not None
        high, trials = float(widened[1]) if widened else high, int(raised[1])

    assert result.warnings == ()
    assert result.recommended["learning_rate"] == pytest.approx(2**-2, rel=0.1)


def test_a_wider_range_without_trials_is_not_said_to_be_searched(tmp_path: Path) -> None:
    """Nothing above 2^-5 was tried: the end of the range, 2^-1, is not where the optimum lies."""
    for high in (2.0**-5, 2.0**-1):
        space = f"learning_rate: {{low: 0.0009765625, high: {high}}}"
        result = tuned(tmp_path, {"optimum": -2.0, "wall": 9.0}, trials=12, space=space)

    assert "at the high end of what was tried, 0.0312" in result.warnings[0]
    assert "goes on to 0.5 untried: raise `tune.trials`" in result.warnings[0]
    assert "widen" not in result.warnings[0]


def test_an_objective_that_depends_on_nothing_is_told() -> None:
    """All values gave one loss; one that differs is enough to say nothing."""
    recipe_space = Space.of({"learning_rate": Range(low=2.0**-10, high=2.0**-2)}, 0.5)
    size = Size(width=64, depth=2, batch_size=8, tokens=40)
    flat = [
        Trial(str(x), size, {"learning_rate": 2.0**x}, 0, TrialState.COMPLETE, 2.5, flops=1.0) for x in range(-9, -3)
    ]
    diverged = Trial("d", size, {"learning_rate": 0.25}, 0, TrialState.DIVERGED, math.inf)

    said = constant_warning(recipe_space, [*flat, diverged])

    assert said is not None
    assert said.startswith("all 6 runs ended at 2.5: the objective does not depend on learning_rate")
    assert constant_warning(recipe_space, [*flat, replace(flat[0], key="o", seed=1, loss=2.6)]) is None
    assert constant_warning(recipe_space, flat[:1]) is None


def test_failed_points_are_replaced(tmp_path: Path) -> None:
    """A point that cannot be trained costs itself; the total of finished trials is reached with others."""
    result = tuned(tmp_path, {"error": [-5.0], "memory": [-8.0]})

    assert result.trials.finished == 12
    assert result.trials.failed == 3  # 2^-8 while exploring, 2^-5 then and with the second seed
    assert result.recommended["learning_rate"] == pytest.approx(2**-6, rel=0.05)


def test_an_edited_range_keeps_the_trials_inside(tmp_path: Path) -> None:
    """A narrower range on the next run: points outside are dropped, those inside are not trained again."""
    tuned(tmp_path, {}, trials=12)
    before = trainings(tmp_path)
    narrow = "learning_rate: {low: 0.00390625, high: 0.0625}"
    result = tuned(tmp_path, {}, trials=12, space=narrow)

    assert result.trials.finished == 12
    assert len(trainings(tmp_path)) == len(set(trainings(tmp_path)))
    assert len(trainings(tmp_path)) - len(before) < 12


@pytest.mark.slow
def test_two_hyperparameters_are_tuned_together(tmp_path: Path) -> None:
    """Learning rate 2^-6 and weight decay 0.01 are found within half an octave and an octave."""
    result = tuned(tmp_path, {}, trials=20, space=TWO_AXES)

    assert result.recommended["learning_rate"] == pytest.approx(2**-6, rel=0.4)
    assert 0.005 <= result.recommended["weight_decay"] <= 0.02
    assert result.trials.finished == 20


def test_the_start_of_a_search_is_the_same_after_an_interruption(tmp_path: Path) -> None:
    """Quasi-random points are a function of seed and number alone."""
    points = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        text = recipe_text({}, trials=20, space=TWO_AXES)
        with recipe_session(tmp_path / name / "runs", text) as session:
            size = session.loaded.recipe.size(64, 2)
            search = Search(session, size, lambda event: None)
            search._decide([], [], 20)
            points.append(session.store.planned(size))

    assert points[0] == points[1]
    assert len(points[0]) > 1
    assert all(a.hyperparameters != b.hyperparameters for a, b in itertools.combinations(points[0], 2))


@pytest.mark.parametrize("sampler", ["random", "cmaes", "grid"])
def test_any_sampler_is_recorded_with_its_arguments(tmp_path: Path, sampler: str) -> None:
    """The study and tuned.yaml name the sampler, its arguments, the seeds and Optuna's version."""
    space = f"learning_rate: {{low: 0.0009765625, high: 0.25}}\n  sampler: {sampler}"
    result = tuned(tmp_path, {"noise": 0.01}, space=space, trials=8)
    storage = f"sqlite:///{tmp_path / 'runs' / 'landscape' / 'study.db'}"
    (name,) = optuna.get_all_study_names(storage)

    assert result.search["sampler"] == sampler
    assert optuna.load_study(study_name=name, storage=storage).user_attrs["search"] == result.search
    assert math.log2(result.recommended["learning_rate"]) == pytest.approx(-6, abs=1)


def test_too_few_trials_say_that_noise_is_assumed(tmp_path: Path) -> None:
    """Four trials: the warning says so, and the power is that of the interval."""
    result = tuned(tmp_path, {"noise": 0.01}, trials=4)

    assert result.power.noise_from == "assumed"
    assert any(each.startswith("too few trials to measure noise: assumed 0.3% of the loss") for each in result.warnings)
    assert "octaves" not in " ".join(result.warnings) or result.power.octaves is not None
    assert (result.power.octaves or 0) < 10
