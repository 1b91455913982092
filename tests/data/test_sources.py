"""Data sources: those that ship and a user's own pass the suite; a user's own feeds a trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hptransfer.data.base import DATA_SOURCES, fingerprint_of, read_data
from hptransfer.data.text import TextFiles, line_ends_of
from hptransfer.errors import MachineError, RecipeError, UsageError
from hptransfer.recipe.schema import OwnData
from hptransfer.testing.data_sources import DataSourceConformance
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import trained
from tests.support.recipe_texts import MLP, edited, load_text

OWN = "tests.plugin.hptransfer_lab.data:SOURCE"


class TestStdlibText(DataSourceConformance):
    """The standard library's sources."""

    def section(self, folder: Path) -> Mapping[str, Any]:
        """Nothing to prepare."""
        return {"kind": "stdlib-text"}


class TestText(DataSourceConformance):
    """Files of the recipe's folder."""

    def section(self, folder: Path) -> Mapping[str, Any]:
        """Ten files."""
        for index in range(10):
            (folder / f"{index}.txt").write_text(f"text number {index}")
        return {"kind": "text", "files": ["*.txt"], "validation_fraction": 0.2}

    def changed(self, folder: Path) -> Mapping[str, Any]:
        """One of them edited."""
        (folder / "3.txt").write_text("text number 4")
        return {"kind": "text", "files": ["*.txt"], "validation_fraction": 0.2}


class TestOwn(DataSourceConformance):
    """A source from outside the package, by its path."""

    def section(self, folder: Path) -> Mapping[str, Any]:
        """A word and a file."""
        (folder / "more.txt").write_text("and more")
        return {"kind": OWN, "arguments": {"word": "word ", "file": "more.txt"}}

    def changed(self, folder: Path) -> Mapping[str, Any]:
        """Another word."""
        return {"kind": OWN, "arguments": {"word": "Word ", "file": "more.txt"}}


del DataSourceConformance


def with_data(section: str) -> str:
    """A recipe's text with this `data` section."""
    return edited(MLP, ("{kind: stdlib-text}", section))


def test_what_ships() -> None:
    """The folder is the list; `base` is no source."""
    assert DATA_SOURCES.built_in == ("external", "python", "stdlib-text", "text", "tokens")


def test_a_users_own_source_feeds_a_trial(tmp_path: Path) -> None:
    """Five repeated bytes are learned within a few steps: far below ln 256, which nothing learned would be."""
    (tmp_path / "more.txt").write_text("")
    section = f"{{kind: '{OWN}', arguments: {{word: 'word ', file: more.txt}}}}"
    recipe = load_text(tmp_path, with_data(section)).recipe
    wanted = TrialSpec(recipe, tmp_path, recipe.size(16, 2, tokens=64 * 60), {"learning_rate": 0.03}, 0)

    answer = trained(wanted)

    assert answer["state"] == "complete"
    assert answer["loss"] < 2
    assert answer["provenance"]["data"] == read_data(recipe.data, tmp_path).fingerprint


@pytest.mark.parametrize(
    ("section", "rule", "place"),
    [
        (
            "{kind: texts}",
            "`data.kind` must be one of `external`, `python`, `stdlib-text`, `text`, `tokens`, `module:attribute`",
            (3, 14),
        ),
        ("{files: [a]}", "`data.kind` must be given", (3, 1)),
        ("text", "`data` must be a mapping (`key: value` lines)", (3, 7)),
        ("{kind: text, file: [a]}", "`file` is not a key of `data`", (3, 20)),
        ("{kind: 'my:data', argument: {}}", "`argument` is not a key of `data`", (3, 25)),
        ("{kind: 'my:data', arguments: [1]}", "`data.arguments` must be a mapping (`key: value` lines)", (3, 36)),
    ],
)
def test_faults_of_a_data_section_have_their_place(
    tmp_path: Path, section: str, rule: str, place: tuple[int, int]
) -> None:
    """The first finding, for sources of the package and others alike."""
    with pytest.raises(RecipeError) as caught:
        load_text(tmp_path, with_data(section))

    finding = caught.value.findings[0]
    assert finding.rule == rule
    assert finding.place is not None
    assert (finding.place.line, finding.place.column) == place


def test_validation_imports_no_users_code(tmp_path: Path) -> None:
    """A module that does not exist is found by the command that needs it."""
    data = load_text(tmp_path, with_data("{kind: 'nowhere.to_be:found'}")).recipe.data

    with pytest.raises(UsageError, match="must be importable"):
        read_data(data, tmp_path)


def test_mistakes_of_a_users_own_source_are_said(tmp_path: Path) -> None:
    """A missing argument, a missing file, and something else than text: the source's name and the reason."""
    for arguments, kind, error, received in (
        ({}, OWN, UsageError, "in read: KeyError: 'word'"),
        ({"word": "a", "file": "none"}, OWN, MachineError, "No such file"),
        ({}, "tests.support.own_data:listing", UsageError, "tests.support.own_data:listing: list"),
    ):
        with pytest.raises(error) as caught:
            read_data(OwnData.model_validate({"kind": kind, "arguments": arguments}), tmp_path)
        assert received in str(caught.value.findings[0].received)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("ends", "other"), [("LF", b"\r\n"), ("CRLF", b"\n")])
def test_line_ends_of_other_data(tmp_path: Path, count: int, ends: str, other: bytes) -> None:
    """Which line ends would make the files the data of a fingerprint, also where one file is cut in two."""
    section, written = TextFiles(kind="text", files=("*.txt",)), {"LF": b"\n", "CRLF": b"\r\n"}[ends]

    def write(line_end: bytes, last: bytes = b"") -> None:
        for number in range(count):
            (tmp_path / f"{number}.txt").write_bytes(b"a line" + line_end + b"and" + line_end * 30 + last)

    write(written)
    wanted = fingerprint_of(section, tmp_path)
    write(other)
    assert fingerprint_of(section, tmp_path) != wanted
    assert line_ends_of(wanted, section, tmp_path) == ends
    write(other, b"!")
    assert line_ends_of(wanted, section, tmp_path) is None
