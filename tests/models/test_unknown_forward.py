"""A refusal says that `forward` did not run, where that may be why."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import hptransfer
from hptransfer.errors import UsageError


class Boom(nn.Module):
    """Cannot run."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.table = nn.Embedding(32, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 32)

    def forward(self, tokens: Tensor) -> Tensor:
        """Raises."""
        raise RuntimeError("out of order")


def test_a_model_that_does_not_run_is_refused_with_the_reason() -> None:
    """Residual writers are found by running it; the user's line says why they were not."""
    with pytest.raises(UsageError) as caught:
        hptransfer.plan(Boom, base=(64, 2), target=(128, 8), hyperparameters={"learning_rate": 0.01})

    (finding,) = caught.value.findings
    line = Boom.forward.__code__.co_firstlineno + 2
    assert "write a residual stream" in finding.rule
    assert "not known: `forward` did not run" in str(finding.received)
    assert f"test_unknown_forward.py:{line}" in str(finding.received)
    assert "out of order" in str(finding.received)


def test_a_module_of_another_size_is_told_so() -> None:
    """The hint names the size that the plan is for."""
    plan = hptransfer.plan(Boom, base=(64, 2), target=(128, 2), hyperparameters={"learning_rate": 0.01})
    torch.manual_seed(0)

    with pytest.raises(UsageError) as caught:
        plan.init_(Boom(256, 2))
    assert "width 128, depth 2" in str(caught.value.findings[0].hint)
