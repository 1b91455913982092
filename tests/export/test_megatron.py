"""Megatron-LM: its record is what its unmodified code returned; exports are read back; planted mistakes are named."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hptransfer.artifacts.target import ModelRecord, TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import EXPORTERS, export_target
from hptransfer.handover.megatron import DEFAULTS, Flags, Python, fan_in, rate, read_flags, trained_by
from hptransfer.handover.parts import Part
from hptransfer.parameterization.notes import attention_note
from hptransfer.roundtrip._megatron_own import own_rows
from hptransfer.roundtrip.torch import load_module
from hptransfer.scaling.groups import in_gauge
from tests.support.exported import llama_target, round_trip, write_export
from tests.support.megatron import (
    ARGUMENTS,
    GPT,
    GPT2,
    OVERRIDES,
    PLANS,
    WIDE,
    external_target,
    flags_target,
    plan,
    with_floor,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "megatron_mup.json").read_text(encoding="utf-8"))
#: a folder with Megatron-LM at the commit of the record, for tests that run its code; its code is not in this project
CHECKOUT = os.environ.get("HPTRANSFER_MEGATRON_CHECKOUT")


def arguments_of(target: TargetFile) -> Flags:
    """The flags that are written for a target."""
    text = export_target("megatron", in_gauge(target, None, "multipliers"))[ARGUMENTS]
    return read_flags(text.partition("HPTRANSFER_ARGS=(\n")[2].rpartition(")\n")[0])[0]


def alike(one: Iterable[float | None], other: Iterable[float | None]) -> bool:
    """Whether numbers are equal to 1e-12, and missing in the same places."""
    pairs = zip(one, other, strict=True)
    return all(
        mine is theirs if mine is None or theirs is None else math.isclose(mine, theirs, rel_tol=1e-12)
        for mine, theirs in pairs
    )


@pytest.mark.parametrize("name", list(GOLDEN["sets"]))
def test_the_record_is_what_megatron_returned(name: str) -> None:
    """Init, rates by iteration, decay, eps and factors of every parameter, by unmodified code of d98e8a64 on a CPU."""
    said = GOLDEN["sets"][name]
    flags, unknown = read_flags(said["arguments"])
    own = said.get("python")
    python = own and Python(own["overrides"], {int(key): value for key, value in own["output_std"].items()})
    rows = {each.name: each for each in trained_by(flags, python)}
    attention = rows.pop(next(each for each in rows if each.startswith("attention logits")))

    assert unknown == ()
    assert set(rows) == set(said["parameters"])
    assert attention.multiplier == pytest.approx(said["softmax_scale"] * said["head_dim"] ** 0.5, rel=1e-12)
    tied = "output_layer.weight" not in rows
    for each, wanted in said["parameters"].items():
        row, first = rows[each], each == "embedding.word_embeddings.weight"
        factor = said["logits"] if each == "output_layer.weight" or (first and tied) else 1.0
        factor *= said["embedding"] if first else 1.0
        got = (row.init_std, row.learning_rate, row.weight_decay, row.eps, row.multiplier)
        theirs = (wanted["std"], wanted["max_lr"], wanted["weight_decay"], wanted["eps"], factor)
        assert alike(got, theirs), each
        assert row.optimizer == {"adam": "adamw"}.get(wanted["optimizer"], wanted["optimizer"])
        least = wanted["min_lr"]
        rates = [rate(flags, wanted["max_lr"], least, iteration) for iteration in GOLDEN["iterations"]]
        assert rates == pytest.approx(wanted["rates"], rel=1e-12, abs=1e-18)


def test_the_defaults_are_megatrons() -> None:
    """What is left out of a command has the value that its parser gives; the record fills some in, as it does later."""
    later = {"min-lr": (None, 0.0), "num-query-groups": (None, 1)}

    for name, ours in DEFAULTS.items():
        theirs = GOLDEN["defaults"][name]
        assert theirs == ours or (theirs, ours) == later.get(name), name


def test_the_inner_width_is_megatrons_where_it_is_left_out() -> None:
    """4 times the width, 2/3 of it in steps of 64 where gated; fc2 of the record says so."""
    for name in ("wide", "gpt2"):
        said = GOLDEN["sets"][name]
        flags = read_flags(said["arguments"])[0]
        assert fan_in(flags, Part.DOWN) == said["parameters"]["decoder.layers.0.mlp.linear_fc2.weight"]["shape"][1]


@pytest.mark.parametrize("name", list(PLANS))
def test_the_plan_is_read_back_whole(name: str, tmp_path: Path) -> None:
    """Init, rate, decay, eps and factors of every parameter of Megatron's model, and the optimizer's values."""
    found = round_trip(tmp_path, "megatron", with_floor(plan(name), 0.1))

    assert found.differences == ()
    assert found.schedule is None
    assert found.unread == ()
    assert found.parameters > 10
    assert "d98e8a64" in found.through


def test_flags_alone_hold_what_the_switch_does(tmp_path: Path) -> None:
    """Base values and the switch; no scaled value beside it, and no Python file."""
    target = with_floor(flags_target(), 0.1)
    flags = arguments_of(target)

    assert set(export_target("megatron", in_gauge(target, None, "multipliers"))) == {ARGUMENTS}
    assert round_trip(tmp_path, "megatron", target).differences == ()
    said = {
        "use-mup": True, "mup-base-hidden-size": 64, "mup-base-head-dim": 16, "mup-attn-scale-power": 1.0,
        "lr": 0.01, "min-lr": 0.001, "adam-eps": 1e-8, "adam-beta1": 0.9, "adam-beta2": 0.95, "weight-decay": 0.1,
        "init-method-std": 0.02, "embedding-init-method-std": 0.02, "clip-grad": 0.5, "train-iters": 100,
        "lr-warmup-iters": 10, "lr-decay-style": "cosine", "num-layers": 2, "hidden-size": 192,
    }  # fmt: skip
    assert {name: flags[name] for name in said} == pytest.approx(said)
    assert "mup-output-mult" not in dict(flags)


def test_decay_that_holds_and_an_init_without_depth_go_into_python(tmp_path: Path) -> None:
    """The switch keeps its base values; lr x wd of hidden matrices is constant by wd_mult 3, the width's growth."""
    files = export_target("megatron", in_gauge(plan("mup"), None, "multipliers"))

    assert "--mup-base-hidden-size 64" in files[ARGUMENTS]
    assert "--lr 0.01" in files[ARGUMENTS]
    assert "'wd_mult': 3.0" in files[OVERRIDES]
    assert "max_lr" not in files[OVERRIDES]
    # 0.02 / sqrt(3): without Megatron's 1 / sqrt(2 layers), which the tuned model does not have
    assert "OUTPUT_STD = {192: 0.011547005383792" in files[OVERRIDES]


