"""What hints say to run: a command that writes where the evidence was read, and whether it trains again."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hptransfer.artifacts.tuned import read_tuned
from hptransfer.engine.run_lookup import locate
from hptransfer.errors import Finding, RefusedError, UsageError
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import validate
from hptransfer.scaling.objections import refuse
from hptransfer.transfer.scope import Outlook
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


def _other_check(kept: Kept) -> None:
    text = kept.recipe.read_text()
    assert "octaves: 2" in text
    kept.recipe.write_text(text.replace("octaves: 2", "octaves: 2.5"))


def _other_data(kept: Kept) -> None:
    (kept.root / "texts" / "1.txt").write_text("others " * 900)


@pytest.mark.parametrize("fault", [_stale, _other_data])
def test_trials_that_cannot_fit_are_not_called_reused(kept: Kept, fault: Callable[[Kept], None]) -> None:
    """Duration and data are in the key of every trial: none of before is found again, database or not."""
    fault(kept)
    kept.file("study.db").touch()
    (finding,) = validate(str(kept.recipe), ValidationOptions(("static", "evidence"), runs=Path("a b/kept"))).errors

    assert str(finding.hint).endswith("no finished trial fits any more, so all are trained again")


def test_whether_trials_are_reused(kept: Kept) -> None:
    """Where keys of no trial changed: only where the database of the search is there."""
    _other_check(kept)

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

    assert [each.place and each.place.file for each in errors] == ["a b/kept/mup-adamw/tuned.yaml"]
    assert str(errors[0].received).startswith("tuned.yaml and transfer.json: ")
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


def _read_from(kept: Kept, **options: Path) -> tuple[tuple[Finding, ...], list[str]]:
    """Errors of the level without a word on where evidence lies, and its notes."""
    found = validate(str(kept.recipe), ValidationOptions(("static", "evidence"), **options))  # type: ignore[arg-type]  # `runs` alone
    return found.errors, [note for note in found.notes if "was read from" in note]


def test_no_evidence_names_the_folder_that_was_looked_at(kept: Kept) -> None:
    """A run without `--runs` would write to `runs/` here, which the page's `.gitignore` hides."""
    shutil.rmtree("a b/kept")
    ((finding,), notes) = _read_from(kept)

    assert finding.code == "evidence/none"
    assert f"`hptransfer run '{kept.recipe}' --runs 'a b/runs'`" in str(finding.hint)
    assert notes == []


@pytest.mark.parametrize("left", [(), ("study.db",), ("tuned.yaml",)])
def test_a_begun_run_hides_no_evidence(kept: Kept, left: tuple[str, ...]) -> None:
    """What `tune` without `--runs` leaves here: committed evidence beside the recipe is read, and a note says so."""
    shutil.move("a b/kept", "a b/runs")
    here = Path("runs", kept.name)
    here.mkdir(parents=True)
    for name in left:
        (here / name).write_text("not whole")
    errors, notes = _read_from(kept)

    assert errors == ()
    assert notes == [
        f"{kept.recipe}: evidence was read from a b/runs/{kept.name}, and not from {here} (`--runs` names one)"
    ]


def test_evidence_here_counts_before_that_beside_the_recipe(kept: Kept) -> None:
    """Two whole folders: the documented order decides, and a note says which."""
    shutil.copytree("a b/kept", "a b/runs")
    shutil.move("a b/kept", "runs")
    Path("a b/runs", kept.name, "tuned.yaml").write_text("another")
    errors, notes = _read_from(kept)

    assert errors == ()
    read, other = f"runs/{kept.name}", f"a b/runs/{kept.name}"
    assert notes == [f"{kept.recipe}: evidence was read from {read}, and not from {other} (`--runs` names one)"]


def test_evidence_elsewhere_is_named(kept: Kept) -> None:
    """With `--runs` on a folder that has none, the one beside the recipe is told; following the hint holds."""
    shutil.move("a b/kept", "a b/runs")
    ((finding,), _) = _read_from(kept, runs=Path("others"))

    assert str(finding.hint).startswith(f"a b/runs/{kept.name} has them: write `--runs 'a b/runs'`; else run ")
    assert _read_from(kept, runs=Path("a b/runs"))[0] == ()


def test_a_link_is_refused_and_not_passed_over(kept: Kept) -> None:
    """The negative control: a folder here that leads to the evidence beside the recipe counts, and is refused."""
    shutil.move("a b/kept", "a b/runs")
    Path("runs").mkdir()
    Path("runs", kept.name).symlink_to(Path("a b/runs", kept.name).absolute())
    errors, _ = _read_from(kept)

    assert {each.code for each in errors} == {"evidence/unreadable"}


@pytest.mark.parametrize("made", [False, True])
def test_status_names_the_run_beside_the_recipe(kept: Kept, made: bool) -> None:
    """Following `run hptransfer tune` would train anew what lies beside the recipe."""
    shutil.move("a b/kept", "a b/runs")
    if made:
        Path("runs", kept.name).mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        locate(str(kept.recipe), Path("runs"))
    assert caught.value.findings[0].hint == f"a b/runs/{kept.name} has a run of it: write `--runs 'a b/runs'`"

    shutil.rmtree("a b/runs")
    with pytest.raises(UsageError) as caught:
        locate(str(kept.recipe), Path("runs"))
    assert caught.value.findings[0].hint == f"run `hptransfer tune '{kept.recipe}'`"


def test_commands_that_train_name_the_folder_in_their_hints(kept: Kept) -> None:
    """`check` and `scale` of a recipe that was never tuned there, or that nothing supports."""
    with pytest.raises(UsageError) as caught:
        read_tuned(Path("a b/kept/other/tuned.yaml"), "r.yaml")
    assert caught.value.findings[0].hint == "run `hptransfer tune r.yaml --runs 'a b/kept'`"
    with pytest.raises(UsageError) as caught:
        read_tuned(Path("runs/other/tuned.yaml"), "r.yaml")
    assert caught.value.findings[0].hint == "run `hptransfer tune r.yaml`"

    for given, said in (([], ""), (["--runs", "a b/kept", "--width", "512"], " --runs 'a b/kept'")):
        with pytest.raises(RefusedError) as refused:
            refuse(["nothing was checked"], None, "r.yaml", Outlook(), given)
        assert f"run `hptransfer run r.yaml{said}` to tune" in str(refused.value.findings[0].hint)
