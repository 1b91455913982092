"""Pivots, panels and names of runs: the runs are those of the long table, or it is said how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.judged_tables import judge_in, judged, ladder_of, words
from tests.support.result_tables import Row, csv_of, ladder

ROWS = ladder(widths=(96, 192, 384, 768), seeds=1)
LONG = csv_of(ROWS)
WIDTHS = (96, 192, 384, 768)
RATES = sorted({row.learning_rate for row in ROWS})


def loss_at(width: int, rate: float, seed: int = 0, rows: Sequence[Row] = ROWS) -> str:
    """The cell of one run."""
    return repr(next(r.loss for r in rows if (r.width, r.learning_rate, r.seed) == (width, rate, seed)))


def pivot(heads: Sequence[str], first: str = "lr") -> str:
    """Rates down, widths across."""
    lines = [",".join([first, *heads])]
    lines += [",".join([repr(rate), *(loss_at(width, rate) for width in WIDTHS)]) for rate in RATES]
    return "\n".join(lines)


def markdown(heads: Sequence[str]) -> str:
    """The same between bars, with prose around it, and every lowest loss in bold."""
    best = {width: min(r.loss for r in ROWS if r.width == width and r.loss == r.loss) for width in WIDTHS}
    lines = ["# A sweep", "", "Learning rates by width | all of it:", ""]
    lines += ["| " + " | ".join(["`lr`", *heads]) + " |", "|:--|" + "--:|" * len(heads)]
    for rate in RATES:
        cells = [loss_at(width, rate) for width in WIDTHS]
        marked = [f"**{c}**" if c == repr(best[w]) else c for c, w in zip(cells, WIDTHS, strict=True)]
        lines.append("| " + " | ".join([repr(rate), *marked]) + " |")
    return "\n".join([*lines, "", "and so on"])


@pytest.mark.parametrize(
    ("content", "name", "options"),
    [
        (pivot([str(w) for w in WIDTHS]), "runs.csv", []),
        (pivot([f"w{w}" for w in WIDTHS]), "runs.csv", []),
        (pivot([f"width={w}" for w in WIDTHS]), "runs.csv", []),
        (pivot([f"d{w}" for w in WIDTHS]), "runs.csv", ["--wide", "width"]),
        (pivot([f"loss (dim {w})" for w in WIDTHS]), "runs.csv", ["--wide", "width"]),
        (pivot([f"d{w}" for w in WIDTHS]), "runs.csv", ["--name-pattern", "d{width}"]),
        (markdown([str(w) for w in WIDTHS]), "runs.md", []),
        (markdown([f"**{w}**" for w in WIDTHS]), "README.markdown", ["--wide", "width"]),
    ],
)
def test_a_pivot_is_the_long_table(tmp_path: Path, content: str, name: str, options: list[str]) -> None:
    """Sizes, optima and drift are those of the same runs in rows; a size without a name is not known to be a width."""
    judge = judge_in(tmp_path)
    result = judge(content, "--json", *options, name=name)
    named = judged(result)["columns"]["size"]
    long = judged(judge(LONG.replace("width", "size") if named == "size" else LONG, "--json"))["groups"][0]
    found = judged(result)["groups"][0]

    assert ladder_of(judged(result)) == list(WIDTHS)
    assert found["sizes"] == long["sizes"]
    assert found["drift"] == long["drift"]
    assert "are read as rows of" in result.stderr


def test_a_transposed_pivot_needs_one_word(tmp_path: Path) -> None:
    """Widths down, rates across: what the numbers are is not said, and the hint says how to say it."""
    judge = judge_in(tmp_path)
    lines = [",".join(["width", *map(repr, RATES)])]
    lines += [",".join([str(width), *(loss_at(width, rate) for rate in RATES)]) for width in WIDTHS]
    refused = judge("\n".join(lines))
    found = judged(judge("\n".join(lines), "--wide", "lr", "--json"))

    assert refused.exit_code == 2
    assert "--wide lr" in refused.stderr
    assert found["groups"][0]["drift"] == judged(judge(LONG, "--json"))["groups"][0]["drift"]


def test_columns_of_seeds_are_no_sizes(tmp_path: Path) -> None:
    """Columns 0, 1, 2 beside a width: `--wide seed` says what they are; without it they are no ladder."""
    judge = judge_in(tmp_path)
    rows = ladder()
    cells = sorted({(r.width, r.learning_rate) for r in rows})
    lines = ["width,lr,0,1,2"]
    lines += [f"{w},{lr!r}," + ",".join(loss_at(w, lr, seed, rows) for seed in range(3)) for w, lr in cells]
    found = judged(judge("\n".join(lines), "--wide", "seed", "--json"))

    assert judge("\n".join(lines)).exit_code == 2
    assert found["groups"][0] == judged(judge(csv_of(rows), "--json"))["groups"][0]


def test_numbers_in_a_row_are_not_taken_for_sizes(tmp_path: Path) -> None:
    """lr,1,2,3 may be seeds or layers: asked."""
    lines = ["lr,1,2,3", *(f"{rate!r},2.5,2.4,2.3" for rate in RATES)]
    result = judge_in(tmp_path)("\n".join(lines))

    assert result.exit_code == 2
    assert "--wide" in result.stderr


NAMES = {
    "w{w}-lr{lr}-s{s} - eval/loss": [],
    "width={w},lr={lr},seed={s} - loss": [],
    "config.width: {w} - config.lr: {lr} - config.seed: {s} - eval/loss": [],
    "mup_d_model{w}_lr{lr}_seed{s} - val_loss": [],
    "run {w}x{lr}/{s} - val_loss": ["--name-pattern", "run {width}x{lr}/{seed}"],
    "{s}|{lr}|{w}|deadbeef - val_loss": ["--name-pattern", "{seed}|{lr}|{width}|{}"],
}


def panel(name: str, *, envelope: bool = True, early: tuple[str, int] | None = None) -> str:
    """A line plot's export: rows of steps, a column per run, its envelope beside it; runs log at every second step."""
    rows = ladder(widths=(64, 128, 256))
    heads = [name.format(w=r.width, lr=f"{r.learning_rate:.3g}", s=r.seed) for r in rows]
    ends = ("", "__MIN", "__MAX") if envelope else ("",)
    lines = [",".join(['"Step"', *(f'"{head}{end}"' for head in heads for end in ends)])]
    for step in (50, 100, 150, 200):
        cells = []
        for head, row in zip(heads, rows, strict=True):
            gone = early is not None and head.startswith(early[0]) and step > early[1]
            loss = "" if gone else repr(row.loss * (1 + (200 - step) / 100))
            cells += [f'"{loss}"'] * len(ends)
        lines.append(",".join([f'"{step}"', *cells]))
    return "\n".join(lines)


