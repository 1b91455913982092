"""`judge FILE`: judges tables as people export them, and refuses clearly what it cannot judge."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from tests.support.result_tables import csv_of, ladder

Judge = Callable[..., Result]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Writes a table and judges it."""

    def call(content: str | bytes, *options: str, name: str = "runs.csv") -> Result:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CliRunner().invoke(app, ["judge", str(path), *options])

    return call


def document(result: Result) -> dict[str, Any]:
    """The JSON on stdout."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_ladder_without_drift_transfers(judge: Judge) -> None:
    """Optimum 2^-8 everywhere: the estimate is right at every width, and the exit status is 0."""
    result = judge(csv_of(ladder()), "--json")

    assert result.exit_code == 0
    group = document(result)["groups"][0]
    assert document(result)["verdict"] == "TRANSFERS"
    assert [size["value"] for size in group["sizes"]] == [64, 128, 256, 512]
    assert all(size["optimum"]["low"] <= -8 <= size["optimum"]["high"] for size in group["sizes"])
    assert group["drift"]["low"] <= 0 <= group["drift"]["high"]


def test_a_ladder_with_drift_drifts(judge: Judge) -> None:
    """The optimum falls by 0.5 octaves per doubling: exit status 1, and the drift's interval holds -0.5."""
    result = judge(csv_of(ladder(drift=-0.5)), "--json")

    assert result.exit_code == 1
    drift = document(result)["groups"][0]["drift"]
    assert drift["low"] <= -0.5 <= drift["high"] < -0.3


def test_what_was_inferred_is_said_on_stderr(judge: Judge) -> None:
    """Columns that were not named are listed; stdout stays data."""
    result = judge(csv_of(ladder()), "--json")

    assert "inferred size: column width" in result.stderr
    assert "inferred value: column lr" in result.stderr
    document(result)


def as_wandb() -> str:
    """The ladder as W&B exports it."""
    rows = ladder()
    lines = [f'"run, {i}","finished","{r.width}","{r.learning_rate}","{r.seed}","{r.loss}","{3.1 * i}"'
             for i, r in enumerate(rows)]  # fmt: skip
    header = '"Name","State","config.d_model","config.optimizer.lr","config.seed","summary.eval/loss","_runtime"'
    return "\n".join([header, *lines])


def as_json_lines() -> str:
    """The ladder as nested JSON lines."""
    return "\n".join(
        json.dumps({"config": {"hidden_size": r.width, "learning_rate": r.learning_rate, "seed": r.seed},
                    "summary": {"val_loss": r.loss}})
        for r in ladder()
    )  # fmt: skip


def as_json_list() -> str:
    """The ladder as one JSON list, losses as text."""
    return json.dumps(
        [{"n_embd": r.width, "lr": r.learning_rate, "seed": r.seed, "loss": str(r.loss)} for r in ladder()]
    )


def decimal_commas() -> str:
    """The ladder as a European spreadsheet saves it."""
    return csv_of(ladder(), delimiter=";").replace(".", ",")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xef\xbb\xbf" + csv_of(ladder()).replace("\n", "\r\n").encode(), "runs.csv"),
        (csv_of(ladder()).encode("utf-16"), "runs.csv"),
        (decimal_commas(), "runs.csv"),
        (csv_of(ladder(), delimiter="\t"), "runs.tsv"),
        ("# exported\n\n" + csv_of(ladder()), "runs.csv"),
        (as_wandb(), "runs.csv"),
        (as_json_lines(), "runs.jsonl"),
        (as_json_list(), "runs.json"),
    ],
    ids=["bom", "utf-16", "decimal commas", "tabs", "comments", "W&B", "JSON lines", "JSON list"],
)
def test_every_dialect_gives_the_same_judgement(judge: Judge, content: str | bytes, name: str) -> None:
    """The same runs in another dialect have the same drift and the same counts."""
    plain, other = document(judge(csv_of(ladder()), "--json")), document(judge(content, "--json", name=name))

    assert other["groups"][0]["drift"] == plain["groups"][0]["drift"]
    assert other["rows"] == plain["rows"]


