"""What is printed of a stranger's text, line by line."""

from __future__ import annotations

import pytest

from hptransfer.errors import Place
from hptransfer.report.columns import folded, inert
from hptransfer.report.findings import excerpt


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("::error::x.yaml: valid", ": :error::x.yaml: valid"),
        ("  ::stop-commands::x", "  : :stop-commands::x"),
        ("note: passed over ##[error]x.yaml", "note: passed over # [error]x.yaml"),
        ("package::name, a ## heading and [a list]", "package::name, a ## heading and [a list]"),
    ],
)
def test_a_line_is_no_command_of_a_runner(line: str, printed: str) -> None:
    """GitHub's runner obeys `::command` where a line begins, and the older `##[command]` anywhere in it."""
    assert inert(line) == printed
    assert list(folded(line, None)) == [printed]


def test_a_fold_makes_no_command() -> None:
    """A word that a narrow terminal puts first on a line is text too."""
    assert list(folded("a name that is long: ::error::y", 24, "")) == ["a name that is long:", ": :error::y"]


def test_an_excerpt_is_no_command() -> None:
    """A recipe's own line is quoted with its columns as they are."""
    assert excerpt(Place("r.yaml", 1, 7), {"r.yaml": "name: abc ##[stop]"}) == [
        "   1 | name: abc # [stop]",
        "     |       ^^^",
    ]