@pytest.mark.parametrize("envelope", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_panel_is_the_long_table(tmp_path: Path, name: str, envelope: bool) -> None:
    """The last step of every line is the run's loss, whatever runs are called."""
    judge = judge_in(tmp_path)
    rows = ladder(widths=(64, 128, 256))
    shown = [row._replace(learning_rate=float(f"{row.learning_rate:.3g}")) for row in rows]
    result = judge(panel(name, envelope=envelope), "--json", *NAMES[name])
    found, long = judged(result), judged(judge(csv_of(shown), "--json"))

    assert found["groups"][0]["sizes"] == long["groups"][0]["sizes"]
    assert found["groups"][0]["drift"] == long["groups"][0]["drift"]
    assert found["rows"]["used"] == len(rows)


def test_a_line_that_stops_early_is_named(tmp_path: Path) -> None:
    """A run of the panel without its last steps is no finished run."""
    result = judge_in(tmp_path)(panel("w{w}-lr{lr}-s{s} - loss", early=("w64-lr0.00391-s1", 100)), "--json")

    assert judged(result)["rows"]["left_out"]["of runs that ended before the others of their size"] == 1
    assert "w64-lr0.00391-s1 (width 64) at Step 100 of 200" in words(result.stderr)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("{w}_{lr}_{s} - loss", [], "must say size and value"),
        ("w{w}-lr{lr}-{s}abc - loss", [], "must say size and value"),  # something unnamed differs
        ("w{w}-lr{lr}-s{s} - loss", ["--name-pattern", "width{width}-lr{lr}"], "every name must follow the pattern"),
        ("w{w}-lr{lr}-s{s} - loss", ["--name-pattern", "w-lr"], "no column in braces"),
        ("w{w}-lr{lr}-s{s} - loss", ["--name-pattern", "w{width}{lr}"], "nothing between two columns"),
        ("w{w}-lr{lr}-s{s} - loss", ["--name-pattern", "w{width}-lr{width}"], "a column twice"),
        ("w{w}-lr{lr}-s{s} - loss", ["--name-pattern", "w{width}-{}", "--wide", "width"], "give one"),
    ],
)
def test_names_that_do_not_say_it(tmp_path: Path, name: str, options: list[str], said: str) -> None:
    """Refused, with a pattern that can be pasted."""
    result = judge_in(tmp_path)(panel(name), *options)

    assert result.exit_code == 2
    assert said in words(result.stderr)


