"""Multipliers written into a configuration train the same model as multipliers absorbed into init and optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hptransfer
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.config_multipliers import KEYS, config_values
from hptransfer.models.huggingface import build_huggingface
from hptransfer.recipe.model_sections import HuggingFaceModel
from tests.support.families import DECODERS, batch, family

pytest.importorskip("transformers", reason="needs the extra `hf`")

VALUES = {"learning_rate": 2**-8, "weight_decay": 0.1, "eps": 1e-9}
BASE, TARGET = (64, 2), (256, 4)
#: written down by hand: what has 4 times the base's width and twice its depth under CompleteP, from each family's
#: modelling file: Granite divides logits, Hyperclovax multiplies them
BY_HAND: dict[str, dict[str, float | list[float]]] = {
    "granite": {"logits_scaling": 4.0, "residual_multiplier": 0.5},
    "hyperclovax": {"logits_scaling": 0.25, "residual_multiplier": 0.5},
    "cohere": {"logit_scale": 0.0625 / 4},
    "falcon_h1": {
        "lm_head_multiplier": 0.25,
        "attention_out_multiplier": 0.5,
        "ssm_out_multiplier": 0.5,
        "mlp_multipliers": [1.0, 0.5],
    },
}


def section(name: str) -> HuggingFaceModel:
    """A family's small settings, its readout untied."""
    small = family(name, tied=False).section
    if name == "hyperclovax":  # its writers' norms would take the multiplier
        small = small.model_copy(update={"settings": small.settings | {"use_post_norm": False}})
    return small


def trained(model: HuggingFaceModel, plan: AppliedPlan) -> list[Tensor]:
    """Logits of four steps in double precision."""
    torch.manual_seed(0)
    module = build_huggingface(model, *TARGET).double()
    plan.init_(module, 0)
    optimizer = torch.optim.AdamW(plan.param_groups(module))
    inputs, loss_of = batch("causal-lm", 0, module)
    logits = []
    for _ in range(4):
        output = module(**inputs)
        logits.append(output.logits.detach())
        optimizer.zero_grad()
        torch.autograd.backward(loss_of(output))
        optimizer.step()
    return logits


@pytest.mark.parametrize("name", ["granite", "hyperclovax", "cohere"])
def test_the_configuration_holds_what_is_absorbed_elsewhere(name: str) -> None:
    """Values are those that a reader computes, and both forms give the same logits at every step."""
    model = section(name)
    rule = "mup" if name == "cohere" else "completep"
    target = (256, 2) if name == "cohere" else TARGET
    plain, in_forward = (
        hptransfer.plan(model, base=BASE, target=target, hyperparameters=VALUES, parameterization=rule, gauge=gauge)
        for gauge in ("plain", "multipliers")
    )

    assert plain.config_values == {}
    assert in_forward.config_values == BY_HAND[name]
    assert any("in the configuration of this size write" in note for note in in_forward.whole_plan.notes)
    if name == "cohere":
        return
    changed = model.model_copy(update={"settings": model.settings | in_forward.config_values})
    for absorbed, written in zip(trained(model, plain), trained(changed, in_forward), strict=True):
        torch.testing.assert_close(written, absorbed, rtol=1e-4, atol=1e-7)
    with pytest.raises(AssertionError):  # negative control: without the values it is another model
        torch.testing.assert_close(trained(model, in_forward)[0], trained(model, plain)[0], rtol=1e-4, atol=1e-7)


def test_entries_of_lists() -> None:
    """Falcon-H1: each branch has its own key, one of them a list whose second entry is the writer's."""
    model = section("falcon_h1")
    plan = hptransfer.plan(model, base=BASE, target=TARGET, hyperparameters=VALUES, gauge="multipliers")

    assert plan.config_values == BY_HAND["falcon_h1"]


def test_attention_of_heads_that_grow() -> None:
    """1/head_dim instead of 1/sqrt(head_dim): Granite's key takes it as it is, Gemma's to the power -1/2."""
    (granite, _), (gemma, _) = (
        config_values(HuggingFaceModel(kind="huggingface", config=name, settings={key: 64}), (), (16, 64))
        for name, key in (("granite", "attention_multiplier"), ("gemma2", "query_pre_attn_scalar"))
    )

    assert granite == {"attention_multiplier": 16.0}
    assert gemma == {"query_pre_attn_scalar": 1024.0}


def test_every_key_is_one_of_its_configuration() -> None:
    """A key that transformers renames would be written without effect."""
    import transformers

    for name, keys in KEYS.items():
        assert name in DECODERS
        assert {key.name for key in keys} <= transformers.CONFIG_MAPPING[name]().to_dict().keys()
