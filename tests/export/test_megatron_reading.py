"""Megatron-LM's files are read as bash, argparse and Python take them; what is edited is found, or refused by name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.handover.megatron import read_flags
from hptransfer.handover.megatron_arguments import words_of
from hptransfer.scaling.groups import in_gauge
from hptransfer.scaling.verify_export import verify_export
from tests.support.exported import llama_target, round_trip, write_export
from tests.support.megatron import (
    ARGUMENTS,
    GPT,
    OVERRIDES,
    WIDE,
    external_target,
    flags_target,
    plan,
    with_floor,
)


@cache
def llama() -> TargetFile:
    """A Llama with flags and Python."""
    return with_floor(plan("mup"), 0.1)


@cache
def gpt2() -> TargetFile:
    """A GPT-2 with flags alone, with dropouts of 0.1."""
    return with_floor(flags_target(), 0.1)


@cache
def muon() -> TargetFile:
    """A plan with Muon."""
    return llama_target("mup", size=WIDE, model=GPT, init="rule", optimizer="muon", momentum=0.95)


TARGETS: dict[str, Callable[[], TargetFile]] = {"llama": llama, "gpt2": gpt2, "muon": muon, "open": external_target}


def said(error: UsageError) -> str:
    """Rule, what was received, and where."""
    finding = error.findings[0]
    return f"{finding.rule} | {finding.received} | {finding.place}"


#: edit -> (what bash would run, a word of the refusal)
FOREIGN = {
    "a second array": ("\n)\n", "\n)\nHPTRANSFER_ARGS=(--lr 5.0)\n", "HPTRANSFER_ARGS=(--lr 5.0)"),
    "more of the array": ("\n)\n", "\n)\nHPTRANSFER_ARGS+=(--lr 5.0)\n", "HPTRANSFER_ARGS+=(--lr 5.0)"),
    "an array of the same form": ("\n)\n", "\n)\nHPTRANSFER_ARGS=(\n  --lr 5.0\n)\n", "HPTRANSFER_ARGS=("),
    "a command": ("\n)\n", "\n)\nexport NCCL_DEBUG=INFO\n", "export NCCL_DEBUG"),
    "a variable": ("  --use-mup\n", "  --use-mup\n  $EXTRA\n", "$EXTRA"),
    "a variable in quotes": ("--lr 0.01", '--lr "$RATE"', "$RATE"),
    "a command's output": ("--lr 0.01", "--lr `rate`", "rate"),
    "braces": ("--lr 0.01", "--lr {1,2}", "{1,2}"),
    "an unclosed quote": ("--lr 0.01", "--lr '0.01", "'0.01"),
    "a line that goes on": ("--lr 0.01", "--lr \\", "--lr"),
    "other line ends": ("--lr 0.01\n", "--lr 0.01\r\n", "ends with CRLF"),
    "no end": ("\n)\n", "\n", "no end of it"),
    "a glob": ("--lr 0.01", "--lr *", "--lr *"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FOREIGN))
def test_a_file_of_another_form_is_refused(name: str, tmp_path: Path) -> None:
    """No shell is run here, so what only a shell can say is never guessed; the line is named."""
    old, new, word = FOREIGN[name]
    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "megatron", gpt2(), {ARGUMENTS: (old, new)})

    assert word in said(caught.value)
    assert name == "no end" or caught.value.findings[0].place is not None


def test_words_are_bashs(tmp_path: Path) -> None:
    """Quotes, comments and blanks of every line that is accepted, against bash itself."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    text = "# first\nHPTRANSFER_ARGS=(\n  --a 'b c'\"d\" # rest\n\n\t--e=1,2\n  # alone\n  ''z@% \"\"\n)\n\n"
    file = tmp_path / "arguments.sh"
    file.write_text(text)
    script = 'source "$1"; printf "%s\\n" "${HPTRANSFER_ARGS[@]}"'
    done = subprocess.run([bash, "-c", script, "bash", str(file)], capture_output=True, text=True, check=True)

    assert words_of(text, "arguments.sh") == done.stdout.split("\n")[:-1]


