"""Sizes are ratios, however they are written; logarithms are converted where their base is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from hptransfer.results_table.labels import numbers_in_labels
from tests.support.judged_tables import judge_in, judged, ladder_of, words
from tests.support.result_tables import ladder

ROWS = ladder()
WIDTHS = (64, 128, 256, 512)


def table(
    size: Callable[[int], str], column: str = "width", value: Callable[[float], str] = repr, of: str = "lr"
) -> str:
    """The ladder with its sizes and values written otherwise."""
    lines = [f'"{column}","{of}",seed,loss']
    lines += [f'"{size(r.width)}","{value(r.learning_rate)}",{r.seed},{r.loss!r}' for r in ROWS]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("column", "size", "sizes", "axis"),
    [
        ("width_mult", lambda w: repr(w / 256), [0.25, 0.5, 1, 2], "width multiplier"),
        ("width", lambda w: f"{w / 128:g}", [0.5, 1, 2, 4], "width"),
        ("params_millions", lambda w: f"{w * w / 1e4:.3f}", [0.41, 1.638, 6.554, 26.214], "millions of parameters"),
        ("n_params", lambda w: f"{w}M", [64e6, 128e6, 256e6, 512e6], "parameters"),
        ("n_params", lambda w: f"{w / 1000:g}B", [64e6, 128e6, 256e6, 512e6], "parameters"),
        ("n_params", lambda w: f"{w}k", [64e3, 128e3, 256e3, 512e3], "parameters"),
        ("width", lambda w: f"{w / 64:g}x", [1, 2, 4, 8], "width"),
        ("width", lambda w: f"{w / 128:.2f}x", [0.5, 1, 2, 4], "width"),
        ("width", lambda w: f"d{w}", [64, 128, 256, 512], "width"),
        ("model", lambda w: f"d{w}", [64, 128, 256, 512], "model"),
        ("model", lambda w: f"pythia-{w}m-deduped", [64e6, 128e6, 256e6, 512e6], "parameters"),
        ("model", lambda w: f"GPT {w}M", [64e6, 128e6, 256e6, 512e6], "parameters"),
        ("model_name", lambda w: f"llama2-{w}", [64, 128, 256, 512], "model_name"),  # one of two numbers differs
        ("log2_width", lambda w: repr(math.log2(w)), [64, 128, 256, 512], "width"),
        ("width (log10)", lambda w: f"{math.log10(w):.9f}", [64, 128, 256, 512], "width"),
        ("size", lambda w: repr(w / 3), [w / 3 for w in WIDTHS], "size"),
    ],
)
def test_a_size_is_what_stands_there(
    tmp_path: Path, column: str, size: Callable[[int], str], sizes: list[float], axis: str
) -> None:
    """Inferred, said, and judged: the optimum 2^-8 does not move."""
    result = judge_in(tmp_path)(table(size, column), "--json")
    found = judged(result)

    assert ladder_of(found) == pytest.approx(sizes, rel=1e-6)
    assert found["columns"]["axis"] == axis
    assert found["groups"][0]["drift"]["low"] <= 0 <= found["groups"][0]["drift"]["high"]
    assert found["verdict"] == "TRANSFERS"
    assert f"size: column {column}" in result.stderr


@pytest.mark.parametrize(
    "labels",
    [
        ["gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl"],  # the number does not differ
        ["mup-64", "sp-128", "mup-256", "sp-512"],  # more than the number differs
        ["OPT-125M", "GPT-350M", "OPT-1.3B", "GPT-2.7B"],
        ["w64-d2", "w128-d4", "w256-d8", "w512-d16"],  # two numbers differ
        ["64", "d128", "256", "d512"],
        ["tiny", "small", "medium", "large"],
    ],
)
def test_labels_that_say_more_than_a_size_are_refused(tmp_path: Path, labels: list[str]) -> None:
    """What tells them apart would be lost."""
    names = dict(zip(WIDTHS, labels, strict=True))
    result = judge_in(tmp_path)(table(lambda w: names[w], "arch"), "--size-column", "arch")

    assert result.exit_code == 2
    assert "column `arch` must hold numbers" in words(result.stderr)
    assert "labels are sizes where they differ in one number" in words(result.stderr)


def test_labels_that_differ_in_capitals_are_one_size() -> None:
    """D512 is d512; two spellings of a number are refused, because one of them may be another model."""
    assert numbers_in_labels(["d512", "D1024"]) == {"d512": 512, "D1024": 1024}
    assert numbers_in_labels(["1k", "1000"]) is None
    assert numbers_in_labels(["d512"]) == {"d512": 512}
    assert numbers_in_labels(["a1b2"]) is None
    assert numbers_in_labels([]) is None


def test_a_fraction_among_whole_widths_is_no_width(tmp_path: Path) -> None:
    """512.5 is a slip; 0.25 is a ratio."""
    text = table(str) + '\n"512.5","0.01",3,2.0\n'
    result = judge_in(tmp_path)(text)

    assert result.exit_code == 2
    assert "`width` must be a whole number, or a ratio of at most 16" in words(result.stderr)


@pytest.mark.parametrize(
    ("column", "log"),
    [
        ("lr_log2", math.log2),
        ("log2_lr", math.log2),
        ("log2lr", math.log2),
        ("log2(lr)", math.log2),
        ("lr (log2)", math.log2),
        ("log_2_learning_rate", math.log2),
        ("config.optimizer.log2LR", math.log2),
        ("lr (log10)", math.log10),
        ("log10(lr)", math.log10),
        ("lr_log10", math.log10),
        ("log10 learning rate", math.log10),
        ("params_log10_lr", math.log10),
        ("ln_lr", math.log),
        ("ln(lr)", math.log),
        ("lr_ln", math.log),
        ("log_e(lr)", math.log),
        ("LR [ln]", math.log),
    ],
)
def test_logarithms_say_their_base(tmp_path: Path, column: str, log: Callable[[float], float]) -> None:
    """Inferred as the learning rate, converted, and said."""
    result = judge_in(tmp_path)(table(str, value=lambda lr: repr(log(lr)), of=column), "--json")
    group = judged(result)["groups"][0]

    assert group["hyperparameter"] == "learning_rate"
    assert group["transferred"] == pytest.approx(2**-8, rel=0.05)
    assert "holds logarithms to base" in result.stderr


@pytest.mark.parametrize(
    "column", ["log_lr", "logLR", "loglr", "lr_log", "log(lr)", "config.log_learning_rate", "LogLR"]
)
@pytest.mark.parametrize(("base", "log"), [("2", math.log2), ("10", math.log10), ("e", math.log)])
def test_logarithms_of_unknown_base_are_asked_about(
    tmp_path: Path, column: str, base: str, log: Callable[[float], float]
) -> None:
    """Refused with what to type; with it, the optimum is 2^-8."""
    judge = judge_in(tmp_path)
    text = table(str, value=lambda lr: repr(log(lr)), of=column)
    refused = judge(text)

    assert refused.exit_code == 2
    assert "logarithms must say their base" in refused.stderr
    assert f"--log-base {base}" in refused.stderr
    found = judged(judge(text, "--log-base", base, "--json"))
    assert found["groups"][0]["transferred"] == pytest.approx(2**-8, rel=0.05)


def test_negative_values_look_like_logarithms(tmp_path: Path) -> None:
    """A column called lr from -11 to -5: said, with the option; one negative value among rates is a slip."""
    judge = judge_in(tmp_path)
    text = table(str, value=lambda lr: repr(math.log2(lr)))
    refused = judge(text)

    assert refused.exit_code == 2
    assert "these values look like logarithms" in refused.stderr
    assert judged(judge(text, "--log-base", "2", "--json"))["verdict"] == "TRANSFERS"
    assert "`lr` must be positive and finite" in judge(table(str) + '\n"512","-0.1",3,2.0\n').stderr


def test_what_is_called_a_logarithm_need_not_be_one(tmp_path: Path) -> None:
    """`--log-base none` takes the numbers as they are; another base is refused."""
    judge = judge_in(tmp_path)
    text = table(str, of="log_lr")

    assert judged(judge(text, "--log-base", "none", "--json"))["groups"][0]["transferred"] == pytest.approx(
        2**-8, rel=0.05
    )
    assert judge(text, "--log-base", "3").exit_code == 2


def test_logarithms_of_sizes_must_say_their_base_too(tmp_path: Path) -> None:
    """log_width would be read as sizes 4 to 6."""
    result = judge_in(tmp_path)(table(lambda w: repr(math.log(w)), "log_width"))

    assert result.exit_code == 2
    assert "logarithms of sizes must say their base" in result.stderr


def test_counts_are_kept_as_roles(tmp_path: Path) -> None:
    """Compute, parameters and tokens are columns of their own, and the option names the one that is meant."""
    judge = judge_in(tmp_path)
    lines = ["width,n_params,total_tokens,PFLOPs,cost,lr,seed,loss"]
    lines += [
        f"{r.width},{r.width**2},{20 * r.width**2},{120 * r.width**4 / 1e15!r},{r.width},"
        f"{r.learning_rate!r},{r.seed},{r.loss!r}"
        for r in ROWS
    ]
    text = "\n".join(lines)
    columns = judged(judge(text, "--json"))["columns"]

    assert (columns["size"], columns["axis"]) == ("width", "width")
    assert (columns["compute"], columns["parameters"], columns["tokens"]) == ("PFLOPs", "n_params", "total_tokens")
    assert judged(judge(text, "--json", "--compute-column", "cost"))["columns"]["compute"] == "cost"
    assert judge(text, "--compute-column", "flops").exit_code == 2
    without = judged(judge(table(str), "--json"))["columns"]
    assert (without["compute"], without["parameters"], without["tokens"]) == (None, None, None)
