"""The last row of each run: equally long runs of a size are compared, shorter ones are named, longer ones refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.judged_tables import judge_in, judged, words
from tests.support.result_tables import Row, csv_of, ladder

ROWS = ladder(widths=(64, 128, 256))
STEPS = {64: 300, 128: 600, 256: 1200}


def run_name(row: Row) -> str:
    """What a run is called."""
    return f"run-{row.width}-{round(math.log2(row.learning_rate))}-{row.seed}"


def history(
    *,
    ends: Callable[[Row], int] = lambda row: STEPS[row.width],
    loss: Callable[[Row, float], str] = lambda row, done: repr(row.loss * (3 - 2 * done)),
    header: str = "run_id,step,width,lr,seed,val_loss",
) -> str:
    """Four rows per run, in the order in which runs log side by side."""
    lines = []
    for row in ROWS:
        for quarter in (1, 2, 3, 4):
            step = STEPS[row.width] * quarter // 4
            if step <= ends(row):
                text = loss(row, quarter / 4)
                lines.append((step, f"{run_name(row)},{step},{row.width},{row.learning_rate!r},{row.seed},{text}"))
    return "\n".join([header, *(line for _, line in sorted(lines))])


def test_the_last_rows_are_the_table_of_runs(tmp_path: Path) -> None:
    """Interleaved rows, each size with its own number of steps."""
    judge = judge_in(tmp_path)
    found = judged(judge(history(), "--run-column", "run_id", "--json"))

    assert found["groups"][0]["sizes"] == judged(judge(csv_of(ROWS), "--json"))["groups"][0]["sizes"]


def test_without_steps_the_order_of_the_file_counts(tmp_path: Path) -> None:
    """A history without a column of steps: the last row of each run in the file, which is said."""
    judge = judge_in(tmp_path)
    text = "\n".join(line.split(",", 2)[0] + "," + line.split(",", 2)[2] for line in history().splitlines())
    result = judge(text, "--run-column", "run_id", "--json")

    assert judged(result)["groups"][0]["sizes"] == judged(judge(csv_of(ROWS), "--json"))["groups"][0]["sizes"]
    assert "in the order of the file" in result.stderr


def early(row: Row) -> int:
    """Two runs end after a quarter, with a finite loss."""
    return STEPS[row.width] // (
        4 if (row.width, row.seed, row.learning_rate) in ((128, 1, 2**-8), (256, 0, 2**-9)) else 1
    )


def test_runs_that_ended_early_are_left_out_and_named(tmp_path: Path) -> None:
    """Their losses after a quarter of the steps are no final losses."""
    judge = judge_in(tmp_path)
    result = judge(history(ends=early), "--run-column", "run_id", "--json")
    complete = [row for row in ROWS if early(row) == STEPS[row.width]]

    assert judged(result)["rows"]["left_out"]["of runs that ended before the others of their size"] == 2
    assert "run-128--8-1 (width 128) at step 150 of 600" in words(result.stderr)
    assert "run-256--9-0 (width 256) at step 300 of 1200" in words(result.stderr)
    assert judged(result)["groups"][0]["sizes"] == judged(judge(csv_of(complete), "--json"))["groups"][0]["sizes"]


def test_runs_that_diverged_early_count_as_diverged(tmp_path: Path) -> None:
    """A run that ends on NaN after a quarter did not end early: it bounds the optimum."""
    judge = judge_in(tmp_path)
    stops = history(ends=lambda row: STEPS[row.width] // (4 if math.isnan(row.loss) else 1))
    found = judged(judge(stops, "--run-column", "run_id", "--json"))

    assert found["rows"]["diverged"] == sum(math.isnan(row.loss) for row in ROWS)
    assert "of runs that ended before the others of their size" not in found["rows"]["left_out"]


def test_steps_without_an_evaluation_are_no_losses(tmp_path: Path) -> None:
    """Empty cells and NaN between finite losses say that nothing was measured there."""
    judge = judge_in(tmp_path)
    expected = judged(judge(csv_of(ROWS), "--json"))["groups"][0]["sizes"]
    for nothing in ("", "nan"):
        lines = history().splitlines()
        cells = [line.split(",") for line in lines[1:] if not line.endswith("nan")]
        logged = [
            ",".join([run, str(int(step) + shift), *settings, nothing])
            for run, step, *settings, _ in cells
            for shift in (-1, 2)
        ]
        found = judged(judge("\n".join([*lines, *logged]), "--run-column", "run_id", "--json"))
        assert found["groups"][0]["sizes"] == expected


def test_a_run_that_is_longer_than_the_others_is_refused(tmp_path: Path) -> None:
    """Trained for longer it is not comparable; the hint selects a step that all runs have."""
    text = history() + "\n" + history().splitlines()[-1].replace(",1200,", ",2400,")
    result = judge_in(tmp_path)(text, "--run-column", "run_id")

    assert result.exit_code == 2
    assert "runs of one width must be equally long" in words(result.stderr)
    assert "--where step=" in result.stderr


def test_runs_without_a_usual_length_are_refused(tmp_path: Path) -> None:
    """Every run stopped when it wanted to: there is no final loss to compare."""
    lengths = {run_name(row): 100 + 7 * index for index, row in enumerate(ROWS)}
    lines = [
        f"{run_name(r)},{step},{r.width},{r.learning_rate!r},{r.seed},{r.loss if r.loss == r.loss else 9.0}"
        for r in ROWS
        for step in (50, lengths[run_name(r)])
    ]
    result = judge_in(tmp_path)("\n".join(["run_id,step,width,lr,seed,val_loss", *lines]), "--run-column", "run_id")

    assert result.exit_code == 2
    assert "must be equally long" in words(result.stderr)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line.replace("run-64--8-0,300,64,", "run-64--8-0,300,128,"), "a run must have one width"),
        (
            lambda line: line.replace("run-64--8-0,300,64,0.00390625", "run-64--8-0,300,64,0.0001"),
            "a run must have one lr",
        ),
    ],
)
def test_a_run_has_one_size_and_one_value(tmp_path: Path, change: Callable[[str], str], said: str) -> None:
    """A rate that follows a schedule is not what was tuned; two sizes under one name are two runs."""
    result = judge_in(tmp_path)("\n".join(map(change, history().splitlines())), "--run-column", "run_id")

    assert result.exit_code == 2
    assert said in words(result.stderr)


def test_a_history_without_the_option_is_refused_with_it(tmp_path: Path) -> None:
    """A name that a shell would split is quoted in the hint; selected to one step the table has a row per run."""
    judge = judge_in(tmp_path)
    refused = judge(history(header="Run Name,step,width,lr,seed,val_loss"))
    assert refused.exit_code == 2
    assert "--run-column 'Run Name'" in refused.stderr
    assert judge(history(), "--where", "step=300").exit_code in (0, 1, 3)


def test_a_run_column_must_exist(tmp_path: Path) -> None:
    """Misspelled: the columns are listed."""
    result = judge_in(tmp_path)(history(), "--run-column", "run")

    assert result.exit_code == 2
    assert "its columns are run_id, step" in words(result.stderr)
