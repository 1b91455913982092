"""The format automodel: the written sections by NeMo Automodel's rules, which are held against its own functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import GptModel
from hptransfer.roundtrip._automodel_rules import param_groups, rate_at, with_defaults
from hptransfer.roundtrip.torch import load_module
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, TARGET, llama_target, round_trip, write_export

WIDE = Size(192, 2, 8, 8192)
#: what its unmodified functions returned at 36044ad3; its command is in it
RECORD = json.loads((Path(__file__).parents[1] / "data/automodel.json").read_text(encoding="utf-8"))


def target(schedule: str = "cosine", steps: int = 200, **training: Any) -> TargetFile:
    """A Llama under completep, with a warmup of a tenth."""
    given = {"steps": steps, "batch_size": 8, "schedule": schedule, "warmup": 0.1, "clip": 0.5} | training
    return llama_target().model_copy(update={"training": TrainingRecord(**given)})


def sections(of: TargetFile) -> dict[str, Any]:
    """automodel.yaml."""
    content: dict[str, Any] = yaml.safe_load(export_target("automodel", of)["automodel.yaml"])
    return content


@pytest.mark.parametrize("name", list(RECORD["cases"]))
def test_the_rules_are_those_of_its_own_functions(name: str) -> None:
    """Groups, and rate and decay of each parameter at ten steps of 100, to the last digit but one."""
    case, keys = RECORD["cases"][name], RECORD["keys"]
    named = {each: torch.nn.Parameter(torch.zeros(1)) for group in case["groups"] for each in group}
    names = {id(parameter): each for each, parameter in named.items()}
    order = case["at"]["0"]
    groups = param_groups([(each, named[each]) for each in sorted(order, key=RECORD["names"].index)], case["overrides"])
    scheduler = with_defaults(case["scheduler"], rate=keys["lr"], decay=keys["weight_decay"], steps=keys["steps"])

    assert [[names[id(each)] for each in group["params"]] for group in groups] == case["groups"]
    for step, values in case["at"].items():
        for group in groups:
            for parameter in group["params"]:
                rate, decay = values[names[id(parameter)]]
                assert rate_at(int(step), scheduler) * group.get("lr_mult", 1.0) == pytest.approx(rate, rel=1e-14)
                assert scheduler["start_wd"] * group.get("wd_mult", 1.0) == pytest.approx(decay, rel=1e-14)


@pytest.mark.parametrize(
    "training",
    [
        {"schedule": "constant", "clip": None},
        {"schedule": "linear", "floor": 0.1},
        {"schedule": "cosine", "floor": 0.1, "warmup": 0.0},
        {"schedule": "cosine", "steps": 3},
        {"schedule": "wsd", "decay_share": 0.3, "floor": 0.05},
        {"schedule": "inverse-sqrt"},
        {"schedule": "own", "warmup": None},
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_the_plan_is_read_back_whole(training: dict[str, Any], tmp_path: Path) -> None:
    """Init, rate, decay and eps of every parameter, betas, clipping and schedule."""
    found = round_trip(tmp_path, "automodel", target(**training))

    assert found.differences == ()
    assert found.schedule is None
    assert found.parameters == 39


def test_the_first_steps_rate_is_the_plans() -> None:
    """Warmup of 20 steps: Automodel's rises from `init_lr`, here 1/20 of the peak, at the peak 19 steps later."""
    scheduler = sections(target())["lr_scheduler"]

    assert scheduler["init_lr"] == pytest.approx(0.01 / 20)
    assert [rate_at(step, scheduler) for step in (0, 9, 19)] == pytest.approx([0.0005, 0.005, 0.01])


def test_patterns_are_anchored_and_multiply_the_base() -> None:
    """Table 8: the hidden rate is a third at width x3, and so that lr x wd stays, the decay is three times as much."""
    overrides = {
        each["pattern"]: each for each in sections(llama_target("mup", size=WIDE))["optimizer"]["param_group_overrides"]
    }
    query = overrides[r"^model\.layers\.\d+\.self_attn\.q_proj\.weight$"]

    assert (query["lr_mult"], query["wd_mult"]) == pytest.approx((1 / 3, 3.0))
    assert overrides[r"^model\.embed_tokens\.weight$"]["lr_mult"] == 1.0


def test_an_eps_for_each_group_is_given_by_the_module(tmp_path: Path) -> None:
    """Automodel's groups have none; the module's optimizer takes them in the order of the overrides, or refuses."""
    folder = write_export(tmp_path, "automodel", llama_target("mup", size=WIDE))
    module = load_module(folder / "hptransfer_automodel.py")
    content = yaml.safe_load((folder / "automodel.yaml").read_text())["optimizer"]
    assert content["_target_"] == "hptransfer_automodel.optimizer"
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr_mult": 1.0} for _ in content["group_eps"]]
    made = module.optimizer(params=groups, group_eps=content["group_eps"], lr=0.1)

    # the embedding's eps is 1e-8 / 3, whose update is that of a third of the gradient
    assert made.param_groups[0]["eps"] == pytest.approx(1e-8 / 3)
    with pytest.raises(ValueError, match="stages of a pipeline"):
        module.optimizer(params=groups[1:], group_eps=content["group_eps"], lr=0.1)
    with pytest.raises(ValueError, match="each parameter one of them"):
        module.optimizer(params=[{"params": []}, *groups[1:]], group_eps=content["group_eps"], lr=0.1)


