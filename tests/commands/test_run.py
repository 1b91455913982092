"""run: the whole journey with real training, tiny; what it writes, prints and returns."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command_line import RECIPE, hptransfer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its own text, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("with space")
    (folder / "tiny.yaml").write_text(RECIPE)
    for number in range(8):
        (folder / f"{number}.txt").write_text("".join(f"{n * (number + 3)} bottles\n" for n in range(200)))
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    """The recipe's first run, the only one that trains."""
    return hptransfer(folder, "run", "tiny.yaml", "--quiet")


def test_run_without_force_refuses_a_target_unless_it_transfers(
    folder: Path, done: subprocess.CompletedProcess[str]
) -> None:
    """The verdict decides the exit status and whether target.yaml is written; the text says why it is not."""
    results = folder / "runs" / "tiny"
    verdict = json.loads((results / "transfer.json").read_text())["verdict"]

    assert done.returncode == {"TRANSFERS": 0, "DRIFTS": 1, "INCONCLUSIVE": 3}[verdict]
    assert done.stderr == ""
    assert (results / "target.yaml").exists() == (verdict == "TRANSFERS")
    assert ("no target.yaml" in done.stdout) == (verdict != "TRANSFERS")
    assert yaml.safe_load((results / "tuned.yaml").read_text())["trials"]["finished"] == 6
    assert {path.name for path in (results / "figures").iterdir()} == {"transfer-width.png", "transfer-width.svg"}


def told(transfer: dict[str, Any]) -> dict[str, Any]:
    """What was found, without the order of trials: as they ended the first time, as the study has them afterwards."""
    evidence = transfer["evidence"]
    keys = [trial["key"] for trial in evidence["trials"]]
    groups = {name: sorted(keys[place] for place in places) for name, places in evidence["groups"].items()}
    trials = sorted(evidence["trials"], key=lambda trial: str(trial["key"]))
    return transfer | {"evidence": evidence | {"groups": groups, "trials": trials}}


def test_run_again_trains_nothing_and_says_the_same(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    """A finished run is a report: the second time gives the same evidence and starts no trial; --force is obeyed."""
    results = folder / "runs" / "tiny"
    before = json.loads((results / "transfer.json").read_text()), yaml.safe_load((results / "tuned.yaml").read_text())
    study = (results / "study.db").read_bytes()
    again = hptransfer(folder, "run", "tiny.yaml", "--force", "--json", "--quiet")
    printed = json.loads(again.stdout)

    assert again.returncode == done.returncode
    assert again.stderr == ""
    assert told(printed["transfer"]) == told(before[0])
    assert printed["tuned"]["hyperparameters"] == before[1]["hyperparameters"]
    assert json.loads((results / "transfer.json").read_text()) == printed["transfer"]
    assert (results / "study.db").read_bytes() == study
    assert printed["target"]["size"]["width"] == 128
    assert (results / "target.yaml").exists()


@pytest.mark.parametrize("command", ["tune", "check", "run"])
def test_a_run_folder_that_cannot_be_written_is_a_usage_error(folder: Path, command: str) -> None:
    """A file where the run folder should be: exit status 2, the path and a way out, no traceback."""
    (folder / "occupied").write_text("")
    done = hptransfer(folder, command, "tiny.yaml", "--runs", "occupied")

    assert done.returncode == 2
    assert "the run folder must be a folder that can be written" in done.stderr
    assert "--runs" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_that_matches_nothing_is_a_usage_error(folder: Path) -> None:
    """A glob without a match names the pattern, before anything is trained."""
    (folder / "nothing.yaml").write_text(RECIPE.replace("*.txt", "*.nothing").replace("name: tiny", "name: nothing"))
    done = hptransfer(folder, "run", "nothing.yaml")

    assert done.returncode == 2
    assert "*.nothing" in done.stderr
    assert "Traceback" not in done.stderr
