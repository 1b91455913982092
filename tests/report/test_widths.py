"""What people read at terminals of several widths and in a pipe: nothing is cut off, words stay whole, carets fit."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.errors import Finding, Place
from hptransfer.linting.validate import validate
from hptransfer.report import rules
from hptransfer.report.columns import columns, folded, terminal_width
from hptransfer.report.findings import text as text_format
from hptransfer.report.findings._excerpts import excerpt
from hptransfer.report.findings.base import as_text
from tests.support.recipe_texts import MLP, edited
from tests.support.source_tree import ROOT

WIDTHS = (60, 80, 100)
_LONG = "a/path/of/a/machine/" * 5 + "recipe.yaml"
_WIDE = ("学習率を調整する", "학습률", "e\u0301tude a\u0300", "👍🏽 ok", "\u2708\ufe0f", "x" * 120)


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Columns of a terminal to which the standard output goes."""
    given: int = request.param
    for module in (text_format, rules):
        monkeypatch.setattr(module, "terminal_width", lambda: given)
    return given


def fits(line: str, width: int) -> bool:
    """Whether a line fits, or is one word that nothing could fold."""
    return columns(line) <= width or len(line.split()) == 1


def words(text: str) -> list[str]:
    """The words of a text, without where its lines end."""
    return text.split()


def test_validate(tmp_path: Path, width: int) -> None:
    """Long names, long lines and wide letters: every line fits, and every word of the pipe's text is there."""
    folder = tmp_path / "a-folder-with-a-rather-long-name" / "and another one"
    folder.mkdir(parents=True)
    text = edited(MLP, ("steps: 100", "step: 100"), ("name: small", f"description: {'long words ' * 20}\nname: 학 습"))
    (folder / "recipe.yaml").write_text(text + "chekc: {octaves: 3}  # " + "学" * 60 + "\n")
    result = validate(str(folder / "recipe.yaml"))

    lines = [line for piece in text_format.render([result]) for line in piece.split("\n")]

    assert [line for line in lines if not fits(line, width) and str(tmp_path) not in line] == []
    for finding in result.errors:
        whole = words(as_text(finding))
        assert [word for word in whole if word not in words("\n".join(lines))] == []


def test_rule_pages(width: int) -> None:
    """Every rule's page and the table: what is longer than the terminal is an example of YAML, which stays as it is."""
    for line in rules.as_table():
        assert all(fits(piece, width) for piece in line.split("\n")[:1]), line
    page = list(rules.rule_page("HPT300"))
    examples = page.index("\nWrong:\n")
    assert [line for line in page[:examples] if not fits(line, width)] == []


def test_a_table_says_all_words_at_every_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folded and whole, the rules' summaries have the same words."""
    here = words("\n".join(rules.as_table()))
    monkeypatch.setattr(rules, "terminal_width", lambda: None)

    assert here == words("\n".join(rules.as_table()))


@pytest.mark.parametrize("before", _WIDE)
@pytest.mark.parametrize("columns_there", WIDTHS)
def test_a_caret_stands_below_what_it_marks(before: str, columns_there: int) -> None:
    """Wide, joined and accented letters before it, in short lines and in windows of long ones."""
    line = f"{before * 3} {'y' * 30} steps: BAD {'z' * 200}"
    column = line.index("BAD") + 1

    shown, caret = excerpt(Place("f", 1, column), {"f": line}, columns_there)

    assert columns(shown) <= columns_there
    assert columns(caret.rstrip("^")) == columns(shown[: shown.index("BAD")])
    assert caret.count("^") == 3


def test_columns_of_letters() -> None:
    """By Unicode: two columns for wide letters, none for what joins the letter before."""
    assert [columns(text) for text in ("abc", "学習", "e\u0301", "\u2708\ufe0f", "한")] == [3, 4, 1, 1, 2]


def test_words_stay_whole() -> None:
    """A line is folded at spaces alone; in a pipe it is not folded."""
    line = f"hint: `hptransfer check recipe.yaml --runs {_LONG}` computes it anew"

    pieces = list(folded(line, 60))

    assert words("\n".join(pieces)) == words(line)
    assert pieces[0] == "hint: `hptransfer check recipe.yaml --runs"
    assert f"  {_LONG}`" in pieces
    assert list(folded(line, None)) == [line]


def test_an_error_without_a_terminal_is_one_line_each() -> None:
    """Scripts read lines: what was received, and the hint, are one each."""
    finding = Finding("a rule " * 30, "received " * 30, "a hint " * 30, Place("f", 1, 1))

    assert len(as_text(finding).split("\n")) == 4
    assert len(as_text(finding, width=80).split("\n")) > 10
    assert terminal_width(io.StringIO()) is None


@pytest.mark.parametrize("there", WIDTHS)
def test_a_real_terminal(tmp_path: Path, there: int) -> None:
    """The program itself at a terminal of that width: errors on both streams are folded, help too."""
    (tmp_path / "r.yaml").write_text(edited(MLP, ("steps: 100", "step: 100")))
    for words_given in (["validate", "r.yaml"], ["rule", "NOPE"], ["schema", "--help"], ["validate", "--help"]):
        lines = at_terminal(words_given, tmp_path, there)
        assert len(lines) > 2
        assert [line for line in lines if not fits(line, there)] == []


def at_terminal(arguments: list[str], folder: Path, width: int) -> list[str]:
    """Lines that the program writes to a terminal.

    Args:
        arguments: words after the program's name.
        folder: in which it runs.
        width: columns of the terminal.
    """
    primary, secondary = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "hptransfer", *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=secondary, stderr=secondary) as process:
        os.close(secondary)
        written = b""
        try:
            while piece := os.read(primary, 4096):
                written += piece
        except OSError:  # Linux says so at the end
            pass
        process.wait()
    os.close(primary)
    return written.decode().replace("\r", "").split("\n")


def test_columns_of_the_terminal_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where COLUMNS says nothing the terminal itself does, and a tiny one is not folded to pieces."""
    primary, secondary = pty.openpty()
    try:
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((7, 3)))
        with os.fdopen(secondary, "w", closefd=False) as stream:
            assert terminal_width(stream) == 40
    finally:
        os.close(primary)
        os.close(secondary)
