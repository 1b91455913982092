"""Each edit of committed evidence is refused at the level `evidence`, on its file and with the field by name."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.tuned import Tuned
from hptransfer.errors import UsageError
from hptransfer.linting.catalogue import rule_of
from hptransfer.trials.identity import digest
from tests.support.command_line import ROOT
from tests.support.kept_evidence import RECIPES, Edit, Kept, set_at

pytestmark = pytest.mark.usefixtures("_version_of_the_files")


@pytest.mark.parametrize("name", RECIPES)
def test_kept_evidence_holds(tmp_path: Path, name: str) -> None:
    """Nothing is said against real evidence; a verdict that is no TRANSFERS is no fault of its evidence."""
    assert Kept(tmp_path, name).found() == {}


EDITS: dict[str, tuple[str, Edit, str, str]] = {
    "the tuned rate": ("tuned.yaml", set_at("recommended", "learning_rate", to=0.9), "edited-fit", "learning_rate 0.9"),
    "the carried rate": (
        "tuned.yaml",
        set_at("hyperparameters", "learning_rate", to=0.9),
        "edited-fit",
        "hyperparameters.learning_rate 0.9",
    ),
    "an interval": (
        "tuned.yaml",
        set_at("intervals", "learning_rate", to=[0.05, 0.06]),
        "edited-fit",
        "intervals.learning_rate",
    ),
    "the confirmation": (
        "tuned.yaml",
        set_at("confirmation", "losses", 0, to=0.5),
        "edited-fit",
        "confirmation.losses[0] 0.5",
    ),
    "what was spent": ("tuned.yaml", set_at("spent", "seconds", to=1.0), "edited-fit", "spent.seconds 1.0"),
    "warnings": ("tuned.yaml", set_at("warnings", to=[]), "edited-fit", "warnings []"),
    "the data's digest": ("tuned.yaml", set_at("provenance", "data", to="0" * 64), "edited-fit", "provenance.data"),
    "a loss of the search": (
        "tuned.yaml",
        set_at("evidence", "trials", 0, "loss", to=0.01),
        "edited-fit",
        "expected_loss",
    ),
    "a trial's depth": (
        "transfer.json",
        set_at("evidence", "trials", 3, "size", 1, to=4096),
        "edited-trials",
        "trials[3]",
    ),
    "a trial's seed": ("tuned.yaml", set_at("evidence", "trials", 3, "seed", to=7), "edited-trials", "trials[3]"),
    "a trial's key": (
        "transfer.json",
        set_at("evidence", "trials", 5, "key", to="0" * 64),
        "edited-trials",
        "trials[5]",
    ),
    "the verdict": (
        "transfer.json",
        set_at("verdict", to="DRIFTS"),
        "edited-verdict",
        'verdict "DRIFTS", computed again',
    ),
    "an axis's verdict": (
        "transfer.json",
        set_at("axes", 0, "verdict", to="DRIFTS"),
        "edited-verdict",
        'axes[0].verdict "DRIFTS"',
    ),
    "the sentence": (
        "transfer.json",
        set_at("sentence", to="All is well."),
        "edited-verdict",
        'sentence "All is well."',
    ),
    "drift": (
        "transfer.json",
        set_at("axes", 0, "drift", "estimate", to=0.0),
        "edited-verdict",
        "axes[0].drift.estimate",
    ),
    "a bound": ("transfer.json", set_at("criteria", "cost", to=99.0), "edited-verdict", "criteria.cost 99.0"),
    "a limit left out": ("transfer.json", set_at("axes", 0, "limits", to=[]), "edited-verdict", "axes[0].limits"),
    "a run of the ladder": (
        "transfer.json",
        set_at("axes", 0, "sizes", 1, "points", 0, "loss", to=0.01),
        "edited-verdict",
        "axes[0].sizes[1].points[0].loss 0.01",
    ),
    "the scope": ("transfer.json", set_at("target", "covered", to=True), "edited-verdict", "target.covered true"),
    "torch's version": (
        "transfer.json",
        set_at("provenance", "torch", to=["9.9"]),
        "edited-verdict",
        'provenance.torch[0] "9.9"',
    ),
    "rules of the identity": (
        "tuned.yaml",
        set_at("evidence", "identity", "rules", to=[]),
        "edited-identity",
        "its parts give",
    ),
    "the identity": (
        "transfer.json",
        set_at("identity", to="0" * 64),
        "edited-identity",
        "00000000, and its parts give",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_is_refused_by_name(tmp_path: Path, case: str) -> None:
    """Single fields, whatever else in the files still agrees."""
    name, change, code, said = EDITS[case]
    kept = Kept(tmp_path)
    kept.edit(name, change)
    found = kept.found()

    assert f"evidence/{code}" in found
    assert name in found[f"evidence/{code}"]
    assert said in found[f"evidence/{code}"]


def test_an_edited_verdict_fails_with_new_digests(tmp_path: Path) -> None:
    """Recipe hash, identity and keys are all consistent: the verdict is still not what the trials say."""
    kept = Kept(tmp_path, "standard-adamw")

    def change(content: Any) -> None:
        content["verdict"] = content["axes"][0]["verdict"] = content["hyperparameters"][0]["verdict"] = "TRANSFERS"
        content["evidence"]["identity"]["parameterization"]["note"] = "edited"
        carried = Carried.model_validate_json(json.dumps(content["evidence"]))
        content["identity"] = digest(content["evidence"]["identity"])
        for line, record in zip(content["evidence"]["trials"], carried.trials, strict=True):
            line["key"] = carried.key_of(record)

    kept.edit("transfer.json", change)
    found = kept.found()
    assert 'verdict "TRANSFERS", computed again "DRIFTS"' in found["evidence/edited-verdict"]
    assert "evidence/edited-trials" not in found
    assert "evidence/edited-identity" not in found


def _by_another_version(change: Edit) -> Edit:
    def both(content: Any) -> None:
        change(content)
        content["provenance"]["hptransfer"] = "0.0.9"

    return both


def test_another_versions_words_are_a_warning(tmp_path: Path) -> None:
    """A release that words a sentence otherwise leaves evidence valid; nothing tells its words from edited ones."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _by_another_version(set_at("sentence", to="It was worded otherwise then.")))
    kept.file("target.yaml").unlink()  # which repeats the sentence

    assert kept.found() == {}
    assert "sentence in other words; by what it says, hptransfer 0.0.9" in kept.warned()["evidence/other-words"]
    assert "evidence/other-words" in kept.found(strict=True)