def test_one_eps_needs_no_optimizer_of_the_module(tmp_path: Path) -> None:
    """At the base's size all groups have the same; torch's own class is written."""
    of = llama_target("mup", size=Size(64, 2, 8, 8192), options=Options(eps="none"))
    written = sections(of)["optimizer"]

    assert (written["_target_"], written["eps"]) == ("torch.optim.AdamW", 1e-8)
    assert round_trip(tmp_path, "automodel", of).holds


def test_the_module_builds_the_model_as_planned(tmp_path: Path) -> None:
    """Transformers' Llama at the target's size: hidden std 0.02 / sqrt(3), readout 0.02 / 3, embedding 0.02."""
    pytest.importorskip("transformers")
    module = load_module(write_export(tmp_path, "automodel", llama_target()) / "hptransfer_automodel.py")
    torch.manual_seed(0)
    model = module.build_model()

    stds = {name: float(each.detach().std()) for name, each in model.named_parameters()}
    assert model.config.hidden_size == TARGET.width
    assert stds["model.layers.3.mlp.up_proj.weight"] == pytest.approx(0.02 * 3**-0.5, rel=0.03)
    assert stds["lm_head.weight"] == pytest.approx(0.02 / 3, rel=0.03)
    assert stds["model.embed_tokens.weight"] == pytest.approx(0.02, rel=0.03)
    assert next(model.parameters()).dtype == torch.float32


def test_a_model_of_the_users_own_is_started_by_hand(tmp_path: Path) -> None:
    """The recipe's model is not transformers': no `model` section, and the header says what to do."""
    of = llama_target(model=GptModel(kind="gpt", context=8, head_dim=16), init="rule")
    files = export_target("automodel", of)

    assert "model" not in yaml.safe_load(files["automodel.yaml"])
    assert "builds the model whole and calls init_(model)" in " ".join(files["automodel.yaml"].split("\n# "))
    assert round_trip(tmp_path, "automodel", of).holds


def test_a_second_scaling_is_found_and_named(tmp_path: Path) -> None:
    """Table 8's 1/3 once more."""
    edit = {"automodel.yaml": ("lr_mult: 0.3333333333333333", "lr_mult: 0.1111111111111111")}
    found = round_trip(tmp_path, "automodel", llama_target("mup", size=WIDE), edit)

    assert {each.quantity for each in found.differences} == {"learning_rate"}
    assert all("scaled twice, by 0.3333 each time" in each.cause for each in found.differences)


def test_without_a_scheduler_nothing_is_multiplied(tmp_path: Path) -> None:
    """Override groups carry multipliers, which the scheduler alone applies."""
    found = round_trip(
        tmp_path, "automodel", llama_target("mup", size=WIDE), {"automodel.yaml": ("lr_scheduler:", "other:")}
    )

    assert any(
        "q_proj" in each.sentence and "not scaled: that is the base's" in each.cause for each in found.differences
    )
    assert {each.quantity for each in found.differences} == {"learning_rate", "weight_decay"}
    assert "without an `lr_scheduler` Automodel applies neither lr_mult nor wd_mult" in found.through


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("^model\\.norm\\.weight$", "^model\\.nrom\\.weight$", "would warn, skip it"),
        ("^model\\.embed_tokens\\.weight$", "weight", "must be the first that finds some parameter"),
        ("hptransfer_automodel.optimizer", "torch.optim.SGD", "must be one of"),
    ],
)
def test_what_automodel_would_train_otherwise_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    """A pattern without a parameter, one that takes all, and another optimizer."""
    with pytest.raises(UsageError, match="(?s)" + said):
        round_trip(tmp_path, "automodel", llama_target(), {"automodel.yaml": (old, new)})


@pytest.mark.parametrize(
    ("key", "said"), [("init_lr", "at step 0 of 200"), ("min_lr", "at step 199 of 200"), ("lr_warmup_steps", "at step")]
)
def test_a_default_of_its_scheduler_is_found(key: str, said: str, tmp_path: Path) -> None:
    """A tenth of the rate at first, a hundredth at last, and a tenth of the run (at most 1000 steps) of warmup."""
    of = target(warmup=0.3, floor=0.1)
    line = next(
        each for each in export_target("automodel", of)["automodel.yaml"].split("\n") if each.strip().startswith(key)
    )
    schedule = round_trip(tmp_path, "automodel", of, {"automodel.yaml": (line, "")}).schedule

    assert schedule is not None
    assert said in schedule


def test_clipping_that_is_left_out_is_found(tmp_path: Path) -> None:
    """Automodel's default is 1.0, also where the plan has none."""
    edit = {"automodel.yaml": ("clip_grad_norm:\n  max_norm: .inf", "")}
    (found,) = round_trip(tmp_path, "automodel", target(clip=None), edit).differences

    assert found.sentence == "all parameters: clip 1, planned 0: no file says it, so that is the framework's default"


def test_what_it_cannot_hold_is_refused() -> None:
    """Muon (its own grouping ignores overrides), a tied table, and an inverse square root with a floor."""
    tied = LLAMA.model_copy(update={"settings": {**LLAMA.settings, "tie_word_embeddings": True}})

    with pytest.raises(UsageError, match="adamw, adam"):
        export_target("automodel", llama_target("mup", optimizer="muon", size=WIDE))
    with pytest.raises(UsageError, match="embed_tokens"):
        export_target("automodel", llama_target("mup", size=WIDE, model=tied))
    with pytest.raises(UsageError, match="stops at its minimum rate"):
        export_target("automodel", target("inverse-sqrt", floor=0.1))
