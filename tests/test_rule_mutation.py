"""A rule that changes: evidence of the old rule is refused by `scale`, and `check` trains anew and finds what is wrong.

The change is that of one exponent: the learning rate of hidden weights under Adam goes as width^-1/2 instead of
width^-1 (muP, Table 8 of Tensor Programs V).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hptransfer.cli.app import app
from hptransfer.engine.identity import identity_of_recipe
from hptransfer.parameterization import applied_rules
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity
from hptransfer.parameterization.tables import TABLES
from hptransfer.recipe.load import load_recipe
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.snapshot import read_trials
from tests.support.checked_folder import Folder
from tests.support.command_line import RECIPE, ROOT

_REFUSED = (
    "the hyperparameters were tuned under other rules, code or data; "
    "transfer was checked under other rules, code or data"
)
_ROW = 'Source(TP5, "Table 8", "Adam LR"), ONE, IN**-1, ONE'

Call = Callable[..., subprocess.CompletedProcess[str]]


def test_scale_refuses_evidence_of_another_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tuned and checked a moment ago is refused once an exponent differs, and used again once it does not."""
    folder = Folder(tmp_path)
    now = identity_of_recipe(load_recipe(folder.recipe), RunFolder(folder.runs / "tiny"))
    folder.write_tuned(identity=now)
    folder.write_transfer(identity=now)
    key, row = ("completep", "adam"), (Role.HIDDEN_WEIGHT, Quantity.LEARNING_RATE)
    rule = TABLES["completep", "adam"].rules[row]
    changed = replace(rule, exponents=rule.exponents * Exponents(fan_in=0.5))
    rules = dict(TABLES["completep", "adam"].rules) | {row: changed}
    command = ["scale", str(folder.recipe), "--runs", str(folder.runs)]

    with monkeypatch.context() as mutation:
        tables = dict(TABLES) | {key: replace(TABLES["completep", "adam"], rules=rules)}
        mutation.setattr(applied_rules, "TABLES", tables)
        refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert _REFUSED in refused.stderr
    assert not folder.target.exists()

    assert CliRunner().invoke(app, command).exit_code == 0


@pytest.fixture
def mutated(tmp_path: Path) -> Path:
    """A folder with a copy of the package in which the exponent differs."""
    copy = tmp_path / "mutated"
    shutil.copytree(ROOT / "hptransfer", copy / "hptransfer", ignore=shutil.ignore_patterns("__pycache__"))
    table = copy / "hptransfer" / "parameterization" / "tables" / "mup.py"
    text = table.read_text("utf-8")
    assert text.count(_ROW) == 1
    table.write_text(text.replace(_ROW, _ROW.replace("IN**-1", "IN**-0.5")), "utf-8")
    return copy


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """`hptransfer` of a folder, in that of a tiny recipe; widths over which an exponent can be seen."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(RECIPE)
    (folder / "a.txt").write_text("".join(f"{number} bottles\n" for number in range(800)))

    def called(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hptransfer", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(package), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return called


@pytest.mark.slow
def test_a_changed_rule_is_checked_anew_and_found(tmp_path: Path, mutated: Path, call: Call) -> None:
    """The same recipe under the package, under a copy with another exponent, and under the package again."""
    run = ("--workers", "1", "--quiet")
    folder = tmp_path / "work" / "runs" / "tiny"
    assert call(ROOT, "tune", "tiny.yaml", *run).returncode == 0
    sound = call(ROOT, "check", "tiny.yaml", "--json", *run)
    trained = {trial.key for trial in read_trials(folder / "study.db")}

    refused = call(mutated, "scale", "tiny.yaml")
    assert refused.returncode == 1
    assert _REFUSED in refused.stderr

    wrong = call(mutated, "check", "tiny.yaml", "--json", *run)
    anew = [trial for trial in read_trials(folder / "study.db") if trial.key not in trained]
    document = json.loads(wrong.stdout)
    assert "hidden weight learning_rate: fan_in^-1 -> fan_in^-1/2" in wrong.stderr
    assert len(anew) == document["provenance"]["trials"]
    (along_width,) = document["diagnostics"]["coordinate"]
    (before,) = json.loads(sound.stdout)["diagnostics"]["coordinate"]
    assert before["faults"] == []
    assert along_width["verdict"] == "FAILS"
    (fault,) = along_width["faults"]
    assert (fault["cause"], fault["power"]) == ("learning rate", 0.5)
    assert [name.startswith("hidden.") for name in fault["parameters"]] == [True]

    again = call(ROOT, "check", "tiny.yaml", "--json", *run)
    assert len(read_trials(folder / "study.db")) == len(trained) + len(anew)
    assert json.loads(again.stdout)["verdict"] == json.loads(sound.stdout)["verdict"]
