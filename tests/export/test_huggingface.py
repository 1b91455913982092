"""Hugging Face: what is written is read back through transformers' own model, Trainer and schedules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.recipe.model_sections import GptModel
from hptransfer.sizes import Size
from tests.support.exported import LLAMA, TARGET, llama_target, round_trip, write_export
from tests.support.huggingface_exports import GPT2, GRANITE, QWEN2, TIED_LLAMA, section, with_training

pytest.importorskip("accelerate", reason="Trainer needs it")

WIDE = Size(192, 2, 8, 8192)
SIZES = [Size(128, 2, 8, 8192), WIDE, Size(128, 4, 8, 8192), TARGET]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.width}x{size.depth}")
@pytest.mark.parametrize("parameterization", ["mup", "completep"])
def test_the_plan_is_read_back_whole(parameterization: str, size: Size, tmp_path: Path) -> None:
    """Init, rate, decay and eps of every parameter, betas, clipping and schedule, through Trainer."""
    if parameterization == "mup" and size.depth != 2:
        pytest.skip("mup has no rule for depth")
    found = round_trip(tmp_path, "huggingface", with_training(llama_target(parameterization, size=size), clip=0.5))

    assert found.differences == ()
    assert found.schedule is None
    assert found.unread == ()
    assert found.parameters == 3 + 9 * size.depth


@pytest.mark.parametrize("model", [GPT2, QWEN2, TIED_LLAMA, GRANITE], ids=lambda model: str(model.config))
@pytest.mark.parametrize("gauge", ["plain", "multipliers"])
def test_other_families_are_read_back(model: Any, gauge: Any, tmp_path: Path) -> None:
    """Tied tables with their hook, biases, Conv1D, and multipliers that the configuration holds."""
    assert round_trip(tmp_path, "huggingface", llama_target(model=model, gauge=gauge)).differences == ()


@pytest.mark.parametrize(
    "choice",
    [
        {"init": "rule"},
        {"parameterization": "mup", "size": WIDE, "optimizer": "muon"},
        {"parameterization": "mup", "size": WIDE, "optimizer": "sgd"},
    ],
    ids=["rule", "muon", "sgd"],
)
def test_other_inits_and_optimizers_are_read_back(choice: dict[str, Any], tmp_path: Path) -> None:
    """Drawn by the tables; Muon with AdamW beside it; SGD."""
    assert round_trip(tmp_path, "huggingface", llama_target(**choice)).differences == ()


def test_what_carries_factors_gets_those_of_this_size() -> None:
    """Granite divides logits, so 3 times the width writes 3; it multiplies branches, so twice the depth writes 1/2."""
    target = llama_target(model=GRANITE, gauge="multipliers")
    config = json.loads(export_target("huggingface", target)["config.json"])

    assert config["logits_scaling"] == 3.0
    assert config["residual_multiplier"] == 0.5


def test_every_value_whose_default_differs_is_written() -> None:
    """Trainer would take 0.999, 1.0, linear, 0 steps of warmup and no decay."""
    target = with_training(llama_target(), schedule="cosine", precision="bfloat16")
    said = json.loads(export_target("huggingface", target)["training_args.json"])

    assert said["adam_beta2"] == 0.95
    assert said["max_grad_norm"] == 0.0
    assert said["lr_scheduler_type"] == "cosine"
    assert said["warmup_steps"] == 10
    assert said["weight_decay"] == 0.1
    assert said["max_steps"] == 100
    assert said["per_device_train_batch_size"] == 8
    assert said["bf16"] is True


def test_a_bfloat16_run_is_read_back_where_there_is_no_accelerator(tmp_path: Path) -> None:
    """TrainingArguments refuses bf16 on such a machine; the reader says that it uses the CPU."""
    target = with_training(llama_target(), precision="bfloat16")

    assert round_trip(tmp_path, "huggingface", target).holds


def test_the_header_says_forced_and_the_rules() -> None:
    """Both files that can hold it begin with the evidence; FORCED is not hidden."""
    files = export_target("huggingface", llama_target(objections=("the check DRIFTS",)))

    assert next(iter(json.loads(files["config.json"]))) == "_hptransfer"
    for name in ("config.json", "hptransfer_hf.py"):
        assert "FORCED: the check DRIFTS" in files[name][:1500]
        assert "completep(alpha=1)" in files[name]
    assert "hptransfer" not in re.sub(r"(?m)^#.*", "", files["hptransfer_hf.py"]).replace("_hptransfer_started", "")


PLAIN_TRAINER = 'return torch.optim.AdamW, {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2)}'
#: name -> (file, text, replacement), the quantity that is named, and words of the sentence
MISTAKES: dict[str, tuple[tuple[str, str, str], str, str]] = {
    "scaled twice": (
        ("hptransfer_hf.py", "'learning_rate': 0.003333333333333333", "'learning_rate': 0.001111111111111111"),
        "learning_rate",
        "scaled twice, by 0.3333 each time",
    ),
    "not scaled": (
        ("hptransfer_hf.py", "'learning_rate': 0.003333333333333333", "'learning_rate': 0.01"),
        "learning_rate",
        "not scaled",
    ),
    "the base's rate scaled by hand": (
        ("training_args.json", '"learning_rate": 0.01', '"learning_rate": 0.003333333333333333'),
        "learning_rate",
        "all rates are off by 0.333333; what the rules scale is scaled twice",
    ),
    "no decay of norms": (
        ("hptransfer_hf.py", "'learning_rate': 0.01, 'weight_decay': 0.1, 'eps': 1.66", ""),
        "weight_decay",
        "input_layernorm.weight",
    ),
    "beta2 left out": (
        ("training_args.json", '  "adam_beta2": 0.95,\n', ""),
        "beta2",
        "all parameters: beta2 0.999, planned 0.95: no file says it, so that is the framework's default",
    ),
    "clipping left out": (
        ("training_args.json", '  "max_grad_norm": 0.0,\n', ""),
        "clip",
        "all parameters: clip 1, planned 0: no file says it",
    ),
    "init_ not called": (("hptransfer_hf.py", "    init_(model)\n", ""), "init_std", "not scaled"),
    "another own init": (
        ("config.json", '"initializer_range": 0.02', '"initializer_range": 0.04'),
        "init_std",
        "planned 0.02: off by 2",
    ),
    "Adam, whose decay goes through its moments": (
        ("hptransfer_hf.py", "torch.optim.AdamW(groups", "torch.optim.Adam(groups"),
        "optimizer",
        "model.embed_tokens.weight: optimizer adam, planned adamw",
    ),
    "NAdam": (
        ("hptransfer_hf.py", "torch.optim.AdamW(groups", "torch.optim.NAdam(groups"),
        "optimizer",
        "optimizer nadam, planned adamw",
    ),
    "amsgrad": (
        ("hptransfer_hf.py", "torch.optim.AdamW(groups", "torch.optim.AdamW(groups, amsgrad=True"),
        "optimizer",
        "optimizer adamw(amsgrad=True), planned adamw",
    ),
    "betas of the first group": (
        (
            "hptransfer_hf.py",
            "    groups = param_groups(model, args)\n",
            '    groups = param_groups(model, args)\n    groups[0]["betas"] = (0.1, 0.2)\n',
        ),
        "beta1",
        "all parameters: beta1 0.1 and 0.9, planned 0.9",
    ),
    "a weight that takes no gradient": (
        ("hptransfer_hf.py", "    return model\n", "    model.lm_head.requires_grad_(False)\n    return model\n"),
        "learning_rate",
        "lm_head.weight: learning_rate 0, planned 0.00333333333333",
    ),
    "gradient_accumulation_steps": (
        ("training_args.json", '"gradient_accumulation_steps": 1', '"gradient_accumulation_steps": 64'),
        "batch_size",
        "all parameters: batch_size 512, planned 8",
    ),
    "max_steps": (
        ("training_args.json", '"max_steps": 100', '"max_steps": 200'),
        "steps",
        "all parameters: steps 200, planned 100",
    ),
    "bf16": (
        ("training_args.json", '"bf16": false', '"bf16": true'),
        "precision",
        "all parameters: precision bfloat16, planned float32",
    ),
    "weights in bfloat16": (
        ("config.json", '"dtype": "float32"', '"dtype": "bfloat16"'),
        "precision",
        "all parameters: precision weights of bfloat16, planned float32",
    ),
    "eps of norms": (
        ("config.json", '"rms_norm_eps": 1e-05', '"rms_norm_eps": 0.1'),
        "norm_eps",
        "all parameters: norm_eps 0.1, planned 1e-05",
    ),
    "heads": (
        (
            "config.json",
            '"num_attention_heads": 12,\n  "num_key_value_heads": 6',
            '"num_attention_heads": 6,\n  "num_key_value_heads": 3,\n  "head_dim": 32',
        ),
        "heads",
        "all parameters: heads 6, planned 12",
    ),
    "Trainer's own groups": (
        ("hptransfer_hf.py", 'return OptimizerFactory, {"args": args}', PLAIN_TRAINER),
        "weight_decay",
        "model.norm.weight: weight_decay 0, planned 0.1",
    ),
}


#: planned only where the run is known
RUN = ("gradient_accumulation", "max_steps", "bf16", "dtype")


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """An edited file is a difference of the quantity that it changes, with its cause."""
    (path, old, new), quantity, said = MISTAKES[name]
    new = new or old.replace("'weight_decay': 0.1", "'weight_decay': 0.0") if name == "no decay of norms" else new
    target = llama_target("mup", size=WIDE) if name != "no decay of norms" else llama_target()
    target = with_training(target) if old.strip(' "').startswith(RUN) else target
    if "not called" in name:
        said = "off by"
    found = round_trip(tmp_path, "huggingface", target, {path: (old, new)})

    assert quantity in {each.quantity for each in found.differences}
    assert any(said in each.sentence for each in found.differences), [each.sentence for each in found.differences]
    assert found.changed == (path,)


@pytest.mark.parametrize("model", [GPT2, QWEN2, TIED_LLAMA], ids=lambda model: str(model.config))
def test_logits_that_nothing_multiplies_are_found(model: Any, tmp_path: Path) -> None:
    """A tied table whose hook was left out: the factor 1, not 1/3."""
    edits = {"hptransfer_hf.py": ("    multiply_logits(model)\n    return", "    return")}
    (found,) = round_trip(tmp_path, "huggingface", llama_target(model=model), edits).differences

    assert found.sentence.endswith(
        "multiplier 1, planned 0.333333333333: not scaled: that is the base's, and the rule asks for 0.3333 times it, "
        "the width's growth to the power -1"
    )


def test_a_factor_that_the_configuration_lost_is_found(tmp_path: Path) -> None:
    """Granite's own default divides logits by 1."""
    target = llama_target(model=GRANITE, gauge="multipliers")
    (found,) = round_trip(
        tmp_path, "huggingface", target, {"config.json": ('  "logits_scaling": 3.0,\n', "")}
    ).differences

    assert found.sentence.startswith("lm_head.weight: multiplier 1, planned 0.333333333333")