def test_the_order_of_rows_does_not_matter(judge: Judge) -> None:
    """Shuffled rows, with and without a seed column, give the same report."""
    for columns in (4, 3):
        header, *lines = [",".join(line.split(",")[:2] + line.split(",")[4 - columns + 2 :]) for line in
                          csv_of(ladder()).splitlines()]  # fmt: skip
        first = judge("\n".join([header, *lines]), "--json", "-q")
        random.Random(0).shuffle(lines)

        assert judge("\n".join([header, *lines]), "--json", "-q").stdout == first.stdout


def test_repeated_rows_count_once(judge: Judge) -> None:
    """A table pasted twice says what it says once, and how many rows were left out."""
    once = csv_of(ladder())
    twice = once + "".join(once.splitlines(keepends=True)[1:])

    result = document(judge(twice, "--json"))

    assert result["groups"][0]["drift"] == document(judge(once, "--json"))["groups"][0]["drift"]
    assert result["rows"]["left_out"] == {"that repeat another row": 84}


def test_without_seeds_rows_of_one_value_are_seeds(judge: Judge) -> None:
    """Three rows per value without a seed column show noise, and the table says how they were read."""
    rows = [line.rsplit(",", 2) for line in csv_of(ladder()).splitlines()]
    result = judge("\n".join(f"{front},{loss}" for front, _, loss in rows), "--json")

    assert document(result)["groups"][0]["sizes"][0]["optimum"]["noise_from"] == "seeds"
    assert "count as different seeds" in result.stderr


def test_a_crashed_run_is_left_out_and_a_missing_loss_too(judge: Judge) -> None:
    """A crash is not a divergence; NaN is."""
    rows = ["width,lr,seed,loss,state", "64,0.01,9,2.0,crashed", "64,0.01,8,,finished", "64,0.5,8,nan,crashed"]
    rows += [f"{r.width},{r.learning_rate},{r.seed},{r.loss},finished" for r in ladder()]
    result = document(judge("\n".join(rows), "--json"))

    assert result["rows"]["left_out"] == {"without a loss": 1, "not finished": 1}
    assert result["rows"]["diverged"] == 13


def test_groups_have_their_own_verdicts(judge: Judge) -> None:
    """Under muP it transfers, the standard parameterization drifts; overall it drifts."""
    rows = [f"mup,{line}" for line in csv_of(ladder()).splitlines()[1:]]
    rows += [f"sp,{line}" for line in csv_of(ladder(drift=-0.8)).splitlines()[1:]]
    result = judge("\n".join(["param,width,lr,seed,loss", *rows]), "--json")

    assert {g["group"]: g["verdict"] for g in document(result)["groups"]} == {"mup": "TRANSFERS", "sp": "DRIFTS"}
    assert (document(result)["verdict"], result.exit_code) == ("DRIFTS", 1)


def test_one_size_is_inconclusive_with_its_optimum(judge: Judge) -> None:
    """One width has an optimum and no drift: exit status 3."""
    result = judge(csv_of(ladder(widths=(128,))))

    assert result.exit_code == 3
    assert "1 size cannot show whether the optimum moves" in " ".join(result.stdout.split())
    assert "0.0038" in result.stdout or "0.0039" in result.stdout


def test_two_values_are_inconclusive(judge: Judge) -> None:
    """Two values per size have no optimum between them."""
    result = judge(csv_of(ladder(exponents=range(-8, -6))), "--json")

    assert result.exit_code == 3
    assert document(result)["groups"][0]["sizes"][0]["optimum"]["edge"] is not None


