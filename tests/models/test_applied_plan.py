"""Applying a plan: init in place, parameter groups, and every way in which a model can disagree with its plan."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan, load_plan
from hptransfer.models.build import build_model
from hptransfer.parameterization.plan import Plan, plan
from hptransfer.parameterization.tables import Parameterization
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
from tests.support.reading import parameters_of

MODEL = GptModel(kind="gpt", context=8, head_dim=8)
BASE = Size(16, 1, 8, 800)
TARGET = Size(64, 4, 8, 800)
VALUES = {"learning_rate": 0.5, "weight_decay": 0.25, "init_scale": 1.0, "eps": 1.0, "beta1": 0.9, "beta2": 0.95}


def planned(size: Size = TARGET, optimizer: str = "adamw", **values: float) -> Plan:
    """A plan of the decoder."""
    parameters = parameters_of(MODEL, BASE, size)
    return plan(Parameterization("completep"), BASE, size, parameters, VALUES | values, optimizer=optimizer)


def decoder(size: Size = TARGET) -> nn.Module:
    """The decoder the plan is for."""
    return build_model(MODEL, size.width, size.depth)


def initialised(seed: int | None, **values: float) -> dict[str, torch.Tensor]:
    """The decoder's parameters after init."""
    module = decoder()
    AppliedPlan(planned(TARGET, "adamw", **values).rows).init_(module, seed)
    return {name: tensor.detach() for name, tensor in module.named_parameters()}


def test_init_has_the_planned_stds() -> None:
    """Random weights have the planned spread; norm gains are ones."""
    tensors = initialised(seed=0)

    # m_N = 4, m_L = 4: std base 1/sqrt(16) * 1/sqrt(4) = 1/8; writers another 1/m_L; readout 1/sqrt(16)/4; tables 1
    assert tensors["blocks.2.up.weight"].std().item() == pytest.approx(0.125, rel=0.05)
    assert tensors["blocks.2.attention_out.weight"].std().item() == pytest.approx(0.03125, rel=0.05)
    assert tensors["readout.weight"].std().item() == pytest.approx(0.0625, rel=0.05)
    assert tensors["embedding.weight"].std().item() == pytest.approx(1.0, rel=0.05)
    assert torch.equal(tensors["final_norm.weight"], torch.ones(64))


def test_one_seed_gives_one_init() -> None:
    """Equal seeds give equal weights, different seeds different ones."""
    first, again, other = initialised(0), initialised(0), initialised(1)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["readout.weight"], other["readout.weight"])


def test_draws_are_common_to_all_init_scales() -> None:
    """Another init_scale scales the same draws, so comparisons share their randomness."""
    one, two = initialised(0), initialised(0, init_scale=2.0)

    assert torch.equal(2 * one["blocks.0.q.weight"], two["blocks.0.q.weight"])


def test_parameters_of_one_shape_draw_differently() -> None:
    """Each name has its own generator."""
    tensors = initialised(0)

    assert not torch.equal(tensors["blocks.0.q.weight"], tensors["blocks.0.k.weight"])
    assert not torch.equal(tensors["blocks.0.q.weight"], tensors["blocks.1.q.weight"])


def test_without_a_seed_torch_decides() -> None:
    """No seed draws from torch's global generator."""
    torch.manual_seed(3)
    first = initialised(None)
    torch.manual_seed(3)
    again = initialised(None)

    assert torch.equal(first["readout.weight"], again["readout.weight"])


def test_init_leaves_gradients_on() -> None:
    """Initialising is not recorded, and parameters stay trainable."""
    module = decoder()
    AppliedPlan(planned().rows).init_(module, 0)

    assert all(tensor.requires_grad and tensor.grad_fn is None for tensor in module.parameters())


def test_groups_hold_every_parameter_once() -> None:
    """The groups partition the model's parameters."""
    module = decoder()
    groups = AppliedPlan(planned().rows).param_groups(module)
    listed = [id(tensor) for group in groups for tensor in group["params"]]

    assert sorted(listed) == sorted(id(tensor) for tensor in module.parameters())


def test_groups_have_the_planned_values() -> None:
    """Equal values share a group; for completep at m_N = m_L = 4 the plain decoder has five."""
    groups = AppliedPlan(planned().rows).param_groups(decoder())

    # lr 0.5, decay 0.25, eps 1: CompleteP Table 1 with the multipliers of branches (1/4) and readout (1/4) absorbed
    assert [(group["lr"], group["weight_decay"], group["eps"]) for group in groups] == [
        (0.5, 0.25, 0.25),  # tables, final norm
        (0.5, 0.25, 0.0625),  # norms of blocks
        (0.125, 1.0, 0.0625),  # q, k, v, up
        (0.03125, 4.0, 0.25),  # attention_out, down
        (0.125, 1.0, 1.0),  # readout
    ]
    assert groups[3]["name"] == r"blocks\.\d+\.attention_out\.weight | blocks\.\d+\.down\.weight"