@pytest.mark.parametrize(
    "change",
    [set_at("verdict", to="DRIFTS"), set_at("axes", 0, "limits", to=[]), set_at("axes", 0, "cost", "estimate", to=0.0)],
)
def test_another_versions_facts_are_errors(tmp_path: Path, change: Edit) -> None:
    """Verdicts, numbers and what is left out are compared, whatever version the file says; both versions are named."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _by_another_version(change))

    assert "hptransfer 0.0.9 wrote it, and this is" in kept.found()["evidence/edited-verdict"]


def test_a_coordinate_check_is_judged_again(tmp_path: Path) -> None:
    """A FAILS that became a HOLDS does not follow from its slopes."""
    kept = Kept(tmp_path, "mup-sgd")

    def change(content: Any) -> None:
        report = content["diagnostics"]["coordinate"][0]
        assert report["verdict"] == "FAILS"
        report["verdict"], report["sentence"] = "HOLDS", "HOLDS: every layer's change is independent of width."

    kept.edit("transfer.json", change)
    said = kept.found()["evidence/edited-verdict"]
    assert 'diagnostics.coordinate[0].verdict "HOLDS", computed again "FAILS"' in said


def test_evidence_of_other_values_is_refused(tmp_path: Path) -> None:
    """A check of another value than the one that was tuned."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", lambda content: content["hyperparameters"][0].update(transferred=0.5))

    assert "transfer was checked at learning_rate 0.5" in kept.found()["evidence/other-values"]


@pytest.mark.parametrize("name", ["tuned.yaml", "transfer.json"])
def test_files_without_trials_say_what_to_run(tmp_path: Path, name: str) -> None:
    """Trials that were taken out are no way around."""
    kept = Kept(tmp_path)
    kept.without_trials(name)
    found = kept.validate().errors

    assert "evidence/without-trials" in {each.code for each in found}
    assert "all trials are trained again" in str(next(each.hint for each in found if "without" in each.code))


def test_a_file_cut_between_two_trials_is_named(tmp_path: Path) -> None:
    """Every line of tuned.yaml that is left out at its end is missed: none leaves a file that is read."""
    kept = Kept(tmp_path)
    lines = kept.file("tuned.yaml").read_text().splitlines(keepends=True)
    trials = sum(line.startswith("  - {key: ") for line in lines)
    read = []
    for count in range(len(lines)):
        try:
            Tuned.parse("".join(lines[:count]), kept.file("tuned.yaml"))
        except UsageError:
            continue
        read.append(count)
    kept.file("tuned.yaml").write_text("".join(lines[:-2]))

    assert read == []
    assert trials > 10
    said = kept.found()["evidence/unreadable"]
    assert f"`evidence` has {trials - 2} of {trials} trials: the file is cut off" in said


def test_a_file_of_before_trials_were_counted_is_written_anew(tmp_path: Path) -> None:
    """Whether such a file is whole cannot be known, so it is refused by its format."""
    kept = Kept(tmp_path)
    kept.edit("tuned.yaml", lambda content: content.update(format=1))

    (error,) = kept.validate().errors
    assert (error.rule, error.received) == ("tuned.yaml must have format 2", "format 1")
    assert error.hint == "run `hptransfer tune` again: finished trials are reused"