def test_unequal_grids_are_judged(judge: Judge) -> None:
    """The largest width has its own, shifted grid."""
    rows = [r for r in ladder() if r.width < 512]
    rows += [
        r._replace(learning_rate=r.learning_rate * 1.0) for r in ladder(exponents=range(-10, -5)) if r.width == 512
    ]

    assert judge(csv_of(rows)).exit_code == 0


def test_sizes_that_are_no_width_keep_their_name(judge: Judge) -> None:
    """A ladder in parameters, written 1M to 64M, is judged along parameters."""
    names = {64: "1M", 128: "4M", 256: "16M", 512: "64M"}
    rows = ["n_params,lr,seed,loss", *(f"{names[r.width]},{r.learning_rate},{r.seed},{r.loss}" for r in ladder())]
    result = document(judge("\n".join(rows), "--json"))

    assert "doublings of parameters at parameters 1000000 to 64000000" in result["sentence"]


@pytest.mark.parametrize(("name", "base"), [("log2lr", 2), ("config.log10_lr", 10), ("log_2_learning_rate", 2)])
def test_logarithms_say_their_base(judge: Judge, name: str, base: int) -> None:
    """The column that microsoft/mup's examples write, log2lr, is understood, and so are its relatives."""
    rows = [f"width,{name},seed,loss"]
    rows += [f"{r.width},{math.log(r.learning_rate, base)},{r.seed},{r.loss}" for r in ladder()]
    group = document(judge("\n".join(rows), "--json"))["groups"][0]

    assert group["hyperparameter"] == "learning_rate"
    assert group["transferred"] == pytest.approx(2.0**-8, rel=0.05)


@pytest.mark.parametrize(
    ("extra", "row"), [("batch_size", lambda i: 32 * 2 ** (i % 2)), ("step", lambda i: 100 * (1 + i % 2))]
)
def test_mixtures_are_refused_and_can_be_selected_from(judge: Judge, extra: str, row: Callable[[int], int]) -> None:
    """Another setting, or several checkpoints per run, vary: refused by name; `--where` selects."""
    rows = [f"{r.width},{r.learning_rate},{r.seed},{row(i)},{r.loss + i * 0.01}" for r in ladder() for i in (0, 1)]
    table = "\n".join([f"width,lr,seed,{extra},loss", *rows])
    refused = judge(table)

    assert refused.exit_code == 2
    assert f"they differ in {extra} ({row(0)}, {row(1)}) too" in refused.stderr
    assert judge(table, "--where", f"{extra}={row(0)}").exit_code == 0


def test_what_changes_with_the_size_is_a_limit(judge: Judge) -> None:
    """Depth that grows with width cannot be told from width."""
    rows = [f"{r.width},{r.width // 16},{r.learning_rate},{r.seed},{r.loss}" for r in ladder()]
    result = document(judge("\n".join(["width,depth,lr,seed,loss", *rows]), "--json"))

    assert any("depth changes along with width" in limit for limit in result["groups"][0]["limits"])