@pytest.mark.parametrize(
    ("training", "old", "new", "said"),
    [
        ({}, '"lr_scheduler_type": "linear"', '"lr_scheduler_type": "cosine"', "rates are"),
        ({}, '  "warmup_steps": 10,\n', "", "at step 0 of 100"),
        ({"schedule": "cosine", "floor": 0.1}, '"min_lr_rate": 0.1', '"min_lr": 0.0', "rates are"),
        ({"schedule": "wsd", "decay_share": 0.2}, '"decay_type": "linear"', '"decay_type": "cosine"', "rates are"),
    ],
    ids=["type", "warmup", "absolute minimum", "decay"],
)
def test_another_schedule_is_found(training: dict[str, Any], old: str, new: str, said: str, tmp_path: Path) -> None:
    """A schedule of another shape, a default warmup of none, and a minimum that is no share."""
    target = with_training(llama_target(), **training)
    found = round_trip(tmp_path, "huggingface", target, {"training_args.json": (old, new)})

    floors = "0 by training_args.json and 0.1 by hptransfer_hf.py"
    assert [each.used for each in found.differences] == ([floors] if "min_lr" in old else [])
    assert said in str(found.schedule)
    assert not found.holds


@pytest.mark.parametrize(
    ("old", "new"),
    [("STEPS, WARMUP, FLOOR = 100, 10", "STEPS, WARMUP, FLOOR = 100, 50"), ("1 - progress", "1 - progress ** 2")],
    ids=["warmup", "shape"],
)
def test_the_modules_own_schedule_is_compared_too(old: str, new: str, tmp_path: Path) -> None:
    """`optimizers` gives it to scripts, whatever training_args.json says."""
    found = round_trip(tmp_path, "huggingface", with_training(llama_target()), {"hptransfer_hf.py": (old, new)})

    assert found.differences == ()
    assert "of 100 the rates are" in str(found.schedule)


