"""Recipes of commands: what is refused before anything runs, and where the fault is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hptransfer.errors import Finding, RecipeError
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.placeholders import for_a_shell, names_in, rendered, rendered_setting

COMMAND = ["python", "train.py", "--width={width}", "{learning_rate}", "{seed}"]


def findings(folder: Path, trainer: dict[str, Any], **sections: Any) -> list[Finding]:
    """What is wrong with a recipe; an entry for `trainer` replaces the usual one."""
    document = {
        "name": "told",
        "trainer": {"command": COMMAND, "results": {"stdout": "loss (.*)"}} | trainer,
        "training": {"steps": 5},
        "parameterization": {"name": "measured"},
        "sizes": {"base": {"width": 16, "depth": 2}, "widths": [16, 32], "target": {"width": 64, "depth": 2}},
        "tune": {"space": {"learning_rate": {"low": 0.001, "high": 1.0}}},
    } | sections
    path = folder / "told.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    try:
        load_recipe(path)
    except RecipeError as error:
        return list(error.findings)
    return []


@pytest.mark.parametrize(
    ("trainer", "code", "said"),
    [
        ({"command": [*COMMAND, "{learnin_rate}"]}, "recipe/placeholder", "did you mean `{learning_rate}`?"),
        ({"environment": {"A": "{lr}"}}, "recipe/placeholder", "did you mean `{learning_rate}`?"),
        (
            {"command": [*COMMAND, "{plan.hiden.lr}"]},
            "recipe/placeholder",
            "did you mean `{plan.hidden.learning_rate}`?",
        ),
        ({"command": [*COMMAND, "{plan.hidden.learning_rate}"]}, "recipe/placeholder", "give `model`"),
        ({"command": [*COMMAND, "{config}"]}, "recipe/placeholder", "template: base.yaml"),
        ({"accepts": ["hiden.eps"]}, "recipe/accepts", "hidden.init_std"),
        ({"command": COMMAND[:-1]}, "recipe/told", "accepts: [seed]"),
        ({"command": ["python", "{learning_rate}", "{seed}"]}, "recipe/told", "add `'{width}'` behind"),
        ({"command": ["python", "{width}", "{seed}"]}, "recipe/told", "accepts: [learning_rate]"),
        ({"command": "python train.py"}, "recipe/type", "command: [python, train.py"),
        ({"shell": True}, "recipe/type", "command: 'python train.py"),
        ({"results": {"value": "loss"}}, "recipe/missing-key", "jsonl: metrics.jsonl"),
        ({"results": {"stdout": "loss ("}}, "recipe/pattern", "for example"),
        ({"results": {"stdout": "loss (.*)", "valeu": 1}}, "recipe/unknown-key", "`final`, `stdout`, `curve`"),
        ({"files": ["../secret"]}, "recipe/files-outside", "below the recipe's folder"),
        ({"config": {"template": "/etc/passwd"}}, "recipe/files-outside", "below the recipe's folder"),
        ({"resources": [{"up_to_width": 8}]}, "recipe/range", "up_to_width: 512"),
        ({"no_output_for": "10"}, "recipe/range", None),
        ({"command": [*COMMAND, 5]}, "recipe/type", "put text in quotes"),
    ],
)
def test_a_fault_has_one_finding_with_a_way_out(
    trainer: dict[str, Any], code: str, said: str | None, tmp_path: Path
) -> None:
    """With its place in the file."""
    found = findings(tmp_path, trainer)

    assert [each.code for each in found] == [code]
    assert said is None or said in str(found[0].hint)
    assert found[0].place is not None
    assert found[0].place.line is not None


def test_ladders_must_reach_the_program(tmp_path: Path) -> None:
    """Depth, batch and tokens where they are varied; steps tell tokens."""
    sizes = {"base": {"width": 16, "depth": 2}, "widths": [16, 32], "target": {"width": 64, "depth": 2}}
    varied = sizes | {"depths": [2, 4], "batch_sizes": [32, 64], "tokens": [100, 320]}
    told = {"command": [*COMMAND, "{depth}", "{batch_mult}", "{steps}"]}

    assert [str(each.received) for each in findings(tmp_path, {}, sizes=varied)] == [
        "nothing names `{depth}`",
        "nothing names `{batch_size}`",
        "nothing names `{tokens}`",
    ]
    assert findings(tmp_path, told, sizes=varied) == []
    assert findings(tmp_path, {"accepts": ["depth", "batch_size", "tokens"]}, sizes=varied) == []


def test_a_program_that_reads_the_plan_is_told_everything(tmp_path: Path) -> None:
    """The file has size, seed and hyperparameters."""
    assert findings(tmp_path, {"command": ["./train", "{plan_file}"]}) == []
    assert findings(tmp_path, {"command": ["./train"], "accepts": ["plan"]}) == []


def test_braces_around_anything_else_stay() -> None:
    """awk, JSON and shells have braces of their own."""
    values: dict[str, int | float | str] = {"width": 64, "learning_rate": 1e-07, "trial_dir": "/a b"}

    assert names_in('awk \'{print $1}\' {"a": {"b": 1}} ${X} {width}') == ("X", "width")
    assert rendered('{print $1} {"a":{"b":1}} {{width}} {width}', values) == '{print $1} {"a":{"b":1}} {width} 64'
    assert rendered_setting("{learning_rate}", values) == 1e-07
    assert rendered_setting("w{width}", values) == "w64"
    assert for_a_shell("cat {trial_dir}/x {width}", values) == "cat '/a b'/x 64"
