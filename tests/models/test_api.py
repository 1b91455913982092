"""hptransfer.plan: the public door to plans from Python."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.gpt import Gpt
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
from tests.support.targets import text_of

VALUES = {"learning_rate": 0.01, "weight_decay": 0.1}
WRITERS = [r"blocks\.\d+\.(attention_out|down)\.weight"]


def build(width: int, depth: int) -> nn.Module:
    """A decoder whose code knows nothing of a plan."""
    return Gpt(width, depth, context=8, head_dim=16)


def planned(**options: object) -> AppliedPlan:
    """CompleteP at 4 times the width and twice the depth."""
    arguments = {"base": (16, 2), "target": (64, 4), "hyperparameters": VALUES, "residual_writers": WRITERS} | options
    return hptransfer.plan(build, **arguments)  # type: ignore[arg-type]  # options of one test


def learning_rates(plan: AppliedPlan) -> dict[str, float]:
    """By name, layer 0 only."""
    return {
        row.parameter.name: row.learning_rate
        for row in plan.rows
        if not any(f".{layer}." in row.parameter.name for layer in (1, 2, 3))
    }


def test_a_function_is_planned() -> None:
    """CompleteP, alpha 1 (arXiv 2505.01618, Table 1): hidden 1/m_N, writers and readout absorb 1/m_L and 1/m_N."""
    assert learning_rates(planned()) == {
        "embedding.weight": 0.01,
        "blocks.0.attention_norm.weight": 0.01,
        **{f"blocks.0.{name}.weight": 0.0025 for name in ("q", "k", "v", "up")},
        **{f"blocks.0.{name}.weight": 0.00125 for name in ("attention_out", "down")},
        "blocks.0.mlp_norm.weight": 0.01,
        "final_norm.weight": 0.01,
        "readout.weight": 0.0025,
    }


def test_all_ways_to_name_a_model_agree() -> None:
    """A function, its import path, a recipe's section, and other argument names give one plan."""
    section = GptModel(kind="gpt", context=8, head_dim=16)
    by_section = hptransfer.plan(section, base=(16, 2), target=(64, 4), hyperparameters=VALUES)
    by_path = hptransfer.plan(
        f"{__name__}:build",
        base=Size(16, 2, 1, 1),
        target=Size(64, 4, 1, 1),
        hyperparameters=VALUES,
        residual_writers=WRITERS,
    )

    def with_other_names(d_model: int, layers: int) -> nn.Module:
        return build(d_model, layers)

    renamed = hptransfer.plan(
        with_other_names,
        base=(16, 2),
        target=(64, 4),
        hyperparameters=VALUES,
        residual_writers=WRITERS,
        width="d_model",
        depth="layers",
    )

    assert learning_rates(by_section) == learning_rates(by_path) == learning_rates(renamed) == learning_rates(planned())


def test_at_the_base_nothing_scales() -> None:
    """Target == base: every factor is 1, and roles are known all the same (mup: plain SP, silently)."""
    plan = planned(target=(16, 2))

    assert {factor for row in plan.rows for factor in row.factors.values()} == {1.0}
    assert {row.parameter.role for row in plan.rows} >= {"hidden weight", "readout"}


def test_training_on_the_plan() -> None:
    """init_ and param_groups with plain torch: AdamW, LambdaLR with the tool's own factors."""
    plan, module = planned(), build(64, 4)
    plan.init_(module, seed=0)
    optimizer = torch.optim.AdamW(plan.param_groups(module), betas=(0.9, 0.95))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: hptransfer.schedule_factor("cosine", min(step, 9), 10, 0.2)
    )
    tokens = torch.arange(32).view(4, 8)
    losses = []
    for _ in range(10):
        loss = nn.functional.cross_entropy(module(tokens).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0]
    assert hptransfer.audit_optimizer(optimizer, plan, module) == ()


def test_the_table_is_markdown() -> None:
    """to_table() prints every group once."""
    lines = planned().to_table().splitlines()

    assert sum(line.startswith("| `") for line in lines) == 11


def test_muon_has_groups_of_two_optimizers() -> None:
    """Under Muon, matrices of the blocks are its own, everything else goes to the optimizer beside it."""
    plan, module = planned(parameterization="mup", optimizer="muon", target=(64, 2)), build(64, 2)
    own, beside = plan.param_groups(module, "muon"), plan.param_groups(module, "adamw")

    def names(groups: list[dict[str, object]]) -> str:
        return " ".join(str(group["name"]) for group in groups)

    assert "up" in names(own)
    assert "embedding" not in names(own)
    assert "embedding" in names(beside)
    assert "up" not in names(beside)
    torch.optim.Muon([{k: v for k, v in group.items() if k != "eps"} for group in own])
    torch.optim.AdamW(beside)
    with pytest.raises(UsageError, match="adamw, muon"):
        plan.param_groups(module, "sgd")


def test_options_are_passed_on() -> None:
    """Named choices among published rules reach the plan."""
    plan = planned(options=Options(weight_decay="unscaled"))

    assert {row.weight_decay for row in plan.rows if row.parameter.name == "blocks.0.up.weight"} == {0.1}