def test_a_moved_base_is_said_once(tmp_path: Path) -> None:
    """All rows follow training_args.json, so that one sentence names what every line comes from."""
    edits = {"training_args.json": ('"learning_rate": 0.01', '"learning_rate": 0.005')}
    (said,) = round_trip(tmp_path, "huggingface", llama_target(), edits).unread

    assert said == (
        "training_args.json learning_rate 0.005, written 0.01: it is the base's, which hptransfer_hf.py scales to this "
        "size, so that learning_rate of every row moves with it, by 0.5"
    )


def test_an_argument_that_no_plan_has_is_named(tmp_path: Path) -> None:
    """What might train otherwise is not passed over; what only saves and logs is."""
    edits = {"training_args.json": ('"seed": 0', '"seed": 0, "save_steps": 7, "tf32": false')}
    found = round_trip(tmp_path, "huggingface", llama_target(), edits)

    assert found.unread == ("training_args.json tf32: False, of which the plan says nothing",)


@pytest.mark.parametrize(
    "run",
    [
        {"schedule": "linear", "floor": 1.0},
        {"schedule": "linear", "floor": 0.1, "warmup": 1.0},
        {"schedule": "cosine", "floor": 0.1, "warmup": 1.0, "steps": 1},
        {"schedule": "wsd", "decay_share": 0.0},
        {"schedule": "linear", "floor": 0.1, "warmup": 0.0, "steps": 1},
    ],
    ids=["floor at the peak", "all warmup", "one step of warmup", "no decay", "one step"],
)
def test_schedules_at_their_edges_are_read_back(run: dict[str, Any], tmp_path: Path) -> None:
    """Trainer's polynomial refuses to fall nowhere, and divides by steps that there are none of."""
    assert round_trip(tmp_path, "huggingface", with_training(llama_target(), **run)).holds


