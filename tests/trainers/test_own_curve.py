"""At the base, a planned model trains as its user's own script does: the same losses, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import hptransfer
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._data import cached_batches
from hptransfer.trainers._planned_model import planned_model
from hptransfer.trainers._torch_runs import train_trial, training_settings
from hptransfer.training.loop import training_losses
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from tests.support.own_starts import WRITERS, nanogpt
from tests.support.recipe_code import beside_the_recipes
from tests.support.tiny import recipe

CONTEXT, BATCH, STEPS, RATE, SEED = 8, 8, 6, 0.003, 11


def described(**training: object) -> Recipe:
    """NanoGPT's model by its user's own function, at a constant rate, as the script below trains it."""
    return recipe(
        model={
            "kind": "factory",
            "factory": "tests.support.own_starts:nanogpt",
            "context": CONTEXT,
            "embedding": None,
            "residual_writers": list(WRITERS),
        },
        training={
            "steps": STEPS,
            "batch_size": BATCH,
            "optimizer": "adamw",
            "schedule": "constant",
            "warmup": 0.0,
            "learning_rate": RATE,
            "weight_decay": 0.1,
            "beta1": 0.9,
            "beta2": 0.95,
            "eps": 1e-8,
            **training,
        },
        parameterization={"name": "completep", "decay_vectors": False},
        sizes={"base": {"width": 32, "depth": 2}, "widths": [32], "target": {"width": 64, "depth": 2}},
    )


def spec(wanted: Recipe, width: int = 32) -> TrialSpec:
    """A run of the recipe's own values."""
    return TrialSpec(wanted, Path(), wanted.size(width, 2), {}, SEED)


def by_hand(*, fused: bool, plan: AppliedPlan | None = None) -> list[float]:
    """What a user writes: seed, model, AdamW in two groups as nanoGPT has them, a loop; with a plan, its two lines."""
    corpus = cached_batches(described().data, Path())
    torch.manual_seed(SEED)
    model = nanogpt(32, 2)
    groups = [
        {"params": [each for each in model.parameters() if each.dim() >= 2], "weight_decay": 0.1},
        {"params": [each for each in model.parameters() if each.dim() < 2], "weight_decay": 0.0},
    ]
    if plan is not None:
        plan.init_(model)
        groups = plan.param_groups(model)
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8, fused=fused)
    losses = []
    for step in range(STEPS):
        tokens = corpus.batch(SEED, step, BATCH, CONTEXT)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        losses.append(loss.item())
    return losses


def planned_losses(wanted: Recipe) -> list[float]:
    """By the plan of the base."""
    module, groups = planned_model(spec(wanted))
    corpus = cached_batches(wanted.data, Path())
    return list(training_losses(module, groups, corpus, training_settings(spec(wanted)), SEED))


def test_the_users_own_curve() -> None:
    """Bit for bit, with the fused AdamW that the trainer uses; under the tables' init it is another curve."""
    theirs = by_hand(fused=True)
    choice = described().parameterization

    assert planned_losses(described()) == theirs
    ruled = described().model_copy(update={"parameterization": choice.model_copy(update={"init": "rule"})})
    assert planned_losses(ruled) != theirs


def test_the_plan_in_the_users_own_loop() -> None:
    """`init_` and `param_groups` in the script itself change no bit of its losses."""
    plan = hptransfer.plan(
        nanogpt,
        base=(32, 2),
        target=(32, 2),
        hyperparameters={"learning_rate": RATE, "weight_decay": 0.1, "beta2": 0.95},
        residual_writers=WRITERS,
        options=Options(decay_vectors=False),
    )

    assert by_hand(fused=False, plan=plan) == by_hand(fused=False)


def test_the_trainer_reports_it() -> None:
    """A whole trial: what a worker sends back are losses of the same curve."""
    result = train_trial(TrialMessage.of(spec(described()), key="key"))

    assert result.trial is not None
    losses = by_hand(fused=True)
    assert result.trial["state"] == "complete"
    assert [loss for _, loss in result.trial["curve"]] == [losses[step - 1] for step, _ in result.trial["curve"]]


