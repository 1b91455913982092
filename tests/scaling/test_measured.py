"""A program with one learning rate: no rule is claimed, and the ladder's own law says what the target needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hptransfer.models.applied_plan import load_plan
from tests.support import command_line

#: the truth, known exactly: the optimum is 2^-6 (width / 64)^-1/2
LOOP = """\
import math

def train(trial):
    x = math.log2(trial.hyperparameters["learning_rate"])
    best = -6 - 0.5 * math.log2(trial.size.width / 64)
    noise = 0.001 * math.sin(100 * x + 7 * trial.seed)
    loss = 2 + 0.05 * (x - best) ** 2 + 0.3 / trial.size.width**0.5 + noise
    trial.report(trial.steps, loss)
    return loss
"""
RECIPE = """\
name: law
trainer: {function: "my_measured_loop:train"}
objective: {name: loss, unit: nats, evaluation: a parabola}
training: {steps: 10, learning_rate: 0.015625}
parameterization: {name: PARAMETERIZATION}
sizes:
  base: {width: 64, depth: 2}
  widths: [64, 128, 256, 512]
  target: {width: 4096, depth: 2}
tune:
  space: {learning_rate: {low: 0.0009765625, high: 0.25}}
  trials: 8
  confirm_seeds: 1
"""


def written(folder: Path, parameterization: str) -> None:
    """The recipe and its loop."""
    (folder / "my_measured_loop.py").write_text(LOOP)
    (folder / "law.yaml").write_text(RECIPE.replace("PARAMETERIZATION", parameterization))


def test_the_law_finds_the_targets_optimum(tmp_path: Path) -> None:
    """At width 4096 the truth is 2^-9, six octaves of width beyond the proxy; its value there is in the target."""
    written(tmp_path, "measured")
    done = command_line.hptransfer(tmp_path, "run", "law.yaml", "--quiet", "--workers", "1")
    target = yaml.safe_load((tmp_path / "runs/law/target.yaml").read_text())

    assert done.returncode == 0, done.stderr
    assert "no rule is claimed" in done.stdout
    assert target["hyperparameters"]["learning_rate"] == pytest.approx(2.0**-9, rel=0.05)
    ends = target["prediction"]["optimum"]
    assert ends["low"] <= 2.0**-9 <= ends["high"]
    assert target["prediction"]["value"] == target["hyperparameters"]["learning_rate"]
    assert target["parameters"] == []
    assert target["verdict"]["verdict"] == "DRIFTS"
    assert any("ladder's own law" in note for note in target["notes"])
    # the true loss of a run at the law's value, which the registered interval must hold
    loss = target["prediction"]["loss"]
    assert loss["low"] <= 2 + 0.3 / 4096**0.5 <= loss["high"]
    assert load_plan(tmp_path / "runs/law/target.yaml").groups == ()
    assert (target["training"]["schedule"], target["training"]["warmup"]) == ("own", None)
    sentences = {entry["axis"]: entry["sentence"] for entry in target["extrapolation"]}
    assert sentences["width"].endswith("by the ladder's law alone")


def test_a_program_that_claims_rules_is_held_to_them(tmp_path: Path) -> None:
    """The same runs under a parameterization that the program is said to apply by itself drift: no target."""
    written(tmp_path, "mup")
    done = command_line.hptransfer(tmp_path, "run", "law.yaml", "--quiet", "--workers", "1", "--json")
    document = json.loads(done.stdout)

    assert done.returncode == 1, done.stderr
    assert document["transfer"]["verdict"] == "DRIFTS"
    assert document["target"] is None


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("model: {kind: mlp}\n", "`measured` claims no rule, so it is for programs whose model cannot be read"),
        ("budget: {flops: 1e12}\n", "`budget.flops` needs a model whose operations can be counted"),
    ],
)
def test_what_does_not_go_with_measured_is_said_by_validate(line: str, rule: str, tmp_path: Path) -> None:
    """With the place in the file."""
    written(tmp_path, "measured")
    path = tmp_path / "law.yaml"
    path.write_text(path.read_text() + line)
    done = command_line.called(tmp_path, "validate", "law.yaml")

    assert done.returncode == 1
    assert rule in " ".join((done.stdout + done.stderr).split())


def test_what_is_maximized_reaches_a_target(tmp_path: Path) -> None:
    """Its values are negative inside, which no power law fits: the optimum is predicted, and no loss."""
    written(tmp_path, "mup")
    path = tmp_path / "law.yaml"
    path.write_text(
        path.read_text()
        .replace("{name: loss, unit: nats,", "{name: score, direction: maximize, unit: points,")
        # 8 times beyond the ladder no cost is bounded: what is shown here is the way to a target
        .replace("depth: 2}\ntune", "depth: 2, accept: [width]}\ntune")
    )
    (tmp_path / "my_measured_loop.py").write_text(
        "import math\n\ndef train(trial):\n"
        "    x = math.log2(trial.hyperparameters['learning_rate'])\n"
        "    return 1 - 0.01 * (x + 6) ** 2 - 0.3 / trial.size.width + 1e-4 * math.sin(100 * x + trial.seed)\n"
    )
    done = command_line.hptransfer(tmp_path, "run", "law.yaml", "--quiet", "--workers", "1")

    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "score with its sign changed (points)" in words
    assert "memorised" not in words
    target = yaml.safe_load((tmp_path / "runs/law/target.yaml").read_text())
    assert target["prediction"]["loss"] is None
    assert target["hyperparameters"]["learning_rate"] == pytest.approx(2.0**-6, rel=0.05)


def test_a_law_that_says_nothing_is_no_target() -> None:
    """Four octaves of interval are no answer; two are the most that is written without `--force`."""
    from hptransfer.transfer.law import LawValue
    from hptransfer.transfer.prediction import predict

    nothing = predict([], {}, hyperparameter="learning_rate", value=1.0)

    assert not LawValue("learning_rate", 1.37, 0.42, 6.1, nothing).bounded
    assert LawValue("learning_rate", 1.0, 0.5, 2.0, nothing).bounded
