"""Audits find what silently undoes a plan, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from hptransfer.errors import UsageError
from hptransfer.models.api import plan
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.models.audit import (
    Scheduler,
    audit_clipping,
    audit_eps,
    audit_optimizer,
    audit_scheduler,
    eps_ratios,
)
from hptransfer.models.gpt import Gpt

HYPERPARAMETERS = {"learning_rate": 0.01, "weight_decay": 0.1}
GROUPS = [{"lr": 0.01}, {"lr": 0.0025}]
STEPS = 20


def build(width: int, depth: int) -> nn.Module:
    """A small decoder."""
    return Gpt(width, depth, context=8, head_dim=16)


def planned(width: int = 32, depth: int = 2, **values: float) -> AppliedPlan:
    """CompleteP from width 16, depth 1."""
    given = HYPERPARAMETERS | values
    return plan(build, base=(16, 1), target=(width, depth), hyperparameters=given, preset="gpt")


def sequential(optimizer: torch.optim.Optimizer) -> Scheduler:
    """Warmup, then cosine: what torchtitan-like trainers build."""
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
    return lr_scheduler.SequentialLR(optimizer, [warmup, lr_scheduler.CosineAnnealingLR(optimizer, 15)], [5])


@pytest.mark.parametrize(
    "factory",
    [
        lambda o: lr_scheduler.LambdaLR(o, lambda step: (step + 1) / 30),
        lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
        lambda o: lr_scheduler.OneCycleLR(o, max_lr=[0.01, 0.0025], total_steps=STEPS + 1),
        lambda o: lr_scheduler.StepLR(o, 5),
        lambda o: lr_scheduler.ExponentialLR(o, 0.9),
        sequential,
    ],
    ids=["lambda", "cosine to zero", "one cycle with a list", "step", "exponential", "warmup and cosine"],
)
def test_relative_schedulers_pass(factory: object) -> None:
    """Schedulers that multiply keep every ratio."""
    assert audit_scheduler(factory, GROUPS, STEPS) == ()  # type: ignore[arg-type]  # lambdas of the parameters


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.01, total_steps=STEPS + 1), "OneCycleLR"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.001), "CosineAnnealingLR"),
        (lambda o: lr_scheduler.CyclicLR(o, base_lr=0.001, max_lr=0.01, cycle_momentum=False), "CyclicLR"),
    ],
)
def test_absolute_schedulers_are_found(factory: object, name: str) -> None:
    """OneCycleLR with one max_lr and cosine with a floor set absolute rates (rules.md 4: multipliers lost)."""
    (finding,) = audit_scheduler(factory, GROUPS, STEPS)  # type: ignore[arg-type]  # lambdas of the parameters

    assert str(finding.received).startswith(name)
    assert finding.hint


def test_a_scheduler_audit_needs_different_rates() -> None:
    """With one rate everywhere no ratio can be lost, and a pass would mean nothing."""
    with pytest.raises(UsageError, match="two learning rates"):
        audit_scheduler(lr_scheduler.ConstantLR, [{"lr": 0.1}], 3)


def test_an_optimizer_of_the_plan_passes() -> None:
    """The plan's own groups, in the middle of a schedule."""
    module, of = build(32, 2), planned()
    optimizer = torch.optim.AdamW(of.param_groups(module))
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
    assert audit_optimizer(optimizer, of, module) == ()
    optimizer.step()
    scheduler.step()

    assert audit_optimizer(optimizer, of, module) == ()


def test_resumed_rates_are_found() -> None:
    """load_state_dict restores the values of the run that was saved (rules.md 4), here another plan's."""
    module = build(32, 2)
    old = torch.optim.AdamW(planned(learning_rate=0.02, weight_decay=0.2, eps=1e-6).param_groups(module))
    of = planned()
    resumed = torch.optim.AdamW(of.param_groups(module))
    resumed.load_state_dict(old.state_dict())

    codes = [finding.code for finding in audit_optimizer(resumed, of, module)]

    assert codes == ["audit/learning-rate", "audit/weight-decay", "audit/eps"]


