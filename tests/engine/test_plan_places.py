"""Where a recipe that cannot be planned is said to be wrong: at the key without which it could be."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.engine.planned import plan_faults
from hptransfer.recipe.yaml.gate import KeyPath
from tests.support.recipe_texts import LLAMA, MLP, edited, load_text

_FACTORY = "{kind: factory, factory: 'hptransfer.models.gpt:Gpt', arguments: {context: 16, head_dim: 16}"


def places(folder: Path, text: str) -> list[KeyPath]:
    """Keys at which `plan` would say that a recipe cannot be planned."""
    return [path for path, _ in plan_faults(load_text(folder, text))]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (f"{_FACTORY[:-1]}, nope: 1}}}}", ("model", "arguments", "nope")),
        (f"{_FACTORY}, roles: {{nothing_here: readout}}}}", ("model", "roles", "nothing_here")),
        (f"{_FACTORY}, width_argument: breadth}}", ("model", "width_argument")),
        ("{kind: factory, factory: 'nowhere_at_all:build'}", ("model",)),
    ],
)
def test_a_factory_that_cannot_be_planned(tmp_path: Path, model: str, path: KeyPath) -> None:
    """The argument, role or option that keeps it from being planned; the model where none alone does."""
    assert places(tmp_path, edited(MLP, ("{kind: mlp}", model))) == [path]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("num_key_value_heads: 4", "hidden_act: nothing"), ("model", "settings", "hidden_act")),
        (("vocab_size: 256}", "vocab_size: 256}, task: image-classification"), ("model", "task")),
    ],
)
def test_a_configuration_that_cannot_be_built(tmp_path: Path, change: tuple[str, str], path: KeyPath) -> None:
    """The setting, or the task, that transformers cannot build."""
    assert places(tmp_path, edited(LLAMA, change)) == [path]


def test_a_recipe_that_can_be_planned_has_no_place(tmp_path: Path) -> None:
    """Negative control: the same factory without a fault."""
    assert places(tmp_path, edited(MLP, ("{kind: mlp}", f"{_FACTORY}}}"))) == []