@pytest.mark.parametrize("name", ["tuned.yaml", "transfer.json"])
def test_no_evidence_is_an_error(tmp_path: Path, name: str) -> None:
    """The level was asked, and there is nothing to be asked about."""
    kept = Kept(tmp_path)
    kept.file(name).unlink()

    assert f"no {name}" in kept.found()["evidence/none"]


def test_what_is_to_be_committed_is_what_the_page_keeps(tmp_path: Path) -> None:
    """The files that the hint, the rule and the page's .gitignore name are the same."""
    page = (ROOT / "docs/recipes-in-ci.md").read_text(encoding="utf-8")
    kept = set(re.findall(r"^    !/recipes/runs/\*/(\S+)$", page, flags=re.MULTILINE))
    kept_evidence = Kept(tmp_path)
    kept_evidence.file("tuned.yaml").unlink()
    (error,) = kept_evidence.validate().errors
    rule = rule_of("HPT400")
    assert rule is not None
    assert rule.explanation is not None

    for hint in (error.hint, rule.explanation.repair):
        assert set(re.findall(r"\w+\.(?:yaml|json)(?= |,|$)", str(hint).rpartition("commit ")[2])) == kept


def _linked(path: Path) -> None:
    shutil.move(path, path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 34)


def _bomb(path: Path) -> None:
    path.write_text("[" * 100_000 if path.suffix == ".yaml" else "[" * 10_000_000)


def _wide(path: Path) -> None:
    path.write_text(f"[{'1,' * 3_000_000}1]")


@pytest.mark.parametrize("harm", [_linked, _fifo, _huge, _bomb, _wide])
@pytest.mark.parametrize("name", ["tuned.yaml", "transfer.json", "target.yaml"])
def test_hostile_files_are_refused(tmp_path: Path, name: str, harm: Callable[[Path], None]) -> None:
    """Links, pipes, long files and deep ones are not read, and named."""
    kept = Kept(tmp_path)
    harm(kept.file(name))

    assert name in kept.found()["evidence/unreadable"]


def test_a_linked_run_folder_is_refused(tmp_path: Path) -> None:
    """The folder may lie anywhere, then."""
    kept = Kept(tmp_path)
    folder = kept.file("")
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")

    assert "is a link, or no folder" in kept.found()["evidence/unreadable"]


def _conflict(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "<<<<<<< HEAD", lines[2], "=======", lines[2], ">>>>>>> topic", *lines[3:]]))


def _cut(path: Path) -> None:
    path.write_text('{"a": [1,\n "x"}\n')


def _indented(path: Path) -> None:
    path.write_text('{"a": 1,\n "b" 2}\n')


def _latin(path: Path) -> None:
    path.write_bytes(b'{"a": 1,\n "b": "\xe9"}\n')


@pytest.mark.parametrize("name", ["tuned.yaml", "transfer.json", "target.yaml"])
@pytest.mark.parametrize(
    ("harm", "line", "column", "said"),
    [
        (_conflict, 3, 1, "a merge's conflict is not resolved"),
        (_cut, 2, None, ""),
        (_indented, 2, None, ""),
        (_latin, 2, 8, "byte 0xe9 is no UTF-8"),
    ],
)
def test_what_cannot_be_parsed_has_its_place(
    tmp_path: Path, name: str, harm: Callable[[Path], None], line: int, column: int | None, said: str
) -> None:
    """Line and column of the fault, and no word of links or sizes, which are not what is wrong."""
    kept = Kept(tmp_path)
    harm(kept.file(name))
    (found,) = kept.validate().errors

    assert found.code == "evidence/unreadable"
    assert "regular file" not in found.rule
    assert found.place is not None
    assert (Path(found.place.file).name, found.place.line) == (name, line)
    assert found.place.column == (column or found.place.column) is not None
    assert (found.received or "").startswith(f"line {line}, column {found.place.column}: {said}")
    assert str(tmp_path) not in (found.received or "")


def test_other_content_is_no_matter_of_links(tmp_path: Path) -> None:
    """A field of another type, and a format of another version, are said as that."""
    kept = Kept(tmp_path)
    kept.edit("tuned.yaml", lambda content: content.update(expected_loss="low"))
    kept.edit("transfer.json", lambda content: content.update(format=99))

    assert [each.rule for each in kept.validate().errors] == [
        "tuned.yaml must be what `hptransfer tune` wrote",
        "transfer.json must have format 3",
    ]


@pytest.mark.parametrize("harm", [_linked, _fifo, _huge])
def test_what_is_no_regular_file_is_told_so(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """The rule of links and sizes, for those only."""
    kept = Kept(tmp_path)
    harm(kept.file("tuned.yaml"))
    (found,) = kept.validate().errors

    assert "a regular file of at most 8 MiB, behind no link" in found.rule
