"""Evidence on the text of Python's own library, where another Python reads it: the committed one of `quickstart`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hptransfer.data import stdlib_text
from hptransfer.evidence import stale
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from hptransfer.provenance import versions
from tests.support.command_line import ROOT


@pytest.fixture
def _other_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One module of the library has another line."""
    files = stdlib_text.stdlib_files()
    changed = tmp_path / "abc.py"
    changed.write_bytes(files["abc.py"].read_bytes() + b"\n# of another release\n")
    monkeypatch.setattr(stdlib_text, "stdlib_files", lambda: files | {"abc.py": changed})


def found(folder: Path) -> tuple[set[str], set[str]]:
    """Codes of errors and of warnings on the evidence, target included, that is committed here."""
    shutil.copy(ROOT / "recipes/quickstart.yaml", folder)
    shutil.copytree(ROOT / "recipes/runs", folder / "runs")
    result = validate(str(folder / "quickstart.yaml"), ValidationOptions(("evidence",), runs=folder / "runs"))
    return {each.code for each in result.errors}, {each.code for each in result.warnings}


@pytest.mark.usefixtures("_other_text")
def test_the_text_of_another_python_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules, fit, verdict and target are still held to the files, and the text is said to be another."""
    monkeypatch.setattr(stale, "versions", lambda *names: versions(*names) | {"python": "3.99.0"})

    assert found(tmp_path) == (set(), {"evidence/other-environment"})


@pytest.mark.usefixtures("_other_text")
def test_another_text_of_the_same_python_is_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python that the files name has one text: with another one they are stale."""
    of_files = (ROOT / "recipes/runs/quickstart/tuned.yaml").read_text().partition("python: ")[2].split()[0]
    monkeypatch.setattr(stale, "versions", lambda *names: versions(*names) | {"python": of_files.strip("'")})

    assert "evidence/stale-data" in found(tmp_path)[0]
