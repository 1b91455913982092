"""The format bsh: mup's own set_base_shapes, MuReadout and optimizers make the plan of what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mup
import pytest
import torch
import yaml

from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.base_shapes import read_base_shapes
from hptransfer.models.huggingface import build_huggingface
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import GptModel
from hptransfer.roundtrip.torch import load_module
from hptransfer.scaling.groups import in_gauge
from hptransfer.scaling.verify_export import verify_export
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, llama_target, round_trip, write_export

WIDE = Size(192, 2, 8, 8192)


def rows(**given: Any) -> list[dict[str, Any]]:
    """The optimizer's part of each row of groups.json."""
    content = json.loads(export_target("bsh", in_gauge(llama_target(**given), None, "multipliers"))["groups.json"])
    return [row["optimizer"] for row in content["groups"]]


def test_the_base_shapes_are_mups_own(tmp_path: Path) -> None:
    """What mup.make_base_shapes finds by comparing the base model with a wider one."""
    folder = write_export(tmp_path, "bsh", llama_target("mup", size=WIDE))
    found = mup.make_base_shapes(build_huggingface(LLAMA, 64, 2), build_huggingface(LLAMA, 128, 2))

    written = read_base_shapes(folder / "base_shapes.bsh")
    assert {name: shape.base_shape() for name, shape in written.items()} == {
        name: shape.base_shape() for name, shape in found.items()
    }


def test_mups_rules_need_one_rate_and_one_decay() -> None:
    """The rules of mup with AdamW and constant lr x wd is what MuAdamW does: every group has the base's values."""
    written = rows(parameterization="mup", size=WIDE)

    assert [row["lr"] for row in written] == pytest.approx([0.01] * len(written), rel=1e-12)
    assert [row["weight_decay"] for row in written] == pytest.approx([0.1] * len(written), rel=1e-12)


def test_an_unscaled_decay_is_undone_before_mup() -> None:
    """MuAdamW multiplies by 3 what grows in two axes, so a third of 0.1 is written there."""
    given = rows(parameterization="mup", size=WIDE, options=Options(weight_decay="unscaled"))

    assert {round(row["weight_decay"], 12) for row in given} == {0.1, round(0.1 / 3, 12)}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("init", ["own", "rule"])
def test_the_plan_is_read_back_whole(optimizer: str, init: Any, tmp_path: Path) -> None:
    """Init, rate, decay, eps and MuReadout's factor of every parameter."""
    decay = 0.0 if optimizer == "sgd" else 0.1
    found = round_trip(
        tmp_path, "bsh", llama_target("mup", optimizer=optimizer, size=WIDE, init=init, weight_decay=decay)
    )

    assert found.differences == ()
    assert found.schedule is None
    assert found.parameters == 21


def test_depth_is_moved_into_init_and_optimizer(tmp_path: Path) -> None:
    """There is no residual factor in mup: each group then has values of its own, and the header says so."""
    target = llama_target()
    text = " ".join(export_target("bsh", in_gauge(target, None, "multipliers"))["hptransfer_mup.py"].split("\n# "))

    assert "groups.json has several base values" in " ".join(text.split())
    assert round_trip(tmp_path, "bsh", target).holds


def test_a_width_that_no_axis_divides_is_read_back(tmp_path: Path) -> None:
    """A built-in decoder at 1.5 times its base."""
    model = GptModel(kind="gpt", context=8, head_dim=16)

    assert round_trip(tmp_path, "bsh", llama_target("mup", model=model, size=Size(96, 2, 8, 8192), init="rule")).holds


