"""Optimizers that torch does not have, for loops of one's own too: Lion, and those that train hidden weights apart.

Muon, AdamH and MuonH train the hidden weights and leave everything else to AdamW. Each is one object, so that one
schedule and one state dict serve both; its groups say under `optimizer` which of the two trains them, as those of
`AppliedPlan.param_groups` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from hptransfer.errors import UsageError

Groups = Iterable[Mapping[str, Any]]

#: coefficients of Muon's iteration and its number of steps (Keller Jordan's, and torch's)
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
#: norms below it are zero
_TINY = 1e-12


class Lion(torch.optim.Optimizer):
    """Evolved sign momentum with decoupled weight decay (arXiv 2302.06675, Algorithm 2).

    Each entry moves by the learning rate against the sign of beta1 * momentum + (1 - beta1) * gradient; the momentum
    then averages gradients with beta2.

    Args:
        params: parameter groups with "params", "lr" and "weight_decay".
        betas: weights of what was before, in [0, 1): in the update, and in the momentum.
    """

    def __init__(self, params: Groups, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__([dict(group) for group in params], {"betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch's overloads
        """Take one step.

        Args:
            closure: computes the loss and its gradients anew; None where they are there.
        """
        loss = _evaluated(closure)
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"]
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(momentum.lerp(weight.grad, 1 - beta1).sign_(), alpha=-group["lr"])
                momentum.lerp_(weight.grad, 1 - beta2)
        return loss


class _WithAdamW(torch.optim.Optimizer):
    """Steps an optimizer of hidden weights, and AdamW for everything else, as one optimizer.

    Args:
        params: parameter groups as a plan gives them: "params", "lr", "weight_decay", "optimizer", and "eps" for AdamW.
        values: what a group of either kind gets where it does not say it, by the name of its optimizer.
    """

    #: what the groups of hidden weights have as `optimizer`
    own: ClassVar[str]

    def __init__(self, params: Groups, values: Mapping[str, Mapping[str, Any]]) -> None:
        groups = [dict(group) for group in params]
        for group in groups:
            name = str(group.get("optimizer"))
            if name not in values:
                raise UsageError(
                    f"each group must say under `optimizer` who trains it, {' or '.join(values)}",
                    received=name,
                    hint="take the groups from `plan.param_groups(model)` of a plan for this optimizer",
                )
            for key, value in values[name].items():
                group.setdefault(key, value)
        super().__init__(groups, {})
        self._bind()

    def _bind(self) -> None:
        """Make the two optimizers, which share this one's groups and state."""
        self._parts: dict[str, torch.optim.Optimizer] = {}
        for name, make in ((self.own, self._hidden), ("adamw", _adamw)):
            groups = [group for group in self.param_groups if group["optimizer"] == name]
            if groups:
                self._parts[name] = make(groups)
                self._parts[name].state = self.state

    @staticmethod
    def _hidden(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of hidden weights; it takes the groups as they are."""
        raise NotImplementedError

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take another state, as `load_state_dict`, copies and pickles do."""
        super().__setstate__(state)
        self._bind()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch's overloads
        """Take one step with both.

        Args:
            closure: computes the loss and its gradients anew; None where they are there.
        """
        loss = _evaluated(closure)
        for part in self._parts.values():
            part.step()
        return loss


def _adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, fused=True)