def test_flags_are_taken_as_argparse_takes_them() -> None:
    """`--flag=value`, and the last of two; a switch has no value, and a word with a dash is none."""
    flags, unknown = read_flags(["--lr=5.0", "--lr", "2.0", "--use-mup", "--decoupled-lr", "3"])

    assert (flags["lr"], flags["use-mup"]) == (2.0, True)
    assert unknown == ("--decoupled-lr", "3")
    for words in (["--use-mup=1"], ["--lr"], ["--lr", "--use-mup"], ["--optimizer", "--lr"], ["--num-layers", "2.5"]):
        with pytest.raises(UsageError, match=words[0].partition("=")[0]):
            read_flags(words)


#: edit of the arguments that is a difference -> (target, text, its replacement, the sentence)
FOUND = {
    "a value behind =": ("gpt2", "--lr 0.01", "--lr=5.0", "learning_rate 5, planned 0.01"),
    "the last of two": ("gpt2", "--lr 0.01", "--lr 0.01 --lr 5.0", "learning_rate 5, planned 0.01"),
    "a factor behind =": ("gpt2", "  --use-mup\n", "  --use-mup\n  --mup-embedding-mult=5\n", "multiplier"),
    "no gate": ("llama", "  --swiglu\n", "", "gated no, planned yes"),
    "groups": ("llama", "--num-query-groups 6", "--num-query-groups 3", "key_value_heads 3, planned 6"),
    "no groups": ("llama", "  --group-query-attention\n", "", "key_value_heads 12, planned 6"),
    "eps of norms": ("llama", "--norm-epsilon 1e-05", "--norm-epsilon 1e-3", "norm_eps 0.001, planned 1e-05"),
    "batch": ("llama", "--global-batch-size 8", "--global-batch-size 16", "batch_size 16, planned 8"),
    "steps": ("llama", "--train-iters 100", "--train-iters 50", "steps 50, planned 100"),
    "inner width": ("gpt2", "--ffn-hidden-size 768", "--ffn-hidden-size 512", "feed_forward 512, planned 768"),
    "width": ("gpt2", "--hidden-size 192", "--hidden-size 384", "width 384, planned 192"),
    "another base of rotations": (
        "llama", "--rotary-base 10000", "--rotary-base 5000", "rope_theta 5000, planned 10000",
    ),
    "dropout left out": ("llama", "  --attention-dropout 0.0\n", "", "--attention-dropout 0.1, planned 0"),
    "dropout": ("gpt2", "--hidden-dropout 0.1", "--hidden-dropout 0.9", "--hidden-dropout 0.9, planned 0.1"),
    "no batch": ("llama", "  --global-batch-size 8\n", "", "--global-batch-size not given, planned 8"),
    "length": ("llama", "--seq-length 64", "--seq-length 32", "--seq-length 32, planned 64"),
    "another activation": ("muon", "  --no-bias-gelu-fusion\n", "", "--no-bias-gelu-fusion not set, planned set"),
    "Muon's polynomial": ("muon", "--muon-num-ns-steps 5", "--muon-num-ns-steps 3", "--muon-num-ns-steps 3, planned 5"),
    "Nesterov": ("muon", "  --muon-nesterov\n", "", "--muon-nesterov not set, planned set"),
    "a size without rows": ("open", "--hidden-size 192", "--hidden-size 384", "--hidden-size 384, planned 192"),
    "an init without rows": ("open", "  --use-mup\n", "  --use-mup\n  --init-method-std 1\n", "--init-method-std 1"),
    "Muon's scale": (
        "muon", "--muon-scale-mode shape_scaling", "--muon-scale-mode spectral", "muon_scale spectral times 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FOUND))
def test_an_edited_flag_is_a_difference(name: str, tmp_path: Path) -> None:
    """Of sizes and of what holds for the whole run, too."""
    kind, old, new, sentence = FOUND[name]
    found = round_trip(tmp_path, "megatron", TARGETS[kind](), {ARGUMENTS: (old, new)})

    assert any(sentence in each.sentence for each in found.differences), [each.sentence for each in found.differences]


#: edit of the arguments that is an error -> (target, text, its replacement, a part of the message)
REFUSED = {
    "an unknown flag": ("gpt2", "  --use-mup\n", "  --use-mup\n  --decoupled-lr 3\n", "--decoupled-lr, 3"),
    "decay that grows": ("gpt2", "  --use-mup\n", "  --use-mup\n  --end-weight-decay 9\n", "--end-weight-decay"),
    "inner width beside Python": (
        "llama", "--ffn-hidden-size 528", "--ffn-hidden-size 512", "--ffn-hidden-size 512, planned 528",
    ),
    "no layers": ("gpt2", "--num-layers 2", "--num-layers 0", "`--num-layers`"),
    "layers without end": ("gpt2", "--num-layers 2", "--num-layers 99999999", "`--num-layers`"),
    "no width": ("gpt2", "--hidden-size 192", "--hidden-size 0", "`--hidden-size`"),
    "no rate": ("gpt2", "--lr 0.01", "--lr 0", "`--lr`"),
    "no number": ("gpt2", "--lr 0.01", "--lr nan", "`--lr`"),
    "no steps": ("gpt2", "--lr-decay-iters 100", "--lr-decay-iters 0", "`--lr-decay-iters`"),
    "no heads": ("gpt2", "--num-attention-heads 12", "--num-attention-heads 0", "`--num-attention-heads`"),
    "WSD alone": ("gpt2", "--lr-decay-style cosine", "--lr-decay-style WSD", "lr-wsd-decay-iters"),
    "another decay": (
        "gpt2", "--lr-decay-style cosine", "--lr-decay-style WSD --lr-wsd-decay-iters 9 --lr-wsd-decay-style odd",
        "`--lr-wsd-decay-style`",
    ),
    "another optimizer": ("gpt2", "--optimizer adam", "--optimizer lion", "`--optimizer`"),
    "warmup to the end": ("gpt2", "--lr-warmup-iters 10", "--lr-warmup-iters 100", "`--lr-warmup-iters`"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_no_row_has_is_refused_with_its_flag(name: str, tmp_path: Path) -> None:
    """Dropouts, activations and constants that the plan's model has; values that Megatron stops at."""
    kind, old, new, words = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "megatron", TARGETS[kind](), {ARGUMENTS: (old, new)})

    assert words in said(caught.value)


def test_a_wrong_size_is_named_before_what_follows_from_it(tmp_path: Path) -> None:
    """Final values beside a switch that then scales contradict each other because of the width."""
    target = with_floor(plan("completep"), 0.1)
    with pytest.raises(UsageError) as caught:
        round_trip(tmp_path, "megatron", target, {ARGUMENTS: ("--hidden-size 192", "--hidden-size 512")})

    assert "--hidden-size 512, planned 192" in said(caught.value)


#: edit of the Python file -> (text, its replacement)
CODE = {
    "no overrides": ("    return {ParamKey(", "    return {}\n    return {ParamKey("),
    "nothing assigned": ("    training.get_megatron_optimizer_config = lambda", "    unused = lambda"),
    "no std": ("        if OUTPUT_STD:\n", "        if False:\n"),
    "values changed later": ("def overrides():", "OUTPUT_STD = {}\n\n\ndef overrides():"),
    "one more statement": ("def overrides():", "OVERRIDES.clear()\n\n\ndef overrides():"),
    "no Python": ("def overrides():", "def overrides(:"),
    "a value that is computed": ("'wd_mult': 3.0", "'wd_mult': 3.0 * 2"),
    "an unknown key": ("'wd_mult': 3.0", "'lr_mult': 3.0"),
}


@pytest.mark.parametrize("name", list(CODE))
def test_code_that_is_not_the_exporters_is_refused(name: str, tmp_path: Path) -> None:
    """Only two values are read, so everything else of the file must be what was proven."""
    with pytest.raises(UsageError, match="the exported Python file must"):
        round_trip(tmp_path, "megatron", llama(), {OVERRIDES: CODE[name]})


def test_code_left_out_is_refused(tmp_path: Path) -> None:
    """A file that ends after its values."""
    folder = write_export(tmp_path, "megatron", llama())
    text = (folder / OVERRIDES).read_text()
    (folder / OVERRIDES).write_text(text[: text.index("def overrides")])
    with pytest.raises(UsageError, match="must be as it was written"):
        verify_export(folder)
    (folder / OVERRIDES).unlink()
    with pytest.raises(UsageError, match="regular text file"):
        verify_export(folder)
    write_export(tmp_path / "bytes", "megatron", llama())
    damaged = tmp_path / "bytes" / "export" / "megatron"
    (damaged / ARGUMENTS).write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="regular text file"):
        verify_export(damaged)


def test_a_smallest_rate_of_one_group_is_found(tmp_path: Path) -> None:
    """Every group has its own, and all must be the same share of their peaks."""
    target = with_floor(plan("completep"), 0.1)
    found = round_trip(tmp_path, "megatron", target, {OVERRIDES: ("'min_lr': 0.000333333333333333", "'min_lr': 0.0")})

    assert found.schedule is not None
    assert "ratios" in found.schedule


def test_a_python_file_of_another_export_is_told_of(tmp_path: Path) -> None:
    """Flags alone were written; the stray file is not read, and not passed over."""
    folder = write_export(tmp_path, "megatron", gpt2())
    other = write_export(tmp_path / "other", "megatron", llama())
    shutil.copy(other / OVERRIDES, folder / OVERRIDES)
    found = verify_export(folder)
    assert found.differences == ()
    assert any("is no part of this export" in each for each in found.unread)


def settings(target: TargetFile, **changes: object) -> TargetFile:
    """The target with other settings of its model."""
    assert target.model is not None
    model = target.model.model_copy(update={"settings": {**target.model.settings, **changes}})
    return target.model_copy(update={"model": model})


def short_inverse() -> TargetFile:
    """Three steps whose warmup of a tenth is no step."""
    assert llama().training is not None
    training = llama().training.model_copy(  # type: ignore[union-attr]  # asserted above
        update={"schedule": "inverse-sqrt", "steps": 3, "floor": 0.0}
    )
    return llama().model_copy(update={"training": training})


UNHELD: dict[str, tuple[Callable[[], TargetFile], str]] = {
    "two dropouts": (lambda: settings(gpt2(), embd_pdrop=0.3, resid_pdrop=0.0), "embd_pdrop: 0.3, resid_pdrop: 0.0"),
    "one default": (lambda: settings(gpt2(), embd_pdrop=0.3), "resid_pdrop: 0.1"),
    "a broken base": (lambda: settings(llama(), rope_theta=12345.5), "rope_theta: 12345.5"),
    "a word": (lambda: settings(llama(), rope_theta="abc"), "rope_theta 'abc'"),
    "null": (lambda: settings(llama(), rope_theta=None), "rope_theta None"),
    "heads that are no rows": (lambda: settings(llama(), num_key_value_heads=4), "key"),
    "a short inverse square root": (short_inverse, "0 steps of warmup in 3"),
    "exact gelu": (lambda: settings(gpt2(), activation_function="gelu"), "activation_function: 'gelu'"),
}


@pytest.mark.parametrize("name", list(UNHELD))
def test_settings_that_megatron_cannot_hold_are_refused(name: str) -> None:
    """Never rounded, and never lost; with what can be done."""
    make, words = UNHELD[name]
    with pytest.raises(UsageError) as caught:
        export_target("megatron", in_gauge(make(), None, "multipliers"))

    assert words in said(caught.value)


def test_both_dropouts_alike_are_one_flag() -> None:
    """And another value than the default."""
    target = settings(gpt2(), embd_pdrop=0.3, resid_pdrop=0.3)

    assert "--hidden-dropout 0.3" in export_target("megatron", in_gauge(target, None, "multipliers"))[ARGUMENTS]