def test_depth_is_written_as_final_values_beside_a_switch_that_scales_nothing() -> None:
    """CompleteP at alpha 1, three times wider and twice deeper: hidden rates 0.01/3, of writers 0.01/6 as absorbed."""
    files = export_target("megatron", in_gauge(plan("completep"), None, "multipliers"))

    assert "--mup-base-hidden-size 192" in files[ARGUMENTS]
    assert "--mup-output-mult 0.333333333333333" in files[ARGUMENTS]
    assert "'max_lr': 0.00333333333333333" in files[OVERRIDES]
    assert "'max_lr': 0.00166666666666667" in files[OVERRIDES]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_program_without_rows_gets_base_values_and_the_switch(optimizer: str, tmp_path: Path) -> None:
    """From hyperparameters, base and size alone; what the command says of its model is left to it."""
    target = external_target(optimizer)
    flags = arguments_of(target)
    found = round_trip(tmp_path, "megatron", target)

    assert (flags["lr"], flags["mup-base-hidden-size"], flags["hidden-size"]) == (0.01, 64, 192)
    assert not {"init-method-std", "mup-base-head-dim", "swiglu"} & set(flags)
    assert found.differences == ()
    assert any("your command's own" in each for each in found.unread)


def test_a_program_without_rows_is_told_of_a_missing_switch(tmp_path: Path) -> None:
    """Table 8 says what hidden rates must be."""
    found = round_trip(tmp_path, "megatron", external_target(), {ARGUMENTS: ("  --use-mup\n", "")})
    causes = [each.cause for each in found.differences if each.quantity == "learning_rate"]

    assert len(causes) == 4
    assert all(cause.startswith("not scaled: that is the base's") for cause in causes)


