"""OLMo-core 3.0.0: its own model, init, optimizer and scheduler do what the plan says; a planted mistake is named."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("olmo_core", reason="ai2-olmo-core is one of requirements/frameworks.lock")

from transformers.models.mistral import modeling_mistral
from transformers.models.qwen3 import modeling_qwen3

from hptransfer.artifacts.target import ModelRecord, TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.export.base import export_target
from hptransfer.export.olmo_core import NAMES
from hptransfer.handover.decoder import decoder_of
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.huggingface import build_huggingface
from hptransfer.models.logit_scale import scale_logits
from hptransfer.recipe.model_sections import GptModel, HuggingFaceModel
from hptransfer.report.exported import describe_verification
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, TARGET, llama_target, round_trip
from tests.support.olmo_core import (
    FILE,
    PRECISE,
    built,
    exported,
    loss_of,
    pairs,
    precise_norm,
    step,
    tokens,
)

SIZES = [Size(128, 2, 8, 8192), Size(192, 2, 8, 8192), Size(128, 4, 8, 8192), TARGET]
#: of a normal distribution cut at 3 std; scipy.stats.truncnorm(-3, 3).std()
CUT = 0.9865783925581086


def lasting(target: TargetFile, **training: Any) -> TargetFile:
    """The target with 100 steps, so that a step more or less shows in no schedule."""
    assert target.training is not None
    changes = {"steps": 100, "schedule": "cosine", **training}
    return target.model_copy(update={"training": target.training.model_copy(update=changes)})


def with_settings(**settings: Any) -> HuggingFaceModel:
    """The Llama of these tests with other settings."""
    return LLAMA.model_copy(update={"settings": {**LLAMA.settings, **settings}})


MISTRAL = with_settings(sliding_window=None).model_copy(update={"config": "mistral"})
QWEN3 = with_settings(head_dim=16, attention_bias=False).model_copy(update={"config": "qwen3"})


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.depth}")
@pytest.mark.parametrize("parameterization", ["mup", "completep"])
def test_the_plan_is_read_back_whole(parameterization: str, size: Size, tmp_path: Path) -> None:
    """Init, rate, decay, eps and residual factor of every parameter, betas, clipping and schedule."""
    if parameterization == "mup" and size.depth != 2:
        pytest.skip("mup has no rule for depth")
    found = round_trip(tmp_path, "olmo-core", lasting(llama_target(parameterization, size=size), clip=1.0, floor=0.1))

    assert found.holds, describe_verification(found)
    assert found.parameters == 3 + 9 * size.depth
    assert found.unread == ()
    assert found.through.startswith("ai2-olmo-core 3.0.0")


CASES: Mapping[str, TargetFile] = {}


def case(name: str) -> TargetFile:
    """Targets whose models or constants are unlike the others'."""
    made = {
        "rule": lambda: llama_target(init="rule"),
        "tied": lambda: llama_target("mup", size=Size(192, 2, 8, 8192), model=with_settings(tie_word_embeddings=True)),
        "constants": lambda: llama_target(
            output_multiplier=2.0, attention_multiplier=3.0, embedding_init=0.5, hidden_learning_rate=0.7
        ),
        "qwen3": lambda: llama_target(model=QWEN3),
        "mistral": lambda: llama_target(model=MISTRAL),
        "lion": lambda: llama_target(optimizer="lion"),
        "base": lambda: llama_target(size=Size(64, 2, 8, 8192)),
        "theta": lambda: llama_target(model=with_settings(rope_theta=500000.0)),
    }
    return lasting(made[name]())


@pytest.mark.parametrize("name", ["rule", "tied", "constants", "qwen3", "lion", "base", "theta"])
def test_other_models_and_constants_are_read_back(name: str, tmp_path: Path) -> None:
    """Drawn by the tables, tied, with tuned constants of roles, with norms of queries, with Lion, at the base."""
    found = round_trip(tmp_path, "olmo-core", case(name))

    assert found.holds, describe_verification(found)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.depth}")
