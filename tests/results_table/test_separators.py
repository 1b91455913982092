"""Thousands and decimals: every way to write 1000, and no way in which it silently becomes 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.results_table.cells import column_numbers
from hptransfer.results_table.readers import read_table
from tests.support.judged_tables import judge_in, judged, ladder_of, words
from tests.support.result_tables import ladder

WIDTHS = (250, 500, 1000, 2000, 4000)


def exported(write: str, delimiter: str, *, decimal: str = ".") -> str:
    """The ladder with widths of four digits written with a separator, as a spreadsheet does."""
    lines = [delimiter.join(["width", "lr", "seed", "loss"])]
    for row in ladder(widths=WIDTHS):
        width = f"{row.width:,}".replace(",", write)
        numbers = [repr(row.learning_rate), str(row.seed), repr(row.loss)]
        cells = [width, *(text.replace(".", decimal) for text in numbers)]
        lines.append(delimiter.join(f'"{cell}"' for cell in cells))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("write", "delimiter", "decimal"),
    [
        (",", ",", "."),
        (",", ";", "."),
        (",", "\t", "."),
        (" ", ",", "."),
        (" ", ";", ","),
        ("\u00a0", ";", ","),
        ("\u202f", ";", ","),
        ("'", ",", "."),
        ("\u2019", ";", "."),
        ("_", ",", "."),
        (".", ";", ","),
        (".", "\t", ","),
    ],
)
def test_a_thousand_is_a_thousand(tmp_path: Path, write: str, delimiter: str, decimal: str) -> None:
    """The same runs, the same judgement, whatever separates thousands and decimals."""
    judge = judge_in(tmp_path)
    plain = judged(judge(exported("", ","), "--json"))
    result = judge(exported(write, delimiter, decimal=decimal), "--json")

    assert ladder_of(judged(result)) == list(WIDTHS)
    assert judged(result)["groups"] == plain["groups"]
    assert f"1{write}000 is read as 1000" in result.stderr


def numbers(tmp_path: Path, text: str, column: str, mark: str | None = None, *, sizes: bool = False) -> list[float]:
    """A column of a table."""
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    table = read_table(path, mark=mark, is_size=lambda name: name == column and sizes)
    return [float(value) for value in column_numbers(table, column, sizes=sizes)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # its own column shows what the comma is
        ('x,y\n"1,000",1\n"0,5",2\n', [1, 0.5]),
        ('x,y\n"1,000",1\n"1,5",2\n', [1, 1.5]),
        ('x,y\n"1,000",1\n"1,234,567",2\n', [1000, 1234567]),
        ('x,y\n"1,000",1\n"2,000.5",2\n', [1000, 2000.5]),
        ('x,y\n"1,000",1\n12.5,2\n', [1000, 12.5]),
        ("x;y\n1.000;1\n0,5;2\n", [1000, 0.5]),
        ("x;y\n1.000;1\n1.000.000;2\n", [1000, 1000000]),
        ("x;y\n1.000;1\n1.234,5;2\n", [1000, 1234.5]),
        # other numbers of the file do
        ('x,y\n"1,000",0.5\n500,0.25\n', [1000, 500]),
        ("x;y\n3,394;0,5\n3,326;0,25\n", [3.394, 3.326]),
        ("x;y\n1.000;0,5\n500;0,25\n", [1000, 500]),
        # without commas a point is a decimal point
        ("x,y\n3.394,1\n3.326,2\n", [3.394, 3.326]),
        ("x,y\n1.000,1\n1.500,2\n", [1, 1.5]),
        # exponents, signs, the minus of typesetters
        ('x,y\n"1,5e-3",1\n"-0,5",2\n', [0.0015, -0.5]),
        ("x,y\n1e\u22123,1\n\u22120.5,2\n", [0.001, -0.5]),
        ("x,y\n2^\u22123,1\n3 x 10^-4,2\n", [0.125, 3e-4]),
        # groups of three and nothing else
        ("x,y\n1_000,1\n12 500,2\n", [1000, 12500]),
    ],
)
def test_the_file_says_what_its_separators_are(tmp_path: Path, text: str, expected: list[float]) -> None:
    """Each reading follows from what else stands in the column or in the file."""
    assert numbers(tmp_path, text, "x") == expected


@pytest.mark.parametrize(
    ("text", "cell", "sizes"),
    [
        ('x,y\n"1,000",1\n500,2\n', "1,000", False),  # nothing shows a decimal mark
        ('x,y\n"1,000",1\n"2,000",2\n', "1,000", True),
        ('x,y\n"3,394",0.5\n"3,326",0.25\n', "3,394", False),  # a loss in a file with decimal points
        ("x;y\n1,000;0,5\n500;0,25\n", "1,000", True),  # a size in a file with decimal commas
        ("x;y\n3.394;0,5\n3.326;0,25\n", "3.394", False),
        ('x,y\n"1,000",1\n"0,5",2\n"0.25",3\n', "1,000", False),  # both in one column
        ('x,y,z\n"1,000",0.5,"0,5"\n500,0.25,"0,25"\n', "1,000", True),  # both in one file
        ("x,y\n1.000,0.5\n250,0.25\n2.000,0.1\n", "1.000", True),  # whole numbers beside three zeros
    ],
)
def test_two_readings_are_refused(tmp_path: Path, text: str, cell: str, sizes: bool) -> None:
    """The cell, its line, both readings, and the two options that end the doubt."""
    with pytest.raises(UsageError) as refused:
        numbers(tmp_path, text, "x", sizes=sizes)

    (finding,) = refused.value.findings
    assert finding.place is not None
    assert finding.place.line == 2
    assert cell in str(finding.received)
    assert "--decimal ." in str(finding.hint)
    assert "--decimal ," in str(finding.hint)
    whole, fraction = float(cell.replace(",", "").replace(".", "")), float(cell.replace(",", "."))
    by_point, by_comma = (whole, fraction) if "," in cell else (fraction, whole)
    assert numbers(tmp_path, text, "x", ".", sizes=sizes)[0] == by_point
    assert numbers(tmp_path, text, "x", ",", sizes=sizes)[0] == by_comma


@pytest.mark.parametrize("cell", ["64_1", "1,00,000", "1 00", "1'0000", "1_0000", "10000,000.5"])
def test_what_is_no_grouping_is_no_number(tmp_path: Path, cell: str) -> None:
    """Digits are in groups of three or it is text, also where Python's float would take it (64_1 is no 641)."""
    with pytest.raises(UsageError, match=r"must hold numbers|one reading"):
        numbers(tmp_path, f'x,y\n"{cell}",0.5\n500,0.25\n', "x")


def test_a_comma_in_a_column_that_is_not_judged_changes_nothing(tmp_path: Path) -> None:
    """Notes and lists of heads may hold commas; the ladder is judged as without them."""
    judge = judge_in(tmp_path)
    rows = ladder()
    plain = ["width,lr,seed,loss", *(f"{r.width},{r.learning_rate},{r.seed},{r.loss}" for r in rows)]
    noted = ["width,lr,seed,loss,note", *(f'{r.width},{r.learning_rate},{r.seed},{r.loss},"a, b"' for r in rows)]

    assert judged(judge("\n".join(noted), "--json"))["groups"] == judged(judge("\n".join(plain), "--json"))["groups"]


def test_the_decimal_option_takes_two_marks(tmp_path: Path) -> None:
    """Anything else is refused."""
    result = judge_in(tmp_path)("width,lr,loss\n64,0.1,2\n", "--decimal", "x")

    assert result.exit_code == 2
    assert "`--decimal` takes . or ," in words(result.stderr)