#: mistake -> (target, file, text, its replacement, quantity that differs, what is said of it)
MISTAKES: dict[str, tuple[str, str, str, str, str, str]] = {
    "no switch": ("flags", ARGUMENTS, "  --use-mup\n", "", "learning_rate", "not scaled: that is the base's"),
    "no base width": (
        "flags", ARGUMENTS, "  --mup-base-hidden-size 64\n", "", "learning_rate", "not scaled: that is the base's",
    ),
    "no base head": ("flags", ARGUMENTS, "  --mup-base-head-dim 16\n", "", "multiplier", "off by 0.25"),
    "rate scaled by hand": (
        "flags", ARGUMENTS, "--lr 0.01", "--lr 0.003333333333333333", "learning_rate", "scaled twice",
    ),
    "init scaled by hand": (
        "flags", ARGUMENTS, "--init-method-std 0.02", "--init-method-std 0.011547005383792516", "init_std",
        "off by the width's growth to the power -0.5",
    ),
    "beta2 left out": ("flags", ARGUMENTS, "  --adam-beta2 0.95\n", "", "beta2", "framework's default"),
    "clipping left out": ("flags", ARGUMENTS, "  --clip-grad 0.5\n", "", "clip", "framework's default"),
    "the base's factor on logits": (
        "flags", ARGUMENTS, "  --use-mup\n", "  --use-mup\n  --mup-output-mult 2.0\n", "multiplier", "off by 6",
    ),
    "biases that the plan lacks": ("llama", ARGUMENTS, "  --disable-bias-linear\n", "", "parameter", ""),
    "decay not overridden": (
        "llama", OVERRIDES, "'wd_mult': 3.0", "'wd_mult': 1.0", "weight_decay", "not scaled: that is the base's",
    ),
    "a pattern that matches nothing": (
        "llama", OVERRIDES, "*output_layer.weight", "*lm_head.weight", "eps", "not scaled: that is the base's",
    ),
    "Megatron's own init of writers": (
        "llama", OVERRIDES, "OUTPUT_STD = {", "OUTPUT_STD = {}  # {", "init_std", "off by 0.5",
    ),
    "the switch over final values": (
        "completep", ARGUMENTS, "--mup-base-hidden-size 192", "--mup-base-hidden-size 64", "init_std",
        "off by the width's growth to the power -0.5",
    ),
    "Muon's scale left out": (
        "muon", ARGUMENTS, "  --muon-scale-mode shape_scaling\n", "", "learning_rate", "off by",
    ),
    "Muon's momentum left out": ("muon", ARGUMENTS, "  --muon-momentum 0.95\n", "", "momentum", "framework's default"),
}  # fmt: skip


@cache
def target_of_kind(kind: str) -> TargetFile:
    """The plans that mistakes are planted in."""
    if kind == "flags":
        return with_floor(flags_target(), 0.1)
    if kind == "llama":
        return with_floor(plan("mup"), 0.1)
    if kind == "muon":
        return llama_target("mup", size=WIDE, model=GPT, init="rule", optimizer="muon", momentum=0.95)
    return plan("completep")


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_planted_mistake_is_found_and_named(name: str, tmp_path: Path) -> None:
    """Each is a difference of the quantity, with its cause."""
    kind, file, old, new, quantity, cause = MISTAKES[name]
    if name == "the switch over final values":
        # Megatron itself stops: the file's rates and the switch's disagree
        with pytest.raises(UsageError, match=r"--mup-base-hidden-size \d+, planned \d+: .* scaled twice"):
            round_trip(tmp_path, "megatron", target_of_kind(kind), {file: (old, new)})
        return
    found = round_trip(tmp_path, "megatron", target_of_kind(kind), {file: (old, new)})
    fitting = [each for each in found.differences if each.quantity == quantity and cause in each.cause]

    assert fitting, [each.sentence for each in found.differences]
    assert found.changed == (file,)
    assert not found.holds


def test_a_factor_on_logits_of_one_over_m_is_the_automatic_one(tmp_path: Path) -> None:
    """Written out it is used as it is, and equals what 1 becomes; no mistake, so nothing is said."""
    text = ("  --use-mup\n", "  --use-mup\n  --mup-output-mult 0.3333333333333333\n")

    assert round_trip(tmp_path, "megatron", flags_target(), {ARGUMENTS: text}).differences == ()


@pytest.mark.parametrize(
    ("kind", "file", "old", "new"),
    [
        ("flags", ARGUMENTS, "  --min-lr 0.001\n", ""),
        ("completep", OVERRIDES, "'min_lr': 0.000333333333333333", "'min_lr': 0.001"),
        ("flags", ARGUMENTS, "--lr-decay-iters 100", "--lr-decay-iters 50"),
    ],
)
def test_a_wrong_end_of_the_schedule_is_found(kind: str, file: str, old: str, new: str, tmp_path: Path) -> None:
    """The smallest rate left out, the same for all groups, or reached too soon."""
    target = target_of_kind(kind)
    found = round_trip(tmp_path, "megatron", target if kind == "flags" else with_floor(target, 0.1), {file: (old, new)})

    assert found.schedule is not None
    assert not found.holds


