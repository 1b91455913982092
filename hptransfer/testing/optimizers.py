"""What every optimizer must do; subclass `OptimizerConformance` and name it."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, ClassVar

import pytest
import torch

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import OPTIMIZER_VALUES
from hptransfer.parameterization.tables import FAMILIES
from hptransfer.training.optimizers.base import OPTIMIZERS, Optimizer

_VALUES = {"beta1": 0.9, "beta2": 0.95, "momentum": 0.9}
#: far enough from `_VALUES` to be seen after a few steps
_OTHERS = {"beta1": 0.5, "beta2": 0.5, "momentum": 0.5}


class _Plan:
    """Takes the place of the plan in the line that constructs an optimizer."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.groups = groups

    def param_groups(self, _model: object) -> list[dict[str, Any]]:
        return [dict(group) for group in self.groups]


class OptimizerConformance:
    """Behaviour that recipes, the loop and diagnostics count on."""

    #: the entry's name
    name: ClassVar[str]

    @pytest.fixture
    def optimizer(self) -> Optimizer:
        """The entry."""
        return OPTIMIZERS.look_up(self.name)

    def test_rules_are_known_for_it(self) -> None:
        """A plan for it must follow published rules."""
        assert self.name in FAMILIES

    def test_recipes_read_it_without_torch(self) -> None:
        """Looking it up imports no torch: a recipe is validated in a fraction of a second."""
        code = (
            "import sys; from hptransfer.training.optimizers.base import OPTIMIZERS as all_; "
            f"all_.look_up({self.name!r}).reads; assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_it_reads_known_hyperparameters(self, optimizer: Optimizer) -> None:
        """Others could not be given to it."""
        assert optimizer.reads <= set(OPTIMIZER_VALUES)

    @pytest.mark.parametrize("value", sorted(_VALUES))
    def test_what_it_reads_moves_its_steps_and_nothing_else_does(self, optimizer: Optimizer, value: str) -> None:
        """A hyperparameter that is read must matter, one that is not must not: searches rely on it."""
        moved = trained(optimizer, _VALUES | {value: _OTHERS[value]}) != trained(optimizer, _VALUES)

        assert moved == (value in optimizer.reads)

    def test_eps_of_a_group_matters_where_it_is_read(self, optimizer: Optimizer) -> None:
        """Eps comes with the groups."""
        moved = trained(optimizer, _VALUES, eps=1.0) != trained(optimizer, _VALUES, eps=1e-8)

        assert moved == ("eps" in optimizer.reads)

    def test_groups_keep_their_rate_and_decay(self, optimizer: Optimizer) -> None:
        """Rules give every group its own."""
        groups = [
            {"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.1 / n, "weight_decay": 0.01 * n} for n in (1, 2, 3)
        ]

        built = optimizer.build([dict(group) for group in groups], _VALUES)

        for key in ("lr", "weight_decay"):
            assert [group[key] for group in built.param_groups] == [group[key] for group in groups]

    def test_it_makes_a_loss_smaller(self, optimizer: Optimizer) -> None:
        """A few hundred small steps on a quadratic lead towards its minimum at 0."""
        assert max(map(abs, trained(optimizer, _VALUES, steps=300, noise=0.0))) < 0.5

    def test_the_line_in_the_target_file_makes_the_same_optimizer(self, optimizer: Optimizer) -> None:
        """What `constructor` prints, evaluated, has the class, groups and averages of what `build` makes."""
        groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.1, "weight_decay": 0.0}]

        built = optimizer.build([dict(group) for group in groups], _VALUES)
        names = {"torch": torch, "plan": _Plan(groups), "model": None}
        written = eval(optimizer.constructor(_VALUES), names)  # noqa: S307  # the line is our own

        assert type(written) is type(built)
        assert _numbers(written) == _numbers(built)

    def test_its_effective_rate_is_that_of_its_first_step(self, optimizer: Optimizer) -> None:
        """Without decay, the first step is the effective rate times the gradient; or it says that it has none."""
        parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        before = parameter.detach().clone()
        built = optimizer.build([{"params": [parameter], "lr": 0.01, "weight_decay": 0.0}], _VALUES)
        (parameter**2).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        built.step()
        assert parameter.grad is not None
        try:
            rate = optimizer.effective_rate(parameter, built.param_groups[0], built.state[parameter])
        except UsageError:
            return

        assert rate.shape == parameter.shape
        torch.testing.assert_close(before - rate * parameter.grad, parameter.detach())

    def test_its_threshold_is_a_positive_number(self, optimizer: Optimizer) -> None:
        """Or it says that none is known."""
        try:
            threshold = optimizer.threshold(_VALUES)
        except UsageError:
            return

        assert 0 < threshold < math.inf


def trained(
    optimizer: Optimizer, values: dict[str, float], *, eps: float = 1e-8, steps: int = 20, noise: float = 3.0
) -> list[float]:
    """A parameter after some steps down a quadratic with unequal curvatures, from (1, -1), by noisy gradients.

    Args:
        optimizer: the entry that takes the steps.
        values: beta1, beta2 and momentum, by name.
        eps: of the group, where the optimizer reads it.
        steps: how many are taken, at least 1.
        noise: standard deviation of what is added to each gradient; it turns signs, which some optimizers follow alone.
    """
    generator = torch.Generator().manual_seed(0)
    parameter = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    group: dict[str, Any] = {"params": [parameter], "lr": 0.01, "weight_decay": 0.0}
    built = optimizer.build([group | ({"eps": eps} if "eps" in optimizer.reads else {})], values)
    for _ in range(steps):
        built.zero_grad()
        disturbed = noise * torch.randn(2, generator=generator)
        (torch.tensor([0.5, 1.0]) * parameter**2 + disturbed * parameter).sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch
        built.step()
    return parameter.detach().tolist()


def _numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, object]]:
    """What steps depend on in each group; how they are computed (fused, foreach) may differ."""
    names = ("lr", "weight_decay", "betas", "momentum", "dampening", "nesterov", "eps", "amsgrad", "maximize")
    return [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]
