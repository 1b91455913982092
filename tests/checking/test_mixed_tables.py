"""`judge FILE` and what must not be mixed: settings of any name and type, unfinished runs, accuracies, reruns."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from tests.support.result_tables import Row, ladder

TABLES = Path(__file__).parents[1] / "data" / "tables"

Extra = Callable[[int, Row], Sequence[object]]


def judge(path: Path, *options: str) -> Result:
    """The command on a file; an exception that is no exit is raised."""
    return CliRunner().invoke(app, ["judge", str(path), *options], catch_exceptions=False)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str, Sequence[Sequence[object]]], Path]:
    """Writes a table of a header and rows."""

    def write(header: str, rows: Sequence[Sequence[object]]) -> Path:
        text = io.StringIO()
        csv.writer(text).writerows([header.split(","), *rows])
        path = tmp_path / "runs.csv"
        path.write_text(text.getvalue())
        return path

    return write


def group(result: Result, place: int = 0) -> dict[str, Any]:
    """One judged group of `--json`."""
    found: dict[str, Any] = json.loads(result.stdout)["groups"][place]
    return found


def commands(result: Result) -> list[list[str]]:
    """What a hint says to type, each as arguments: all that can be pasted."""
    hint = result.stderr.partition("hint: ")[2]
    return [shlex.split(text) for text in re.findall(r"`(--[^`]*)`", hint)]


# the cases that users met


def test_text_settings_are_refused_and_both_hints_lead_on() -> None:
    """Of muP and SP in one table nothing is averaged: TRANSFERS and DRIFTS by -0.50, as each was made."""
    for name in ("runs.csv", "runs-noseed.csv"):
        path = TABLES / "02-text-setting-averaged" / name
        refused = judge(path)
        assert refused.exit_code == 2
        assert "they differ in use_mup (true, false) too" in refused.stderr
        assert commands(refused) == [["--group-column", "use_mup"], ["--where", "use_mup=true"]]

        apart = judge(path, *commands(refused)[0], "--json")
        drifts = {each["group"]: each["drift"] for each in json.loads(apart.stdout)["groups"]}
        assert drifts["true"]["low"] <= 0 <= drifts["true"]["high"]
        assert drifts["false"]["low"] <= -0.5 <= drifts["false"]["high"] < -0.4
        selected = group(judge(path, *commands(refused)[1], "--json"))["drift"]
        assert selected["low"] <= 0 <= selected["high"]


@pytest.mark.parametrize(("name", "rows", "drift"), [("false-drift.csv", 24, 0.0), ("false-transfer.csv", 40, -0.4)])
def test_runs_that_ended_early_are_refused_by_name(name: str, rows: int, drift: float) -> None:
    """Without them the drift that the table was made with is not contradicted; with them it was."""
    path = TABLES / "03-stopped-runs-mixed" / name
    refused = judge(path)
    assert refused.exit_code == 2
    assert f"{rows} rows ended before the longest of their size by _step" in refused.stderr
    assert commands(refused) == [["--where", "_step=300"]]

    for options in (commands(refused)[0], ["--complete", "_step"]):
        found = group(judge(path, *options, "--json"))["drift"]
        assert (-math.inf if found["low"] is None else found["low"]) <= drift
        assert drift <= (math.inf if found["high"] is None else found["high"])


def test_an_accuracy_is_maximised_or_refused() -> None:
    """The optimum is 2^-8 at every width; minimised, 0.0221 would have been recommended."""
    path = TABLES / "04-accuracy-minimised" / "runs.csv"
    refused = judge(path)
    assert refused.exit_code == 2
    assert commands(refused) == [["--loss-column", "val_acc", "--maximize"]]
    assert commands(judge(path, "--loss-column", "val_acc"))[0] == ["--loss-column", "val_acc", "--maximize"]

    for options in (commands(refused)[0], ["--maximize"]):
        result = judge(path, *options, "--json")
        assert "val_acc is maximised" in result.stderr
        assert all(size["optimum"]["low"] <= -8 <= size["optimum"]["high"] for size in group(result)["sizes"])
    turned = group(judge(path, "--loss-column", "val_acc", "--minimize", "--json"))
    assert abs(math.log2(turned["transferred"]) + 8) > 1  # only when the user insists


@pytest.mark.parametrize("name", ["runs.csv", "runs-independent.csv"])
def test_a_random_search_over_two_hyperparameters_is_refused_with_one(name: str) -> None:
    """Weight decay varies, although every rate is unique and so determines it."""
    refused = judge(TABLES / "06-random-search-accepted" / name)

    assert refused.exit_code == 2
    assert "they differ in weight_decay (120 values" in refused.stderr
    assert commands(refused) == [["--value-column", "lr", "--value-column", "weight_decay"]]


def test_a_coordinate_table_is_judged() -> None:
    """As of huggingface/transformers #45848: logits fall as width^-0.3, layers are flat; the option is told."""
    path = TABLES / "15-coordinate-table" / "coord.csv"
    result = judge(path, "--coordinates")

    assert result.exit_code == 0
    assert "HOLDS: no layer grows or falls with width" in " ".join(result.stdout.split())
    assert f"hptransfer judge --coordinates {shlex.quote(str(path))}" in judge(path).stderr


