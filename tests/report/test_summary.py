"""The summary in Markdown, and what strangers can make of it."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.errors import Finding, Place, UsageError, printable
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.linting.validate import Validation
from hptransfer.report.markdown import code, prose, sentence
from hptransfer.report.summary import append_summary, summary
from tests.support.hostile_texts import HOSTILE
from tests.support.recipe_texts import MLP, edited


def result(*errors: Finding, reference: str = "r.yaml") -> Validation:
    """A recipe of which `static` ran."""
    return Validation(reference, None, outcomes=(("static", LevelOutcome(errors)),))


def many(count: int) -> Validation:
    """A recipe with so many findings."""
    return result(
        *(Finding("a rule of some length", str(n), "a hint", Place("r.yaml", n)) for n in range(1, count + 1))
    )


def test_summary() -> None:
    """A count, a row per file, a line per finding."""
    finding = Finding("`width >= 1` must hold", "-3", "write 64", Place("r.yaml", 4, 7), "recipe/range")

    assert summary([result(finding), Validation("x.yaml", None, outcomes=(("static", LevelOutcome()),))]) == (
        "### 2 recipes checked: 1 error, 0 warnings\n\n"
        "| file | result | checked | errors | warnings | not decided |\n| --- | --- | --- | --- | --- | --- |\n"
        "| `r.yaml` | **errors** | static | 1 | 0 | 0 |\n| `x.yaml` | no error | static | 0 | 0 | 0 |\n\n"
        "- **error** `recipe/range` `r.yaml:4:7`: `width >= 1` must hold<br>received: -3<br>hint: write 64\n\n"
    )


def test_text_is_no_markup() -> None:
    """What is left outside code spans opens no tag but ours, no link, no table's cell, no mention, no reference."""
    for text in HOSTILE:
        for shown in (code(text), prose(text), sentence(text)):
            assert "\n" not in shown
            rest = re.sub(r"`[^`|]+`", "", shown)
            rest = re.sub(r"</?code>|<!-- -->", "\0", rest)
            assert not re.search(r"[<>`|*\[\]\\_]", rest)
            assert not re.search(r"@\w|#\d(?!\d*;)|://|(?i:www)\.", rest)
        read = html.unescape(re.sub(r"<!-- -->|</?code>", "", prose(text)))
        assert read == printable(text).strip()


def test_code_is_read_back() -> None:
    """A code span or the element has the text itself."""
    for text in HOSTILE:
        shown = code(text)
        read = html.unescape(shown[6:-7]) if shown.startswith("<code>") else shown[1:-1]

        assert read == (printable(text).strip() or "-")


def test_a_summary_keeps_its_form() -> None:
    """Its lines are those of our own, whatever the names are."""
    for text in HOSTILE:
        finding = Finding(f"`{text}` is no key", text, text, Place(text, 1), "recipe/unknown-key")
        lines = summary([result(finding, reference=text)]).split("\n")

        assert len(lines) == 9
        assert lines[4].count("|") == 7
        assert lines[6].startswith("- **error** `recipe/unknown-key` ")


def test_a_summary_is_bounded() -> None:
    """Findings that have no room are counted; where there is none at all, that is said."""
    whole = summary([many(50)])
    short = summary([many(50)], 2_000)

    assert "more: see the log" not in whole
    kept, left = short.count("- **error**"), re.findall(r"^(\d+) findings more: see the log\.$", short, re.M)
    assert 0 < kept < 50
    assert [int(each) for each in left] == [50 - kept]
    assert len(short.encode()) <= 2_000
    assert len(summary([many(20_000)]).encode()) <= 2**20
    assert "full" in summary([many(50)], 200)
    assert summary([many(50)], 3) == ""


def test_summaries_are_appended(tmp_path: Path) -> None:
    """As far as GitHub's mebibyte for a step reaches, with what was in the file before."""
    file = tmp_path / "summary.md"
    file.write_text("# mine\n")
    append_summary([many(2)], file)
    append_summary([many(2)], file)

    assert file.read_text() == "# mine\n" + summary([many(2)]) * 2
    file.write_bytes(b"x" * (2**20 - 1_000))
    append_summary([many(50)], file)
    assert file.stat().st_size <= 2**20
    assert "findings more" in file.read_text()


def test_a_summary_goes_into_a_regular_file(tmp_path: Path) -> None:
    """A pipe that nobody reads is not waited for, and a folder is refused."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(UsageError):
            append_summary([many(1)], tmp_path / name)


def test_the_command_writes_summaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--summary` in every format, and where the runner says so with `github` alone."""
    recipe, step = tmp_path / "r.yaml", tmp_path / "step.md"
    recipe.write_text(edited(MLP, ("steps: 100", "steps: -1")))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))

    assert validate_command([str(recipe)], "text") == 1
    assert not step.exists()
    assert validate_command([str(recipe)], "github") == 1
    assert "1 recipe checked: 1 error" in step.read_text()
    assert validate_command([str(recipe)], "junit", summary=tmp_path / "own.md") == 1
    assert (tmp_path / "own.md").read_text() == step.read_text()
    assert capsys.readouterr().err == ""