GOOD = csv_of(ladder())


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (GOOD + "512,0.1,3,oops\n", 2, "runs.csv:86: column `loss` must hold numbers"),
        (GOOD + "512,-0.1,3,2.0\n", 2, "runs.csv:86: `lr` must be positive and finite"),
        (GOOD + "512.5,0.1,3,2.0\n", 2, "runs.csv:86: `width` must be a whole number, or a ratio of at most 16"),
        (GOOD + "512,0.1,3,-2.0\n", 2, "runs.csv:86: `loss` must be a loss: a whole number far below"),
        (GOOD + "512,0.1\n", 2, "runs.csv:86: every row must have the header's 4 cells"),
        (GOOD + '512,"0.1,3,2.0\n', 2, "check for an unclosed quote"),
        (GOOD + "1024,0.1,3,nan\n", 3, "divergence at all values of width 1024"),
        ("", 2, "must have rows"),
        ("width,lr,loss\n", 2, "must have rows"),
        ("64,0.1,2.0\n128,0.1,2.0\n", 2, "the first line must name the columns"),
        ("width,width,lr,loss\n1,1,1,1\n", 2, "every column must have its own name"),
        ("alpha,beta\n1,2\n", 2, "the column of the size must be named"),
        ("width,lr,loss,val_loss,eval_loss\n64,0.1,2,2.1,2.2\n", 2, "several could be meant: val_loss, eval_loss"),
        ("width,lr,loss\n64,0.0,2\n", 2, "some row must be a finished run"),
        (b"width,lr,loss\n64,0.1,\xff\n", 2, "runs.csv:2: a table must be UTF-8 text"),
        (b"width,lr,loss\n64,0.1,\x00\n", 2, "runs.csv:2: a table must be text"),
        ("width,lr,loss\n" + "".join(f"{n},0.1,2\n" for n in range(1, 70)), 2, "at most 64 sizes"),
    ],
)
def test_tables_that_cannot_be_judged(judge: Judge, content: str | bytes, status: int, said: str) -> None:
    """Each is refused with the rule, and the line where there is one; nothing reaches stdout."""
    result = judge(content)

    assert result.exit_code == status
    assert said in result.stderr.replace("\n", " ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size-column", "widht"], "did you mean `width`?"),
        (["--where", "width"], "`--where` takes COLUMN=VALUE"),
        (["--where", "width=3"], "width is 64, 128, 256, 512"),
        (["--where", "depth=3"], "must name a column"),
        (["--transferred", "-1"], "`--transferred` must be positive"),
        (["--value-column", "loss"], "every column can have one meaning"),
        (["recipe.yaml"], "must be .csv, .tsv, .md, .jsonl, .parquet, or an Optuna .db"),
        (["--tolerance", "0.1"], "`judge` takes --tolerance with --coordinates alone"),
        (["--target", "-4"], "`--target` takes a size, or NAME=SIZE"),
    ],
)
def test_options_that_cannot_be_meant(judge: Judge, options: list[str], said: str) -> None:
    """A misspelled column, a bad condition or value: exit status 2 and a way out."""
    result = judge(GOOD, *options)

    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("name", ["missing.csv", "runs.xlsx", "."])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A missing file, another format, a folder: exit status 2."""
    assert CliRunner().invoke(app, ["judge", str(tmp_path / name)]).exit_code == 2


def test_parquet_without_pyarrow_says_what_to_do(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the package and a conversion."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = judge("x", name="runs.parquet")

    assert result.exit_code == 2
    assert "pip install pyarrow" in result.stderr


def test_parquet(judge: Judge, tmp_path: Path) -> None:
    """A parquet file gives the judgement of the same rows as CSV."""
    pyarrow = pytest.importorskip("pyarrow", reason="reading parquet is an extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"width": 0, "lr": 1, "seed": 2, "loss": 3}
    parquet.write_table(
        pyarrow.table({name: [row[i] for row in ladder()] for name, i in columns.items()}), tmp_path / "runs.parquet"
    )
    content = (tmp_path / "runs.parquet").read_bytes()

    found = document(judge(content, "--json", name="runs.parquet"))
    assert found["groups"][0]["drift"] == document(judge(GOOD, "--json"))["groups"][0]["drift"]


def test_a_target_is_predicted(judge: Judge) -> None:
    """At width 4096 the truth, loss 1.5 + 8/64 = 1.625 and optimum 2^-8, lies in both intervals."""
    found = document(judge(GOOD, "--target", "4096", "--json"))["groups"][0]["prediction"]

    assert found["loss"]["low"] <= 1.625 <= found["loss"]["high"]
    assert found["optimum"]["low"] <= 2.0**-8 <= found["optimum"]["high"]


def test_batch_sizes_get_local_exponents(judge: Judge) -> None:
    """The optimum grows as the square root of the batch: measured between neighbours, and the rule named as usable."""
    rows = [
        f"{r.width},{r.learning_rate},{r.seed},{r.loss}" for r in ladder(drift=0.5, exponents=range(-11, -3), cliff=0)
    ]
    result = judge("\n".join(["batch_size,lr,seed,loss", *rows]), "--json")
    found = document(result)["groups"][0]["exponents"]

    assert [(step["low"], step["high"]) for step in found["local"]] == [(64, 128), (128, 256), (256, 512)]
    assert all(step["exponent"]["low"] <= 0.5 <= step["exponent"]["high"] for step in found["local"])
    assert found["usable"] == ["square root"]
    assert "the square root rule is usable" in judge("\n".join(["batch_size,lr,seed,loss", *rows])).stdout


def test_judging_a_table_needs_numpy_alone(tmp_path: Path) -> None:
    """Nothing heavy is imported for JSON: a recipe's schema and what draws terminals take longer than the judgement."""
    path = tmp_path / "runs.csv"
    path.write_text(GOOD)
    code = (
        "import sys; from hptransfer.commands.judge import judge_command as c\n"
        "from hptransfer.cli.table_options import BoundOptions, ColumnOptions, FormOptions, RowOptions, TableOptions\n"
        f"c([__import__('pathlib').Path({str(path)!r})],"
        " table=TableOptions(ColumnOptions(), FormOptions(), RowOptions(), BoundOptions()),"
        " as_json=True, quiet=True)\n"
        "heavy = ('torch', 'optuna', 'pandas', 'mup', 'scipy', 'pydantic', 'yaml', 'rich', 'matplotlib')\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


def two_slices(drift: float = 0.0) -> str:
    """A learning-rate slice at decay 0.1 and a decay slice at learning rate 2^-8, whose optimum 0.1 drifts."""
    rate = [f"{row.width},{row.learning_rate!r},0.1,{row.seed},{row.loss!r}" for row in ladder()]
    decay = [
        f"{row.width},{2.0**-8!r},{0.1 * row.learning_rate * 2.0**8!r},{row.seed + 10},{row.loss!r}"
        for row in ladder(drift=drift, cliff=0)
    ]
    return "\n".join(["width,lr,wd,seed,loss", *rate, *decay]) + "\n"


def test_each_value_column_is_judged_on_its_slice(judge: Judge) -> None:
    """The learning rate stays, weight decay moves by half an octave per doubling: the worse one decides."""
    result = judge(two_slices(0.5), "--value-column", "lr", "--value-column", "wd", "--json")

    assert result.exit_code == 1
    rate, decay = document(result)["slices"]
    assert (rate["columns"]["hyperparameter"], rate["verdict"], rate["held"]) == (
        "learning_rate",
        "TRANSFERS",
        {"wd": "0.1"},
    )
    assert (decay["columns"]["hyperparameter"], decay["verdict"]) == ("weight_decay", "DRIFTS")
    assert decay["held"] == {"lr": "0.00390625"}
    drift = decay["groups"][0]["drift"]
    assert drift["low"] <= 0.5 <= drift["high"]
    assert document(result)["verdict"] == "DRIFTS"


def test_slices_are_named_in_the_terminal(judge: Judge) -> None:
    """What was held, what was left out, a verdict each and the worst one last."""
    result = judge(two_slices(), "--value-column", "lr", "--value-column", "wd")

    assert result.exit_code == 0
    assert "slice of lr: rows with wd 0.1; " in result.stderr
    assert "learning_rate, with wd 0.1" in result.stdout
    assert "weight_decay, with lr 0.00390625" in result.stdout
    assert result.stdout.rstrip().endswith("overall: TRANSFERS")


def test_each_group_has_slices_of_its_own(judge: Judge) -> None:
    """Two parameterizations that were tuned to different points are both judged."""
    header, *rows = two_slices().splitlines()
    other = [row.replace(",0.1,", ",0.3,") for row in rows]
    text = "\n".join([header + ",param", *(f"{row},mup" for row in rows), *(f"{row},sp" for row in other)])
    result = judge(text, "--value-column", "lr", "--value-column", "wd", "--group-column", "param", "--json")

    rate = document(result)["slices"][0]
    assert [group["group"] for group in rate["groups"]] == ["mup", "sp"]
    assert rate["held"] == {"wd": "0.1, 0.3"}


def test_a_table_without_slices_is_refused(judge: Judge) -> None:
    """A random search varies everything at once: no line has three values of one column."""
    generator = random.Random(0)
    rows = [
        f"{width},{2 ** generator.uniform(-12, -4)},{generator.uniform(0, 1)},0,2.0"
        for width in (64, 128)
        for _ in range(20)
    ]
    result = judge("\n".join(["width,lr,wd,seed,loss", *rows]), "--value-column", "lr", "--value-column", "wd")

    assert result.exit_code == 2
    assert "must hold a slice for `lr`" in result.stderr


@pytest.mark.parametrize("columns", [("lr", "lr"), ("lr", "oops")])
def test_value_columns_must_be_columns_of_their_own(judge: Judge, columns: tuple[str, str]) -> None:
    """A repeated or unknown name is refused."""
    result = judge(two_slices(), "--value-column", columns[0], "--value-column", columns[1])

    assert result.exit_code == 2
    assert "of its own" in result.stderr


def test_losses_that_overflow_are_divergences(judge: Judge) -> None:
    """Whether a blown-up run is written as nan, as a word or as an overflow, the judgement is the same."""
    rows = ladder()
    expected = document(judge(csv_of(rows), "--json"))["groups"]
    for written in ("diverged", "1e30", "3e38"):
        found = document(judge(csv_of(rows).replace("nan", written), "--json"))
        assert found["groups"] == expected
        assert found["rows"]["diverged"] == sum(math.isnan(row.loss) for row in rows)
    for shift, factor in ((0, 1), (-1e3, 1), (7, 1e-3)):  # however losses are written
        moved = [row._replace(loss=shift + factor * (1e9 if math.isnan(row.loss) else row.loss)) for row in rows]
        found = document(judge(csv_of(moved), "--json"))
        assert found["rows"]["diverged"] == sum(math.isnan(row.loss) for row in rows)


def test_losses_far_below_the_best_value_are_no_divergences(judge: Judge) -> None:
    """Only values above the best one can have diverged: a tiny learning rate trains nothing, which is no cliff."""
    rows = [row._replace(loss=5e4 if row.learning_rate < 2**-10.5 else row.loss) for row in ladder(cliff=9)]
    assert document(judge(csv_of(rows), "--json"))["rows"]["diverged"] == 0


def test_blank_losses_above_the_best_values_get_advice(judge: Judge) -> None:
    """Blank cells may be divergences or lost runs: they are left out, and the way to write a divergence is said."""
    result = judge(csv_of(ladder()).replace("nan", ""))
    assert "if these runs diverged, write nan there" in result.stderr
    scattered = [row._replace(loss=math.nan if row.learning_rate == 2**-10 else row.loss) for row in ladder(cliff=9)]
    assert "write nan there" not in judge(csv_of(scattered).replace("nan", "")).stderr


def test_values_may_be_powers(judge: Judge) -> None:
    """2^-8 and 2**-8 are the numbers they say."""
    rows = ladder()
    expected = document(judge(csv_of(rows), "--json"))["groups"]
    for power in ("2^{}", "2**{}"):
        text = csv_of(rows)
        for exponent in range(-11, -4):
            text = text.replace(f",{2.0**exponent!r},", f",{power.format(exponent)},")
        assert document(judge(text, "--json"))["groups"] == expected


def test_models_called_by_their_size_are_sizes(judge: Judge) -> None:
    """70M and 1.4B in a column `model` are parameter counts; names that are none are not taken for sizes."""
    labels = {64: "70M", 128: "160M", 256: "410M", 512: "1.4B"}

    def named(row: str) -> str:
        width, rest = row.split(",", 1)
        return f"{labels.get(int(width), '')},{rest}" if width.isdecimal() else row

    text = "\n".join(map(named, csv_of(ladder()).replace("width", "model").splitlines()))
    group = document(judge(text, "--json"))["groups"][0]
    assert [size["value"] for size in group["sizes"]] == [70e6, 160e6, 410e6, 1.4e9]
    assert judge(text.replace("70M", "small")).exit_code == 2


def test_a_table_with_sizes_as_columns_says_what_is_needed(judge: Judge) -> None:
    """Papers print one column per width; where the rest does not say what they are, the way out is said."""
    result = judge("rate,128,256,512\n0.001,2.9,2.8,2.7\n0.002,2.8,2.7,2.6\n")
    assert result.exit_code == 2
    assert "--wide width" in result.stderr
    assert "one row per run" in result.stderr


def test_training_losses_are_a_limit(judge: Judge) -> None:
    """Memorised data make training losses a poor judge; the report says so, not only the log."""
    text = csv_of(ladder(), header="width,lr,seed,train_loss")
    assert any("training data" in limit for limit in document(judge(text, "--json"))["groups"][0]["limits"])
    assert not any(
        "training data" in limit for limit in document(judge(csv_of(ladder()), "--json"))["groups"][0]["limits"]
    )


def test_a_target_that_the_table_covers(judge: Judge) -> None:
    """Twice the largest width of a ladder that stands still: covered, and the status is the verdict's."""
    result = judge(GOOD, "--target", "width=1024", "--json")
    found = document(result)["groups"][0]["target"]

    assert [axis["axis"] for axis in found["axes"]] == ["width"]
    assert found["covered"] is (found["axes"][0]["standing"] == "covered")
    assert result.exit_code == (0 if found["covered"] else 3)


def test_a_target_on_an_axis_that_no_run_varied_is_not_covered(judge: Judge) -> None:
    """The table says nothing of tokens: status 3 although the value carries over along width."""
    result = judge(GOOD, "--target", "width=1024,tokens=2e11", "--json")
    found = document(result)["groups"][0]

    assert found["verdict"] == "TRANSFERS"
    assert {axis["axis"]: axis["standing"] for axis in found["target"]["axes"]}["tokens"] == "not covered"
    assert result.exit_code == 3


def test_tokens_that_follow_the_size_are_no_axis_of_their_own(judge: Judge) -> None:
    """Rows of 20 tokens per width: naming the target's own changes nothing, ten times as many are not covered."""
    header, *rows = GOOD.splitlines()
    text = "\n".join([f"{header},tokens", *(f"{row},{20 * int(row.split(',')[0])}" for row in rows)])
    plain, on, off = (
        judge(text, "--value-column", "lr", "--target", f"width=1024{more}", "--json")
        for more in ("", ",tokens=20480", ",tokens=204800")
    )
    found = [document(each)["groups"][0] for each in (plain, on, off)]

    assert plain.exit_code == on.exit_code == (0 if found[0]["target"]["covered"] else 3)
    assert found[1]["prediction"] == found[0]["prediction"]
    assert off.exit_code == 3
    standings = [{axis["axis"]: axis["standing"] for axis in each["target"]["axes"]} for each in found]
    assert standings[1] == standings[0] | {"tokens_per_width": "unchanged"}
    assert standings[2]["tokens_per_width"] == "not covered"
    assert found[2]["prediction"]["loss"] is None
    assert "10 times that of the proxy" in found[2]["target"]["sentence"]


@pytest.mark.parametrize("target", ["tokens=2e11", "width=", "width=0", "wide", "width=64,width=128", "64,width=128"])
def test_a_target_that_cannot_be_understood(judge: Judge, target: str) -> None:
    """The table's own size is needed, once, and every size is positive."""
    result = judge(GOOD, "--target", target)

    assert result.exit_code == 2
    assert "--target" in result.stderr