def test_no_sentence_has_an_empty_list() -> None:
    """The largest width was not sampled an octave off its optimum: sizes where the cost is known are named, or none."""
    result = judge(TABLES / "16-octave-off-empty" / "runs.csv")

    assert "costs ;" not in " ".join(result.stdout.split())
    assert result.exit_code == 1  # the optimum halves with every doubling in the table


# other tables of each kind


def mixed(extra: Extra, header: str, shift: float = 0.1) -> tuple[str, list[tuple[object, ...]]]:
    """Each run of a ladder twice, with other cells and another loss."""
    rows = [
        (row.width, row.learning_rate, row.seed, row.loss + shift * number, *extra(number, row))
        for row in ladder()
        for number in (0, 1)
    ]
    return f"width,lr,seed,loss,{header}", rows


def beside(extra: Extra, header: str) -> tuple[str, list[tuple[object, ...]]]:
    """A ladder that transfers, with further cells: number of the row and the run -> cells."""
    return f"width,lr,seed,loss,{header}", [(*row, *extra(number, row)) for number, row in enumerate(ladder())]


Write = Callable[[str, Sequence[Sequence[object]]], Path]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("optimizer", ("adamw", "sgd")),
        ("use_mup", (True, False)),
        ("config.flag", ("yes", "no")),
        ("prénom", ("α", "β")),
        ("norm type", ("rms norm", "layer norm")),
        ("grad_clip", (1.0, 0.5)),
        ("clip_grad_norm", (1.0, 0.5)),
        ("z_loss", (0, 1e-4)),
        ("dropout", ("0.1", "0")),
        ("x7", (3, 4)),
        ("precision", ("bf16", "fp32")),
        ("train_data", ("c4", "pile")),
    ],
)
def test_a_setting_of_any_name_and_type_is_refused(table: Write, column: str, values: tuple[object, object]) -> None:
    """Refused by name, and every hint that selects or groups is judged as the first half alone is."""
    path = table(*mixed(lambda number, row: [values[number]], column))
    refused = judge(path)

    assert refused.exit_code == 2, refused.stdout
    assert f"they differ in {column} (" in refused.stderr
    asked = commands(refused)
    assert ["--group-column", column] in asked
    (where,) = [each for each in asked if each[0] == "--where"]
    assert (
        group(judge(path, *where, "--json"))["drift"]
        == group(judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--json"))["drift"]
    )


@pytest.mark.parametrize("seed", ["width,lr,seed,loss", "width,lr,note,loss"])
def test_a_setting_without_repeats_is_refused_too(table: Write, seed: str) -> None:
    """Large rates had another optimizer at large widths: no row repeats another, and still it is a mixture."""
    rows = [(*row, "sgd" if row.learning_rate * row.width > 0.5 else "adam") for row in ladder(seeds=1)]
    refused = judge(table(f"{seed},opt", rows))

    assert refused.exit_code == 2
    assert "they differ in opt (adam, sgd) too" in refused.stderr


@pytest.mark.parametrize("header", ["width,lr,seed,loss", "width,lr,tries,loss"])
def test_a_switch_that_is_exported_only_where_it_is_on_is_refused(table: Write, header: str) -> None:
    """An empty cell is the other value, and can be selected."""
    rows = [(*row[:3], row.loss + 0.1 * n, ("true", "")[n]) for row in ladder() for n in (0, 1)]
    path = table(f"{header},use_mup", rows)
    refused = judge(path, "--ignore-column", "tries") if "tries" in header else judge(path)

    assert refused.exit_code == 2
    assert "use_mup (true, empty)" in refused.stderr
    for wanted in ("use_mup=true", "use_mup="):
        selected = ("--where", wanted, *(("--seed-column", "tries") if "tries" in header else ()))
        assert json.loads(judge(path, *selected, "--json").stdout)["rows"]["used"] == 84


def test_what_follows_from_another_setting_is_not_asked_for_twice(table: Write) -> None:
    """Warm-up is a tenth of the steps, and the optimizer goes with the parameterization."""
    steps = judge(table(*mixed(lambda n, row: [300 * (1 + n), 30 * (1 + n)], "steps,warmup_steps")))
    assert "they differ in warmup_steps (30, 60) too; steps follows from warmup_steps" in steps.stderr
    pair = judge(table(*mixed(lambda n, row: [("mup", "adam"), ("sp", "sgd")][n], "scheme 2,optimizer")))
    assert "they differ in optimizer (adam, sgd) too; scheme 2 follows from optimizer" in pair.stderr


def test_two_settings_are_selected_together(table: Write) -> None:
    """A hint for one of two would be refused again: both are said, and pasted they are judged."""
    rows = [
        (row.width, row.learning_rate, row.seed, row.loss + 0.1 * a + 0.2 * b, "ab"[a], "cd"[b])
        for row in ladder()
        for a, b in ((0, 0), (0, 1), (1, 0))
    ]
    path = table("width,lr,seed,loss,first one,second", rows)
    refused = judge(path)

    assert "they differ in first one (a, b), second (c, d) too" in refused.stderr
    assert ["--where", "first one=a", "--where", "second=c"] in commands(refused)
    for options in commands(refused):
        if "--ignore-column" not in options:
            assert judge(path, *options).exit_code in (0, 1, 3)


def test_what_is_measured_is_no_setting(table: Write) -> None:
    """Clocks, memory, norms, other losses, labels and dates differ between all runs and change nothing."""
    generator = random.Random(0)
    header = "Name,Created,Runtime,gpu_mem_gb,grad_norm,train/loss,eval/acc,foo,_timestamp,Notes,host,url"

    def cells(number: int, row: Row) -> list[object]:
        return [
            f"run {number}", f"2024-03-01T10:{number % 60:02}", generator.randint(100, 130), 40 + number % 7,
            generator.random(), generator.random(), generator.randint(0, 9) / 10, generator.random(),
            1.7e9 + number, "again" if number % 5 else "", f"n{number % 3}", f"https://x/{number}",
        ]  # fmt: skip

    result = judge(table(*beside(cells, header)), "--json")
    assert result.exit_code == 0, result.stderr
    assert "taken for labels, since hardly any two runs agree in them: Name" in result.stderr
    limits = group(result)["limits"]
    assert [limit.partition(" ")[0] for limit in limits] == ["What", "foo", "Notes"]  # compute is not known here
    assert limits[1].startswith("foo has a value of its own in nearly every run")
    assert limits[2].startswith("Notes is given in 67 of 84 rows (again)")


def test_a_column_can_be_called_harmless(table: Write) -> None:
    """Another loss apart, nothing is known of `zone`: refused, and judged with a limit when the user says so."""
    path = table(*beside(lambda number, row: [f"z{number % 3 and 1}"], "zone"))
    refused = judge(path)
    assert refused.exit_code == 2
    assert commands(refused)[-1] == ["--ignore-column", "zone"]

    judged = judge(path, "--ignore-column", "zone", "--json")
    assert judged.exit_code == 0
    assert "zone differs between runs (z0, z1) and was left out of account as asked." in group(judged)["limits"]
    assert judge(path, "--ignore-column", "zones").exit_code == 2


@pytest.mark.parametrize(
    ("header", "cells", "limit"),
    [
        ("depth", lambda n, row: [row.width // 16], "depth changes along with width (depth 4 at 64"),
        ("opt", lambda n, row: ["adam" if row.width < 200 else "sgd"], "opt changes along with width (opt adam at 64"),
        ("epoch", lambda n, row: [row.width // 64], "epoch changes along with width (epoch 1 at 64"),
        ("weight_decay", lambda n, row: [1e-3 / row.learning_rate], "weight_decay = 0.001 x learning_rate^-1"),
        ("wd", lambda n, row: [round(row.learning_rate**0.5 + 0.01, 3)], "wd rises or falls along with lr"),
        (
            "batch_size",
            lambda n, row: [int(row.learning_rate * 2**14)],
            "batch_size = 1.638e+04 x learning_rate: it ch",
        ),
        (
            "dropout",
            lambda n, row: [round(row.learning_rate * 10, 6)],
            "dropout = 10 x learning_rate: it changes along",
        ),
        ("git_commit", lambda n, row: ["a1" if n % 2 else "b2"], "git_commit differs between runs (b2, a1)"),
        ("config.dropout", lambda n, row: ["0.1" if n % 2 else ""], "config.dropout is given in 42 of 84 rows (0.1)"),
    ],
)
def test_what_the_runs_cannot_tell_apart_is_a_limit(table: Write, header: str, cells: Extra, limit: str) -> None:
    """Judged, with a sentence that names the column."""
    result = judge(table(*beside(cells, header)), "--json")

    assert result.exit_code == 0, result.stderr
    assert any(limit in found for found in group(result)["limits"]), group(result)["limits"]


@pytest.mark.parametrize(
    ("header", "cells", "said"),
    [
        ("log2lr", lambda n, row: [math.log2(row.learning_rate)], "log2lr = log2 of learning_rate"),
        ("log10_lr", lambda n, row: [f"{math.log10(row.learning_rate):.3f}"], "log10_lr = log10 of learning_rate"),
        ("effective", lambda n, row: [row.learning_rate / row.width], "effective = learning_rate x width^-1"),
        ("peak_lr", lambda n, row: [f"{row.learning_rate * 64 / row.width:.4g}"], "x learning_rate x width^-1"),
        ("final lr", lambda n, row: [0.1 * row.learning_rate], "final lr = 0.1 x learning_rate"),
        ("config.embed_lr", lambda n, row: [3 * row.learning_rate], "config.embed_lr = 3 x learning_rate"),
    ],
)
def test_functions_of_the_swept_value_are_said_and_change_nothing(
    table: Write, header: str, cells: Extra, said: str
) -> None:
    """The column that varies freely is the hyperparameter; what follows from it is neither setting nor axis."""
    result = judge(table(*beside(cells, header)), "--json")

    assert f"{said}: no setting of its own" in result.stderr
    assert json.loads(result.stdout)["columns"]["value"] == "lr"
    plain = judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--json")
    assert group(result) == group(plain)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("n_params", lambda n, row: [12 * row.width**2]),
        ("flops", lambda n, row: [6 * 12 * row.width**2 * 1e6 * (1 + 1e-4 * (n % 3))]),
        ("n_heads", lambda n, row: [row.width // 16]),
        ("model", lambda n, row: [f"w{row.width}"]),
        ("d_ff", lambda n, row: [4 * row.width]),
        ("id", lambda n, row: [n % 4]),
        ("_step", lambda n, row: [300 + n % 2]),
    ],
)
def test_what_a_size_means_is_neither_limit_nor_setting(table: Write, header: str, cells: Extra) -> None:
    """Parameters, compute, heads and names that follow from the width are the width."""
    result = judge(table(*beside(cells, header)), "--json")

    assert result.exit_code == 0, result.stderr
    assert not any(header in limit.replace(",", " ").split() for limit in group(result)["limits"])


def test_a_rate_that_a_rule_sets_by_width_is_not_the_swept_value(table: Write) -> None:
    """The rate, 0.1 / width, is fixed at each width and weight decay is swept: the swept one is judged."""
    rows = [(row.width, 0.1 / row.width, row.learning_rate, row.seed, row.loss) for row in ladder()]
    found = json.loads(judge(table("width,lr,weight_decay,seed,loss", rows), "--json").stdout)

    assert found["columns"]["value"] == "weight_decay"
    assert any("lr changes along with width" in limit for limit in found["groups"][0]["limits"])


def test_of_two_rates_the_grid_common_to_the_widths_is_swept(table: Write) -> None:
    """peak_lr stands first and is base_lr x 64 / width: the base rate varies freely."""
    rows = [(row.width, row.learning_rate * 64 / row.width, row.learning_rate, row.seed, row.loss) for row in ladder()]
    result = judge(table("width,peak_lr,base_lr,seed,loss", rows), "--json")

    assert json.loads(result.stdout)["columns"]["value"] == "base_lr"
    assert "column base_lr (peak_lr follows from it)" in result.stderr


def test_two_rates_that_are_no_functions_of_each_other_are_asked_for(table: Write) -> None:
    """Nobody can know which one is meant."""
    generator = random.Random(0)
    result = judge(table(*beside(lambda n, row: [generator.choice((1e-3, 2e-3))], "base_lr")))

    assert result.exit_code == 2
    assert "several could be meant: lr, base_lr" in result.stderr


def test_values_that_are_equal_to_the_digits_written_are_one(table: Write) -> None:
    """One seed was exported with three digits, the others with all: the judgement is that of one grid."""
    rows = [(r.width, f"{r.learning_rate:.3g}" if r.seed else repr(r.learning_rate), r.seed, r.loss) for r in ladder()]
    result = judge(table("width,lr,seed,loss", rows), "--json")

    assert "values of lr that are equal to the digits written are one: 0.000488 is 0.000488281" in result.stderr
    plain = judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--json")
    assert group(result) == group(plain)


def test_values_that_one_run_could_have_beside_each_other_stay_apart(table: Write) -> None:
    """A fine grid, 0.5% apart, is no rounding: each seed of each width has all of its values."""
    rows = [
        (row.width, f"{value:.3f}", row.seed, row.loss + 0.001 * value)
        for row in ladder(exponents=range(0, 1), cliff=9)
        for value in (2.0, 2.01, 2.02)
    ]
    result = judge(table("width,lr,seed,loss", rows), "--json")

    assert "equal to the digits written" not in result.stderr
    assert {size["optimum"]["n_points"] for size in group(result)["sizes"]} == {9}


def test_groups_may_be_equal_to_a_tolerance(table: Write) -> None:
    """18.627 beside 18.634 tokens per parameter are one value, 40 another; the hint gives the option."""
    near = table(*beside(lambda n, row: [(18.627, 18.634)[n % 2]], "tokens_per_parameter"))
    refused = judge(near)
    assert commands(refused) == [["--within", "tokens_per_parameter=0.1%"]]
    judged = judge(near, "--within", "tokens_per_parameter=5%")
    assert judged.exit_code == 0
    assert "tokens_per_parameter within 5% is one value: 18.627 to 18.634 as" in judged.stderr

    far = table(*mixed(lambda n, row: [(18.627, 18.634, 40, 40.1)[row.seed % 2 + 2 * n]], "tokens_per_parameter"))
    assert judge(far, "--within", "tokens_per_parameter=5%").exit_code == 2
    apart = judge(far, "--within", "tokens_per_parameter=5%", "--group-column", "tokens_per_parameter", "--json")
    assert [each["group"] for each in json.loads(apart.stdout)["groups"]] == ["18.627", "40"]
    selected = ("--within", "tokens_per_parameter=5%", "--where", "tokens_per_parameter=18.63")
    assert judge(far, *selected).exit_code == 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("tpp", "`--within` takes COLUMN=PERCENT"),
        ("tpp=5", "`--within` takes COLUMN=PERCENT"),
        ("tpp=0%", "more than 0% and at most 50%"),
        ("tpp=90%", "more than 0% and at most 50%"),
        ("nothing=5%", "must name a column of the table"),
        ("tpp=5%", "from 18 to 19.5 without a gap of 5%"),
    ],
)
def test_tolerances_that_cannot_be_meant(table: Write, option: str, said: str) -> None:
    """Another form, no column, or values that chain over more than the tolerance: nobody can say which are one."""
    result = judge(table(*beside(lambda n, row: [(18, 18.5, 19, 19.5)[n % 4]], "tpp")), "--within", option)

    assert result.exit_code == 2
    assert said in result.stderr
    if "gap" in said:
        assert commands(result) == [["--within", "tpp=9%"]]


def test_one_size_counted_in_two_ways_is_no_two_sizes(table: Write) -> None:
    """Parameters of a padded vocabulary: 0.6% more in the runs of one seed; the hint makes them one."""
    rows = [(12 * r.width**2 * (1.006 if r.seed == 1 else 1), r.learning_rate, r.seed, r.loss) for r in ladder()]
    path = table("n_params,lr,seed,loss", [(round(row[0]), *row[1:]) for row in rows])
    refused = judge(path)

    assert refused.exit_code == 2
    assert "n_params 49152 and 49447" in refused.stderr
    assert commands(refused) == [["--within", "n_params=2%"]]
    assert [size["value"] for size in group(judge(path, *commands(refused)[0], "--json"))["sizes"]] == [
        12 * width**2 for width in (64, 128, 256, 512)
    ]


def test_unfinished_runs_of_ladders_with_lengths_of_their_own(table: Write) -> None:
    """20 tokens per parameter: each width has its length, and no `--where` keeps them all."""

    def cells(number: int, row: Row) -> list[object]:
        return [row.width * (5 if row.learning_rate == 2.0**-8 and row.width > 200 else 10)]

    path = table(*beside(cells, "tokens_seen"))
    refused = judge(path)
    assert "6 rows ended before the longest of their size by tokens_seen" in refused.stderr
    assert commands(refused) == [["--complete", "tokens_seen"]]
    judged = judge(path, *commands(refused)[0], "--json")
    assert json.loads(judged.stdout)["rows"]["left_out"] == {
        "that ended before the longest of their width by tokens_seen": 6
    }


def test_diverged_runs_end_when_they_do(table: Write) -> None:
    """Their steps are no mixture, and `--complete` keeps them."""
    path = table(*beside(lambda n, row: [300 if math.isfinite(row.loss) else 17], "step"))

    for options in ((), ("--complete", "step")):
        result = judge(path, *options, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["rows"]["diverged"] == 12


@pytest.mark.parametrize(
    "name", ["acc", "val_accuracy", "eval/Accuracy", "top1", "episode_return", "elbo", "BLEU", "f1", "test_auc", "R2",
             "score", "win_rate", "hellaswag_acc_norm", "valAcc", "acc@1"],
)  # fmt: skip
def test_objectives_that_rise_are_refused_without_a_direction(table: Write, name: str) -> None:
    """And judged as the same numbers with the other sign are, once the direction is said."""
    path = table(f"width,lr,seed,{name}", [(r.width, r.learning_rate, r.seed, -r.loss) for r in ladder()])
    assert judge(path).exit_code == 2
    assert judge(path, "--loss-column", name).exit_code == 2

    judged = judge(path, *commands(judge(path))[0], "--json")
    plain = judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--json")
    assert group(judged) == group(plain)


@pytest.mark.parametrize("name", ["val_err", "error", "accuracy_loss", "reward_loss", "val_ppl", "neg_elbo", "wer"])
def test_objectives_that_fall_need_no_direction(table: Write, name: str) -> None:
    """An error, a loss, a perplexity or a negative is minimised whatever else its name says."""
    path = table(f"width,lr,seed,{name}", [tuple(row) for row in ladder()])

    assert judge(path, "--loss-column", name).exit_code == 0


def test_a_loss_is_not_maximised_by_mistake(table: Write) -> None:
    """`--maximize` without an accuracy in sight asks for the column."""
    refused = judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--maximize")

    assert refused.exit_code == 2
    assert "with --maximize the column must be named" in refused.stderr


def test_losses_may_be_negative_and_placeholders_are_refused(table: Write) -> None:
    """Densities have negative losses; a -1 far below losses of another kind is a run without one."""
    shifted = table("width,lr,seed,loss", [(*row[:3], row.loss - 5) for row in ladder()])
    found = group(judge(shifted, "--json"))
    assert all(size["optimum"]["low"] <= -8 <= size["optimum"]["high"] for size in found["sizes"])

    for mark in (-1, 0, -999):
        rows = [tuple(row) for row in ladder()] + [(512, 0.001, 9, mark)]
        refused = judge(table("width,lr,seed,loss", rows))
        assert refused.exit_code == 2
        assert f"received: {mark} (1 such rows)" in refused.stderr


def test_reruns_are_asked_for(table: Write) -> None:
    """Rows equal in size, value and seed with other losses: refused; their mean or further seeds when the user says."""
    runs = [row for row in ladder() if math.isfinite(row.loss)]
    rows = [tuple(row) for row in runs] + [(*row[:3], row.loss + 0.002) for row in runs]
    path = table("width,lr,seed,loss", rows)
    refused = judge(path)

    assert refused.exit_code == 2
    assert "72 such runs with several losses; width 64, lr 0.000488281, seed 0: " in refused.stderr
    assert commands(refused) == [["--repeats", "mean"], ["--repeats", "seeds"]]
    mean = json.loads(judge(path, "--repeats", "mean", "--json").stdout)
    assert mean["rows"]["used"] == 72
    assert json.loads(judge(path, "--repeats", "seeds", "--json").stdout)["rows"]["used"] == 144
    assert judge(path, "--repeats", "median").exit_code == 2
    lifted = judge(table("width,lr,seed,loss", [(*row[:3], row.loss + 0.001) for row in runs]), "--json")
    assert mean["groups"][0]["drift"]["estimate"] == pytest.approx(group(lifted)["drift"]["estimate"], abs=1e-6)


def test_losses_that_are_equal_to_the_digits_written_are_one_row(table: Write) -> None:
    """A second export with four digits repeats the first."""
    rows = [tuple(row) for row in ladder(cliff=9)]
    path = table("width,lr,seed,loss", [*rows, *((*row[:3], f"{row[3]:.4f}") for row in rows)])

    assert json.loads(judge(path, "--json").stdout)["rows"]["left_out"] == {"that repeat another row": 84}


def test_a_second_column_of_seeds_tells_runs_apart(table: Write) -> None:
    """Initialisation and data have seeds of their own."""
    rows = [(*row[:3], data, row.loss + 0.001 * data) for row in ladder() for data in (0, 1)]
    result = judge(table("width,lr,seed,data_seed,loss", rows), "--json")

    assert "seed and data_seed together tell runs of the same width and lr apart" in result.stderr
    assert json.loads(result.stdout)["rows"]["used"] == len(rows)


def test_overflows_are_divergences(table: Write) -> None:
    """A loss that 32 bits cannot square: no curve is laid through it, whatever the size of the others."""
    rows = [(*row[:3], row.loss if math.isfinite(row.loss) else 3e38) for row in ladder()]
    result = judge(table("width,lr,seed,loss", rows), "--json")

    assert "12 values of loss of 1e+30 or more are overflows and count as diverged" in result.stderr
    assert group(result) == group(judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--json"))


def horizons(drift: float) -> list[tuple[object, ...]]:
    """A ladder of beta2: the best horizon 1/(1 - beta2) is 64 steps, and moves by `drift` octaves per doubling."""
    rows = ladder(drift=drift, cliff=9)
    return [(row.width, 1 - 1 / (row.learning_rate * 2.0**14), row.seed, row.loss) for row in rows]


@pytest.mark.parametrize(("drift", "status"), [(0.0, 0), (1.0, 1)])
def test_betas_are_judged_by_their_horizon(table: Write, drift: float, status: int) -> None:
    """From 0.984 to 0.998 is 0.02 octaves of beta2 and three of its horizon, which is what moves."""
    path = table("width,beta2,seed,loss", horizons(drift))
    result = judge(path, "--json")
    found = group(result)

    assert result.exit_code == status
    assert found["hyperparameter"] == "1/(1 - beta2)"
    assert found["transferred"] == pytest.approx(64, rel=0.05)
    assert found["drift"]["low"] <= drift <= found["drift"]["high"]
    assert group(judge(path, "--transferred", "0.984375", "--json"))["transferred"] == 64
    assert judge(path, "--transferred", "1.5").exit_code == 2
    assert judge(table("width,beta2,seed,loss", [*horizons(0), (64, 1.0, 0, 3)])).exit_code == 2


def test_runs_without_a_result_come_before_a_wider_grid(table: Write) -> None:
    """Larger rates were run and have no loss: to extend the grid there cannot help before these are read."""
    rows = [(*row[:3], "" if row.learning_rate > 2.0**-8.5 else row.loss) for row in ladder(cliff=9)]
    advice = group(judge(table("width,lr,seed,loss", rows), "--json"))["would_decide"]

    assert advice.startswith("First finish the runs without a result at width 64, 128, 256, 512, or write nan where")


def test_words_of_states_that_nobody_knows_are_refused(table: Write) -> None:
    """A run that ended as `zombie` may be anything; what Slurm and trackers say is known."""
    strange = table(*beside(lambda n, row: ["zombie" if n % 9 == 8 else "finished"], "state"))
    refused = judge(strange)
    assert refused.exit_code == 2
    assert "zombie (9 such rows)" in refused.stderr
    assert commands(refused) == [["--where", "state=finished"]]
    assert judge(strange, *commands(refused)[0]).exit_code == 0

    words = ("stopped", "CANCELLED", "OUT_OF_MEMORY", "Node Fail", "timed-out", "aborted", "ERROR", "early-stopped")
    known = judge(table(*beside(lambda n, row: [words[n // 9 % 8] if n % 9 == 8 else "COMPLETED"], "status")))
    assert "left out: 8 rows not finished" in known.stderr  # one of the nine ended because it diverged
    assert judge(table(*beside(lambda n, row: ["zombie"], "state"))).exit_code == 0


def test_the_longest_runs_are_those_within_a_step(table: Write) -> None:
    """Epochs of 0.998 to 1 are one length, and a hint that took the 1.000 alone would leave out two thirds."""
    path = table(*beside(lambda n, row: [0.3 if n % 9 == 8 else 0.998 + 0.001 * (n % 3)], "epoch"))
    refused = judge(path)
    assert ["--complete", "epoch"] in commands(refused)
    kept = judge(path, "--complete", "epoch", "--json")
    assert json.loads(kept.stdout)["rows"]["used"] == 76  # of 84; one of the nine that ended early diverged


@pytest.mark.parametrize("column", ["width", "lr", "seed", "loss"])
def test_runs_are_as_long_as_no_size_value_or_loss_says(table: Write, column: str) -> None:
    """`--complete lr` would keep the largest rate alone."""
    refused = judge(table("width,lr,seed,loss", [tuple(row) for row in ladder()]), "--complete", column)
    assert refused.exit_code == 2
    assert "takes a column of steps, epochs or tokens" in refused.stderr


# what only names, dates and remarks say


@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("names", [("mup", "sp"), ("b256", "b512"), ("base-long", "wd0.1-long")])
def test_names_that_say_more_than_size_value_and_seed_are_refused(
    table: Write, seeded: bool, names: tuple[str, str]
) -> None:
    """No column but the run's name tells two schemes apart; the pattern that is offered judges each by itself."""
    rows = [
        (row.width, row.learning_rate, f"{name}-w{row.width}-lr{row.learning_rate:.4g}-s{row.seed}", row.loss + shift)
        + ((row.seed + 10 * number,) if seeded else ())
        for row in ladder()
        for number, (name, shift) in enumerate(zip(names, (0.0, 0.1), strict=True))
    ]
    path = table("width,lr,run,loss" + (",seed" if seeded else ""), rows)
    refused = judge(path)

    assert refused.exit_code == 2, refused.stdout
    assert "they differ in run (" in refused.stderr
    for options in commands(refused):
        judged = judge(path, *options, "--json")
        assert judged.exit_code in (0, 1, 3), judged.stderr
        if "--group-column" in options:
            assert len(json.loads(judged.stdout)["groups"]) == 2


def test_names_that_go_with_sizes_or_values_are_a_limit(table: Write) -> None:
    """Large widths ran as sp, or small rates as an older sweep: no cell holds both, and the page says it."""

    def cells(number: int, row: Row) -> list[object]:
        return [f"{'sp' if row.width > 200 else 'mup'}-w{row.width}-{row.learning_rate:.4g}-{row.seed}"]

    result = judge(table(*beside(cells, "run_name")), "--json")
    assert any(limit.startswith("run_name changes along with width (run_name mup at 64") for limit in
               group(result)["limits"])  # fmt: skip
    older = judge(table(*beside(lambda n, row: [f"{'old' if row.learning_rate < 0.004 else 'new'}-{n:04d}"], "run")))
    assert "run says more than width, lr and seed (old, new)" in " ".join(older.stdout.split())


@pytest.mark.parametrize(
    "name",
    [
        lambda n, row: f"w{row.width}-lr{row.learning_rate:.4g}-s{row.seed}",
        lambda n, row: f"trial_{n:05d}",
        lambda n, row: f"{random.Random(n).getrandbits(64):016x}",
        lambda n, row: f"{'abcdefg'[n % 7]}{'hijklmnop'[n % 9]}y-{'qrstuvw'[n // 12]}{n % 5}x-{n}",
        lambda n, row: f"{('tiny', 'base', 'big', 'xl')[row.width.bit_length() - 7]}-{row.learning_rate}-{row.seed}",
        lambda n, row: f"lr{row.learning_rate:g}-w{row.width}-{'abcde'[row.seed]}",
    ],
)  # fmt: skip
def test_names_that_say_no_more_change_nothing(table: Write, name: Callable[[int, Row], str]) -> None:
    """Sizes, values and seeds in numbers or words, numbers of the row, hashes and random words."""
    result = judge(table(*beside(lambda n, row: [name(n, row)], "run")), "--json")

    assert result.exit_code == 0, result.stderr
    assert not any(limit.startswith("run ") for limit in group(result)["limits"])


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("data_date", lambda n, row: ["2024-01-01" if row.learning_rate < 0.004 else "2025-06-01"]),
        ("foo", lambda n, row: ["2024-01-01" if n % 2 else "2025-06-01"]),
        ("Created", lambda n, row: [f"2024-01-{1 + (row.width > 100):02} 10:00"]),
        ("host", lambda n, row: ["a" if row.width > 200 or row.learning_rate > 0.004 else "b"]),
        ("Notes", lambda n, row: ["old tokenizer" if n % 2 else "new tokenizer"]),
        ("tag", lambda n, row: ["x" if n % 3 else ""]),
        ("grad_norm", lambda n, row: [round(math.sin(row.width + 100 * row.learning_rate), 4)]),
        ("z_loss", lambda n, row: [0 if row.width > 200 else 1e-4]),
        ("digest", lambda n, row: [f"{random.Random(f'{row.width} {row.learning_rate}').getrandbits(64):016x}"]),
        ("config.id_of_data", lambda n, row: [f"{random.Random(f'{row.width} {row.learning_rate}').random():.9f}x"]),
    ],
)
def test_what_sizes_and_values_fix_is_a_limit_whatever_its_name(table: Write, header: str, cells: Extra) -> None:
    """Dates, hosts, remarks, norms and hashes that all seeds of a size and value share; and remarks of any kind."""
    result = judge(table(*beside(cells, header)), "--json")

    assert result.exit_code == 0, result.stderr
    assert any(limit.startswith(f"{header} ") for limit in group(result)["limits"]), group(result)["limits"]


def test_dates_in_a_configuration_are_settings(table: Write) -> None:
    """A snapshot of the data is one, however it is written."""
    refused = judge(table(*mixed(lambda number, row: [("2024-01-01", "2025-06-01")[number]], "config.snapshot")))

    assert refused.exit_code == 2
    assert "config.snapshot (2024-01-01, 2025-06-01)" in refused.stderr


def test_texts_in_a_column_of_seeds_are_what_they_say(table: Write) -> None:
    """c4 and pile are no seeds of the data, and 1 and 2 are."""
    refused = judge(table(*mixed(lambda number, row: [("c4", "pile")[number]], "seed_data")))
    assert refused.exit_code == 2
    assert "they differ in seed_data (c4, pile) too" in refused.stderr
    told = judge(table(*mixed(lambda number, row: [number], "seed_data", shift=0.001)))
    assert "seed and seed_data together tell runs" in told.stderr


def test_rows_of_one_run_that_differ_in_a_date_name_it(table: Write) -> None:
    """What differs between rows of one size, value and seed is said, and pasted the option judges each apart."""
    path = table(*mixed(lambda number, row: [("2024-01-01", "2025-06-01")[number]], "created"))
    refused = judge(path)

    assert refused.exit_code == 2
    assert "must have one loss: only created differ" in refused.stderr
    assert commands(refused)[0] == ["--group-column", "created"]
    for options in commands(refused):
        assert judge(path, *options).exit_code in (0, 1, 3)


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_tables_too_small_for_any_curve_are_inconclusive(table: Write, rows: int) -> None:
    """A run per size, or a few: nothing is known of noise, and nothing is decided."""
    runs = ladder(seeds=1)
    sparse = [tuple(row) for row in runs[:: len(runs) // rows]][:rows]
    for options in ((), ("--target", "8192"), ("--transferred", "0.01")):
        result = judge(table("width,lr,seed,loss", sparse), *options, "--json")
        assert result.exit_code == 3, result.stderr
        assert group(result)["cost"]["high"] is None


def test_a_noise_below_what_losses_are_written_with_is_taken_for_that(table: Write) -> None:
    """1e-30 is no noise that runs can have; what is judged is what nearly none gives."""
    path = table("width,lr,seed,loss", [tuple(row) for row in ladder()])
    least, none = (judge(path, "--noise", noise, "--json") for noise in ("1e-9", "1e-30"))
    assert least.exit_code == none.exit_code
    assert group(least)["sizes"][0]["optimum"]["low"] == group(none)["sizes"][0]["optimum"]["low"]


@pytest.mark.parametrize("column", ["judge_rating", "y", "quality", "hit@10", "spearman", "mmlu_5shot", "ep_rew_mean"])
def test_what_peaks_inside_the_grid_is_not_minimised_by_mistake(table: Write, column: str) -> None:
    """Better is higher, and no list has all names of it: the optimum is 2^-8, where the values peak at every width."""
    path = table(f"width,lr,seed,{column}", [(*row[:3], 10 - row.loss) for row in ladder(cliff=9)])
    refused = judge(path, "--loss-column", column)

    assert refused.exit_code == 2, refused.stdout
    for options in commands(refused)[:1]:
        assert options == ["--loss-column", column, "--maximize"]
        found = group(judge(path, *options, "--json"))
        assert all(size["optimum"]["low"] <= -8 <= size["optimum"]["high"] for size in found["sizes"])


def test_unknown_objectives_that_have_a_valley_need_no_direction(table: Write) -> None:
    """A valley, a flank, and a peak that the user insists on."""
    valley = table("width,lr,seed,y", [tuple(row) for row in ladder()])
    assert judge(valley, "--loss-column", "y").exit_code == 0
    flank = table("width,lr,seed,y", [tuple(row) for row in ladder(exponents=range(-11, -8))])
    assert judge(flank, "--loss-column", "y").exit_code == 3
    peak = table("width,lr,seed,y", [(*row[:3], 10 - row.loss) for row in ladder(cliff=9)])
    assert judge(peak, "--loss-column", "y", "--minimize").exit_code in (1, 3)
