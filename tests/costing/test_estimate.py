"""Rows of the cost table, counted by hand from a recipe; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hptransfer.costing.estimate import CostEstimate, CostRow, estimate_costs, parse_parameters
from hptransfer.errors import UsageError
from hptransfer.recipe.load import load_recipe
from tests.support.tuned_results import tuned_result

RECIPE = """\
name: tiny
model: {kind: mlp, context: 4, embedding: 4}
data: {kind: text, files: ["*.txt"]}
training: {steps: 40, batch_size: 8, evaluation_batches: 4}
parameterization: {name: mup}
sizes:
  base: {width: 16, depth: 2}
  widths: [16, 64]
  target: {width: 1024, depth: 2, tokens: 1000000}
tune:
  space: {learning_rate: {low: 1e-4, high: 1e-1}}
  trials: 6
  confirm_seeds: 2
check: {octaves: 1.0, seeds: 2, coordinate: {steps: [1, 3, 10], seeds: 2}}
"""
#: operations of a run of 40 steps of 8 windows, at widths 16 and 64: 6 for each weight that multiplies
SMALL = 6 * (16 * 16 + 16 * 16 + 16 * 256) * 8 * 40
LARGE = 6 * (16 * 64 + 64 * 64 + 64 * 256) * 8 * 40
TARGET = 6 * (16 * 1024 + 1024 * 1024 + 1024 * 256) * 1_000_000


#: the same, trained by a function that builds its model by itself and that nothing here calls
EXTERNAL = RECIPE.replace(
    'model: {kind: mlp, context: 4, embedding: 4}\ndata: {kind: text, files: ["*.txt"]}\n',
    "trainer: {function: 'nowhere:train'}\n",
).replace("name: mup", "name: measured")


def estimate(folder: Path, text: str = RECIPE, **options: Any) -> CostEstimate:
    """Of a recipe in a folder without results."""
    (folder / "recipe.yaml").write_text(text)
    return estimate_costs(load_recipe(folder / "recipe.yaml"), folder / "runs", **options)


def rows(found: CostEstimate) -> dict[str, CostRow]:
    """By their names."""
    return {row.name: row for row in found.rows}


def test_every_step_is_counted_by_hand(tmp_path: Path) -> None:
    """4 values within an octave of 0.004, 2 seeds, at two widths; the coordinate check takes 10 steps and 4 looks."""
    found = rows(estimate(tmp_path))

    looks = 10 + 4 / 3  # a look is a pass without its two backward ones
    coordinates = 2 * (SMALL + LARGE) * looks / 40
    wanted = {
        "one trial w16-d2": (1, SMALL),
        "tune": (6, 6 * SMALL),
        "confirm": (2, 2 * SMALL),
        "coordinate check": (4, coordinates),
        "check w16-d2": (8, 8 * SMALL),
        "check w64-d2": (8, 8 * LARGE),
        "whole": (28, 16 * SMALL + 8 * LARGE + coordinates),
        "target w1024-d2": (1, TARGET),
        "tuning there": (8, 8 * TARGET),
    }
    assert {name: row.trials for name, row in found.items()} == {name: trials for name, (trials, _) in wanted.items()}
    assert {name: row.flops for name, row in found.items()} == pytest.approx(
        {n: flops for n, (_, flops) in wanted.items()}
    )
    assert found["whole"].of_target == pytest.approx(wanted["whole"][1] / TARGET)
    assert found["tune"].of_tuning_there == pytest.approx(6 * SMALL / (8 * TARGET))
    assert found["target w1024-d2"].tokens == 1_000_000


def test_an_adaptive_check_begins_and_ends(tmp_path: Path) -> None:
    """It begins with 2 values of 2 seeds at each width and may take 20 trials in all, at most all at the largest."""
    text = RECIPE.replace("check: {", "check: {adaptive: true, max_trials: 20, ")
    found = rows(estimate(tmp_path, text))

    assert (found["check w16-d2"].trials, found["check w64-d2"].trials) == (4, 4)
    assert (found["check, at most"].trials, found["check, at most"].flops) == (12, 12 * LARGE)
    assert found["whole, at most"].trials == found["whole, at first"].trials + 12 == 6 + 2 + 4 + 20
    assert found["whole, at most"].flops == pytest.approx((found["whole, at first"].flops or 0) + 12 * LARGE)


def test_each_checked_hyperparameter_has_a_grid_of_its_own(tmp_path: Path) -> None:
    """Two slices: twice the trials at every size."""
    text = RECIPE.replace("check: {", "check: {hyperparameters: [learning_rate, init_scale], ").replace(
        "high: 1e-1}}", "high: 1e-1}, init_scale: {low: 0.1, high: 10}}"
    )

    # around 1.0 lie five values within an octave, around 0.004 four
    assert rows(estimate(tmp_path, text))["check w64-d2"].trials == 2 * 4 + 2 * 5


def test_times_need_a_speed(tmp_path: Path) -> None:
    """Unknown without one, then FLOPs over FLOP/s."""
    unknown, known = estimate(tmp_path), estimate(tmp_path, flops_per_second=1e9)

    assert {row.seconds for row in unknown.rows} == {None}
    assert "no finished trial" in unknown.throughput
    assert rows(known)["tune"].seconds == pytest.approx(6 * SMALL / 1e9)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_must_be_positive(tmp_path: Path, speed: float) -> None:
    """And finite."""
    with pytest.raises(UsageError, match="flops-per-second"):
        estimate(tmp_path, flops_per_second=speed)


def test_a_target_with_the_proxys_tokens_is_said(tmp_path: Path) -> None:
    """Shares of a target that trains as briefly as the proxy mislead; the hint can be pasted."""
    silent, said = estimate(tmp_path), estimate(tmp_path, RECIPE.replace(", tokens: 1000000", ""))
    parameters = said.sizes[-1].parameters

    assert not any("sizes.target.tokens" in note for note in silent.notes)
    (note,) = (note for note in said.notes if "sizes.target.tokens" in note)
    assert "the proxy's 320" in note
    assert f"`tokens: {20 * (parameters or 0)}`" in note


def test_memory_is_that_of_the_largest_run(tmp_path: Path) -> None:
    """Of all that a row holds."""
    found = estimate(tmp_path)
    at = {cost.size.width: cost.memory for cost in found.sizes}

    assert rows(found)["tune"].memory == at[16]
    assert rows(found)["whole"].memory == rows(found)["coordinate check"].memory == at[64]
    assert rows(found)["target w1024-d2"].memory == at[1024]


def test_the_grid_lies_around_the_tuned_value_of_this_recipe(tmp_path: Path) -> None:
    """Around 2^-5 lie five values within an octave, around the recipe's 0.004 four; another recipe's is not used."""
    tuned = tmp_path / "runs" / "tiny" / "tuned.yaml"
    tuned.parent.mkdir(parents=True)
    tuned_result(recipe_hash="f" * 64).write(tuned)
    before = estimate(tmp_path)
    tuned_result(recipe_hash=load_recipe(tmp_path / "recipe.yaml").hash).write(tuned)
    after = estimate(tmp_path)

    assert rows(before)["check w64-d2"].trials == 2 * 4
    assert rows(after)["check w64-d2"].trials == 2 * 5
    assert any("nothing is tuned yet" in note for note in before.notes)
    assert not any("nothing is tuned yet" in note for note in after.notes)


def test_without_a_model_tokens_are_compared(tmp_path: Path) -> None:
    """A run of 40 steps of 8 examples is 320 predictions; FLOPs, memory and times are unknown, and it says so."""
    found = estimate(tmp_path, EXTERNAL, flops_per_second=1e9)

    assert not found.flops_known
    assert {(row.flops, row.memory, row.seconds) for row in found.rows} == {(None, None, None)}
    assert rows(found)["tune"].tokens == 6 * 320
    assert rows(found)["tune"].of_target == pytest.approx(6 * 320 / 1_000_000)
    assert rows(found)["tuning there"].of_target == 8
    assert "coordinate check" not in rows(found)
    assert any("the trainer builds the model" in note for note in found.notes)


def test_declared_parameters_give_flops(tmp_path: Path) -> None:
    """6 per parameter and token, where every size has its number; with one missing tokens are compared."""
    declared = {"w16-d2": 1000, "w64-d2": 8000, "w1024-d2": 2_000_000}
    found = estimate(tmp_path, EXTERNAL, flops_per_second=1e9, parameters=declared)
    partly = estimate(tmp_path, EXTERNAL, parameters={"w16-d2": 1000})

    assert rows(found)["tune"].flops == 6 * (6 * 1000 * 320)
    assert rows(found)["target w1024-d2"].flops == 6 * 2_000_000 * 1_000_000
    assert rows(found)["tune"].seconds == pytest.approx(6 * 6 * 1000 * 320 / 1e9)
    assert not partly.flops_known
    assert {row.flops for row in partly.rows} == {None}


def test_declared_parameters_are_read(tmp_path: Path) -> None:
    """Whole numbers and powers of ten."""
    assert parse_parameters(["w64-d2=41000", "w4096-d32=6.7e9"]) == {"w64-d2": 41000, "w4096-d32": 6_700_000_000}


@pytest.mark.parametrize("text", ["41000", "w64=41000", "w64-d2=many", "w64-d2=0", "w64-d2=-5", "w64-d2=1e999"])
def test_other_declarations_are_refused(text: str) -> None:
    """With the form that is wanted."""
    with pytest.raises(UsageError, match="a size and a number"):
        parse_parameters([text])
