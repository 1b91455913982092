"""The coordinate check of a recipe whose training function records it by `hptransfer.watch`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hptransfer
from hptransfer.artifacts.watch import PATH_VARIABLE
from hptransfer.diagnostics.base import Facts
from hptransfer.diagnostics.coordinate import CoordinateCheck, CoordinateReport
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.statistics.slope import RowVerdict
from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trials.messages import DiagnosticMessage
from tests.support.tiny import recipe

HERE = "tests.trainers.test_watched"
WIDTHS = (64, 128, 256, 512, 1024)


class Mlp(nn.Module):
    """A plain MLP: eight numbers in, eight classes out."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width, bias=False)
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth - 1))
        self.readout = nn.Linear(width, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = self.first(x).tanh()
        for layer in self.layers:
            h = layer(h).tanh()
        logits: Tensor = self.readout(h)
        return logits


def train(trial: Any) -> float:
    """A loop that knows the plan and watches itself."""
    model = Mlp(trial.size.width, trial.size.depth)
    trial.plan.init_(model, trial.seed)
    optimizer = torch.optim.AdamW(trial.plan.param_groups(model))
    generator = torch.Generator().manual_seed(trial.seed)
    probe = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
    hptransfer.watch(model, probe, optimizer=optimizer)
    for step in range(1, trial.steps + 1):
        x = torch.randn(64, 8, generator=generator)
        loss = functional.cross_entropy(model(x), x.argmax(1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        trial.report(step, loss.item())
    raise AssertionError("the run goes on after the last step that is measured")


def forgets(trial: Any) -> float:
    """Says `watches: true` and does not."""
    return 1.0


def wanted(function: str, parameterization: str) -> Recipe:
    """A recipe over five widths whose loop watches itself."""
    return recipe(
        trainer={"function": f"{HERE}:{function}", "watches": True},
        model={"kind": "factory", "factory": f"{HERE}:Mlp", "context": 4, "embedding": None},
        parameterization={"name": parameterization},
        training={"steps": 1000},
        sizes={"base": {"width": 64, "depth": 2}, "widths": list(WIDTHS)},
        check={"coordinate": {"seeds": 3}},
    )


def judged(parameterization: str) -> CoordinateReport:
    """What the check says of the loop."""
    made = wanted("train", parameterization)
    sizes = tuple(made.size(width, 2) for width in WIDTHS)
    facts = Facts(
        recipe=made,
        root=Path(),
        values={"learning_rate": 2.0**-8},
        hyperparameter="learning_rate",
        checked=("learning_rate",),
        proxy=sizes[0],
        ladders={"width": sizes, "depth": (), "batch_size": (), "tokens": ()},
        sizes=sizes,
    )
    check = CoordinateCheck()
    requests = check.requests(facts)
    measured = [
        run_diagnostic(DiagnosticMessage.of("coordinate", each.spec, None, each.options).payload()) for each in requests
    ]
    (report,) = check.judge(facts, measured)
    return report


def test_a_loop_that_follows_the_plan_holds() -> None:
    """Under muP; every run ended after its tenth step of a thousand."""
    report = judged("mup")

    assert report.verdict is RowVerdict.HOLDS, report.sentence
    assert PATH_VARIABLE not in os.environ


def test_the_standard_parameterization_fails() -> None:
    """The same loop under one learning rate for all: the repair names the layers."""
    report = judged("standard")

    assert report.verdict is RowVerdict.FAILS
    assert "hidden weights (layers.*.weight)" in report.sentence


def test_a_loop_that_records_nothing_is_told_what_to_call() -> None:
    """Nothing is silently left out."""
    made = wanted("forgets", "mup")
    spec = hptransfer.Size(64, 2, 8, 100)
    message = DiagnosticMessage.of(
        "coordinate",
        Facts(
            made,
            Path(),
            {"learning_rate": 0.01},
            "learning_rate",
            ("learning_rate",),
            spec,
            {"width": (), "depth": (), "batch_size": (), "tokens": ()},
            (),
        ).spec(spec, 0),
        None,
        {"steps": [1, 3]},
    )

    with pytest.raises(UsageError) as caught:
        run_diagnostic(message.payload())

    assert "hptransfer.watch" in caught.value.findings[0].rule
