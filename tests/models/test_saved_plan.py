"""`AppliedPlan.save`: a target file of a plan that nobody checked, and that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hptransfer
from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.gpt import Gpt
from hptransfer.sizes import Size
from tests.support.same_training import require_same_training

WRITERS = [r"blocks\.\d+\.(attention_out|down)\.weight"]


def build(width: int, depth: int) -> nn.Module:
    """A decoder."""
    return Gpt(width, depth, context=8, head_dim=16)


def planned(**options: object) -> AppliedPlan:
    """CompleteP at 4 times the width and twice the depth."""
    values = {"learning_rate": 0.013, "weight_decay": 0.1, "eps": 3e-9}
    arguments = {"base": (16, 2), "target": (64, 4), "hyperparameters": values, "residual_writers": WRITERS} | options
    return hptransfer.plan(build, **arguments)  # type: ignore[arg-type]  # options of one test


def content(path: Path) -> TargetFile:
    """What the file holds."""
    return TargetFile.read(path, missing=FileNotFoundError)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_every_number_reads_back(tmp_path: Path, optimizer: str) -> None:
    """Parameter groups, initial weights and hyperparameters of the file are the plan's, bit for bit."""
    plan = planned(optimizer=optimizer)
    plan.save(tmp_path / "target.yaml")
    loaded = hptransfer.load_plan(tmp_path / "target.yaml")
    modules = []
    for _ in range(2):
        torch.manual_seed(5)
        modules.append(build(64, 4))
    require_same_training((plan, loaded), modules)
    assert loaded.optimizer == optimizer
    assert loaded.optimizer_values == plan.optimizer_values


def test_it_says_that_nothing_was_checked(tmp_path: Path) -> None:
    """No verdict, no recipe, no schedule; the header is right about it."""
    planned().save(tmp_path / "target.yaml")
    file = content(tmp_path / "target.yaml")
    text = (tmp_path / "target.yaml").read_text()

    assert (file.verdict.verdict, file.verdict.sentence) == (None, "planned in Python, never checked")
    assert (file.training, file.extrapolation, file.prediction) == (None, (), None)
    assert text.startswith("# The configuration of one training run, written by `AppliedPlan.save`.")
    assert "scheduler = your own" in text
    assert any("batch and duration were not said" in note for note in file.notes)
    with pytest.raises(UsageError, match="to have a schedule"):
        hptransfer.load_plan(tmp_path / "target.yaml").schedule(0)


def test_what_is_said_of_the_training_is_kept(tmp_path: Path) -> None:
    """Steps, batch and schedule; the warmup is the plan's where it is not said."""
    sizes = {"base": Size(16, 2, 8, 800), "target": Size(64, 4, 8, 800)}
    planned(**sizes).save(tmp_path / "a.yaml", steps=100, batch_size=8, schedule="cosine", clip=1.0)
    loaded = hptransfer.load_plan(tmp_path / "a.yaml")

    assert loaded.training is not None
    assert (loaded.training.steps, loaded.training.warmup, loaded.training.clip) == (100, 0.1, 1.0)
    expected = [hptransfer.schedule_factor("cosine", step, 100, 0.1) for step in range(100)]
    assert [loaded.schedule(step) for step in range(100)] == expected
    assert not any("not said" in note for note in content(tmp_path / "a.yaml").notes)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ({"steps": 3}, "must be said together"),
        ({"steps": 3, "batch_size": 2, "schedule": "linear", "colour": 1}, "must be among"),
        ({"steps": 3, "batch_size": "two", "schedule": "linear"}, "must be what `target.yaml` holds"),
    ],
)
def test_training_that_cannot_be(tmp_path: Path, said: dict[str, object], rule: str) -> None:
    """Half of it, an unknown name, a value of another type; nothing is written."""
    with pytest.raises(UsageError, match=rule):
        planned().save(tmp_path / "target.yaml", **said)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_no_overwriting(tmp_path: Path) -> None:
    """A file that exists stays, unless it is said."""
    path = tmp_path / "target.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="`save` does not overwrite"):
        planned().save(path)
    assert path.read_text() == "mine"

    planned().save(path, overwrite=True)
    assert hptransfer.load_plan(path).optimizer == "adamw"


def test_other_files(tmp_path: Path) -> None:
    """A name that would be read as JSON, and a plan that was read, are refused."""
    with pytest.raises(UsageError, match="as YAML"):
        planned().save(tmp_path / "target.json")
    planned().save(tmp_path / "target.yaml")
    with pytest.raises(UsageError, match="made, not read"):
        hptransfer.load_plan(tmp_path / "target.yaml").save(tmp_path / "again.yaml")


def test_a_plan_that_was_read_clips_as_the_plan_does(tmp_path: Path) -> None:
    """Norm and gradients after `clip_grad_norm_` are the same from the file (findings, section 4: it was refused)."""
    plan = planned()
    plan.save(tmp_path / "target.yaml")
    found = []
    for each in (plan, hptransfer.load_plan(tmp_path / "target.yaml")):
        torch.manual_seed(5)
        module = build(64, 4)
        for parameter in module.parameters():
            parameter.grad = torch.ones_like(parameter)
        norm = each.clip_grad_norm_(module, 1e-3)
        found.append((norm, [parameter.grad for parameter in module.parameters()]))

    assert found[0][0] > 1e-3
    assert found[1][0] == found[0][0]
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=0)
