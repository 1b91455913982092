"""What hints say to run: a command that writes where the evidence was read, and whether it trains again."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hptransfer.errors import Finding
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from tests.support.kept_evidence import Kept


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A recipe in `a b/` whose evidence lies in `a b/kept`, seen from the folder above."""
    monkeypatch.chdir(tmp_path)
    return Kept(Path("a b"))


def commands(kept: Kept, runs: Path | None) -> Iterator[list[str]]:
    """The words of each command that a hint of an error names."""
    options = ValidationOptions(("static", "evidence"), runs=runs)
    errors: tuple[Finding, ...] = validate(str(kept.recipe), options).errors
    assert errors
    for each in errors:
        yield from (shlex.split(found) for found in re.findall(r"`(hptransfer [^`]*)`", each.hint or ""))


def _stale(kept: Kept) -> None:
    text = kept.recipe.read_text()
    changed = re.sub(r"steps: \d+", "steps: 7", text, count=1)
    assert changed != text
    kept.recipe.write_text(changed)


def _none(kept: Kept) -> None:
    shutil.rmtree(kept.file("tuned.yaml").parent)


def _without_trials(kept: Kept) -> None:
    kept.without_trials("tuned.yaml")


def _other_target(kept: Kept) -> None:
    kept.edit("target.yaml", lambda content: content["provenance"].update(identity="0" * 64))


def _other_values(kept: Kept) -> None:
    kept.edit("tuned.yaml", lambda content: content["hyperparameters"].update(learning_rate=0.9))


FAULTS = (_stale, _none, _without_trials, _other_target, _other_values)


@pytest.mark.parametrize("fault", FAULTS)
def test_hints_repeat_where_evidence_was_read(fault: object, kept: Kept) -> None:
    """Each command names the folder that the user named, quoted for a shell."""
    fault(kept)  # type: ignore[operator]  # one of FAULTS
    found = list(commands(kept, Path("a b/kept")))

    assert found
    for words in found:
        assert words[2:] == [str(kept.recipe), "--runs", "a b/kept"]


def test_hints_name_the_folder_that_was_found(kept: Kept) -> None:
    """Evidence beside the recipe, unnamed: `runs/` here, where commands write, would be read before it."""
    shutil.move("a b/kept", "a b/runs")
    _stale(kept)

    assert {tuple(words[3:]) for words in commands(kept, None)} == {("--runs", "a b/runs")}


@pytest.mark.parametrize("runs", [None, Path("runs"), Path("./runs"), Path("runs").absolute()])
def test_the_default_is_not_repeated(kept: Kept, runs: Path | None, tmp_path: Path) -> None:
    """Where `runs/` here is read, commands need not be told."""
    shutil.move("a b/kept", "runs")
    _stale(kept)
    runs = tmp_path / "runs" if runs is not None and runs.is_absolute() else runs

    assert {tuple(words[3:]) for words in commands(kept, runs)} == {()}


@pytest.mark.parametrize("inside", [False, True])
def test_a_run_folder_is_not_the_folder_of_run_folders(
    kept: Kept, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent is named, which holds; a folder without evidence, or of another recipe, has no such parent."""
    folder, recipe = Path("a b/kept/mup-adamw"), kept.recipe.absolute()
    if inside:
        monkeypatch.chdir(folder)
        folder = Path()

    def hint(runs: Path) -> str:
        (found,) = validate(str(recipe), ValidationOptions(("static", "evidence"), runs=runs)).errors
        assert found.code == "evidence/none"
        return str(found.hint)

    above = shlex.split(hint(folder).rpartition("`--runs ")[2].rstrip("`"))[0]
    assert above == (".." if inside else "a b/kept")
    assert not validate(str(recipe), ValidationOptions(("static", "evidence"), runs=Path(above))).errors
    assert "hptransfer run" in hint(folder / "elsewhere")


def test_whether_trials_are_reused(kept: Kept) -> None:
    """Only where the database of the search is there."""
    _stale(kept)

    def hints() -> set[str]:
        errors = validate(str(kept.recipe), ValidationOptions(("static", "evidence"), runs=Path("a b/kept"))).errors
        return {(each.hint or "").rpartition(": ")[2] for each in errors}

    assert hints() == {"all trials are trained again, because no study.db lies in a b/kept/mup-adamw"}
    kept.file("study.db").touch()
    assert hints() == {"finished trials that still fit are reused"}


@pytest.mark.parametrize("absolute", [False, True])
def test_findings_show_paths_in_the_current_folder(kept: Kept, absolute: bool) -> None:
    """Places, texts and hints are the same however recipe and `--runs` were given; elsewhere they are whole."""
    _stale(kept)
    recipe, runs = kept.recipe, kept.root / "kept"
    if absolute:
        recipe, runs = recipe.absolute(), runs.absolute()
    errors = validate(str(recipe), ValidationOptions(("static", "evidence"), runs=runs)).errors

    assert [each.place and each.place.file for each in errors] == [
        f"a b/kept/mup-adamw/{name}" for name in ("tuned.yaml", "transfer.json")
    ]
    assert str(Path.cwd()) not in str(errors)


def test_paths_elsewhere_are_whole(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: seen from a folder beside it, nothing is cut off."""
    _stale(kept)
    recipe, runs = kept.recipe.absolute(), (kept.root / "kept").absolute()
    elsewhere = Path("elsewhere").absolute()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    errors = validate(str(recipe), ValidationOptions(("static", "evidence"), runs=runs)).errors

    assert {each.place and str(Path(each.place.file).parent) for each in errors} == {str(runs / "mup-adamw")}
