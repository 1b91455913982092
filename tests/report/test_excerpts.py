"""The line of a finding with a caret below it: where it points, how wide it is, what it never prints."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptransfer.errors import Place
from hptransfer.linting.validate import validate
from hptransfer.report.findings import excerpt
from hptransfer.report.findings.text import render
from tests.support.recipe_texts import MLP, edited


def shown(text: str, line: int | None, column: int | None) -> list[str]:
    """The excerpt of a text."""
    return excerpt(Place("f", line, column), {"f": text})


def width(text: str) -> int:
    """Columns of a terminal, by the standard library's tables."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("a\n  width: 60", (2, 10), ["   2 |   width: 60", "     |          ^^"]),
        ("a: 'b, c' # d", (1, 4), ["   1 | a: 'b, c' # d", "     |    ^^^^^^"]),
        ("a: [b, c]", (1, 4), ["   1 | a: [b, c]", "     |    ^"]),
        ("a: net:make, b", (1, 4), ["   1 | a: net:make, b", "     |    ^^^^^^^^"]),
        ("steps: 1", (1, 1), ["   1 | steps: 1", "     | ^^^^^"]),
        ("a:\tb", (1, 4), ["   1 | a: b", "     |    ^"]),
        ("a: 日本 b", (1, 7), ["   1 | a: 日本 b", "     |         ^"]),
        ("a: b", (1, 5), ["   1 | a: b", "     |     ^"]),
        ("a: b", (1, None), ["   1 | a: b"]),
        ("", (1, 1), ["   1 |", "     | ^"]),
        ("a", (2, 1), []),
        ("a", (None, None), []),
    ],
)
def test_where_the_caret_stands(text: str, place: tuple[int | None, int | None], expected: list[str]) -> None:
    """Under the value, one caret for each of its columns; a list has one at its bracket."""
    assert shown(text, *place) == expected


def test_no_other_file_is_shown() -> None:
    """Only texts that were validated, and never one that is read again."""
    assert excerpt(Place("/etc/passwd", 1, 1), {"f": "a"}) == []
    assert excerpt(None, {"f": "a"}) == []


def test_hidden_characters_are_not_printed() -> None:
    """Each takes the place of a question mark, so that the caret still points at it."""
    assert shown("a: \x1b[31mb\u202e", 1, 4) == ["   1 | a: ?[31mb?", "     |    ^"]


@given(st.text(st.characters(codec="utf-8"), max_size=300), st.integers(1, 4), st.integers(1, 301))
def test_any_text_fits(text: str, line: int, column: int) -> None:
    """No line is wider than 80 columns, nothing in it is hidden, and the caret is below the text."""
    lines = shown(text, line, column)

    assert all(width(each) <= 80 for each in lines)
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in lines for c in each)
    assert len(lines) in (0, 1, 2)


@given(st.integers(0, 400), st.integers(0, 400))
def test_a_long_line_is_cropped_around_the_caret(before: int, after: int) -> None:
    """What the caret points at is seen, however far to the right it stands."""
    text = "x " * before + "MARK" + " y" * after
    first, second = shown(text, 1, 2 * before + 1)

    start = second.index("^")
    assert first[start : start + 4] == "MARK"
    assert second.count("^") == 4
    assert len(first) <= 80


def test_text_of_a_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors and warnings together, in the order of their places, with numbers and excerpts of what was validated."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "r.yaml"
    file.write_text(
        edited(MLP, ("512]", "256]"), ("128, 256, ", "128, "), ("{kind: stdlib-text}", "{kind: text, files: [a]}"))
    )
    result = validate("r.yaml")
    file.write_text("something else\n" * 20)

    printed = "\n".join(render([result]))
    assert printed.startswith(
        "error[HPT210]: r.yaml:3:28: `data.files` must match files\n"
        "   3 | data: {kind: text, files: [a]}\n"
        "     |                            ^\n"
        '  received: "a" matches none\n\n'
        "hint: patterns are relative to the recipe's folder, ./\n\n"
        "warning[HPT200]: r.yaml:9:3: a ladder of widths should span at least a factor of 8\n"
        "   9 |   widths: [64, 128, 256]\n"
        "     |   ^^^^^^\n"
    )
    assert "something else" not in printed
