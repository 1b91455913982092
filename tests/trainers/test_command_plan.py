"""Values of the plan as programs get them: one number per kind, the whole plan, or a refusal that names the lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hptransfer import load_plan
from hptransfer.engine.readings import Readings
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers.base import TRAINERS, require_trainable
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from tests.support.commands import command_recipe, logs, trained

MODEL = {"kind": "factory", "factory": "tests.support.own_scripts:small"}
ROOT = Path(__file__).parents[2]
SIZES = {"base": {"width": 16, "depth": 2}, "widths": [16, 32], "target": {"width": 64, "depth": 2}}


def planned(words: Sequence[str], accepts: Sequence[str] = (), name: str = "mup", **more: Any) -> Recipe:
    """A recipe with a model, whose command prints its arguments and a loss."""
    script = "import sys; print(sys.argv[1:]); print('loss 1')"
    section = {
        "command": [sys.executable, "-c", script, "{width}", "{seed}", *words],
        "results": {"stdout": r"loss (\S+)"},
        "accepts": list(accepts),
    }
    document = {"model": MODEL, "parameterization": {"name": name}, "sizes": SIZES} | more
    return command_recipe(section, **document)


def required(recipe: Recipe) -> None:
    """What is asked before any run."""
    require_trainable(recipe, ROOT, Readings(recipe, ROOT, None, None))


def test_one_number_per_kind_is_the_plans(tmp_path: Path) -> None:
    """MuP and Adam at twice the width: hidden and readout rates are halved, others stay (TP-V, Table 8)."""
    words = [f"{{plan.{kind}.learning_rate}}" for kind in ("input", "hidden", "readout", "vectors", "hidden+readout")]
    trained(planned(words, ["all.init_std", "all.eps"]), tmp_path, width=32, learning_rate=0.01)
    told = (logs(tmp_path) / "stdout.txt").read_text().splitlines()[0]

    assert [float(word.strip(" '[]")) for word in told.split(",")[2:]] == [0.01, 0.005, 0.005, 0.01, 0.005]


def test_a_kind_whose_parameters_differ_is_no_number(tmp_path: Path) -> None:
    """The message names parameters and values, and the way out; before any run."""
    recipe = planned(["{plan.all.learning_rate}"], ["all.init_std", "all.eps"])

    with pytest.raises(UsageError) as caught:
        required(recipe)
    finding = caught.value.findings[0]
    assert finding.rule == "one number must be right for all the parameters that it is for"
    assert "{plan.all.learning_rate} at w32-d2: first.weight" in str(finding.received)
    assert "blocks.0.weight" in str(finding.received)
    assert "{plan_file}" in str(finding.hint)


@pytest.mark.parametrize(
    ("words", "accepts", "lacking"),
    [
        (["{learning_rate}"], ["all.init_std", "all.eps"], "hidden.learning_rate, readout.learning_rate"),
        (["{plan.hidden+readout.learning_rate}"], ["all.init_std", "all.eps"], "input.learning_rate"),
        (["{plan.hidden+readout.learning_rate}", "{learning_rate}"], ["all.eps"], "hidden.init_std"),
        (["{plan.hidden+readout.learning_rate}", "{learning_rate}"], ["all.init_std"], ".eps"),
    ],
)
def test_what_a_command_cannot_take_is_named(words: list[str], accepts: list[str], lacking: str) -> None:
    """At the proxy and along the ladder, before any run; also a rate that nobody tells."""
    with pytest.raises(UsageError) as caught:
        required(planned(words, accepts))

    assert caught.value.findings[0].rule == "a command must take what the plan sets"
    assert lacking in str(caught.value.findings[0].received)


@pytest.mark.parametrize(
    ("words", "accepts"),
    [
        (["{plan_file}"], []),
        ([], ["plan"]),
        (["{plan.hidden+readout.learning_rate}", "{learning_rate}"], ["all.init_std", "all.eps"]),
    ],
)
def test_what_takes_everything_is_accepted(words: list[str], accepts: list[str]) -> None:
    """The whole plan, or its values and what the program does by itself."""
    required(planned(words, accepts))


def test_searched_constants_of_roles_must_be_taken() -> None:
    """At the recipe's own value, 1, they show nowhere; the search would move them in vain."""
    space = {"hidden_learning_rate": {"low": 0.25, "high": 4.0}}
    words = ["{plan.readout.learning_rate}", "{learning_rate}", "{hidden_learning_rate}"]
    recipe = planned(words, ["all.init_std", "all.eps"], sizes=SIZES | {"widths": [16]}, tune={"space": space})

    with pytest.raises(UsageError) as caught:
        required(recipe)

    assert "hidden.learning_rate" in str(caught.value.findings[0].received)