def test_the_switch_reads_as_what_it_comes_to(tmp_path: Path) -> None:
    """Which says why rates are not scaled."""
    missing = round_trip(tmp_path / "a", "megatron", flags_target(), {ARGUMENTS: ("  --use-mup\n", "")})
    silent = round_trip(tmp_path / "b", "megatron", flags_target(), {ARGUMENTS: ("  --mup-base-hidden-size 64\n", "")})

    assert "without --use-mup" in missing.through
    assert "at a width growth of 1" in silent.through


def test_heads_that_grow_are_scaled_by_the_base_head(tmp_path: Path) -> None:
    """Tensor Programs V, Definition 4.1: sqrt(16) / 48 with the base's head of 16 and this size's 48."""
    target = flags_target()
    note = attention_note(48, 16)
    assert note is not None
    model = target.model
    assert model is not None
    grown = target.model_copy(
        update={"notes": (note,), "model": model.model_copy(update={"settings": {**model.settings, "n_head": 4}})}
    )
    flags = arguments_of(grown)

    assert (flags["kv-channels"], flags["mup-base-head-dim"]) == (48, 16)
    assert flags.softmax_scale == pytest.approx(4 / 48)
    assert round_trip(tmp_path, "megatron", grown).differences == ()


def changed(target: TargetFile, word: str, **values: float) -> TargetFile:
    """The target with other values in the rows whose pattern has a word."""
    rows = tuple(replace(each, **values) if word in each.pattern else each for each in target.parameters)  # type: ignore[arg-type]  # values by field
    return target.model_copy(update={"parameters": rows})


def scaled_clipping() -> TargetFile:
    """A target that clips by gradients over their expected sizes."""
    target = plan("mup")
    assert target.training is not None
    training = target.training.model_copy(update={"clip": 1.0, "clip_norm": "scaled"})
    return target.model_copy(update={"training": training})


def without_norm_biases() -> TargetFile:
    """A target with nanoGPT's names and `bias=False`."""
    target = flags_target()
    rows = tuple(each for each in target.parameters if not each.pattern.endswith("bias"))
    return target.model_copy(update={"parameters": rows, "model": ModelRecord(kind="factory", settings={"n_head": 12})})


def granite() -> TargetFile:
    """A target of a family with Llama's names and factors of its own."""
    target = plan("mup")
    assert target.model is not None
    return target.model_copy(update={"model": target.model.model_copy(update={"name": "granite"})})