def test_the_real_model_starts_as_planned(size: Size, tmp_path: Path) -> None:
    """Drawn for real on the CPU: each matrix's std within five standard errors, gains exactly 1."""
    target = llama_target(size=size)
    module = exported(tmp_path, target)
    model = built(module)
    planned = {group.pattern: group for group in target.parameters}
    decoder = decoder_of(target)
    alpha = 2 / size.depth  # CompleteP's residual factor, L^-1 over the base's

    for part, name in ((part, template.replace("{layer}", "1")) for part, template in NAMES.items()):
        if not decoder.has(part):
            continue
        values = model.get_parameter(name).detach()
        group = decoder.row(part, 1 if "{layer}" in NAMES[part] else None)
        assert group.pattern in planned
        if group.init_std is None:
            assert torch.equal(values, torch.ones_like(values))
            continue
        wanted = group.init_std / (alpha if name.endswith(("w_out.weight", "w2.weight")) and "blocks" in name else 1)
        # kurtosis of the cut normal is below 3, so the normal's standard error of a std is an upper bound
        assert values.std().item() == pytest.approx(wanted, rel=5 / (2 * values.numel()) ** 0.5), name
        assert values.abs().max().item() <= 3 * wanted / CUT * 1.0001


def _hf(target: TargetFile, model: HuggingFaceModel) -> tuple[AppliedPlan, nn.Module]:
    """The user's own model at the target's size, started and made double by the plan."""
    plan = AppliedPlan.from_target(target)
    torch.manual_seed(0)
    users = build_huggingface(model, target.size.width, target.size.depth)
    if target.scales_logits:
        scale_logits(users, plan)
    plan.init_(users, seed=0)
    return plan, users.double()


def _factors(model: Any) -> dict[str, float]:
    """What OLMo-core's weight must be multiplied by to be the user's, from its own forward."""
    found = {"embeddings.weight": model.embed_scale or 1.0}
    for number, block in model.blocks.items():
        found[f"blocks.{number}.attention.w_out.weight"] = block.attention_residual_stream.alpha
        found[f"blocks.{number}.feed_forward.w2.weight"] = block.feed_forward_residual_stream.alpha
    return found