@pytest.mark.parametrize("config", ["gemma", "gemma2"])
def test_tables_with_a_row_for_padding_are_read_back(config: str, tmp_path: Path) -> None:
    """Gemma zeroes the row of its padding token, and its norms start at 0: gains are 1 + g."""
    model = section(config, **{**LLAMA.settings, "head_dim": 16})

    assert round_trip(tmp_path, "huggingface", llama_target("mup", size=WIDE, model=model)).holds


def test_muons_shape_factor_and_momentum_are_compared(tmp_path: Path) -> None:
    """`match_rms_adamw` multiplies each matrix's rate by another number; torch's default momentum is 0.95."""
    target = llama_target("mup", size=WIDE, optimizer="muon")
    edits = {"hptransfer_hf.py": ("\"adjust_lr_fn\": 'original'", '"adjust_lr_fn": "match_rms_adamw"')}
    (found,) = round_trip(tmp_path / "scale", "huggingface", target, edits).differences
    assert found.sentence == "all parameters: muon_scale match_rms_adamw, planned original"

    edits = {"hptransfer_hf.py": ("momentum=0.9,", "momentum=0.95,")}
    (found,) = round_trip(tmp_path / "momentum", "huggingface", target, edits).differences
    assert found.sentence == "all parameters: momentum 0.95, planned 0.9"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("hptransfer_hf.py", "def optimizer_cls_and_kwargs", "def another"), "optimizer_cls_and_kwargs"),
        (("hptransfer_hf.py", "    init_(model)\n", "    init_(model)\n    init_(model)\n"), "called once only"),
        (("training_args.json", '"adam_beta2"', '"adam_beta_two"'), "adam_beta_two"),
        (("training_args.json", "{", ""), "must be readable"),
        (("config.json", '"hidden_size": 192', '"hidden_size": 96'), "no row of the plan"),
        (("training_args.json", '"linear"', '"greedy"'), "greedy requires an eval strategy"),
        (("hptransfer_hf.py", "('fill', 1.0)", "('fill', 100.0)"), "input_layernorm.weight 100, planned 1"),
        (
            ("training_args.json", '"seed": 0', '"seed": 0, "label_smoothing_factor": 0.5'),
            "label_smoothing_factor: 0.5",
        ),
        (("training_args.json", '"seed": 0', '"seed": 0, "neftune_noise_alpha": 5'), "neftune_noise_alpha: 5"),
        (
            ("config.json", '"hidden_size"', '"attention_dropout": 0.9, "hidden_size"'),
            "attention_dropout 0.9, planned 0",
        ),
        (("config.json", '"hidden_size"', '"hidden_act": "gelu", "hidden_size"'), "hidden_act 'gelu', planned 'silu'"),
    ],
    ids=[
        "no factory",
        "init_ twice",
        "unknown key",
        "no JSON",
        "another size",
        "no factor",
        "constant",
        "label smoothing",
        "noise",
        "dropout",
        "activation",
    ],
)
def test_files_that_transformers_would_refuse_are_named(edit: tuple[str, str, str], said: str, tmp_path: Path) -> None:
    """Whatever the files were edited into is a usage error with the reason."""
    path, old, new = edit

    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "huggingface", llama_target(), {path: (old, new)})
    assert said in str(caught.value)


