"""Each hostile folder is refused soon, in little memory, with nothing executed, emptied or printed raw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_folders import PRECIOUS, RECIPES, RUN_FOLDERS, Build, committed

ROOT = Path(__file__).parents[2]
#: of processor time, and of memory, in the process of one command
SECONDS, MEGABYTES = 2.0, 300.0


def _measured(folder: Path, corpus: Mapping[str, tuple[Build, tuple[int, ...]]]) -> dict[str, dict[str, Any]]:
    """What became of every case; their folders stay for a look at what was done to them."""
    cases = []
    for name, (build, _) in corpus.items():
        (folder / name).mkdir()
        cases.append([name, str(folder / name), build(folder / name)])
    (folder / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hostile_driver", str(folder / "cases.json")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of every hostile recipe."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "precious.txt").write_text(PRECIOUS)
    return {name: {**each, "folder": folder / name} for name, each in _measured(folder, RECIPES).items()}


@pytest.fixture(scope="module")
def run_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of every hostile run folder."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "precious.txt").write_text(PRECIOUS)
    (folder / "committed").mkdir()
    committed(folder / "committed")
    return {name: {**each, "folder": folder / name} for name, each in _measured(folder, RUN_FOLDERS).items()}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_hostile_recipe_is_refused(name: str, recipes: dict[str, dict[str, Any]]) -> None:
    """Exit status, time, memory; no traceback, nothing executed, nothing outside read out or changed."""
    _judge(recipes[name], RECIPES[name][1])


@pytest.mark.parametrize("name", sorted(RUN_FOLDERS))
def test_a_hostile_run_folder_is_refused(name: str, run_folders: dict[str, dict[str, Any]]) -> None:
    """As for recipes; a damaged or replaced database is the storage's fault, exit status 4."""
    _judge(run_folders[name], RUN_FOLDERS[name][1])


def test_what_is_said_does_not_tell_whether_a_file_exists(recipes: dict[str, dict[str, Any]]) -> None:
    """The same words for a link to a file outside and for one to nothing."""
    there, missing = recipes["link-out"], recipes["link-out-missing"]

    assert there["stdout"] == missing["stdout"]


def test_the_canary_sings(tmp_path: Path) -> None:
    """The stranger's module does what the tests above look for, where it is trusted: else they could not fail."""
    build, _ = RECIPES["code-factory"]
    arguments = build(tmp_path)
    subprocess.run(
        [sys.executable, "-m", "hptransfer", arguments[0], "--trust", *arguments[1:]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert (tmp_path / "owned").exists()


def _judge(case: dict[str, Any], statuses: tuple[int, ...]) -> None:
    said = case["stdout"] + case["stderr"]
    assert not case["hung"]
    assert case["status"] in statuses, said[-1500:]
    assert "Traceback" not in said
    assert "defect of hptransfer" not in said
    assert case["seconds"] < SECONDS
    assert case["megabytes"] < MEGABYTES
    assert case["folder"].parent.joinpath("precious.txt").read_text() == PRECIOUS
    assert PRECIOUS.strip() not in said
    assert "root:" not in said  # of /etc/passwd
    assert len(said) < 20_000
    assert not list(case["folder"].rglob("owned"))
    raw = {character for character in said if unicodedata.category(character) in ("Cc", "Cf") and character != "\n"}
    assert not raw