def test_the_whole_plan_reads_back(tmp_path: Path) -> None:
    """`load_plan` gives the groups of the run's size."""
    trained(planned(["{plan_file}"]), tmp_path, width=32, learning_rate=0.01)
    plan = load_plan(logs(tmp_path) / "plan.json")
    document = json.loads((logs(tmp_path) / "plan.json").read_text())

    assert {group.pattern: group.learning_rate for group in plan.groups}[r"blocks\.\d+\.weight"] == 0.005
    assert (document["size"]["width"], document["base"]["width"], document["seed"]) == (32, 16, 1)


def test_torch_function_and_command_train_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One small MLP in float64, by muP at twice its base width: losses agree to rounding, on the way and at the end."""
    common = {
        "model": MODEL,
        "data": {
            "kind": "python",
            "source": "tests.support.own_scripts:batch_for_torch",
            "evaluation": "tests.support.own_scripts:evaluation_for_torch",
            "evaluation_examples": 256,
        },
        "training": {
            "steps": 12,
            "batch_size": 8,
            "loss": "mse",
            "schedule": "constant",
            "warmup": 0.0,
            "precision": "float64",
        },
        "parameterization": {"name": "mup"},
        "sizes": SIZES,
    }
    without = {name: value for name, value in common.items() if name != "data"}
    monkeypatch.setenv("HPTRANSFER_PYTHONPATH_BEFORE", str(ROOT))
    section = {
        "command": [sys.executable, "-m", "tests.support.own_scripts", "{results}"],
        "cwd": str(ROOT),
        "results": {"jsonl": "losses.jsonl", "step": "step", "curve": "train"},
        "accepts": ["plan"],
    }
    recipes = {
        "torch": command_recipe({"name": "torch"}, **common),
        "function": command_recipe({"function": "tests.support.own_scripts:by_function"}, **without),
        "command": command_recipe(section, **without),
    }
    ended = {}
    for name, recipe in recipes.items():
        spec = TrialSpec(recipe, tmp_path, recipe.size(32, 2), {"learning_rate": 0.01, "warmup": 0.0}, 3)
        message = TrialMessage.of(spec, "ab12cd34", folder=tmp_path / "runs")
        ended[name] = TRAINERS.look_up(name).run(message).finished()

    curves = {name: [loss for _, loss in trial.curve] for name, trial in ended.items()}
    assert curves["command"] == pytest.approx(curves["function"], rel=1e-12)
    assert curves["torch"] == pytest.approx(curves["function"], rel=1e-10)
    assert ended["command"].loss == pytest.approx(ended["function"].loss, rel=1e-12)
    assert ended["torch"].loss == pytest.approx(ended["function"].loss, rel=1e-10)


def test_a_program_that_watches_is_checked_by_its_coordinates(tmp_path: Path) -> None:
    """The coordinate check runs the program for its first steps, and reads what `hptransfer.watch` recorded."""
    from hptransfer.trainers._bench import run_diagnostic
    from hptransfer.trials.messages import DiagnosticMessage

    section = {
        "command": [sys.executable, "-m", "tests.support.own_scripts", "{results}", "watched"],
        "cwd": str(ROOT),
        "environment": {"PYTHONPATH": str(ROOT)},
        "results": {"jsonl": "losses.jsonl", "step": "step", "curve": "train"},
        "accepts": ["plan"],
        "watches": True,
    }
    parts: dict[str, Any] = {"model": MODEL, "parameterization": {"name": "mup"}, "sizes": SIZES}
    recipe = command_recipe(section, training={"steps": 12, "batch_size": 8}, **parts)
    spec = TrialSpec(recipe, tmp_path, recipe.size(32, 2), {"learning_rate": 0.01}, 3)
    message = DiagnosticMessage.of("coordinate", spec, None, {"steps": [1, 3, 10]})
    measured = run_diagnostic(message.payload())

    assert {"layers", "parameters"} <= measured.keys()
    assert any("blocks.0" in str(name) for name in measured["parameters"])
