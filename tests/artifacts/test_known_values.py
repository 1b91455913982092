"""Values of target.yaml that must be one of a list are checked where the file is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hptransfer import load_plan
from hptransfer.artifacts.plan_file import read_planned
from hptransfer.cli.app import app
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from tests.support.exported import llama_target


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("training", "schedule"), "x", "training.schedule: it must be one of own, constant, linear, cosine, wsd, "),
        (("training", "precision"), "half", "training.precision: it must be one of float64, float32, bfloat16, not 'h"),
        (("training", "clip_norm"), "x", "training.clip_norm: it must be one of global, scaled, not 'x'"),
        (("training", "steps"), 0, "training.steps: Input should be greater than or equal to 1, not 0"),
        (("training", "warmup"), 3.0, "training.warmup: Input should be less than or equal to 1, not 3.0"),
        (("optimizer",), "foo", "optimizer: it must be one of adamw, adam, "),
        (("optimizer",), "lion", "is for adamw, and optimizer is 'lion'"),
        (("gauge",), "x", "gauge: the gauge must be one of plain, multipliers, unit, not 'x'"),
        (("model", "kind"), "x", "model.kind: it must be one of gpt, mlp, huggingface, factory, external, not 'x'"),
        (("parameters", 1, "role"), "x", "parameters.1: role 'x': it must be one of embedding, "),
        (("parameters", 1, "init"), "x", "parameters.1: init 'x': it must be one of normal, "),
        (("parameters", 1, "optimizer"), "x", "parameters.1: optimizer 'x': it must be one of adamw, "),
        (("parameters", 1, "pattern"), "(", "parameters.1: pattern '(': missing )"),
        (("parameters", 1, "shape"), [0, 0], "parameters.1: shape '0': it must be at least 1"),
        (("parameters", 1, "learning_rate"), -1.0, "parameters.1: learning_rate '-1.0': it must be at least 0"),
        (("prediction",), {"written": "x", "objective": [1], "loss": "x"}, "prediction: loss: "),
        (("prediction",), {"written": "x", "target": {}, "loss": None, "basis": "x"}, "prediction: basis: "),
        (("prediction",), {"target": {}, "loss": None, "basis": []}, "prediction: written: Field required"),
    ],
)
def test_a_value_that_is_none_of_the_known_is_named_for_every_reader(
    keys: tuple[str | int, ...], value: object, said: str, tmp_path: Path
) -> None:
    """`export`, `verify --export` and `load_plan` say file, key and value; none of them fails inside."""
    text = export_target("hptransfer", llama_target("mup"))["target.yaml"]
    content: Any = yaml.safe_load(text)
    path = tmp_path / "target.yaml"
    path.write_text(text)
    invoke = CliRunner().invoke
    assert invoke(app, ["export", str(path), "--format", "torch"]).exit_code == 0
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    for words in (
        ["export", str(path), "--format", "yaml"],
        ["verify", "--export", str(tmp_path / "export" / "torch")],
    ):
        result = invoke(app, words)
        assert result.exit_code == 2, result.output
        assert re.search(f"{re.escape(str(path))}: .*{re.escape(said)}", " ".join(result.stderr.split()))
        assert "correct that value, or run `hptransfer scale` again" in " ".join(result.stderr.split())
    with pytest.raises(UsageError, match=re.escape(said)):
        load_plan(path)


def test_a_key_that_is_there_twice_is_said(tmp_path: Path) -> None:
    """The last one does not win in silence."""
    path = tmp_path / "target.yaml"
    path.write_text(export_target("hptransfer", llama_target("mup"))["target.yaml"] + "optimizer: sgd\n")

    with pytest.raises(UsageError, match="the key `optimizer` is in line"):
        read_planned(path)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("optimizer_values",), "without optimizer_values: beta1, "),
        (("hyperparameters",), "hyperparameters: learn"),
    ],
)
def test_an_export_needs_all_that_the_optimizer_takes(keys: tuple[str], said: str) -> None:
    """Without betas, or a base rate, a framework would train with its own."""
    target = llama_target("mup").model_copy(update={keys[0]: {}})

    with pytest.raises(UsageError, match=said):
        export_target("torch", target)