#: what Megatron-LM cannot hold -> (target, a word of the refusal)
REFUSED: dict[str, tuple[Callable[[], TargetFile], str]] = {
    "muon, gated": (lambda: llama_target("mup", size=WIDE, optimizer="muon"), "gate_proj"),
    "muon, positions": (lambda: llama_target("mup", size=WIDE, model=GPT2, optimizer="muon"), "position_embeddings"),
    "lion": (lambda: plan("mup").model_copy(update={"optimizer": "lion"}), "lion"),
    "scaled clipping": (scaled_clipping, "clip_norm: scaled"),
    "norms without biases": (without_norm_biases, r"ln_\d+"),
    "another family": (granite, "granite"),
    "depth, no rows": (
        lambda: external_target().model_copy(update={"parameterization": "completep(alpha=1)"}), "completep",
    ),
    "an unknown value, no rows": (lambda: external_target(output_multiplier=2.0), "output_multiplier"),
    "gate apart from up": (lambda: changed(plan("mup"), "gate_proj", learning_rate=0.5), "gate_proj"),
    "a std of its own": (lambda: changed(plan("gpt, mup"), "up", init_std=0.5), "linear_fc1"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_megatron_cannot_hold_is_refused_by_name(name: str) -> None:
    """Never dropped; the message names rows, or what there is none of."""
    make, word = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        export_target("megatron", in_gauge(make(), None, "multipliers"))
    finding = caught.value.findings[0]

    assert word in f"{finding.rule} {finding.received}"


def test_a_shell_gets_the_arguments_as_they_are_read(tmp_path: Path) -> None:
    """`source` and an array of bash, against the reader without a shell."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    folder = write_export(tmp_path, "megatron", plan("mup"))
    script = 'source "$1"; printf "%s\\n" "${HPTRANSFER_ARGS[@]}"'
    done = subprocess.run(
        [bash, "-c", script, "bash", str(folder / ARGUMENTS)], capture_output=True, text=True, check=True, timeout=20
    )
    words = done.stdout.split("\n")[:-1]

    assert dict(read_flags(" ".join(words))[0]) == dict(arguments_of(plan("mup")))


def test_files_say_forced_and_what_the_switch_does() -> None:
    """Both begin with the evidence."""
    target = llama_target("mup", size=WIDE, objections=("the check DRIFTS",))
    for text in export_target("megatron", in_gauge(target, None, "multipliers")).values():
        assert "FORCED: the check DRIFTS" in text[:1500]
        assert "--use-mup scales rates, eps and init by itself" in text


@pytest.mark.parametrize("damage", ["no array", "no number", "no python values"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    """With what must be there."""
    edits = {
        "no array": {ARGUMENTS: ("HPTRANSFER_ARGS=(", "ARGS=(")},
        "no number": {ARGUMENTS: ("--lr 0.01", "--lr much")},
        "no python values": {OVERRIDES: ("OVERRIDES = [", "OTHERS = [")},
    }[damage]
    with pytest.raises(UsageError, match="must"):
        round_trip(tmp_path, "megatron", plan("mup"), edits)


@pytest.mark.slow
@pytest.mark.skipif(CHECKOUT is None, reason="needs HPTRANSFER_MEGATRON_CHECKOUT, a folder with Megatron-LM")
@pytest.mark.parametrize("name", [*PLANS, "flags"])
def test_megatrons_own_code_makes_the_plan_of_the_files(name: str, tmp_path: Path) -> None:
    """Its arguments, model, init, groups and optimizer, unmodified, on the files as they are written."""
    target = flags_target() if name == "flags" else plan(name)
    target = with_floor(target, 0.1)
    folder = write_export(tmp_path, "megatron", target)
    text = (folder / ARGUMENTS).read_text().partition("HPTRANSFER_ARGS=(\n")[2].rpartition(")\n")[0]
    file = folder / OVERRIDES
    said = own_rows(text.split(), file if file.is_file() else None, checkout=Path(str(CHECKOUT)), iterations=(50, 99))
    rows = {each.name: each for each in EXPORTERS.look_up("megatron").trained(in_gauge(target, None, "multipliers"))}  # type: ignore[attr-defined]  # it has `trained`

    for each, wanted in rows.items():
        if each.startswith("attention logits"):
            assert said["softmax_scale"] * said["head_dim"] ** 0.5 == pytest.approx(wanted.multiplier, rel=1e-12)
            continue
        got = said["parameters"][each]
        assert got["std"] == (None if wanted.init_std is None else pytest.approx(wanted.init_std, rel=1e-12)), each
        assert got["max_lr"] == pytest.approx(wanted.learning_rate, rel=1e-12)
        assert got["weight_decay"] == pytest.approx(wanted.weight_decay, rel=1e-12)
        assert wanted.eps is None or got["eps"] == pytest.approx(wanted.eps, rel=1e-12)
        # cosine to a tenth of the peak: at step 50, 40 steps of 90 after the warmup
        share = 0.1 + 0.9 * (1 + math.cos(math.pi * 40 / 90)) / 2
        assert got["rates"][0] == pytest.approx(wanted.learning_rate * share, rel=1e-9)
    assert len(said["parameters"]) == len(rows) - 1


def test_a_model_of_ones_own_is_left_to_be_compared() -> None:
    """Names say nothing of what `forward` computes, so the file says that someone must look."""
    target = flags_target().model_copy(update={"model": ModelRecord(kind="factory", settings={"n_head": 12})})
    text = export_target("megatron", in_gauge(target, None, "multipliers"))[ARGUMENTS]

    assert "By hand: The recipe names a model of your own" in text
    assert "--no-bias-gelu-fusion" in text


def test_output_stds_are_written_for_both_kinds_of_writers_or_for_none(tmp_path: Path) -> None:
    """The tables' init of a gpt with two layers: fc2's std is Megatron's own, the attention output's is not."""
    files = export_target("megatron", in_gauge(plan("gpt, mup"), None, "multipliers"))

    # 1 / sqrt(fan-in): 192 and 768
    assert "OUTPUT_STD = {192: 0.0721687836487" in files[OVERRIDES]
    assert "768: 0.0360843918243" in files[OVERRIDES]
    module = load_module(write_export(tmp_path / "own", "megatron", plan("gpt, mup")) / OVERRIDES)
    # a fourth of fc2's inputs on each of 4 devices, as many as the attention output has on one
    draw = module.Output(SimpleNamespace(use_cpu_initialization=False, tensor_model_parallel_size=4))
    assert float(draw(torch.empty(192, 192)).std()) == pytest.approx(0.0360843918243, rel=0.03)
    with pytest.raises(UsageError, match="OUTPUT_STD must hold every weight"):
        round_trip(tmp_path, "megatron", plan("gpt, mup"), {OVERRIDES: ("768: ", "769: ")})
