"""Parameterizations and their options, from a recipe to a plan and a trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptransfer.commands.plan import plan_command
from hptransfer.errors import RecipeError
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.trainers._planned_model import planned
from hptransfer.trainers._torch_runs import training_settings
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import key

RECIPE = """\
name: tiny
model: {model}
data: {{kind: stdlib-text}}
training: {{steps: 16, batch_size: 4, learning_rate: 0.01, weight_decay: 0.1}}
parameterization: {{{choice}}}
sizes:
  base: {{width: 16, depth: 2}}
  widths: [16, 32]
  target: {{width: 64, depth: 2}}
tune:
  space:
    learning_rate: {{low: 1.0e-3, high: 1.0e-1}}
"""
GPT = "{kind: gpt, context: 8, head_dim: 8}"


def recipe(tmp_path: Path, choice: str, model: str = GPT) -> LoadedRecipe:
    """A recipe with this parameterization."""
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.format(choice=choice, model=model))
    return load_recipe(path)


def test_options_reach_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unscaled decay and one eps for all: what changes is neither, whatever the learning rate does."""
    found = recipe(tmp_path, "name: mup, weight_decay: unscaled, eps: none")
    plan_command(str(found.path), None, None, False, True)
    rows = {row["pattern"]: row for row in json.loads(capsys.readouterr().out)["parameters"]}
    up = rows[r"blocks\.\d+\.up\.weight"]

    assert (up["learning_rate"], up["weight_decay"], up["eps"]) == (0.0025, 0.1, 1e-8)


def test_options_are_part_of_a_trials_identity(tmp_path: Path) -> None:
    """Another choice is another trial; a choice that is not made is not in the key."""
    keys = set()
    for choice in ("name: mup", "name: mup, eps: none", "name: ntk"):
        found = recipe(tmp_path, choice)
        keys.add(key(TrialSpec(found.recipe, tmp_path, found.recipe.size(16, 2), {}, 0)))

    assert len(keys) == 3


def test_trials_take_the_betas_of_their_size(tmp_path: Path) -> None:
    """Complete(d)P at 4 times the batch and the same tokens: 1 - beta times 4 (arXiv 2512.22382, Table 1)."""
    found = recipe(tmp_path, "name: complete-d-p").recipe
    base = found.size(16, 2)
    request = TrialSpec(found, tmp_path, found.size(16, 2, batch_size=16, tokens=base.tokens), {}, 0)
    settings = training_settings(request)

    assert (settings.beta1, settings.beta2) == pytest.approx((0.6, 0.8))
    # learning rate of an embedding times sqrt(m_B) = 2
    assert planned(request).rows[0].learning_rate == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["depth-mup", "complete-d-p"])
def test_an_mlp_has_no_residual_branches(tmp_path: Path, name: str) -> None:
    """Rules for residual branches are refused for a model without, where the recipe says it."""
    with pytest.raises(RecipeError, match="needs residual blocks"):
        recipe(tmp_path, f"name: {name}", "{kind: mlp}")


def test_unknown_choices_are_refused(tmp_path: Path) -> None:
    """A misspelt choice is a fault of the recipe, with the choices there are."""
    with pytest.raises(RecipeError, match="unscaled"):
        recipe(tmp_path, "name: mup, weight_decay: constat")
