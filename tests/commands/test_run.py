"""run: the whole journey with real training, tiny; what it writes, prints and returns."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_run_writes_evidence_and_ends_with_its_verdict(folder: Path) -> None:
    """One command leaves tuned.yaml, transfer.json, figures and a study; the target only with --force or TRANSFERS."""
    done = hptransfer(folder, "run", "tiny.yaml", "--force", "--json", "--quiet")
    printed = json.loads(done.stdout)
    results = folder / "runs" / "tiny"

    assert done.returncode == {"TRANSFERS": 0, "DRIFTS": 1, "INCONCLUSIVE": 3}[printed["transfer"]["verdict"]]
    assert done.stderr == ""
    assert yaml.safe_load((results / "tuned.yaml").read_text())["trials"]["finished"] == 6
    assert json.loads((results / "transfer.json").read_text()) == printed["transfer"]
    assert {path.name for path in (results / "figures").iterdir()} == {"transfer-width.png", "transfer-width.svg"}
    assert (results / "study.db").exists()
    assert printed["target"]["size"]["width"] == 128


def test_run_again_trains_nothing_and_says_the_same(folder: Path) -> None:
    """A finished run is a report: the second time gives the same evidence and starts no trial."""
    first = json.loads(hptransfer(folder, "run", "tiny.yaml", "--json", "--quiet").stdout)
    study = (folder / "runs" / "tiny" / "study.db").read_bytes()
    second = json.loads(hptransfer(folder, "run", "tiny.yaml", "--json", "--quiet").stdout)

    assert second["transfer"] == first["transfer"]
    assert second["tuned"]["hyperparameters"] == first["tuned"]["hyperparameters"]
    assert (folder / "runs" / "tiny" / "study.db").read_bytes() == study


def test_run_without_force_refuses_a_target_unless_it_transfers(folder: Path) -> None:
    """The verdict decides whether target.yaml is written, and the text says why it is not."""
    done = hptransfer(folder, "run", "tiny.yaml", "--runs", "other", "--quiet")
    written = (folder / "other" / "tiny" / "target.yaml").exists()

    assert written == (done.returncode == 0)
    assert ("no target.yaml" in done.stdout) == (done.returncode != 0)


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
