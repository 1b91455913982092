"""Files that no exporter writes: a message each, soon, and never a traceback."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hptransfer.cli.app import app
from tests.support.judged_tables import judge_in, words
from tests.support.result_tables import csv_of, ladder

GOOD = csv_of(ladder())


def nested(depth: int) -> str:
    """An object within an object within ..."""
    return '{"a":' * depth + "1" + "}" * depth


HOSTILE: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
    "a million columns": ("runs.csv", lambda: ",".join(f"c{i}" for i in range(10**6)) + "\n", "20000 columns"),
    "a million equal columns": ("runs.csv", lambda: "a," * 10**6 + "a\n", "20000 columns"),
    "a million keys": ("runs.json", lambda: json.dumps([{f"k{i}": 1 for i in range(10**6)}]), "20000 columns"),
    "keys without end": (
        "runs.jsonl",
        lambda: "\n".join(json.dumps({f"k{i}_{j}": 1 for j in range(100)}) for i in range(1000)),
        "20000 columns",
    ),
    "a huge cell": ("runs.csv", lambda: "width,lr,loss\n64,0.1," + "9" * (2**24 + 1) + "\n", "well-formed CSV"),
    "a long number": ("runs.csv", lambda: "width,lr,loss\n64," + "9" * 10**6 + ",2\n", "positive and finite"),
    "a long word": ("runs.csv", lambda: "width,lr,loss\n64,0.1," + "a" * 10**6 + "\n", "must hold numbers"),
    "commas and points": ("runs.csv", lambda: 'width,lr,loss\n"' + "1,.'" * 10**5 + '",0.1,2\n', "must hold numbers"),
    "grouped without end": ("runs.csv", lambda: 'width,lr,loss\n"1' + ",000" * 10**5 + '",0.1,2\n', ""),
    "spaces and digits": ("runs.csv", lambda: "width,lr,loss\nw" + "1 " * 10**5 + ",0.1,2\n", "must hold numbers"),
    "powers": ("runs.csv", lambda: "width,lr,loss\n64,10^999,2\n", "positive and finite"),
    "bytes": ("runs.csv", lambda: bytes(range(256)) * 100, "must be UTF-8 text"),
    "nul": ("runs.csv", lambda: b"width,lr\x00,loss\n64,0.1,2\n", "a NUL character"),
    "half of utf-16": ("runs.csv", lambda: b"\xff\xfew\x00i\x00d", "must be UTF-8 text"),
    "nothing but a mark": ("runs.csv", lambda: b"\xef\xbb\xbf", "must have rows"),
    "an open quote": ("runs.csv", lambda: 'width,lr,loss\n"64,0.1,2\n' + "64,0.1,2\n" * 1000, "unclosed quote"),
    "deep json": ("runs.json", lambda: f"[{nested(900)}]", "nested 50 deep"),
    "deeper json": ("runs.json", lambda: f"[{nested(10**5)}]", ""),
    "no json": ("runs.jsonl", lambda: "{width: 64}\n", "valid JSON"),
    "huge integers": ("runs.json", lambda: '[{"width": ' + "9" * 5000 + ', "lr": 1, "loss": 1}]', ""),
    "lists": ("runs.json", lambda: "[[1, 2], [3, 4]]", "must be a JSON object"),
    "a number": ("runs.json", lambda: "17", "must be a JSON object"),
    "columns of several lengths": ("runs.json", lambda: '{"width": [1, 2], "lr": [1], "loss": [1, 2]}', ""),
    "bars": ("runs.md", lambda: "|" * 10**5 + "\n" + "|-" * 10**5 + "\n", ""),
    "rules": ("runs.md", lambda: "| a | b |\n" + "| -- | -- |\n" * 10**4, ""),
    "dashes": ("runs.md", lambda: "a|b\n" + "-" * 10**5 + "|" + ":-" * 10**5 + "\n", ""),
    "stars": ("runs.md", lambda: "| width | lr |\n|--|--|\n| " + "*" * 10**5 + " | 1 |\n", "must be named"),
    "ends of lines": ("runs.csv", lambda: GOOD.replace("\n", "\r") + "512,0.1,3,oops\r", "must hold numbers"),
    "escape sequences": ("runs.csv", lambda: "width,lr,loss\n64,0.1,\x1b[31mred\n", "must hold numbers"),
    "pairs": ("runs.csv", lambda: "name,loss\n" + "a1" * 10**5 + ",2\n" + "b_" * 10**5 + ",2\n", "must be named"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_gets_a_message(tmp_path: Path, case: str) -> None:
    """Exit status 2 within seconds; nothing reaches stdout, and no control character the terminal."""
    name, content, said = HOSTILE[case]
    start = time.process_time()
    result = judge_in(tmp_path)(content(), name=name)

    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert said in words(result.stderr)
    assert "\x1b" not in result.stderr
    assert len(result.stderr) < 4000
    assert time.process_time() - start < 10


def test_files_that_are_none(tmp_path: Path) -> None:
    """A pipe would wait for ever, a device never ends, a folder is not a table."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    for name, said in {
        "pipe.csv": "must be a file",
        "zero.csv": "must be a file",
        "folder.csv": "must be a file",
        "gone.csv": "must be readable",
        "absent.csv": "must be readable",
    }.items():
        result = CliRunner().invoke(app, ["judge", str(tmp_path / name)])
        assert result.exit_code == 2
        assert said in words(result.stderr)


def test_mixed_line_ends_and_marks_are_read(tmp_path: Path) -> None:
    """A byte order mark, old Macs' line ends, a trailing delimiter and blank lines change nothing."""
    judge = judge_in(tmp_path)
    plain = judge(GOOD, "--json")
    odd = "\ufeff" + GOOD.replace("\n", ",\r\r").replace("loss,", "loss,")

    assert judge(odd, "--json").stdout == plain.stdout


@pytest.mark.parametrize("orient", ["columns", "lists", "records"])
def test_what_pandas_writes_as_json(tmp_path: Path, orient: str) -> None:
    """Columns of rows by index, columns of lists, records: the same table."""
    judge = judge_in(tmp_path)
    rows = [row._replace(loss=row.loss if row.loss == row.loss else 1e9) for row in ladder()]
    columns: dict[str, list[float]] = {
        "width": [r.width for r in rows],
        "lr": [r.learning_rate for r in rows],
        "seed": [r.seed for r in rows],
        "loss": [r.loss for r in rows],
    }
    content: object = {
        "columns": {name: {str(i): cell for i, cell in enumerate(cells)} for name, cells in columns.items()},
        "lists": columns,
        "records": [dict(zip(columns, row, strict=True)) for row in rows],
    }[orient]
    result = judge(json.dumps(content), "--json", name="runs.json")

    assert json.loads(result.stdout)["groups"] == json.loads(judge(csv_of(rows), "--json").stdout)["groups"]