def test_resumed_peaks_are_found() -> None:
    """A scheduler's peaks are compared as they are, even where the present rates look like a schedule's."""
    module = build(32, 2)
    old = torch.optim.AdamW(planned(learning_rate=0.005).param_groups(module))
    lr_scheduler.LambdaLR(old, lambda step: 1.0)
    of = planned()
    resumed = torch.optim.AdamW(of.param_groups(module))
    resumed.load_state_dict(old.state_dict())

    (finding,) = audit_optimizer(resumed, of, module)

    assert "peak learning rates" in finding.rule
    assert "embedding.weight 0.005, planned 0.01" in str(finding.received)


def test_one_rate_for_all_is_found() -> None:
    """A plain optimizer over module.parameters() is what a plan is lost to most often."""
    module, of = build(32, 2), planned()
    findings = audit_optimizer(torch.optim.AdamW(module.parameters(), lr=0.01), of, module)

    assert "audit/learning-rate" in {finding.code for finding in findings}


def test_parameters_without_an_optimizer_are_found() -> None:
    """Groups taken from another module than the one that is trained."""
    of = planned()
    optimizer = torch.optim.AdamW(of.param_groups(build(32, 2)))

    (finding,) = audit_optimizer(optimizer, of, build(32, 2))

    assert finding.code == "audit/missing"


def test_clipping_with_absorbed_multipliers_is_found() -> None:
    """A plain plan at another size than the base, and a threshold."""
    (finding,) = audit_clipping(1.0, planned())

    assert "plan.clip_grad_norm_" in str(finding.hint)
    assert audit_clipping(None, planned()) == ()
    assert audit_clipping(1.0, planned(16, 1)) == ()


def test_clipping_that_carries_over() -> None:
    """The plan's norm is the one of a model with multipliers in `forward`: equal where the functions are equal."""

    class Multiplied(nn.Module):
        """x -> W2 (W1 x) / 4: the readout's multiplier of width 64, base 16, in forward."""

        def __init__(self, width: int, divisor: float = 1.0) -> None:
            super().__init__()
            self.first = nn.Linear(8, width, bias=False)
            self.readout = nn.Linear(width, 4, bias=False)
            self.divisor = divisor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.readout(self.first(x)) / self.divisor
            return out

    plain, multiplied = Multiplied(64), Multiplied(64, divisor=4.0)
    multiplied.first.weight.data = plain.first.weight.data.clone()
    multiplied.readout.weight.data = plain.readout.weight.data * 4
    of = plan(
        lambda width, depth: Multiplied(width),
        base=(16, 1),
        target=(64, 1),
        hyperparameters=HYPERPARAMETERS,
        parameterization="mup",
    )
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    for module in (plain, multiplied):
        module(x).square().mean().backward()

    expected = nn.utils.clip_grad_norm_(multiplied.parameters(), 1e-3)

    assert of.clip_grad_norm_(plain, 1e-3) == pytest.approx(expected.item(), rel=1e-5)
    assert plain.first.weight.grad is not None
    assert multiplied.first.weight.grad is not None
    torch.testing.assert_close(plain.first.weight.grad, multiplied.first.weight.grad)


def test_eps_above_the_gradients_is_found() -> None:
    """|g|/eps per group, and a finding where eps is not well below."""
    module, of = build(32, 2), planned()
    of.init_(module, seed=0)
    tokens = torch.arange(16).view(2, 8)
    nn.functional.cross_entropy(module(tokens).flatten(0, 1), tokens.flatten()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    assert audit_eps(of, module) == ()
    assert min(eps_ratios(of, module).values()) > 1e3
    coarse = planned(eps=1.0)
    found = {str(finding.received).split(":")[0] for finding in audit_eps(coarse, module)}
    assert found == {group.pattern for group in coarse.groups}
    # the same gradients against an eps 1e8 times larger
    ratios, coarse_ratios = eps_ratios(of, module), eps_ratios(coarse, module)
    assert {p: ratios[p] / 1e8 for p in ratios} == pytest.approx(coarse_ratios)