def test_alpha() -> None:
    """A parameterization may carry its alpha: half of CompleteP's range is Depth-muP's branch."""
    rates = learning_rates(planned(parameterization=Parameterization("completep", 0.5)))

    assert rates["blocks.0.up.weight"] == pytest.approx(0.0025 * 2**-0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hyperparameters": {}}, "`learning_rate` of the base size must be given"),
        ({"hyperparameters": VALUES | {"lr": 1.0}}, "hyperparameters must be among"),
        ({"preset": "lama", "residual_writers": None}, "the preset must be one of"),
        ({"preset": "llama", "residual_writers": None}, "must name the parameters that write the residual stream"),
        ({"residual_writers": ["blocks"]}, "must match the full name"),
        ({"residual_writers": ["("]}, "must be a regular expression"),
        ({"base": 64}, "`base` must be a width and a depth"),
        ({"target": (64, 2.5)}, "`target` must be a width and a depth"),
        ({"base": (64, 2, 1)}, "`base` must be a width and a depth"),
        ({"parameterization": "mutransfer"}, "parameterization must be one of"),
        ({"optimizer": "adamax"}, "optimizer must be one of"),
        ({"residual_writers": []}, "must have parameters that write a residual stream"),
    ],
)
def test_refusals(options: dict[str, object], said: str) -> None:
    """What cannot be planned is refused with the rule."""
    with pytest.raises(UsageError, match=said):
        planned(**options)


def test_other_objects_are_refused() -> None:
    """A module is not a function of width and depth."""
    with pytest.raises(UsageError, match="function of width and depth"):
        hptransfer.plan(42, base=(16, 2), target=(64, 4), hyperparameters=VALUES)


def test_plans_from_files_apply_and_say_what_they_lack(tmp_path: Path) -> None:
    """load_plan gives the same groups and clips by the same norm."""
    plan, module = planned(), build(64, 4)
    (tmp_path / "target.yaml").write_text(text_of(plan.whole_plan))
    loaded = hptransfer.load_plan(tmp_path / "target.yaml")

    assert [(g["lr"], len(g["params"])) for g in loaded.param_groups(module)] == [
        (g["lr"], len(g["params"])) for g in plan.param_groups(module)
    ]
    assert loaded.rows == ()
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    norms = [each.clip_grad_norm_(module, math.inf) for each in (plan, loaded)]
    plain = math.sqrt(sum(parameter.numel() for parameter in module.parameters()))
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    assert abs(norms[0] / plain - 1) > 0.1  # the readout's factor is in it: torch's own norm is another


def configuration(**changed: object) -> object:
    """The numbers are those of nobody's model."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    values = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4}
    values |= {"num_hidden_layers": 2, "vocab_size": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.Phi3Config(**values | changed)


FOLLOWING = ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"]
KEYS = {"follow_width": FOLLOWING, "depth_key": "num_hidden_layers", "task": "causal-lm"}
SIZES: dict[str, object] = {"base": (64, 2), "target": (128, 4), "hyperparameters": VALUES, "parameterization": "mup"}


def test_a_configuration_of_any_family() -> None:
    """Keys of width and depth, and the task, are arguments; heads grow in number, so keys and values are hidden."""
    plan = hptransfer.plan(configuration(), **SIZES | KEYS)  # type: ignore[arg-type]
    shapes = {row.parameter.name: row.parameter.shape for row in plan.rows}

    assert hptransfer.plan(configuration(), **SIZES).rows == plan.rows  # type: ignore[arg-type]  # as the class says
    assert shapes["model.layers.3.mlp.down_proj.weight"] == (128, 256)
    assert shapes["model.layers.3.self_attn.qkv_proj.weight"] == (3 * 128, 128)


@pytest.mark.parametrize(
    ("changed", "said", "hint"),
    [
        ({"follow_width": ["hidden_sizes"]}, "must name keys of the configuration", "did you mean `hidden_size`?"),
        ({"task": "causal"}, "`task` must be one of causal-lm", ""),
    ],
)
def test_keys_of_a_configuration_that_are_none(changed: dict[str, object], said: str, hint: str) -> None:
    """A key that is missing or mistyped is named before anything is built."""
    with pytest.raises(UsageError, match=said) as caught:
        hptransfer.plan(configuration(), **SIZES | KEYS | changed)  # type: ignore[arg-type]
    assert hint in str(caught.value.findings[0].hint)


def test_keys_of_a_configuration_for_a_function() -> None:
    """They mean nothing for a function, so they are refused."""
    with pytest.raises(UsageError, match="must go with a configuration"):
        planned(depth_key="n_layer")


def test_a_configuration_inside_another() -> None:
    """Keys inside `text_config` are named with their place; what is not of the text does not grow."""
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    text = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4}
    text |= {"num_hidden_layers": 2, "vocab_size": 256, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**text),
        vision_config=transformers.CLIPVisionConfig(**vision, image_size=28, patch_size=14),
        image_token_index=5,
    )
    plan = hptransfer.plan(
        whole,
        **SIZES,  # type: ignore[arg-type]
        follow_width=[f"text_config.{key}" for key in FOLLOWING],
        depth_key="text_config.num_hidden_layers",
        task="base",
        roles={r"vision_tower\.embeddings\.class_embedding": "embedding"},
    )
    shapes = {row.parameter.name: row.parameter.shape for row in plan.rows}

    assert shapes["language_model.layers.3.mlp.down_proj.weight"] == (128, 256)
    assert {shape for name, shape in shapes.items() if "vision" in name and "fc1.weight" in name} == {(64, 32)}