@pytest.mark.parametrize("name", ["plain", "mup", "constants", "tied", "qwen3", "mistral", "theta"])
def test_logits_and_steps_are_the_plans(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's weights in OLMo-core's model: equal logits, and equal weights after two AdamW steps in float64."""
    monkeypatch.setattr(*PRECISE)
    monkeypatch.setattr(modeling_qwen3.Qwen3RMSNorm, "forward", precise_norm)
    monkeypatch.setattr(modeling_mistral.MistralRMSNorm, "forward", precise_norm)
    models = {
        "tied": with_settings(tie_word_embeddings=True),
        "qwen3": QWEN3,
        "mistral": MISTRAL,
        "theta": with_settings(rope_theta=500000.0),
    }
    target = {"plain": llama_target, "mup": lambda: llama_target("mup", size=Size(192, 2, 8, 8192))}.get(
        name, lambda: case(name)
    )()
    target = lasting(target, schedule="constant")
    plan, users = _hf(target, models.get(name, LLAMA))
    module = exported(tmp_path, target)
    model = built(module, double=True)
    own, theirs, factors = dict(users.named_parameters()), dict(model.named_parameters()), _factors(model)
    names = [(mine, name) for mine, name in pairs(decoder_of(target), NAMES) if name in theirs]
    assert len(names) == len(own) == len(theirs)
    with torch.no_grad():
        for mine, other in names:
            theirs[other].copy_(own[mine] / factors.get(other, 1.0))
    batch = tokens(7)

    torch.testing.assert_close(model(batch), users(input_ids=batch).logits, rtol=1e-9, atol=1e-12)

    optimizer, scheduler = module.optim_config().build(model), module.scheduler()
    planned = torch.optim.AdamW(plan.param_groups(users), betas=(0.9, 0.95))
    rates = torch.optim.lr_scheduler.LambdaLR(planned, plan.schedule)
    for number in range(2):
        torch.autograd.backward(loss_of(users(input_ids=batch).logits, batch))
        planned.step()
        planned.zero_grad()
        rates.step()
        step(model, optimizer, scheduler, number, batch)
    for mine, other in names:
        torch.testing.assert_close(theirs[other] * factors.get(other, 1.0), own[mine], rtol=1e-7, atol=1e-10, msg=other)


SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "constant": {"schedule": "constant"},
    "linear": {"schedule": "linear", "floor": 0.1},
    "cosine": {"schedule": "cosine", "floor": 0.05},
    "wsd": {"schedule": "wsd", "decay_share": 0.2},
    "wsd with a floor": {"schedule": "wsd", "decay_share": 0.2, "floor": 0.1},
    "wsd without decay": {"schedule": "wsd", "decay_share": 0.0},
    "inverse-sqrt": {"schedule": "inverse-sqrt"},
    "no warmup": {"schedule": "inverse-sqrt", "warmup": 0.0},
    "cosine without warmup": {"schedule": "cosine", "warmup": 0.0},
}


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_schedule_keeps_the_ratios_of_the_groups(name: str, tmp_path: Path) -> None:
    """OLMo-core's own `set_lr`, at every step of 100: one share of the peak for all groups, the planned one."""
    target = lasting(llama_target(), **SCHEDULES[name])
    assert target.training is not None
    module = exported(tmp_path, target)
    model = built(module)
    optimizer, scheduler = module.optim_config().build(model), module.scheduler()
    peaks = [group["initial_lr"] for group in optimizer.param_groups]
    assert len(set(peaks)) > 1
    planned = [target.training.factor(number) for number in range(100)]
    for number in range(100):
        trainer = SimpleNamespace(global_step=number + 1, max_steps=100)
        shares = [
            scheduler.set_lr(group, trainer) / peak for group, peak in zip(optimizer.param_groups, peaks, strict=True)
        ]
        assert shares == pytest.approx([shares[0]] * len(shares), rel=1e-12)
        assert shares[0] == pytest.approx(planned[number], rel=1e-12)
    again = round_trip(tmp_path / "again", "olmo-core", target)
    assert again.holds
    assert again.unread == ()


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", ["linear", "cosine", "wsd", "inverse-sqrt"])
def test_the_shortest_runs_have_the_schedule_too(name: str, steps: int, tmp_path: Path) -> None:
    """Of one step the rate is the peak: nothing has fallen yet."""
    target = lasting(llama_target(), **{**SCHEDULES[name], "steps": steps, "warmup": 0.0})
    module = exported(tmp_path, target)

    assert module.scheduler().get_lr(0.5, 1, steps) == 0.5
    found = round_trip(tmp_path / "again", "olmo-core", target)
    assert found.holds, describe_verification(found)
    assert found.unread == ()


#: OLMo-core's own scheduler in place of the plan's
OWN = "    from olmo_core.optim import CosWithWarmup\n    return CosWithWarmup({})"
#: planted in a CompleteP target of width x3, depth x2: (text, its replacement, part of a printed line)
MISTAKES: Mapping[str, tuple[str, str, str]] = {
    "rate scaled twice": (
        "opts=dict(lr=0.003333333333333333, weight_decay=0.30000000000000004, eps=1e-08)",
        "opts=dict(lr=0.001111111111111111, weight_decay=0.30000000000000004, eps=1e-08)",
        "lm_head.w_out.weight: learning_rate 0.00111111111111, planned 0.00333333333333: scaled twice",
    ),
    "a group left out": (
        "                    'blocks.*.feed_forward.w1.weight',\n",
        "",
        "blocks.*.feed_forward.w1.weight: learning_rate 0.01, planned 0.00333333333333: not scaled: that is the base's",
    ),
    "residual factor left out": (
        "config.block.attention_residual_alpha = 0.5\n",
        "\n",
        "blocks.*.attention.w_out.weight: multiplier 1, planned 0.5",
    ),
    "eps left out": (
        ", eps=1.6666666666666667e-09",
        "",
        "eps 1e-08, planned 1.66666666667e-09: not scaled: that is the base's",
    ),
    "betas left out": ("betas=(0.9, 0.95),", "", "all parameters: beta2 0.999, planned 0.95"),
    "init not scaled": (
        "init_std=0.011704093127209256",
        "init_std=0.02027208395284414",
        "init_std 0.02, planned 0.0115470053838: off by the width's growth to the power 0.5",
    ),
    "init scaled twice": (
        "init_std=0.011704093127209256",
        "init_std=0.006757361317614713",
        "init_std 0.00666666666667, planned 0.0115470053838: off by the width's growth to the power -0.5",
    ),
    "std of the cut forgotten": (
        "init_std=0.011704093127209256",
        "init_std=0.011547005383792514",
        "blocks.*.attention.w_q.weight: init_std 0.01139202",
    ),
    "init_ emptied": (
        "'lm_head.w_out.weight': 0.57735026918962",
        "'lm_head.w_out': 0.57735026918962",
        "lm_head.w_out.weight: init_std 0.0115470053838, planned 0.00666666666667: off by the width's growth",
    ),
    "embeddings not decayed": (
        "opts=dict(lr=0.01, weight_decay=0.1, eps=3.3333333333333334e-09)",
        "opts=dict(lr=0.01, weight_decay=0.0, eps=3.3333333333333334e-09)",
        "embeddings.weight: weight_decay 0, planned 0.1",
    ),
    "embedding multiplied": (
        "tie_word_embeddings=False,",
        "tie_word_embeddings=False, embed_scale=8.0,",
        "embeddings.weight: multiplier 8, planned 1",
    ),
    "clipping changed": ("MAX_GRAD_NORM = None", "MAX_GRAD_NORM = 1.0", "all parameters: clip 1, planned 0"),
    "absolute minimum of a decay": (
        "def scheduler():",
        "def scheduler():\n    from olmo_core.optim import WSD\n"
        "    return WSD(warmup=10, decay=50, decay_fraction=None, decay_min_lr=0.001)\n\n\ndef planned():",
        "the rates' ratios are not kept: at step 99 of 100 ",
    ),
    "absolute minimum of a warmup": (
        "    return Planned()",
        OWN.format("warmup=10, warmup_min_lr=0.001, alpha_f=0.0"),
        "the rates' ratios are not kept: at step 0 of",
    ),
    "default floor": (
        "    return Planned()",
        OWN.format("warmup=10"),
        "at step 99 of 100 the rates are 0.1 of their peaks",
    ),
    "another floor": ("FLOOR = 0.0", "FLOOR = 0.01", "all parameters: floor 0.01, planned 0"),
    "another batch": ("BATCH_SIZE = 8 ", "BATCH_SIZE = 8000 ", "all parameters: batch_size 8000, planned 8"),
    "betas of a group": (
        "opts=dict(lr=0.003333333333333333,",
        "opts=dict(betas=(0.1, 0.2), lr=0.003333333333333333,",
        "all parameters: beta1 0.1, planned 0.9",
    ),
    "a longer warmup": (
        "WARMUP = 10 ",
        "WARMUP = 11 ",
        "at step 9 of 100 the rates are 0.9091 of their peaks",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """`verify --export` prints a line that says what differs, and that the file was edited."""
    old, new, said = MISTAKES[name]
    found = round_trip(tmp_path, "olmo-core", lasting(llama_target()), {FILE: (old, new)})

    assert not found.holds
    assert said in describe_verification(found)
    assert found.changed == (FILE,)


def test_a_minimum_above_a_rate_is_refused_by_olmo_core_itself(tmp_path: Path) -> None:
    """Its assertion is shown, with the step."""
    with pytest.raises(UsageError, match="scheduler must accept every group's rate") as caught:
        round_trip(
            tmp_path,
            "olmo-core",
            lasting(llama_target()),
            {FILE: ("    return Planned()", OWN.format("warmup=10, warmup_min_lr=0.005"))},
        )
    assert "AssertionError" in str(caught.value.findings[0].received)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rope_theta=10000", "rope_theta=500000", "rope_theta 500000, the user's model 10000"),
        ("n_heads=12", "n_heads=6", "n_heads 6, the user's model 12"),
        ("layer_norm_eps=1e-05", "layer_norm_eps=1e-06", "layer_norm_eps 1e-06, the user's model 1e-05"),
        ("'blocks.*.attention.w_q.weight'", "'blocks.*.attention.wq.weight'", "does not match any parameters"),
        ("'embeddings.weight',", "'embeddings.weight', 'embeddings.*',", "embeddings.weight"),
        ("'lm_head.w_out.weight',", "'lm_head.*',", "some parameters appear in more than one"),
        ("AdamWConfig", "MuonConfig", "MuonConfig"),
    ],
)
def test_another_model_or_optimizer_is_an_error(old: str, new: str, said: str, tmp_path: Path) -> None:
    """What no row holds is compared too, and OLMo-core's own refusals are shown."""
    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "olmo-core", lasting(llama_target()), {FILE: (old, new)})
    assert said in str(caught.value.findings[0].received)


