"""A plan scales a model's own init: exactly 1 at the base, what has no scale is kept, what is frozen is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.rules import Options
from tests.support import own_starts
from tests.support.own_starts import WRITERS

VALUES = {"learning_rate": 0.01, "weight_decay": 0.1}
BASE = (64, 2)
Build = Callable[[int, int], nn.Module]


def planned(build: Build, target: tuple[int, int] = (256, 4), **options: object) -> AppliedPlan:
    """CompleteP for four times the width and twice the depth."""
    arguments = {"base": BASE, "target": target, "hyperparameters": VALUES, "residual_writers": WRITERS} | options
    return hptransfer.plan(build, **arguments)  # type: ignore[arg-type]  # options of one test


def started(build: Build, plan: AppliedPlan, size: tuple[int, int] = (256, 4)) -> dict[str, torch.Tensor]:
    """Values after `init_` of a model that was built by its own code."""
    torch.manual_seed(0)
    module = build(*size)
    plan.init_(module)
    return {name: tensor.detach() for name, tensor in module.named_parameters()}


def row(plan: AppliedPlan, name: str) -> Any:
    """Kind, planned std and own std of one parameter."""
    (found,) = (each for each in plan.rows if each.parameter.name == name)
    return found.parameter.init, found.init_std, found.parameter.own_init_std


def notes(plan: AppliedPlan) -> str:
    """All of them."""
    return "\n".join(plan.whole_plan.notes)


def test_own_std_at_the_base_times_the_rule() -> None:
    """NanoGPT's 0.02, whatever the size, becomes 0.02 m_in^-1/2; its own 1/sqrt(2L) is that of the base, 2 layers."""
    plan = planned(own_starts.nanogpt, parameterization="mup")
    values = started(own_starts.nanogpt, plan)

    assert row(plan, "blocks.3.qkv.weight") == ("normal", pytest.approx(0.02 / 2), 0.02)
    assert row(plan, "blocks.3.proj.weight") == (
        "normal",
        pytest.approx(0.02 / math.sqrt(2 * 2) / 2),
        pytest.approx(0.02 / math.sqrt(2 * 4)),
    )
    assert row(plan, "tok.weight") == ("normal", 0.02, 0.02)
    assert row(plan, "head.weight") == ("normal", pytest.approx(0.02 / 4), 0.02)
    assert row(plan, "blocks.0.up.bias") == ("zeros", None, None)
    for name, tensor in values.items():
        _, std, _ = row(plan, name)
        if std is not None:
            assert float(tensor.square().mean().sqrt()) == pytest.approx(std, rel=5 / math.sqrt(tensor.numel())), name
    assert "tok.weight 0.02 (1), blocks.*.qkv.weight 0.02 (0.125), blocks.*.proj.weight 0.01 (0.125)" in notes(plan)


@pytest.mark.parametrize("name", ["plain", "nanogpt", "layer_scale", "zero_writers", "by_numpy", "orthogonal"])
@pytest.mark.parametrize("parameterization", ["standard", "mup", "completep"])
def test_at_the_base_nothing_is_touched(name: str, parameterization: str) -> None:
    """Every bit is as the model's own code drew it."""
    build = getattr(own_starts, name)
    roles = {r"blocks\.\d+\.ls": "hidden vector"} if name == "layer_scale" else {}
    plan = planned(build, BASE, parameterization=parameterization, roles=roles)
    torch.manual_seed(0)
    own = {each: tensor.detach().clone() for each, tensor in build(*BASE).named_parameters()}
    if name == "by_numpy":  # which torch's seed does not reach
        module = build(*BASE)
        own = {each: tensor.detach().clone() for each, tensor in module.named_parameters()}
        plan.init_(module)
        values = dict(module.named_parameters())
    else:
        values = dict(started(build, plan, BASE))

    assert all(torch.equal(values[each], own[each]) for each in own)


def test_gain_of_one_plus_w_starts_at_zero() -> None:
    """As the module has it; drawn as ones, it would multiply by two."""
    plan = planned(own_starts.gain_one_plus_w, parameterization="mup")
    values = started(own_starts.gain_one_plus_w, plan)

    assert row(plan, "blocks.0.n1.weight") == ("zeros", None, None)
    assert not values["blocks.0.n1.weight"].any()


def test_layer_scale_is_kept() -> None:
    """At 0.0001, at every size, and the plan says so."""
    plan = planned(own_starts.layer_scale, parameterization="mup", roles={r"blocks\.\d+\.ls": "hidden vector"})
    values = started(own_starts.layer_scale, plan)

    assert row(plan, "blocks.0.ls") == ("constant", None, None)
    assert torch.equal(values["blocks.3.ls"], torch.full((256,), 1e-4))
    assert "kept at every size as the model starts them: blocks.*.ls 0.0001" in notes(plan)


