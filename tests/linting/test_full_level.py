"""`validate --level full`: a recipe run again, held against what it expects and what is committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hptransfer.commands.validate import validate_command
from hptransfer.linting.levels import full
from hptransfer.linting.levels._trusted import run_trusted
from hptransfer.linting.levels.base import LevelOutcome, Subject, ValidationOptions
from hptransfer.recipe.load import load_recipe
from tests.support.command_line import ROOT
from tests.support.ladder import recipe_text
from tests.support.processes import until, wait_until_dead
from tests.support.recipe_texts import MLP
from tests.support.sessions import check_and_save, recipe_session, tune_and_write


@pytest.fixture(autouse=True)
def _ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of a ladder without training, in this process."""
    monkeypatch.setattr(full, "ENTRY", "tests.support.ladder:work")
    monkeypatch.setattr(full, "run_trusted", lambda function, payload, limits: answered(**payload))


def answered(path: str, runs: str = "", **options: Any) -> dict[str, Any]:
    """What the process answers, once per recipe; it works in a folder of its own."""
    return _answered(Path(path).read_text(), path, tuple(sorted(options.items())))


@cache
def _answered(text: str, path: str, options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    return full.confined({"path": path, "runs": tempfile.mkdtemp(), **dict(options)})


def again(tmp_path: Path, landscape: dict[str, Any], expect: str = "", **options: Any) -> LevelOutcome:
    """What the level says of a ladder."""
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe_text(landscape) + (f"expect: {expect}\n" if expect else ""))
    asked = ValidationOptions(("static", "full"), **options)
    return full.LEVEL.run(Subject(str(file), load_recipe(file), asked))


def test_as_expected(tmp_path: Path) -> None:
    """A negative control that drifts has no error, and nothing is left beside the recipe."""
    found = again(tmp_path, {"drift": -0.9}, "{verdict: DRIFTS, optimum: {learning_rate: {low: 0.01, high: 0.025}}}")

    assert (found.errors, found.open) == ((), ())
    assert "expect.verdict: expected DRIFTS, found DRIFTS: met" in found.notes
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the process and its JSON."""
    monkeypatch.setattr(full, "run_trusted", run_trusted)
    found = again(tmp_path, {"drift": -0.9}, "{verdict: DRIFTS}")

    assert (found.errors, found.open, found.machine) == ((), (), ())
    assert "expect.verdict: expected DRIFTS, found DRIFTS: met" in found.notes


def test_not_as_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each expectation that is not met is an error; a verdict that nobody expects is one too."""
    missed = again(tmp_path, {"drift": -0.9}, "{verdict: TRANSFERS}")
    assert [error.code for error in missed.errors] == ["expect/not-met"]
    assert "expected TRANSFERS, found DRIFTS: NOT met" in (missed.errors[0].received or "")

    said = answered(str(tmp_path / "recipe.yaml"), max_trials=None, max_flops=None, entry="tests.support.ladder:work")
    monkeypatch.setattr(full, "run_trusted", lambda function, payload, limits: said | {"expected": []})
    (error,) = again(tmp_path, {"drift": -0.9}).errors
    assert (error.code, (error.received or "")[:7]) == ("full/verdict", "DRIFTS:")


def test_a_budget_that_ends_is_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 3, and the recipe is not called valid."""
    found = again(tmp_path, {"drift": 0.0}, max_trials=5)
    assert found.errors == ()
    (open_,) = found.open
    assert "trained anew" in (open_.hint or "")
    assert "continues" not in (open_.hint or "")

    said = {"refused": "budget", "rule": "the budget must suffice", "received": "5 trials", "hint": None}
    monkeypatch.setattr(full, "run_trusted", lambda function, payload, limits: said)
    file = tmp_path / "small.yaml"
    file.write_text(MLP)
    assert validate_command([str(file)], level=["full"]) == 3
    assert ": valid" not in capsys.readouterr().out


@pytest.mark.slow
def test_against_committed_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recipe whose evidence says otherwise: verdict and optimum are compared."""
    with recipe_session(tmp_path / "runs", recipe_text({"drift": -0.9}) + "expect: {verdict: DRIFTS}\n") as session:
        tune_and_write(session)
        check_and_save(session)
    folder = tmp_path / "runs" / "ladder"
    assert again(tmp_path, {"drift": -0.9}, "{verdict: DRIFTS}", runs=tmp_path / "runs").errors == ()

    transfer = json.loads((folder / "transfer.json").read_text())
    (folder / "transfer.json").write_text(json.dumps(transfer | {"verdict": "TRANSFERS"}))
    (error,) = again(tmp_path, {"drift": -0.9}, "{verdict: DRIFTS}", runs=tmp_path / "runs").errors
    assert (error.code, error.received) == ("full/other-verdict", "DRIFTS, where TRANSFERS is committed")

    monkeypatch.setattr(
        full, "run_trusted", lambda function, payload, limits: answered(**payload) | {"tuned": {"learning_rate": 0.25}}
    )
    found = again(tmp_path, {"drift": -0.9}, "{verdict: DRIFTS}", runs=tmp_path / "runs")
    assert [error.code for error in found.errors] == ["full/other-verdict", "full/other-optimum"]
    assert (found.errors[1].received or "").startswith("0.25, outside of ")


def test_a_command_waits_for_trust(tmp_path: Path) -> None:
    """A program that a recipe names is code of its own."""
    loaded = load_recipe("recipes/command-plain.yaml")
    found = full.LEVEL.run(Subject("recipes/command-plain.yaml", loaded, ValidationOptions(("static", "full"))))
    assert found.undecided == (
        "whether it gives what it expects when it is run again: its command runs with `--trust` only",
    )


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_whoever_ends_it_ends_all_of_it(tmp_path: Path, ended_by: signal.Signals) -> None:
    """After a kill -9 of `validate` nothing trains on for nobody, and no folder stays."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (tmp_path / "small.yaml").write_text(MLP)
    command = [sys.executable, "-P", "-m", "hptransfer", "validate", "small.yaml", "--level", "full"]
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    asker = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    until(lambda: any(temporary.glob("*/*/study.db")), asker)
    (confined,) = Path(f"/proc/{asker.pid}/task/{asker.pid}/children").read_text().split()
    trained = [int(pid) for pid in Path(f"/proc/{confined}/task/{confined}/children").read_text().split()]
    asker.send_signal(ended_by)
    asker.wait()

    wait_until_dead(int(confined), *trained)
    assert list(temporary.glob("hptransfer-full-*")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.yaml", "temporary"]