def test_the_real_model_takes_a_step_of_the_plan(tmp_path: Path) -> None:
    """A Llama whose head is a MuReadout, mup's optimizer: logits and two steps as the plan's in float64."""
    target = llama_target("mup", size=WIDE)
    module = load_module(write_export(tmp_path, "bsh", target) / "hptransfer_mup.py")
    plan = AppliedPlan.from_target(target)
    tokens = torch.randint(256, (2, 16), generator=torch.Generator().manual_seed(1))
    seen: dict[str, list[torch.Tensor]] = {"mup": [], "plan": []}
    for who, logits in seen.items():
        torch.manual_seed(0)
        model: Any = build_huggingface(LLAMA, 192, 2).double()
        if who == "mup":
            readout = mup.MuReadout(192, 256, bias=False).double()
            readout.weight = model.lm_head.weight
            model.lm_head = readout
            module.start_(model)
            optimizer = module.optimizer(model)
        else:
            plan.init_(model, seed=0)
            optimizer = torch.optim.AdamW(plan.param_groups(model), betas=(0.9, 0.95))
        for _ in range(3):
            output = model(input_ids=tokens, labels=tokens)
            logits.append(output.logits.detach())
            optimizer.zero_grad()
            output.loss.backward()
            optimizer.step()

    for own, planned in zip(seen["mup"], seen["plan"], strict=True):
        torch.testing.assert_close(own, planned, rtol=1e-9, atol=1e-12)


MISTAKES = {
    "torch's AdamW, which scales nothing": (
        "hptransfer_mup.py", "mup.MuAdamW", "torch.optim.AdamW", "learning_rate", "not scaled: that is the base's",
    ),
    "mup's own rescaling": (
        "hptransfer_mup.py", "rescale_params=False", "rescale_params=True", "init_std",
        "the width's growth to the power 0.5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """Each with its cause."""
    file, old, new, quantity, cause = MISTAKES[name]
    found = round_trip(tmp_path, "bsh", llama_target("mup", size=WIDE), {file: (old, new)})

    assert any(each.quantity == quantity and cause in each.cause for each in found.differences)


def test_rates_of_this_size_are_scaled_once_more(tmp_path: Path) -> None:
    """Who writes the target's rates leaves mup's optimizer to divide them again."""
    target = llama_target("mup", size=WIDE)
    folder = write_export(tmp_path, "bsh", target)
    content = json.loads((folder / "groups.json").read_text())
    for row, group in zip(content["groups"], target.parameters, strict=True):
        row["optimizer"]["lr"] = group.learning_rate
    (folder / "groups.json").write_text(json.dumps(content))
    found = [each for each in verify_export(folder).differences if each.quantity == "learning_rate"]

    assert any("q_proj" in each.names[0] and "scaled twice, by 0.3333" in each.cause for each in found)


def test_the_targets_width_as_base_is_found_and_named(tmp_path: Path) -> None:
    """The missing switch of mup: no axis has grown, so that nothing is scaled."""
    folder = write_export(tmp_path, "bsh", llama_target("mup", size=WIDE))
    path = folder / "base_shapes.bsh"
    shapes = yaml.safe_load(path.read_text())
    model = build_huggingface(LLAMA, 192, 2)
    for name, parameter in model.named_parameters():
        shapes[name] = [
            None if of is None else length for of, length in zip(shapes[name], parameter.shape, strict=True)
        ]
    path.write_text(yaml.safe_dump(shapes))
    found = {(each.quantity, each.cause.partition(":")[0]) for each in verify_export(folder).differences}
    assert ("learning_rate", "not scaled") in found
    assert ("multiplier", "not scaled") in found


def test_what_it_cannot_hold_is_refused() -> None:
    """Muon, which mup does not have, and a tied table."""
    tied = LLAMA.model_copy(update={"settings": {**LLAMA.settings, "tie_word_embeddings": True}})

    with pytest.raises(UsageError, match="adamw, adam, sgd"):
        export_target("bsh", in_gauge(llama_target("mup", optimizer="muon", size=WIDE), None, "multipliers"))
    with pytest.raises(UsageError, match="embed_tokens"):
        export_target("bsh", in_gauge(llama_target("mup", size=WIDE, model=tied), None, "multipliers"))