def test_a_named_init_goes_before_the_own_one() -> None:
    """A role with an init is the user's word; other weights keep their own."""
    roles = {r"blocks\.\d+\.ls": "hidden vector, ones", r"head\.weight": "readout, zeros"}
    plan = planned(own_starts.layer_scale, parameterization="mup", roles=roles)
    values = started(own_starts.layer_scale, plan)

    assert bool((values["blocks.0.ls"] == 1).all())
    assert not values["head.weight"].any()
    assert row(plan, "tok.weight") == ("normal", 0.02, 0.02)


def test_writers_that_start_at_zero() -> None:
    """They stay zero, and the plan says so."""
    plan = planned(own_starts.zero_writers)
    values = started(own_starts.zero_writers, plan)

    assert not values["blocks.3.down.weight"].any()
    assert "the model's own init is zero at every size: blocks.*.proj.weight, blocks.*.down.weight" in notes(plan)
    with pytest.raises(UsageError, match="must not start at zero"):
        planned(own_starts.zero_writers, optimizer="adamh")


def test_a_bias_of_minus_two() -> None:
    """It stays where its user put it."""
    plan = planned(own_starts.biased_readout, parameterization="mup")

    assert bool((started(own_starts.biased_readout, plan)["head.bias"] == -2).all())
    assert "head.bias -2" in notes(plan)


def test_frozen_weights_are_left_alone() -> None:
    """Neither drawn nor in a group; adapters are scaled by their fan-in, and B starts at zero."""
    roles = {r"blocks\.\d+\.lora_[ab]\.weight": "hidden weight"}
    plan = planned(own_starts.lora, parameterization="mup", roles=roles)
    torch.manual_seed(0)
    own = {name: tensor.detach().clone() for name, tensor in own_starts.lora(256, 4).named_parameters()}
    torch.manual_seed(0)
    module = own_starts.lora(256, 4)
    plan.init_(module)
    grouped = {id(tensor) for group in plan.param_groups(module) for tensor in group["params"]}

    for name, tensor in module.named_parameters():
        assert (id(tensor) in grouped) == ("lora" in name)
        assert torch.equal(tensor, own[name]) or "lora_a" in name
    # torch's own std is 1/sqrt(3 fan-in): that of the base, times m_in^-1/2
    assert row(plan, "blocks.0.lora_a.weight")[1] == pytest.approx(1 / math.sqrt(3 * 64) / 2)
    assert "44 parameters take no gradient" in notes(plan)
    module.requires_grad_(True)
    with pytest.raises(UsageError, match=r"tok\.weight takes gradient"):
        plan.param_groups(module)
    bare = own_starts.plain(256, 4)
    bare.get_parameter("tok.weight").requires_grad_(False)
    with pytest.raises(UsageError, match=r"tok\.weight takes no gradient"):
        planned(own_starts.plain).param_groups(bare)


@pytest.mark.parametrize(
    ("name", "parameter", "own"),
    [("by_numpy", "blocks.3.qkv.weight", 1 / 16), ("orthogonal", "blocks.3.up.weight", 1 / 32)],
)
def test_starts_that_follow_the_size(name: str, parameter: str, own: float) -> None:
    """Measured where no operation tells it: std 1/sqrt(width), and of an orthogonal matrix 1/sqrt(4 width)."""
    build = getattr(own_starts, name)
    plan = planned(build, parameterization="mup")
    kind, std, found = row(plan, parameter)
    value = started(build, plan)[parameter]

    assert kind == "normal"
    assert found == pytest.approx(own, rel=0.01)
    assert std == pytest.approx(own, rel=0.01)  # they follow the rule themselves
    assert float(value.square().mean().sqrt()) == pytest.approx(own, rel=0.02)


def test_layers_that_are_numbered_otherwise() -> None:
    """Attributes `layer_3` and numbers of a Sequential have their counterparts at the base: torch's 1/sqrt(3 fan-in)."""
    plan = planned(own_starts.numbered, parameterization="mup", residual_writers=())
    std = 1 / math.sqrt(3 * 64)

    for layer in range(4):
        assert row(plan, f"layer_{layer}.weight") == ("uniform", pytest.approx(std / 2), pytest.approx(std / 2))
    assert row(plan, "last.3.weight")[1] == pytest.approx(std / 2)
    assert row(plan, "last.4.weight")[1] == pytest.approx(std / 4)  # the readout of Table 3: 1/m_in
    assert row(plan, "first.weight")[1] == pytest.approx(1 / math.sqrt(3 * 16))


