"""What the optimizer does to each parameter in the first steps, measured on the module itself.

Nothing is taken from the plan but who writes the residual stream and what `forward` multiplies by: fan-in is read from
the module that owns the weight, learning rate, decay and eps from the optimizer's groups. So a mistake in the plan
cannot hide from its check.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.statistics.slope import operator_size

#: modules of transformers and of older GPT-2 code that keep their weight as (fan_in, fan_out)
_TRANSPOSED = re.compile(r"Conv1D")


@dataclass(frozen=True, slots=True)
class _Fans:
    """What a parameter maps: "matrix", "table" (rows are looked up) or "vector"; fans are 1 where nothing is summed."""

    kind: str
    fan_in: int
    fan_out: int


class UpdateMeter:
    """Remembers parameters at init and says how far they have moved.

    Args:
        module: the model as its training starts, with the initial values of its parameters.
        param_groups: of the optimizer, with "params", "lr", "weight_decay" and, for Adam, "eps".
        parameters: who lies in a block and who writes the residual stream, by name; others do neither.
        has_eps: whether the optimizer divides by the gradient's size plus eps, as Adam does.
    """

    def __init__(
        self,
        module: nn.Module,
        param_groups: Sequence[Mapping[str, Any]],
        parameters: Iterable[Parameter] = (),
        *,
        has_eps: bool,
    ) -> None:
        self._tensors = dict(module.named_parameters())
        self._initial = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}
        self._groups = {id(tensor): group for group in param_groups for tensor in group["params"]}
        self._planned = {parameter.name: parameter for parameter in parameters}
        self._has_eps = has_eps
        self._kept: dict[str, float | None] = {}
        self._fans: dict[str, _Fans] = {}
        self._names: dict[int, list[str]] = {}
        for prefix, owner in module.named_modules():
            for local, tensor in owner.named_parameters(recurse=False):
                name = f"{prefix}.{local}" if prefix else local
                self._fans[name] = _fans_of(owner, tensor)
                self._names.setdefault(id(tensor), []).append(name)

    def see_gradients(self) -> None:
        """Note what eps leaves of Adam's first step; to be called after it, while its gradients are still there."""
        if self._has_eps:
            groups = {name: self._groups.get(id(tensor)) for name, tensor in self._tensors.items()}
            self._kept = {
                name: _kept_by_eps(self._tensors[name].grad, float(group.get("eps", 1e-8)))
                for name, group in groups.items()
                # a group that names its optimizer and has no eps is Muon's, beside AdamW's
                if group is not None and ("eps" in group or "optimizer" not in group)
            }

    def rows(self, step: int) -> list[dict[str, Any]]:
        """One mapping per parameter that is trained.

        Returns:
            "name", "kind" ("matrix", "table" or "vector"), "fan_in", "fan_out", "step", "update" (size of W(t) - W(0):
            spectral norm / sqrt(fan_out / fan_in) of a matrix, largest RMS of a row of a table, RMS of a vector),
            "initial" (RMS of an entry at init), "learning_rate", "decay" (learning_rate * weight_decay), "kept" (share
            of Adam's first step that eps leaves, 1 is all; None for optimizers without eps), "in_block",
            "writes_residual", "shared" (other names of the same tensor) and "forward" (powers of width and depth by
            which `forward` multiplies what it gives; left out where it does not). Numbers that are not finite are None.
        """
        return [self._row(name, tensor, step) for name, tensor in self._tensors.items() if id(tensor) in self._groups]

    @torch.no_grad()
    def _row(self, name: str, tensor: Tensor, step: int) -> dict[str, Any]:
        fans, group, planned = self._fans[name], self._groups[id(tensor)], self._planned.get(name)
        initial = self._initial[name]
        forward = [] if planned is None else _forward(planned)
        return {
            "name": name,
            "kind": fans.kind,
            "fan_in": fans.fan_in,
            "fan_out": fans.fan_out,
            "step": step,
            "update": _finite(_size(tensor.detach() - initial, fans)),
            "initial": _finite(initial.double().square().mean().sqrt().item()),
            "learning_rate": float(group["lr"]),
            "decay": float(group["lr"]) * float(group.get("weight_decay", 0.0)),
            "kept": self._kept.get(name),
            "in_block": planned is not None and planned.in_block,
            "writes_residual": planned is not None and planned.writes_residual,
            "shared": [other for other in self._names[id(tensor)] if other != name],
        } | ({"forward": forward} if any(forward) else {})


def _forward(parameter: Parameter) -> list[float]:
    """Powers of width and depth; of a tied table where it is looked up, because its size is that of its rows."""
    tied = parameter.role is Role.TIED_EMBEDDING
    return [parameter.lookup_width if tied else parameter.forward_width, parameter.forward_depth]


def _fans_of(owner: nn.Module, tensor: Tensor) -> _Fans:
    if isinstance(owner, nn.Embedding):
        return _Fans("table", 1, tensor.shape[1])
    if tensor.ndim < 2:
        return _Fans("vector", 1, tensor.numel())
    out, summed = tensor.shape[0], math.prod(tensor.shape[1:])
    if tensor.ndim == 2 and _TRANSPOSED.search(type(owner).__name__):
        out, summed = summed, out
    return _Fans("matrix", summed, out)


def _size(change: Tensor, fans: _Fans) -> float:
    if fans.kind == "matrix":
        return operator_size(change.flatten(1).float().cpu().numpy(), fans.fan_in, fans.fan_out)
    if fans.kind == "table":
        return change.double().square().mean(dim=1).max().sqrt().item()
    return change.double().square().mean().sqrt().item()


def _kept_by_eps(gradient: Tensor | None, eps: float) -> float | None:
    """Mean of |g| / (|g| + eps) over entries with a gradient: what is left of Adam's first step."""
    if gradient is None:
        return None
    sizes = gradient.detach().double().abs()
    sizes = sizes[sizes > 0]
    return _finite((sizes / (sizes + eps)).mean().item()) if len(sizes) else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
