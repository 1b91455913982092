"""What committed evidence says beside its trials: numbers in sentences, versions, keys twice, refitted values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.durations import with_durations
from hptransfer.provenance import is_older
from hptransfer.recipe.load import load_recipe
from hptransfer.tuning.refitted import refitted
from tests.support.command_line import ROOT
from tests.support.kept_evidence import KEPT, Kept

_LINES = "one-at-a-time"
_HERE = "0.2.0"


@pytest.fixture(autouse=True)
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that can be told from those that a file states."""
    monkeypatch.setattr("hptransfer.evidence.recomputed.tool_version", lambda: _HERE)


def _stated(version: str, change: Callable[[Any], object] = lambda content: None) -> Callable[[Any], None]:
    def edit(content: Any) -> None:
        content["provenance"]["hptransfer"] = version
        change(content)

    return edit


def _verified(content: Any) -> None:
    content["sentence"] = "It was verified by the maintainers and transfers to every width."


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0.dev0", "0.2.0rc1", "0+unknown"])
def test_words_of_an_earlier_version_are_a_warning(tmp_path: Path, version: str) -> None:
    """Age explains them, and `--strict` refuses them."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _stated(version, _verified))
    kept.file("target.yaml").unlink()  # which repeats the sentence

    assert kept.found() == {}
    assert set(kept.warned()) == {"evidence/other-words"}


@pytest.mark.parametrize("version", ["99.0", "0.2.1.dev0", "0.2.0+local", "0.2.0.post1"])
def test_words_of_a_later_version_are_an_error(tmp_path: Path, version: str) -> None:
    """A file may state any version, and nothing tells what a later one says; the repair is to install it."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _stated(version, _verified))

    assert set(kept.found()) == {"evidence/later-version"}
    assert f"by what it says, hptransfer {version} wrote it, and this is {_HERE}" in str(kept.found())
    (finding,) = kept.validate().errors
    assert str(finding.hint).startswith(f"install hptransfer {version} or a later one")


def test_a_later_version_alone_is_no_fault(tmp_path: Path) -> None:
    """The negative control: what it wrote follows from the trials, so nothing hangs on who wrote it."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _stated("99.0"))

    assert kept.found() == {}
    assert kept.warned() == {}


@pytest.mark.parametrize("version", ["the maintainers", "", _HERE, "0.2", "1" * 5000, f"0.1{'.0' * 100}"])
def test_words_of_no_other_version_are_edited(tmp_path: Path, version: str) -> None:
    """No release has such a version, or it is the one that reads: its words are known."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _stated(version, _verified))

    assert set(kept.found()) == {"evidence/edited-verdict"}


def test_facts_of_a_later_version_name_what_to_install(tmp_path: Path) -> None:
    """They are refused whatever the file states; its version is what would judge them otherwise."""
    kept = Kept(tmp_path)
    kept.edit("transfer.json", _stated("99.0", lambda content: content.update(verdict="DRIFTS")))
    finding = next(each for each in kept.validate().errors if each.code == "evidence/edited-verdict")

    assert str(finding.hint).startswith("install hptransfer 99.0 or a later one")


def test_versions_are_ordered_as_releases_are() -> None:
    """PEP 440: before a release come its developments and candidates; what is no version has no place."""
    assert [is_older(each, "0.10.0") for each in ("0.9.1", "0.10.0rc1", "0.10.0", "0.10", "0.10.1", "new")] == [
        True,
        True,
        False,
        False,
        False,
        None,
    ]


@pytest.mark.parametrize("number", ["1e9", "1e9999", "0e9"])
@pytest.mark.parametrize("name", ["transfer.json", "target.yaml"])
def test_a_sentence_claims_no_other_number(tmp_path: Path, name: str, number: str) -> None:
    """An exponent in the file is no licence to round, and one that no float holds is an error by name."""
    kept = Kept(tmp_path)

    def change(content: Any) -> None:
        held = content if name == "transfer.json" else content["verdict"]
        assert " 128." in held["sentence"]
        held["sentence"] = held["sentence"].replace(" 128.", f" {number}.")
        if name == "transfer.json":
            content["provenance"]["hptransfer"] = _HERE

    kept.edit(name, change)
    code = "evidence/edited-verdict" if name == "transfer.json" else "evidence/other-target"

    assert "computed again" in kept.found()[code]
    assert number in kept.found()[code]


def test_a_size_that_no_float_holds_is_an_error_by_name(tmp_path: Path) -> None:
    """What cannot be computed with is a fault of the file, and no defect of the program."""
    kept = Kept(tmp_path)
    kept.edit("target.yaml", lambda content: content["size"].update(width=10**400))

    assert "target.yaml: target.yaml must be what `scale` makes" in kept.found()["evidence/other-target"]


def test_a_key_twice_is_refused_with_its_place(tmp_path: Path) -> None:
    """What another reader of JSON sees first is not what was checked."""
    kept = Kept(tmp_path)
    path = kept.file("transfer.json")
    text = path.read_text()
    said = f'"verdict": "{json.loads(text)["verdict"]}"'
    assert said in text
    path.write_text(text.replace(said, f'"verdict": "DRIFTS",\n  {said}', 1))
    (finding,) = kept.validate().errors

    assert finding.code == "evidence/unreadable"
    assert finding.place is not None
    line = path.read_text().split("\n")[(finding.place.line or 0) - 1]
    assert line.strip().startswith(said)
    assert "the key `verdict` is in line" in str(finding.received)


def _moved(folder: Path, share: float) -> list[str]:
    """What `tuned.yaml` is blamed for where the fit had ended elsewhere when the search ran."""
    kept = Kept(folder, _LINES)
    recipe = with_durations(load_recipe(kept.recipe)).recipe

    def change(content: Any) -> None:
        wanted = content["recommended"]
        lines = [line["values"] for line in content["evidence"]["trials"]]
        moved = [values for values in lines if all(values.get(name, 1.0) == at for name, at in wanted.items())]
        assert len(moved) == 3  # one of the search, and two that confirm it
        for values in moved:
            values.update({name: values[name] * (1 + share) for name in ("output_multiplier", "learning_rate")})

    kept.edit("tuned.yaml", change)
    path = kept.file("tuned.yaml")
    written = Tuned.parse(path.read_text(), path)
    return [str(each) for each in refitted(recipe, written, written.spent.target_flops)]


@pytest.mark.parametrize("share", [0.0, 4e-7, -4e-7, 2e-5])
def test_a_fit_that_ends_a_rounding_away_is_the_same(tmp_path: Path, share: float) -> None:
    """Another number of threads moves a fitted optimum by 4.5e-7; what is found with it stays found."""
    assert _moved(tmp_path, share) == []


def test_another_value_is_no_rounding(tmp_path: Path) -> None:
    """The negative control: 0.2% is twice what numbers may differ by."""
    assert any("the best of each line together is left out" in each for each in _moved(tmp_path, 2e-3))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_threads_makes_no_edit(threads: str) -> None:
    """The suite has one thread, and a user's machine as many as it has cores: the sums of a fit end elsewhere."""
    limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    arguments = ["validate", f"{_LINES}.yaml", "--level", "static,evidence", "--runs", "kept"]
    done = subprocess.run(
        [sys.executable, "-m", "hptransfer", *arguments],
        cwd=KEPT,
        env={**os.environ, **limits, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{_LINES}.yaml: valid (static, evidence)" in done.stdout