def test_a_module_that_is_not_at_its_own_init_is_refused() -> None:
    """Scaled twice, trained, or garbage: the values would be wrong without a word; nothing is touched then."""
    plan = planned(own_starts.nanogpt)
    module = own_starts.nanogpt(256, 4)
    plan.init_(module)
    before = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}

    with pytest.raises(UsageError, match=r"root mean square [0-9.]+, by its own init 0\.02"):
        plan.init_(module)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.named_parameters())
    with torch.device("meta"):
        late = own_starts.nanogpt(256, 4)
    with pytest.raises(UsageError) as caught:
        plan.init_(late)
    assert "then the model's own init, which this plan scales" in str(caught.value.findings[0].hint)
    with pytest.raises(UsageError, match="must be as its own code starts it"):
        plan.init_(late.to_empty(device="cpu"))


def test_it_reads_back(tmp_path: Path) -> None:
    """`load_plan` scales as the plan does, bit for bit; frozen rows and kept constants are in the file."""
    for build, roles in (
        (own_starts.lora, {r"blocks\.\d+\.lora_[ab]\.weight": "hidden weight"}),
        (own_starts.layer_scale, {r"blocks\.\d+\.ls": "hidden vector"}),
    ):
        plan = planned(build, roles=roles, parameterization="mup")
        path = tmp_path / f"{build.__name__}.yaml"
        plan.save(path)
        loaded = hptransfer.load_plan(path)
        one, other = started(build, plan), started(build, loaded)

        assert [replace(group, rules={}, sources={}) for group in loaded.groups] == [
            replace(group, rules={}, sources={}) for group in plan.groups
        ]
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_tables_that_draw_at_std_1() -> None:
    """U-muP takes the tables' init by default, and refuses another."""
    plan = planned(own_starts.plain, parameterization="u-mup", gauge="unit")

    assert {each.parameter.own_init_std for each in plan.rows} == {None}
    with pytest.raises(UsageError, match="draws every weight at std 1"):
        planned(own_starts.plain, parameterization="u-mup", gauge="unit", init="own")


def test_by_rule_nothing_of_it_counts() -> None:
    """`init="rule"` draws at the tables' stds: 1/sqrt(fan-in) at the base, embeddings at 1, biases at zero."""
    plan = planned(own_starts.nanogpt, parameterization="mup", init="rule")

    assert row(plan, "blocks.0.qkv.weight") == ("normal", pytest.approx(1 / math.sqrt(64) / 2), None)
    assert row(plan, "tok.weight") == ("normal", 1.0, None)
    assert "own" not in notes(plan)


def test_a_sharded_parameter(tmp_path: Path) -> None:
    """A DTensor is measured and scaled as a whole."""
    distributed = pytest.importorskip("torch.distributed.tensor")
    place = f"file://{tmp_path}/group"
    torch.distributed.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    try:
        mesh = distributed.init_device_mesh("cpu", (1,))
        plan = planned(own_starts.nanogpt)
        torch.manual_seed(0)
        module = own_starts.nanogpt(256, 4)
        distributed.distribute_module(module, mesh)
        plan.init_(module)
        values = {name: getattr(tensor, "full_tensor")() for name, tensor in module.named_parameters()}  # noqa: B009  # of a DTensor
    finally:
        torch.distributed.destroy_process_group()
    expected = started(own_starts.nanogpt, plan)

    assert all(torch.equal(values[name], expected[name]) for name in expected)


def test_vectors_that_do_not_decay() -> None:
    """`decay_vectors=False` as nanoGPT groups its parameters: tensors of two or more axes decay, others do not."""
    plan = planned(own_starts.plain, options=Options(decay_vectors=False))
    usual = planned(own_starts.plain)
    module = own_starts.plain(256, 4)
    decayed = {id(each) for group in plan.param_groups(module) if group["weight_decay"] for each in group["params"]}

    assert decayed == {id(tensor) for tensor in module.parameters() if tensor.dim() >= 2}
    assert [each.weight_decay for each in plan.rows if len(each.parameter.shape) == 2] == [
        each.weight_decay for each in usual.rows if len(each.parameter.shape) == 2
    ]
    assert all(each.weight_decay > 0 for each in usual.rows)
    assert "karpathy/nanoGPT, model.py" in notes(plan)
    assert "decay_vectors" not in notes(usual)
