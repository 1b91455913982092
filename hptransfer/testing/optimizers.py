"""What every optimizer must do; subclass `OptimizerConformance` and name it."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any, ClassVar

import pytest
import torch

import hptransfer
from hptransfer.errors import UsageError
from hptransfer.hyperparameters import OPTIMIZER_VALUES
from hptransfer.parameterization.rules import HIDDEN_ONLY, WITH_EPS
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
        moved = trained(self.name, _VALUES | {value: _OTHERS[value]}) != trained(self.name, _VALUES)

        assert moved == (value in optimizer.reads)

    def test_eps_of_a_group_matters_where_it_is_read(self, optimizer: Optimizer) -> None:
        """Eps comes with the groups."""
        moved = trained(self.name, _VALUES, eps=1.0) != trained(self.name, _VALUES, eps=1e-8)

        assert moved == ("eps" in optimizer.reads)

    def test_groups_keep_their_rate_and_decay(self, optimizer: Optimizer) -> None:
        """Rules give every group its own."""
        groups = [
            group | {"lr": 0.1 / n, "weight_decay": 0.01 * n}
            for n in (1, 2, 3)
            for group in parameter_groups(self.name)
        ]

        built = optimizer.build([dict(group) for group in groups], _VALUES)

        for key in ("lr", "weight_decay"):
            assert [group[key] for group in built.param_groups] == [group[key] for group in groups]

    def test_it_makes_a_loss_smaller(self, optimizer: Optimizer) -> None:
        """A few hundred small steps on a quadratic lead towards its minimum."""
        start, end = (trained(self.name, _VALUES, steps=steps, noise=0.0) for steps in (0, 400))

        assert _loss(end) < 0.25 * _loss(start)

    def test_a_schedule_moves_every_group(self, optimizer: Optimizer) -> None:
        """Torch's schedulers multiply the rates that steps use."""
        groups = parameter_groups(self.name)
        built = optimizer.build([dict(group) for group in groups], _VALUES)
        torch.optim.lr_scheduler.LambdaLR(built, lambda _: 0.0)
        before = [parameter.detach().clone() for group in groups for parameter in group["params"]]
        for group in groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)

        built.step()

        for old, new in zip(before, (p for group in groups for p in group["params"]), strict=True):
            torch.testing.assert_close(new.detach(), old)

    def test_a_saved_state_goes_on_as_if_nothing_had_happened(self, optimizer: Optimizer) -> None:
        """Training that is saved and loaded into a new optimizer takes the same steps."""
        assert trained(self.name, _VALUES, saved_at=10) == trained(self.name, _VALUES)

    def test_the_line_in_the_target_file_makes_the_same_optimizer(self, optimizer: Optimizer) -> None:
        """What `constructor` prints, evaluated, has the class, groups and averages of what `build` makes."""
        groups = parameter_groups(self.name)

        built = optimizer.build([dict(group) for group in groups], _VALUES)
        names = {"hptransfer": hptransfer, "torch": torch, "plan": _Plan(groups), "model": None}
        written = eval(optimizer.constructor(_VALUES), names)  # noqa: S307  # the line is our own

        assert type(written) is type(built)
        assert _numbers(written) == _numbers(built)

    def test_its_effective_rate_is_that_of_its_first_step(self, optimizer: Optimizer) -> None:
        """Without decay, the first step is the effective rate times the gradient; or it says that it has none."""
        built = optimizer.build(parameter_groups(self.name), _VALUES)
        pairs = [(group, parameter) for group in built.param_groups for parameter in group["params"]]
        before = [parameter.detach().clone() for _, parameter in pairs]
        for _, parameter in pairs:
            (parameter**2).sum().backward()
        built.step()
        for (group, parameter), old in zip(pairs, before, strict=True):
            assert parameter.grad is not None
            try:
                rate = optimizer.effective_rate(parameter, group, built.state[parameter])
            except UsageError:
                return

            assert rate.shape == parameter.shape
            torch.testing.assert_close(old - rate * parameter.grad, parameter.detach())

    def test_its_threshold_is_a_positive_number(self, optimizer: Optimizer) -> None:
        """Or it says that none is known."""
        try:
            threshold = optimizer.threshold(_VALUES)
        except UsageError:
            return

        assert 0 < threshold < math.inf


def parameter_groups(name: str) -> list[dict[str, Any]]:
    """A vector and a matrix in groups as plans give them: the matrix is a hidden weight.

    Args:
        name: of the optimizer; one of hidden weights gets the vector in a group for AdamW.
    """
    vector, matrix = torch.nn.Parameter(torch.tensor([1.0, -1.0])), torch.nn.Parameter(torch.tensor(_START))
    common = {"lr": 0.01, "weight_decay": 0.0}
    if FAMILIES[name] not in HIDDEN_ONLY:
        return [{"params": [vector, matrix], **common}]
    eps = {"eps": 1e-8}
    own = eps if FAMILIES[name] in WITH_EPS else {}
    return [
        {"params": [vector], **common, **eps, "optimizer": "adamw"},
        {"params": [matrix], **common, **own, "optimizer": name},
    ]


_START = [[1.0, 0.5, -0.5], [0.5, -1.0, 0.25]]
#: of the same norm, so that it can be reached by those who keep it
_GOAL = [[0.5, 1.0, 0.5], [-0.25, 0.5, 1.0]]


def trained(
    name: str,
    values: dict[str, float],
    *,
    eps: float = 1e-8,
    steps: int = 20,
    noise: float = 3.0,
    saved_at: int | None = None,
) -> list[float]:
    """A vector and a matrix after some steps down a quadratic with unequal curvatures, by noisy gradients.

    Args:
        name: of the optimizer that takes the steps.
        values: beta1, beta2 and momentum, by name.
        eps: of the groups that have one.
        steps: how many are taken.
        noise: standard deviation of what is added to each gradient; it turns signs, which some optimizers follow alone.
        saved_at: after how many steps the optimizer is replaced by a new one that loads its state; None: never.

    Returns:
        The entries of the vector, whose goal is 0, then those of the matrix, whose goal has the norm of its start.
    """
    optimizer = OPTIMIZERS.look_up(name)
    generator = torch.Generator().manual_seed(0)
    groups = parameter_groups(name)
    for group in groups if "eps" in optimizer.reads else ():
        group["eps"] = eps
    vector, matrix = (parameter for group in groups for parameter in group["params"])
    built = optimizer.build([dict(group) for group in groups], values)
    goal = torch.tensor(_GOAL)
    for step in range(steps):
        if step == saved_at:
            state = built.state_dict()
            built = optimizer.build([dict(group) for group in groups], values)
            built.load_state_dict(state)
        built.zero_grad()
        loss = (torch.tensor([0.5, 1.0]) * vector**2).sum() + (
            (matrix - goal) ** 2 * torch.tensor([1.0, 2.0, 0.5])
        ).sum()
        for parameter in (vector, matrix):
            loss = loss + (noise * torch.randn(parameter.shape, generator=generator) * parameter).sum()
        loss.backward()
        built.step()
    return [*vector.detach().tolist(), *matrix.detach().flatten().tolist()]


def _loss(values: list[float]) -> float:
    """Squared distance from the goal."""
    goal = [0.0, 0.0, *(entry for row in _GOAL for entry in row)]
    return sum((one - other) ** 2 for one, other in zip(values, goal, strict=True))


def _numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, object]]:
    """What steps depend on in each group; how they are computed (fused, foreach) may differ."""
    names = ("lr", "weight_decay", "betas", "momentum", "dampening", "nesterov", "eps", "amsgrad", "maximize")
    return [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]