def test_groups_work_in_torch_optimizers() -> None:
    """AdamW and SGD take the groups as they are."""
    module = decoder()

    torch.optim.AdamW(AppliedPlan(planned().rows).param_groups(module))
    groups = AppliedPlan(planned(optimizer="sgd").rows).param_groups(module)
    torch.optim.SGD(groups, momentum=0.9)

    assert all("eps" not in group for group in groups)


def test_groups_survive_relative_schedulers() -> None:
    """A multiplicative schedule keeps the ratios between groups."""
    groups = AppliedPlan(planned().rows).param_groups(decoder())
    before = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    schedule.step()

    assert [group["lr"] for group in optimizer.param_groups] == [0.5 * rate for rate in before]


def test_deepcopies_lose_nothing() -> None:
    """The plan lives in a table of names, so a copy of a model, or its state dict in a new one, is planned alike."""
    applied = AppliedPlan(planned().rows)
    module = decoder()
    copied = copy.deepcopy(module)
    loaded = build_model(MODEL, 64, 4, device="meta")
    loaded.load_state_dict(module.state_dict(), assign=True)

    rates = [[group["lr"] for group in applied.param_groups(model)] for model in (module, copied, loaded)]

    assert rates[0] == rates[1] == rates[2]


def test_a_deeper_model_is_refused() -> None:
    """A row that matches another number of layers than planned is an error with both numbers."""
    with pytest.raises(UsageError, match=r"blocks.*\(5 of 4\)"):
        AppliedPlan(planned().rows).init_(decoder(Size(64, 5, 8, 800)), 0)


def test_a_wider_model_is_refused() -> None:
    """A shape that was not planned is an error that names the parameter and both shapes."""
    with pytest.raises(UsageError, match=r"embedding\.weight \(256, 128\), planned \(256, 64\)"):
        AppliedPlan(planned().rows).param_groups(decoder(Size(128, 4, 8, 800)))


def test_unplanned_parameters_are_refused() -> None:
    """A parameter that no row covers is named."""
    module = decoder()
    module.register_parameter("extra", nn.Parameter(torch.zeros(3)))

    with pytest.raises(UsageError, match=r"extra \(0 rows\)"):
        AppliedPlan(planned().rows).param_groups(module)


def test_rows_without_parameters_are_refused() -> None:
    """A planned parameter that the model lacks is named."""
    module = decoder()
    del module.readout

    with pytest.raises(UsageError, match=r"readout\\\.weight \(0 of 1\)"):
        AppliedPlan(planned().rows).param_groups(module)


def test_parameters_with_two_rows_are_refused() -> None:
    """Rows edited so that two cover one parameter are refused instead of one winning silently."""
    applied = AppliedPlan(planned().rows)
    doubled = AppliedPlan([*applied.groups, replace(applied.groups[0], pattern=r"embedding\..*")])

    with pytest.raises(UsageError, match=r"embedding\.weight \(2 rows\)"):
        doubled.param_groups(decoder())


def test_models_without_memory_are_refused() -> None:
    """A meta module must be materialised first; then it can be initialised."""
    applied = AppliedPlan(planned().rows)
    module = build_model(MODEL, 64, 4, device="meta")

    with pytest.raises(UsageError, match="meta device"):
        applied.init_(module, 0)
    module.to_empty(device="cpu")
    applied.init_(module, 0)

    assert torch.equal(dict(module.named_parameters())["readout.weight"], initialised(0)["readout.weight"])


def test_a_missing_target_is_reported(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(UsageError, match=r"target\.yaml"):
        load_plan(tmp_path / "target.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "format: other",
        "format: hptransfer-target/1\nparameters: 3\noptimizer: sgd\nhyperparameters: {}",
        "format: hptransfer-target/1\nparameters: []\nhyperparameters: {}",
        "format: hptransfer-target/1\nparameters: []\noptimizer: sgd\nhyperparameters: {learning_rate: 1e-3}",
        "format: hptransfer-target/1\nparameters: [{pattern: x}]\noptimizer: sgd\nhyperparameters: {}",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """What is not a target's file is a usage error."""
    (tmp_path / "target.yaml").write_text(text)

    with pytest.raises(UsageError):
        load_plan(tmp_path / "target.yaml")