def _heads_grow() -> TargetFile:
    return llama_target("mup", size=WIDE, model=_fixed_heads("llama"))


def _fixed_heads(config: str) -> Any:
    model = section(config, **LLAMA.settings)
    return model.model_copy(update={"follow_width": ("hidden_size", "intermediate_size"), "probe": False})


REFUSED = {
    "heads grow": (_heads_grow, "head_dim 16 at the base, 48 here"),
    "lion": (lambda: llama_target("mup", size=WIDE, optimizer="lion"), "lion: model.embed_tokens.weight"),
    "scaled clipping": (lambda: with_training(llama_target(), clip=1.0, clip_norm="scaled"), "clip_norm: scaled"),
    "no rows": (lambda: llama_target().model_copy(update={"parameters": ()}), "without rows"),
    "a multiplier in a model of one's own": (
        lambda: llama_target(model=GptModel(kind="gpt", context=8, head_dim=16), init="rule", gauge="multipliers"),
        "readout.weight (readout): 0.3333",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_it_cannot_hold_is_refused_by_name(name: str) -> None:
    """Rows and reasons, and the nearest thing that can be done."""
    target, said = REFUSED[name]

    with pytest.raises(UsageError) as caught:
        export_target("huggingface", target())
    assert said in str(caught.value)
    assert caught.value.findings[0].hint


def test_attention_of_growing_heads_is_written_where_the_configuration_has_a_key(tmp_path: Path) -> None:
    """Tensor Programs V, Definition 4.1: 1/d_head instead of its root; Granite's key is 1 at the base, here 16/48."""
    target = llama_target("mup", size=WIDE, model=_fixed_heads("granite"))
    folder = write_export(tmp_path, "huggingface", target)

    assert json.loads((folder / "config.json").read_text())["attention_multiplier"] == pytest.approx(1 / 3, rel=1e-15)


def test_a_model_of_ones_own_has_no_configuration(tmp_path: Path) -> None:
    """The built-in decoder: groups and init for Trainer, the model is built by hand."""
    target = llama_target(model=GptModel(kind="gpt", context=8, head_dim=16), init="rule")

    assert set(export_target("huggingface", target)) == {"training_args.json", "hptransfer_hf.py"}
    assert round_trip(tmp_path, "huggingface", target).differences == ()


def test_a_schedule_that_is_not_known_is_left_to_the_user(tmp_path: Path) -> None:
    """Another program trained the trials: neither its schedule nor its clipping is made up, and both are said."""
    target = with_training(llama_target(), schedule="own", warmup=None)
    files = export_target("huggingface", target)

    assert "lr_scheduler_type" not in files["training_args.json"]
    assert "max_grad_norm" not in files["training_args.json"]
    assert "lr_scheduler_type, warmup_steps and max_grad_norm are not" in " ".join(
        files["hptransfer_hf.py"].replace("\n# ", " ").split()
    )
    found = round_trip(tmp_path, "huggingface", target)
    assert found.holds
    assert found.unread


def test_another_base_of_rotations_is_a_difference(tmp_path: Path) -> None:
    """The configuration's class says what the recipe leaves out."""
    edit = {"config.json": ('"rope_theta": 10000.0', '"rope_theta": 500000.0')}
    found = round_trip(tmp_path, "huggingface", llama_target(), edit)

    assert not found.holds
    assert any("rope_theta 500000" in each.sentence for each in found.differences)