class Muon(_WithAdamW):
    """torch's Muon for hidden weights, AdamW for the rest.

    Args:
        params: groups as `plan.param_groups(model)` gives them; those of `optimizer: muon` may have `adjust_lr_fn`.
        momentum: Muon's, in [0, 1); Nesterov's form, as torch has it by default.
        betas: AdamW's, each in [0, 1).
    """

    own = "muon"

    def __init__(self, params: Groups, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.95)) -> None:
        super().__init__(params, {"muon": {"momentum": momentum}, "adamw": {"betas": betas}})

    @staticmethod
    def _hidden(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return torch.optim.Muon(groups)


class AdamH(_WithAdamW):
    """Adam on a sphere for hidden weights (Hyperball, arXiv 2606.16899), AdamW for the rest.

    A matrix moves along Adam's direction by `lr` times its norm and is brought back to that norm, which never changes.
    It has no weight decay: that would change the norm alone.

    Args:
        params: groups as `plan.param_groups(model)` gives them.
        betas: of both, each in [0, 1).
    """

    own = "adamh"

    def __init__(self, params: Groups, betas: tuple[float, float] = (0.9, 0.95)) -> None:
        super().__init__(params, {"adamh": {"betas": betas, "eps": 1e-8}, "adamw": {"betas": betas}})

    @staticmethod
    def _hidden(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return _Sphere(groups, adam_direction)


class MuonH(_WithAdamW):
    """Muon on a sphere for hidden weights (Hyperball, arXiv 2606.16899), AdamW for the rest.

    As `AdamH`, along the polar factor of the momentum, Nesterov's form as in torch's Muon.

    Args:
        params: groups as `plan.param_groups(model)` gives them.
        momentum: of hidden weights, in [0, 1).
        betas: AdamW's, each in [0, 1).
    """

    own = "muonh"

    def __init__(self, params: Groups, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.95)) -> None:
        super().__init__(params, {"muonh": {"momentum": momentum}, "adamw": {"betas": betas}})

    @staticmethod
    def _hidden(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        return _Sphere(groups, polar_direction)


class _Sphere(torch.optim.Optimizer):
    """Moves each weight by a share of its norm and keeps the norm at its first value."""

    def __init__(
        self, params: list[dict[str, Any]], direction: Callable[[Tensor, dict[str, Any], Mapping[str, Any]], Tensor]
    ) -> None:
        self._direction = direction
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # of our own use
        """Take one step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "norm" not in state:
                    state["norm"] = _norm(weight)
                radius = state["norm"]
                along = self._direction(weight.grad, state, group)
                length = torch.linalg.vector_norm(along)
                # where the direction is zero nothing moves, as in Adam
                share = torch.where(length > 0, group["lr"] * radius / length.clamp_min(_TINY * _TINY), 0.0)
                weight.sub_(share * along)
                weight.mul_(radius / torch.linalg.vector_norm(weight))


def _norm(weight: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(weight)
    if norm <= _TINY:
        raise UsageError(
            "a weight that keeps its norm must not start at zero",
            received=f"a hidden weight of shape {tuple(weight.shape)} with norm {norm.item():g}",
            hint="give it a normal init, `plan.init_(model)`, before the first step",
        )
    return norm


def adam_direction(gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> Tensor:
    """Adam's update without the learning rate (arXiv 1412.6980, Algorithm 1).

    Args:
        gradient: the loss's gradient for one weight, any shape.
        state: what is kept of the weight; averages are in it after the first call.
        group: of the weight, with "betas" and "eps".

    Returns:
        The direction in the gradient's shape; its size does not matter on a sphere.
    """
    if "step" not in state:
        state |= {"step": 0, "exp_avg": torch.zeros_like(gradient), "exp_avg_sq": torch.zeros_like(gradient)}
    beta1, beta2 = group["betas"]
    state["step"] += 1
    state["exp_avg"].lerp_(gradient, 1 - beta1)
    state["exp_avg_sq"].lerp_(gradient.square(), 1 - beta2)
    size = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    direction: Tensor = state["exp_avg"] / (1 - beta1 ** state["step"]) / size
    return direction


def polar_direction(gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> Tensor:
    """Muon's update without the learning rate.

    Args:
        gradient: the loss's gradient for one matrix, rows x columns.
        state: what is kept of the matrix; the momentum is in it after the first call.
        group: of the matrix, with "momentum".

    Returns:
        Nearly the polar factor of Nesterov's momentum, in the gradient's shape and type.
    """
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(gradient)
    momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
    return polar_factor(gradient.lerp(momentum, group["momentum"]))


def polar_factor(matrix: Tensor) -> Tensor:
    """U V^T of a matrix U S V^T, with singular values between about 0.7 and 1.2 instead of 1.

    Five steps of the quintic Newton-Schulz iteration X -> a X + (b A + c A^2) X with A = X X^T, in bfloat16, as Muon
    has it (Keller Jordan, kellerjordan.github.io/posts/muon).

    Args:
        matrix: rows x columns, any type of float.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(torch.bfloat16)
    x = x / torch.linalg.vector_norm(x).clamp_min(1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        # fused, because bfloat16 rounds every intermediate result
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    factor: Tensor = (x.T if tall else x).to(matrix.dtype)
    return factor


def _evaluated(closure: Callable[[], float] | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
