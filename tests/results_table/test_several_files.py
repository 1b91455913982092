"""Several files as one table: columns that mean the same are one, a run counts once, every message names its file."""

from __future__ import annotations

import json
import math
from pathlib import Path

from typer.testing import CliRunner

from hptransfer.cli.app import app
from tests.support.judged_tables import judge_in, judged, ladder_of, words
from tests.support.result_tables import csv_of, ladder

ROWS = ladder()
SMALL = [row for row in ROWS if row.width < 200]
LARGE = [row for row in ROWS if row.width > 200]


def test_sizes_in_two_files_are_one_ladder(tmp_path: Path) -> None:
    """Columns of other names, another order, another format and logarithms: the same runs, the same judgement."""
    judge = judge_in(tmp_path)
    plain = judged(judge(csv_of(ROWS), "--json"))
    other = ["seed;d_model;log2lr;val_loss"]
    other += [f"{r.seed};{r.width};{math.log2(r.learning_rate)};{r.loss}" for r in LARGE]
    records = [{"config": {"n_embd": r.width, "lr": r.learning_rate, "seed": r.seed}, "loss": r.loss} for r in LARGE]
    for second in (
        {"b.csv": csv_of(LARGE)},
        {"b.csv": "\n".join(other)},
        {"b.jsonl": "\n".join(json.dumps(record) for record in records)},
        {"b.csv": "\n".join(other).replace(".", ",")},
    ):
        result = judge({"a.csv": csv_of(SMALL), **second}, "--json")
        found = judged(result)
        assert found["groups"][0]["sizes"] == plain["groups"][0]["sizes"]
        assert found["groups"][0]["drift"] == plain["groups"][0]["drift"]
        assert found["source"] == f"{tmp_path / 'a.csv'}, {tmp_path / next(iter(second))}"
        assert found["columns"]["size"] == "width"


def test_renamed_columns_are_said(tmp_path: Path) -> None:
    """What is called otherwise in the second file stands on stderr, and what only one file has."""
    text = csv_of(LARGE, header="d_model,lr,seed,loss").replace("\n", ",1\n").replace("loss,1", "loss,batch_size")
    result = judge_in(tmp_path)({"a.csv": csv_of(SMALL), "b.csv": text}, "--json")

    assert "d_model is width" in words(result.stderr)
    assert f"column batch_size is not in {tmp_path / 'a.csv'}" in words(result.stderr)


def test_a_run_in_two_files_counts_once(tmp_path: Path) -> None:
    """The same rows in both, or one file named twice."""
    judge = judge_in(tmp_path)
    plain = judged(judge(csv_of(ROWS), "--json"))
    overlap = [row for row in ROWS if row.width < 300]
    result = judge({"a.csv": csv_of(overlap), "b.csv": csv_of(ROWS)}, "--json")

    assert judged(result)["groups"][0]["sizes"] == plain["groups"][0]["sizes"]
    assert judged(result)["rows"]["left_out"] == {"that repeat another row": len(overlap)}
    assert f"left out: {len(overlap)} rows that repeat another row" in words(result.stderr)
    twice = CliRunner().invoke(app, ["judge", str(tmp_path / "b.csv"), str(tmp_path / "b.csv"), "--json"])
    assert judged(twice)["groups"] == plain["groups"]
    assert "is named twice and counts once" in words(twice.stderr)


def test_files_are_groups(tmp_path: Path) -> None:
    """`--group-column source`: a verdict per file, the worst one overall."""
    result = judge_in(tmp_path)(
        {"mup.csv": csv_of(ladder()), "sp.csv": csv_of(ladder(drift=-0.8))}, "--group-column", "source", "--json"
    )
    found = judged(result)

    assert {Path(group["group"]).name: group["verdict"] for group in found["groups"]} == {
        "mup.csv": "TRANSFERS",
        "sp.csv": "DRIFTS",
    }
    assert result.exit_code == 1


def test_messages_name_the_file(tmp_path: Path) -> None:
    """The line is the line of that file."""
    result = judge_in(tmp_path)({"a.csv": csv_of(SMALL), "b.csv": csv_of(LARGE) + "512,0.1,3,oops\n"})

    assert result.exit_code == 2
    assert f"b.csv:{len(LARGE) + 2}: column `loss` must hold numbers" in words(result.stderr)


def test_tables_of_other_axes_are_not_one(tmp_path: Path) -> None:
    """Widths and depths, learning rates and decays: refused with both names."""
    judge = judge_in(tmp_path)
    size = judge({"a.csv": csv_of(SMALL), "b.csv": csv_of(LARGE, header="depth,lr,seed,loss")})
    value = judge({"a.csv": csv_of(SMALL), "b.csv": csv_of(LARGE, header="width,wd,seed,loss")})

    assert size.exit_code == value.exit_code == 2
    assert "must have the same size" in words(size.stderr)
    assert "must have the same value" in words(value.stderr)


def test_one_history_per_file(tmp_path: Path) -> None:
    """Runs of the same name in two files are two runs."""
    judge = judge_in(tmp_path)

    def history(rows: list) -> str:  # type: ignore[type-arg]
        lines = ["run,step,width,lr,seed,loss"]
        for index, r in enumerate(rows):
            lines += [f"{index},{s},{r.width},{r.learning_rate!r},{r.seed},{r.loss + 1 - s / 100}" for s in (50, 100)]
        return "\n".join(lines)

    found = judged(judge({"a.csv": history(SMALL), "b.csv": history(LARGE)}, "--run-column", "run", "--json"))

    assert ladder_of(found) == [64, 128, 256, 512]
    assert found["groups"][0]["drift"]["low"] <= 0 <= found["groups"][0]["drift"]["high"]
    assert found["rows"]["used"] == len(ROWS)


def test_other_losses_of_the_same_runs_are_refused(tmp_path: Path) -> None:
    """Two experiments with the same sizes, values and seeds: what differs is the file, and that can be judged apart."""
    shifted = [row._replace(loss=row.loss * 1.1) for row in ROWS]
    files = {"a.csv": csv_of(ROWS), "b.csv": csv_of(shifted)}
    judge = judge_in(tmp_path)
    refused = judge(files)

    assert refused.exit_code == 2
    assert "--group-column source" in words(refused.stderr)
    assert judged(judge(files, "--group-column", "source", "--json"))["verdict"] == "TRANSFERS"


def test_a_file_per_seed_is_one_table(tmp_path: Path) -> None:
    """The file goes with the seed, and is no setting: the judgement is that of one file."""
    judge = judge_in(tmp_path)
    files = {f"seed{seed}.csv": csv_of([row for row in ROWS if row.seed == seed]) for seed in range(3)}

    assert judged(judge(files, "--json"))["groups"] == judged(judge(csv_of(ROWS), "--json"))["groups"]


def test_a_file_per_size_is_a_limit(tmp_path: Path) -> None:
    """Whatever else differs between two files moves along with the size: said, and judged as one ladder."""
    judge = judge_in(tmp_path)
    files = {f"w{width}.csv": csv_of([row for row in ROWS if row.width == width]) for width in (64, 128, 256, 512)}
    (group,), (plain,) = (judged(judge(each, "--json"))["groups"] for each in (files, csv_of(ROWS)))

    assert group["sizes"] == plain["sizes"]
    assert (group["verdict"], plain["verdict"]) == ("TRANSFERS", "TRANSFERS")
    assert next(limit for limit in group["limits"] if limit not in plain["limits"]).startswith(
        "source changes along with width"
    )
