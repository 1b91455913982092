"""Models as their users write them: planned without a question, and flat in the coordinate check."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import hptransfer
from hptransfer.diagnostics.coordinate import judge_coordinates
from hptransfer.errors import UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.roles import Role
from tests.support.family_gate import (
    HYPERPARAMETERS,
    RULES,
    SEEDS,
    SIZES,
    Axis,
    Batch,
    Outcome,
    judge,
    train,
)
from tests.support.user_models import USER_MODELS, UserModel

#: what reads out, and how many parameters write the stream at depth 2 (weights and biases): as the code says
EXPECTED: dict[str, tuple[set[str], int]] = {
    "nanogpt": ({"lm_head.weight"}, 8),
    "llama2c": ({"output.weight"}, 4),
    "resnet": ({"fc.weight"}, 4),  # the norm between the convolution and the sum: its gain and bias
    "dit": ({"linear.weight"}, 8),
    "two_tower": ({"user.net.6.weight", "item.net.6.weight"}, 0),
    "mamba": ({"lm_head.weight"}, 2),
    "tabular": ({"9.weight"}, 0),
}
#: the one right question: no module says what a raw matrix is, and the state is the axis that does not grow
ANSWERS: dict[str, dict[str, str]] = {"mamba": {r"layers\.\d+\.A_log": "hidden weight, fan-in 1"}}
STREAMS = [name for name, model in USER_MODELS.items() if model.stream]


def planned(name: str, axis: Axis, size: int) -> AppliedPlan:
    """The plan of a model at a size of the axis."""
    return hptransfer.plan(
        USER_MODELS[name].build,
        base=(64, 2),
        target=(size, 2) if axis == "width" else (64, size),
        hyperparameters=HYPERPARAMETERS,
        parameterization=RULES[axis],
        roles=ANSWERS.get(name),
    )


@pytest.mark.parametrize("name", USER_MODELS)
def test_planned_without_a_question(name: str) -> None:
    """Readouts are those that a reader of the model's code would name."""
    rows = planned(name, "width", 256).rows
    readouts, _ = EXPECTED[name]

    assert {row.parameter.name for row in rows if row.parameter.role is Role.READOUT} == readouts
    assert not any(row.parameter.writes_residual and row.parameter.role is Role.READOUT for row in rows)


def test_the_one_question() -> None:
    """A raw matrix is asked for, and the line to paste is the right answer."""
    with pytest.raises(UsageError, match="every parameter's role") as caught:
        hptransfer.plan(USER_MODELS["mamba"].build, base=(64, 2), target=(256, 2), hyperparameters=HYPERPARAMETERS)

    ((pattern, role),) = ANSWERS["mamba"].items()
    (finding,) = caught.value.findings
    assert f"roles: {{'{pattern}': '{role}'}}" in str(finding.hint)


@pytest.mark.parametrize("name", STREAMS)
def test_what_writes_the_stream(name: str) -> None:
    """Every layer's writers are found, at every depth."""
    _, writers = EXPECTED[name]
    rows = planned(name, "depth", 8).rows
    factors = {row.multiplier for row in rows if row.parameter.writes_residual}

    assert sum(row.parameter.writes_residual for row in rows) == 4 * writers
    assert factors == {1.0}


def batch_of(model: UserModel, seed: int, module: nn.Module) -> Batch:
    """A call of the model on its own kind of batch."""
    inputs, loss_of = model.batch(torch.Generator().manual_seed(1000 + seed))
    return (lambda: module(*inputs)), loss_of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "axis"), [*((name, "width") for name in USER_MODELS), *((name, "depth") for name in STREAMS)]
)
def test_flat(name: str, axis: Axis) -> None:
    """Stream, what the readout reads and logits move alike at widths 64 and 512, and at depths 2 and 8."""
    model = USER_MODELS[name]
    outcome = Outcome(name, axis, status="open")
    for sizes in SIZES[axis]:
        plans, measured = {size: planned(name, axis, size) for size in sizes}, []
        for seed in range(SEEDS[-1]):
            for size, plan in plans.items():
                measured += train(model.build, partial(batch_of, model), plan, axis, size, seed)
            if seed + 1 in SEEDS:
                judge(outcome, [row for row in judge_coordinates(measured, axis=axis).rows if row.judged], axis)
                if outcome.status != "open":
                    break
        if outcome.status != "open":
            break

    assert outcome.status == "flat", outcome.why
