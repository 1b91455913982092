from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.errors import Finding, Place, printable
from hptransfer.report.findings import as_text
from hptransfer.report.findings.github import as_annotation
from hptransfer.report.findings.json import as_document

FULL = Finding("`width >= 1` must hold", "-3", "write 64", Place("r.yaml", 4, 7), "recipe/range")


def test_text() -> None:
    """The rule with its place, what was received, and after a blank line the hint."""
    assert as_text(FULL) == "error: r.yaml:4:7: `width >= 1` must hold\n  received: -3\n\nhint: write 64"


def test_text_of_a_bare_finding() -> None:
    """What is not known is left out."""
    assert as_text(Finding("no space"), "warning") == "warning: no space"


def test_document() -> None:
    """All keys are always there."""
    assert as_document(FULL) == {
        "level": "error",
        "id": None,
        "code": "recipe/range",
        "rule": "`width >= 1` must hold",
        "received": "-3",
        "hint": "write 64",
        "file": "r.yaml",
        "line": 4,
        "column": 7,
    }
    assert as_document(Finding("x"))["file"] is None


def test_annotation() -> None:
    """A workflow command with the position as properties and the parts of the message on lines of their own."""
    expected = (
        "::error file=r.yaml,line=4,col=7,title=recipe/range::`width >= 1` must hold%0Areceived: -3%0Ahint: write 64"
    )

    assert as_annotation(FULL, Path.cwd()) == expected


def test_annotation_escapes() -> None:
    """Percent signs are escaped everywhere, colons and commas in properties; line ends cannot start a new command."""
    finding = Finding("50% of\n::error::x", place=Place("a,b:c%.yaml", 1))

    assert as_annotation(finding, Path.cwd(), "warning") == (
        "::warning file=a%2Cb%3Ac%25.yaml,line=1,title=usage::50%25 of ::error::x"
    )


def test_annotation_paths_are_relative(tmp_path: Path) -> None:
    """GitHub wants paths relative to the repository; a file outside keeps its path."""
    inside = Finding("x", place=Place(str(tmp_path / "a" / "r.yaml")))

    assert "file=a/r.yaml," in as_annotation(inside, tmp_path)
    assert f"file={tmp_path}/a/r.yaml," in as_annotation(inside, tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\x1b[31mb", "a[31mb"),
        ("a\x00\x07\x7f\x9bb", "ab"),
        ("a\nb\tc\rd", "a b c d"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("a\u2028b\u2029c", "a b c"),
        ("a\ud800b", "ab"),
        ("naïve 数 ±", "naïve 数 ±"),
    ],
)
def test_printable(text: str, clean: str) -> None:
    """Controls, bidi marks and invisible characters are taken out; letters of any script stay."""
    assert printable(text) == clean