def test_a_table_of_runs_may_say_everything_in_its_names(tmp_path: Path) -> None:
    """W&B's runs table with a name and a loss, and nothing else."""
    judge = judge_in(tmp_path)
    rows = ladder()
    lines = ["Name,State,val_loss", *(f"w{r.width}-lr{r.learning_rate!r}-s{r.seed},finished,{r.loss!r}" for r in rows)]
    odd = [line.replace("w", "", 1).replace("-lr", "/").replace("-s", "/") if "-lr" in line else line for line in lines]
    found = judge("\n".join(lines), "--json")
    patterned = judge("\n".join(odd), "--json", "--name-pattern", "{width}/{lr}/{seed}")
    expected = judged(judge(csv_of(rows), "--json"))["groups"][0]["drift"]

    assert judged(found)["groups"][0]["drift"] == expected
    assert judged(patterned)["groups"][0]["drift"] == expected
    assert "read from the names in column Name" in found.stderr
    assert judge("\n".join(odd)).exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("lr,96,192\n0.1,2.0,x\n0.2,2.0,1.9\n", "must be named where it is not obvious"),
        (",96,192\n0.1,2.0,1.8\n0.2,2.0,1.9\n", "name the first column too"),
        ("| a | b |\n|--|--|\n| 1 | 2 |\n\n| c | d |\n|--|--|\n| 1 | 2 |\n", "must hold one table"),
        ("no table\n", "must hold one table"),
    ],
)
def test_pivots_that_cannot_be_read(tmp_path: Path, content: str, said: str) -> None:
    """Text among losses, a nameless first column, two tables in one file."""
    result = judge_in(tmp_path)(content, name="runs.md" if "|" in content or content[0] == "n" else "runs.csv")

    assert result.exit_code == 2
    assert said in words(result.stderr)


def test_widths_across_may_have_separators(tmp_path: Path) -> None:
    """512 beside "1,024": thousands, as in cells."""
    rows = ladder(widths=(512, 1024, 2048, 4096), seeds=1)
    lines = ['lr,512,"1,024","2,048","4,096"']
    lines += [",".join([repr(x), *(loss_at(w, x, rows=rows) for w in (512, 1024, 2048, 4096))]) for x in RATES]
    result = judge_in(tmp_path)("\n".join(lines), "--json")

    assert ladder_of(judged(result)) == [512, 1024, 2048, 4096]
    assert "1,024 is read as 1024" in result.stderr
