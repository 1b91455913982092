"""Differences between two versions of a recipe, and what each means for finished trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.recipe.changes import Effect, changes
from tests.support.recipe_texts import GPT, MLP, edited, load_text


@pytest.mark.parametrize(
    ("old", "new", "key", "effect"),
    [
        ("steps: 100", "steps: 200", "training.steps", Effect.ANEW),
        ("steps: 100", "steps: 100\n  weight_decay: 0.1", "training.weight_decay", Effect.ANEW),
        ("steps: 100", "steps: 100\n  learning_rate: 0.1", "training.learning_rate", Effect.NONE),
        ("steps: 100", "steps: 100\n  processes: 2", "training.processes", Effect.NONE),
        ("{kind: mlp}", "{kind: mlp, norm: none}", "model.norm", Effect.ANEW),
        ("{name: mup}", "{name: standard}", "parameterization.name", Effect.ANEW),
        ("base: {width: 64, depth: 2}", "base: {width: 64, depth: 3}", "sizes.base.depth", Effect.ANEW),
        ("256, 512]", "256]", "sizes.widths", Effect.REUSE),
        ("high: 1e-1", "high: 1.0", "tune.space.learning_rate.high", Effect.REUSE),
        ("tune:", "check: {seeds: 3}\ntune:", "check.seeds", Effect.REUSE),
        ("width: 1024", "width: 2048", "sizes.target.width", Effect.NONE),
        ("tune:", "budget: {time: 2h}\ntune:", "budget.time", Effect.NONE),
        ("name: small", "name: small\ndescription: another", "description", Effect.NONE),
    ],
)
def test_every_key_has_its_effect(tmp_path: Path, old: str, new: str, key: str, effect: Effect) -> None:
    """What is part of a trial's identity trains anew; what only chooses trials reuses them; the rest changes none.

    The identity is `TrialSpec.key`: model, data, training, parameterization, base, size, hyperparameters, seed.
    """
    before, after = load_text(tmp_path, MLP).recipe, load_text(tmp_path, edited(MLP, (old, new))).recipe
    (change,) = changes(before, after)

    assert (change.key, change.effect) == (key, effect)


def test_a_change_is_said_with_both_values(tmp_path: Path) -> None:
    """Key, old -> new, and what it means."""
    before = load_text(tmp_path, MLP).recipe
    after = load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 200"))).recipe

    assert [str(change) for change in changes(before, after)] == ["training.steps: 100 -> 200 (trains anew)"]


def test_equal_recipes_have_no_differences(tmp_path: Path) -> None:
    """Comments and written-out defaults are none."""
    before = load_text(tmp_path, MLP).recipe
    after = load_text(tmp_path, "# a comment\n" + edited(MLP, ("steps: 100", "steps: 100\n  batch_size: 64"))).recipe

    assert changes(before, after) == ()


def test_another_model_lists_keys_of_both(tmp_path: Path) -> None:
    """Keys that only one version has are shown as nothing in the other."""
    before, after = load_text(tmp_path, MLP).recipe, load_text(tmp_path, GPT).recipe
    shown = [str(change) for change in changes(before, after)]

    assert 'model.kind: "mlp" -> "gpt" (trains anew)' in shown
    assert "model.head_dim: nothing -> 16 (trains anew)" in shown
    assert "model.embedding: 32 -> nothing (trains anew)" in shown