def test_init_is_written_only_where_the_framework_lacks_a_setting(tmp_path: Path) -> None:
    """At the base every linear layer has one std; larger, only the readout's differs."""
    assert "def init_" not in export_target("olmo-core", case("base"))[FILE]
    assert exported(tmp_path, llama_target()).FACTORS["lm_head.w_out.weight"] == pytest.approx(3**-0.5)


def test_a_forgotten_or_a_second_init_is_an_error(tmp_path: Path) -> None:
    """The scheduler refuses the first step; a second call would scale twice."""
    module = exported(tmp_path, lasting(llama_target()))
    model = module.model_config().build(init_device="cpu")
    group = {"params": [], "lr": 0.01, "initial_lr": 0.01}
    trainer = SimpleNamespace(global_step=1, max_steps=100)

    with pytest.raises(RuntimeError, match=r"call init_\(train_module.model\)"):
        module.scheduler().set_lr(group, trainer)
    module.init_(model)
    assert module.scheduler().set_lr(group, trainer) == pytest.approx(0.001)
    with pytest.raises(RuntimeError, match="called on this model before"):
        module.init_(model)


REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "muon": ({"optimizer": "muon", "parameterization": "mup", "size": Size(192, 2, 8, 8192)}, "refuse group_overrides"),
    "gpt": ({"model": GptModel(kind="gpt", context=8, head_dim=16), "init": "rule"}, "an MLP without a gate"),
    "window": ({"model": LLAMA.model_copy(update={"config": "mistral"})}, "sliding window of 4096"),
    "activation": ({"model": with_settings(hidden_act="gelu")}, "hidden_act 'gelu'"),
    "bias": ({"model": with_settings(attention_bias=True)}, "query bias"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_olmo_core_cannot_train_is_refused_by_name(name: str) -> None:
    """With the part or the setting, and what can be done instead."""
    arguments, said = REFUSED[name]

    with pytest.raises(UsageError) as caught:
        export_target("olmo-core", llama_target(**arguments))
    (finding,) = caught.value.findings
    assert said in f"{finding.received} {finding.hint}"
    assert "torch" in str(finding.hint)


@pytest.mark.parametrize(
    ("kind", "name", "settings", "said"),
    [
        ("huggingface", "granite", {}, "the model granite"),
        ("factory", "mine:model", {}, "the model mine:model"),
        ("huggingface", "llama", {"rope_parameters.factor": 8.0}, "rope_parameters.factor 8.0"),
        ("huggingface", "llama", {"num_attention_heads": None}, "no `num_attention_heads`"),
    ],
)
def test_a_model_with_a_llamas_names_is_not_taken_for_one(
    kind: str, name: str, settings: Mapping[str, Any], said: str
) -> None:
    """Granite multiplies embeddings and logits; a function of the user's own may do anything."""
    target = llama_target()
    assert target.model is not None
    own = {**target.model.settings, **settings}
    target = target.model_copy(update={"model": ModelRecord(kind=kind, name=name, settings=own)})

    with pytest.raises(UsageError) as caught:
        export_target("olmo-core", target)
    assert said in str(caught.value.findings[0].received)


def test_clipping_by_expected_sizes_is_refused() -> None:
    """OLMo-core's norm is that of all gradients."""
    with pytest.raises(UsageError, match="clips by the norm of all gradients"):
        export_target("olmo-core", lasting(llama_target(), clip=1.0, clip_norm="scaled"))


def test_an_own_schedule_is_left_to_the_user(tmp_path: Path) -> None:
    """The rest is read back; the file says what to put there."""
    found = round_trip(tmp_path, "olmo-core", lasting(llama_target(), schedule="own", warmup=None))

    assert found.holds, describe_verification(found)
    assert "put an OLMo-core scheduler here" in (found.folder / FILE).read_text()


def test_without_the_package_the_command_to_install_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's fault, not the file's."""
    monkeypatch.setitem(sys.modules, "olmo_core.version", None)

    with pytest.raises(MachineError) as caught:
        round_trip(tmp_path, "olmo-core", llama_target())
    assert caught.value.findings[0].hint == "pip install ai2-olmo-core==3.0.0"


def test_the_header_says_forced_and_the_rules() -> None:
    """The file begins with the evidence; FORCED is not hidden."""
    (text,) = export_target("olmo-core", llama_target(objections=("the check DRIFTS",))).values()

    assert "FORCED: the check DRIFTS" in text[:1500]
    assert "completep(alpha=1)" in text
