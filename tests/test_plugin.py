"""A project from outside adds an entry of each kind by entry points: under the suites, and in the command line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hptransfer.linting.base import LINT_RULES, LintRule
from hptransfer.testing.data_sources import DataSourceConformance
from hptransfer.testing.diagnostics import DiagnosticConformance
from hptransfer.testing.exporters import ExporterConformance
from hptransfer.testing.lint_rules import LintRuleConformance
from hptransfer.testing.losses import LossConformance
from hptransfer.testing.trainers import TrainerConformance
from hptransfer.trainers.base import TRAINERS, Trainer
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from tests.support import command_line, tiny
from tests.support.plugins import install_project
from tests.support.recipe_texts import MLP, edited

PROJECT = Path(__file__).parent / "plugin"

#: its trainer needs no torch, and its optimum is 2^-6 at every width
VALLEY = """\
name: valley
model: {kind: mlp}
data: {kind: text, files: [a.txt]}
trainer: valley
training: {steps: 10, learning_rate: 0.015625}
parameterization: {name: mup}
sizes:
  base: {width: 64, depth: 2}
  widths: [64, 128, 256, 512]
  target: {width: 1024, depth: 2}
tune:
  space: {learning_rate: {low: 0.0009765625, high: 0.25}}
  trials: 8
  confirm_seeds: 1
expect: {verdict: TRANSFERS}
"""
#: torch trains, on data and with a loss from outside
WORDS = """\
name: words
model: {kind: mlp, context: 4, embedding: 4}
data: {kind: repeated, arguments: {word: "word ", file: more.txt}}
training: {steps: 6, batch_size: 16, evaluation_batches: 2, loss: bits}
parameterization: {name: mup}
sizes:
  base: {width: 8, depth: 2}
  widths: [8, 16]
  target: {width: 64, depth: 2}
tune:
  space: {learning_rate: {low: 0.001, high: 0.25}}
  trials: 6
  confirm_seeds: 1
check: {octaves: 0.5, seeds: 1, coordinate: {steps: [1], seeds: 2}, diagnostics: [width-sum]}
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the project is installed."""
    folder = tmp_path_factory.mktemp("site")
    install_project(PROJECT, folder)
    return folder


@pytest.fixture(autouse=True)
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It can be imported, in this process and in those that it starts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(command_line.ROOT), str(site))))
    with monkeypatch.context() as path:
        path.syspath_prepend(str(site))
        yield


class TestTrainer(TrainerConformance):
    """`trainer: valley`."""

    def trainer(self) -> Trainer:
        """By its name."""
        return TRAINERS.look_up("valley")

    def message(self, folder: Path) -> TrialMessage:
        """Over anything."""
        recipe = tiny.recipe(trainer="valley")
        return TrialMessage.of(TrialSpec(recipe, folder, recipe.size(16, 2), {"learning_rate": 2.0**-7}, 1), "k")


class TestExporter(ExporterConformance):
    """`scale --format lab`."""

    name = "lab"


class TestDataSource(DataSourceConformance):
    """`data.kind: repeated`."""

    def section(self, folder: Path) -> Mapping[str, Any]:
        """A word and a file."""
        (folder / "more.txt").write_text("and more")
        return {"kind": "repeated", "arguments": {"word": "word ", "file": "more.txt"}}


class TestLoss(LossConformance):
    """`training.loss: bits`."""

    name = "bits"


class TestDiagnostic(DiagnosticConformance):
    """`check --diagnostic width-sum`."""

    name = "width-sum"


class TestLintRules(LintRuleConformance):
    """What `validate` checks besides."""

    @pytest.fixture
    def rules(self) -> tuple[LintRule, ...]:
        """By their name."""
        return LINT_RULES.look_up("lab")

    @pytest.fixture
    def violations(self) -> Mapping[str, str]:
        """The suite calls its files `recipe-1.yaml` and so on."""
        return {"lab/named": edited(MLP, ("name: small", "name: other"))}

    @pytest.fixture
    def sound(self) -> str:
        """The first file of a test is `recipe-1.yaml`."""
        return edited(MLP, ("name: small", "name: recipe-1"))


del DataSourceConformance, DiagnosticConformance, ExporterConformance, LintRuleConformance, LossConformance
del TrainerConformance


class Lab:
    """A folder with both recipes, where the command line is called with the project installed."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self._site = folder, site
        (folder / "a.txt").write_text("some text\n" * 300)
        (folder / "more.txt").write_text("and more")
        (folder / "valley.yaml").write_text(VALLEY)
        (folder / "words.yaml").write_text(WORDS)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`hptransfer ...`."""
        return command_line.hptransfer(self.folder, *arguments, installed=self._site)

    def answer(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as JSON; it exits with a verdict's status."""
        done = self(*arguments, "--json", *(() if arguments[0] == "scale" else ("--quiet", "--workers", "1")))
        assert done.returncode in (0, 1, 3), done.stderr
        content: dict[str, Any] = json.loads(done.stdout)
        return content


@pytest.fixture
def lab(tmp_path: Path, site: Path) -> Lab:
    """A folder of this test."""
    return Lab(tmp_path, site)


def test_a_lint_rule_from_outside_warns_in_validate(lab: Lab) -> None:
    """The recipes are named after their files; a copy is not."""
    (lab.folder / "copy.yaml").write_text(VALLEY)
    done = lab("validate", "valley.yaml", "words.yaml", "copy.yaml")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a recipe should be named after its file") == 1
    assert "valley in copy.yaml" in done.stdout


def test_a_trainer_and_an_exporter_from_outside_lead_to_a_target(lab: Lab) -> None:
    """Tuned where its function has the optimum, checked on other widths, written for another framework."""
    tuned = lab.answer("tune", "valley.yaml")
    checked = lab.answer("check", "valley.yaml")
    written = lab("scale", "valley.yaml", "--format", "lab")
    snapshot = json.loads((lab.folder / "runs/valley/recipe.json").read_text())

    assert tuned["hyperparameters"]["learning_rate"] == pytest.approx(2.0**-6, rel=0.1)
    assert checked["verdict"] == "TRANSFERS"
    assert snapshot["trainer"] == "valley 3"
    assert written.returncode == 0, written.stderr
    exported = json.loads((lab.folder / "runs/valley/export/lab/conf/run.json").read_text())
    assert exported["learning_rate"] == tuned["hyperparameters"]["learning_rate"]


def test_data_a_loss_and_a_diagnostic_from_outside_are_part_of_a_check(lab: Lab) -> None:
    """What they give is in tuned.yaml and in transfer.json; a target is written with `--force` whatever it says."""
    tuned = lab.answer("tune", "words.yaml")
    checked = lab.answer("check", "words.yaml", "--diagnostic", "width-sum")
    written = lab("scale", "words.yaml", "--force", "--format", "lab,hptransfer")
    target = yaml.safe_load((lab.folder / "runs/words/target.yaml").read_text())

    # one of five repeated bytes, in bits: far below the 8 of bytes that nothing is known of
    assert 0 < tuned["best_observed"]["loss"] < 8
    assert checked["diagnostics"]["width-sum"] == {"sizes": [8, 16], "sum": 3 * (8 + 16)}
    assert written.returncode == 0, written.stderr
    assert target["provenance"]["data_fingerprint"] == checked["provenance"]["data"]
    assert (lab.folder / "runs/words/export/lab/conf/run.json").exists()
