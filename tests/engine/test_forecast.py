"""Dry runs: what is counted, what it rests on, and that nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptransfer.commands.check import check_command
from hptransfer.commands.run import run_command
from hptransfer.commands.tune import tune_command
from hptransfer.engine.forecast import SizeForecast, _wall
from hptransfer.engine.options import Launch, TrainingOptions
from hptransfer.engine.step_timing import Timing, seconds_of_a_trial
from hptransfer.errors import UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.sizes import Size

RECIPE = """\
name: tiny
model: {kind: mlp, context: 4, embedding: 4}
data: {kind: text, files: ["*.txt"]}
training: {steps: 40, batch_size: 8, evaluation_batches: 4}
parameterization: {name: mup}
sizes:
  base: {width: 16, depth: 2}
  widths: [16, 32, 64, 128]
  target: {width: 1024, depth: 2, tokens: 1000000}
tune:
  space: {learning_rate: {low: 1e-4, high: 1e-1}}
  trials: 6
  confirm_seeds: 2
check: {octaves: 1.0, seeds: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that trains in milliseconds, and its data."""
    (tmp_path / "a.txt").write_text("def add(left, right):\n    return left + right\n" * 200)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_tune_is_counted_and_compared_with_the_target(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """6 + 2 trials; FLOPs are 6 per weight and prediction, of which the target makes a million; no time is known."""
    assert tune_command(TrainingOptions(str(recipe), recipe.parent / "runs", 1, as_json=True), dry_run=True) == 0

    found = json.loads(capsys.readouterr().out)
    trial = 6 * (16 * 16 + 16 * 16 + 16 * 256) * 8 * 40
    target = 6 * (16 * 1024 + 1024 * 1024 + 1024 * 256) * 1_000_000
    assert (found["trials"], found["finished"], found["flops"], found["target_flops"]) == (8, 0, 8 * trial, target)
    assert found["fraction_of_target"] == pytest.approx(8 * trial / target)
    assert (found["seconds"], found["timed"]) == (None, [])
    assert 10**4 < found["memory"] < 10**7  # arithmetic: parameters and activations, no process
    assert not (recipe.parent / "runs").exists()


def test_steps_are_timed_where_that_is_asked_for(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same counts, with a time, and the memory of whole processes."""
    options = TrainingOptions(str(recipe), recipe.parent / "runs", 1, as_json=True)
    assert tune_command(options, dry_run=True, time_steps=True) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 8
    assert found["seconds"] > 0
    assert 10**7 < found["memory"] < 10**11
    assert not (recipe.parent / "runs").exists()


def test_check_is_counted_by_size(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The grid's values and seeds at each of four widths; people read it; nothing is trained."""
    assert check_command(TrainingOptions(str(recipe), recipe.parent / "runs", 1), dry_run=True) == 0

    text = capsys.readouterr().out
    assert "trials: 32, 32 of them left" in text  # 4 values within an octave of 0.004, 2 seeds, 4 widths
    assert "time is not known: no finished trial says how fast this machine is; `--time-steps` trains" in text
    assert "of the target run's" in text
    assert "nothing is tuned yet" in text


def test_a_check_is_timed_at_the_proxy_and_the_largest_size(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--time-steps` alone is a dry run."""
    options = TrainingOptions(str(recipe), recipe.parent / "runs", 1, launch=Launch(processes=2))
    assert check_command(options, time_steps=True) == 0

    text = capsys.readouterr().out
    assert "rests on 20 real steps at w16-d2 and w128-d2" in text
    assert "timed in one process; 2 share a trial's batches" in text


def test_steps_of_a_users_trainer_are_not_timed_here(recipe: Path) -> None:
    """Its dry run is arithmetic; asking for steps is an error that says what does give times."""
    text = RECIPE.replace('data: {kind: text, files: ["*.txt"]}', "trainer: {function: 'here:train'}")
    text = text.replace("model: {kind: mlp, context: 4, embedding: 4}\n", "").replace("name: mup", "name: measured")
    recipe.write_text(text)
    (recipe.parent / "here.py").write_text("def train(trial):\n    raise AssertionError('nothing is trained')\n")
    options = TrainingOptions(str(recipe), recipe.parent / "runs", 1)

    assert check_command(options, dry_run=True) == 0
    with pytest.raises(UsageError, match="--time-steps") as caught:
        check_command(options, time_steps=True)
    assert caught.value.findings[0].received == "trainer: function"


def test_run_counts_both_steps(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8 trials of tuning and 32 of the check, the proxy's together."""
    options = TrainingOptions(str(recipe), recipe.parent / "runs", 1, as_json=True)
    assert run_command(options, dry_run=True) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 40
    assert [size["trials"] for size in found["sizes"]] == [16, 8, 8, 8]
    assert not (recipe.parent / "runs").exists()


def test_seconds_are_a_line_through_the_timed_sizes(recipe: Path) -> None:
    """1 ms and 4 ms per step at 1 and 4 units of FLOPs give 2 ms at 2; one timed size alone is proportional."""
    loaded = load_recipe(recipe).recipe
    size = loaded.size(16, 2)
    small, large = Timing(size, 40.0, 0.0, 0.001, 0.0, 1), Timing(size, 160.0, 0.0, 0.004, 0.0, 1)

    assert seconds_of_a_trial(loaded, size, 80.0, [small, large]) == pytest.approx(40 * 0.002)
    assert seconds_of_a_trial(loaded, size, 80.0, [small]) == pytest.approx(40 * 0.002)


def test_wall_time_follows_the_free_worker() -> None:
    """Trials of 5, 1, 1, 1, 1, 1 s take 5 s with two workers; finished ones take none."""
    sizes = [SizeForecast(Size(64, 2, 8, 100), 1, 0, 1.0, 5.0), SizeForecast(Size(16, 2, 8, 100), 9, 4, 1.0, 1.0)]

    assert _wall(sizes, 2) == 5.0


def test_wall_time_is_unknown_where_one_trials_is() -> None:
    """But not where that trial is finished."""
    known, unknown = SizeForecast(Size(64, 2, 8, 100), 1, 0, 1.0, 5.0), Size(16, 2, 8, 100)

    assert _wall([known, SizeForecast(unknown, 2, 1, 1.0, None)], 2) is None
    assert _wall([known, SizeForecast(unknown, 2, 2, 1.0, None)], 2) == 5.0