@pytest.mark.parametrize("width", [32, 64])
def test_precisions_begin_with_the_same_numbers(width: int) -> None:
    """Weights are drawn in float32, whatever the precision of the run, and in every process alike."""
    single, _ = planned_model(spec(described(), width))
    again, _ = planned_model(spec(described(), width))
    double, _ = planned_model(spec(described(precision="float64"), width))

    assert all(map(torch.equal, single.parameters(), again.parameters()))
    assert {each.dtype for each in double.parameters()} == {torch.float64}
    assert all(
        torch.equal(one, other.float()) for one, other in zip(single.parameters(), double.parameters(), strict=True)
    )


def trained(model: nn.Module, loss: Callable[[nn.Module, int], torch.Tensor], plan: AppliedPlan | None) -> list[float]:
    """A user's loop with one AdamW over what trains; with a plan, its lines."""
    groups: list[dict[str, Any]] = [{"params": [each for each in model.parameters() if each.requires_grad]}]
    if plan is not None:
        hptransfer.scale_logits(model, plan)
        plan.init_(model)
        groups = plan.param_groups(model)
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        value = loss(model, step)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        losses.append(value.item())
    return losses


def test_a_diffusion_transformers_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped one: torch's attention, positions that are frozen, gates and an output that start at zero."""
    pytest.importorskip("sklearn", reason="needs the extra `images`")
    code, loaded = beside_the_recipes("diffusion_dit"), load_recipe("diffusion")
    monkeypatch.chdir(loaded.root)  # where code that a recipe names is found, as in a trial
    constant = {"schedule": "constant", "warmup": 0.0, "weight_decay": 0.1, "beta2": 0.95, "steps": STEPS}
    wanted = loaded.recipe.model_copy(update={"training": loaded.recipe.training.model_copy(update=constant)})
    run = TrialSpec(wanted, loaded.root, wanted.size(32, 2), {"learning_rate": RATE}, SEED)
    batches = [tuple(map(torch.from_numpy, code.training_batch(SEED, step, 32))) for step in range(STEPS)]
    plan = hptransfer.plan(
        code.DiT,
        base=(32, 2),
        target=(32, 2),
        hyperparameters={"learning_rate": RATE, "weight_decay": 0.1, "beta2": 0.95},
        parameterization="mup",
        example=code.example,
    )

    def by_hand(plan: AppliedPlan | None) -> list[float]:
        torch.manual_seed(SEED)
        return trained(code.DiT(32, 2), lambda model, step: code.loss(model, batches[step]), plan)

    module, groups = planned_model(run)
    corpus = cached_batches(wanted.data, loaded.root)
    losses = list(training_losses(module, groups, corpus, training_settings(run), SEED))

    assert losses == by_hand(None) == by_hand(plan)
    assert losses[0] == pytest.approx(1, abs=0.1)  # a mean over 2,048 squares of noise
    assert losses[-1] < losses[0]


def test_a_tied_gpt2s_curve() -> None:
    """As transformers has it, dropout included: one table for both, and a factor of 1 for its logits."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    settings: dict[str, bool | int | float | str | None] = {
        "vocab_size": 256,
        "n_embd": 32,
        "n_head": 2,
        "n_layer": 2,
        "n_positions": CONTEXT,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    wanted = described().model_copy(
        update={
            "model": HuggingFaceModel(kind="huggingface", config="gpt2", settings=settings, context=CONTEXT),
            "parameterization": described().parameterization.model_copy(update={"decay_vectors": True}),
        }
    )
    config = transformers.GPT2Config(**settings)
    corpus = cached_batches(wanted.data, Path())
    plan = hptransfer.plan(
        config,
        base=(32, 2),
        target=(32, 2),
        hyperparameters={"learning_rate": RATE, "weight_decay": 0.1, "beta2": 0.95},
    )

    def loss(model: nn.Module, step: int) -> torch.Tensor:
        drawn = corpus.batch(SEED, step, BATCH, CONTEXT)
        return functional.cross_entropy(model(drawn[:, :-1]).logits.flatten(0, 1), drawn[:, 1:].flatten())

    def by_hand(plan: AppliedPlan | None) -> list[float]:
        torch.manual_seed(SEED)
        return trained(transformers.GPT2LMHeadModel(config), loss, plan)

    assert planned_losses(wanted) == by_hand(None) == by_hand(plan)
    assert config.tie_word_embeddings
    assert plan.starts_by_itself
    (table,) = [row for row in plan.rows if row.parameter.role is Role.TIED_EMBEDDING]
    assert table.multiplier == 1
