"""A plan applied to a module: initialise in place, and parameter groups for any torch optimizer.

The truth is the table of rows, matched by name. Nothing is stored on tensors, so deepcopy, EMA and state dicts lose
nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from hptransfer.errors import UsageError
from hptransfer.parameterization.groups import FORMAT, NUMBERS, ParameterGroup, group_rows
from hptransfer.parameterization.plan import Plan, PlannedParameter


class AppliedPlan:
    """The rows of a plan, ready for a module whose parameters have these names and shapes.

    Args:
        rows: of a `Plan`, or groups read from a file.
        hyperparameters: base values by name; what no row carries (betas, momentum, warmup) is kept here.
        optimizer: "adamw" or "sgd".

    Attributes:
        groups: rows with equal values under one pattern; every parameter matches exactly one.
    """

    def __init__(
        self,
        rows: Sequence[PlannedParameter] | Sequence[ParameterGroup],
        hyperparameters: Mapping[str, float] | None = None,
        optimizer: str = "adamw",
    ) -> None:
        self.groups: tuple[ParameterGroup, ...] = group_rows([row for row in rows if isinstance(row, PlannedParameter)])
        self.groups += tuple(row for row in rows if isinstance(row, ParameterGroup))
        self.hyperparameters = dict(hyperparameters or {})
        self.optimizer = optimizer

    @classmethod
    def from_plan(cls, plan: Plan) -> AppliedPlan:
        """The plan with its hyperparameters and optimizer."""
        return cls(plan.rows, plan.hyperparameters, plan.optimizer)

    def init_(self, module: nn.Module, seed: int | None = None) -> None:
        """Draw every parameter in place; buffers are left alone.

        The draw of one parameter depends on the seed, its name, its shape and its device only, so two hyperparameter
        values start from the same draws, scaled.

        Args:
            module: any module with the plan's names and shapes; not on the meta device.
            seed: None draws from torch's global generator.

        Raises:
            UsageError: names or shapes differ from the plan's, or the module has no memory (meta device).
        """
        matched = self._match(module)
        on_meta = [name for name, tensor, _ in matched if tensor.is_meta]
        if on_meta:
            raise UsageError(
                "a module must have memory before it is initialised",
                received=f"on the meta device: {_some(on_meta)}",
                hint='call `module.to_empty(device="cpu")` first',
            )
        with torch.no_grad():
            for name, tensor, group in matched:
                _draw(tensor, group, None if seed is None else _generator(tensor.device, seed, name))

    def param_groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups for a torch optimizer; parameters with equal values share one.

        Returns:
            Groups with `params`, `lr` (peak), `weight_decay`, for Adam `eps`, and `name`, the patterns it consists of.
            Multiply every group's `lr` by the same schedule; schedulers that set absolute rates erase the ratios.

        Raises:
            UsageError: names or shapes differ from the plan's.
        """
        members: dict[tuple[float, float, float | None], list[tuple[Tensor, str]]] = {}
        for _, tensor, group in self._match(module):
            key = (group.learning_rate, group.weight_decay, group.eps)
            members.setdefault(key, []).append((tensor, group.pattern))
        return [_param_group(*key, of) for key, of in members.items()]

    def _match(self, module: nn.Module) -> list[tuple[str, Tensor, ParameterGroup]]:
        """Each parameter with its row; every disagreement between the module and the plan is an error."""
        rows = [(re.compile(group.pattern), group) for group in self.groups]
        matched: list[tuple[str, Tensor, ParameterGroup]] = []
        unknown, shapes = [], []
        counts = dict.fromkeys((group.pattern for group in self.groups), 0)
        for name, tensor in module.named_parameters():
            found = [group for pattern, group in rows if pattern.fullmatch(name)]
            if len(found) != 1:
                unknown.append(f"{name} ({len(found)} rows)")
                continue
            counts[found[0].pattern] += 1
            if tuple(tensor.shape) != found[0].shape:
                shapes.append(f"{name} {tuple(tensor.shape)}, planned {found[0].shape}")
            matched.append((name, tensor, found[0]))
        _require("every parameter must match one row of the plan", unknown)
        _require("every parameter must have the planned shape", shapes)
        missing = [
            f"{group.pattern} ({counts[group.pattern]} of {group.count})"
            for group in self.groups
            if counts[group.pattern] != group.count
        ]
        _require("every row of the plan must match as many parameters as were planned", missing)
        return matched


def load_plan(path: str | Path) -> AppliedPlan:
    """Read a `target.yaml` that `hptransfer scale` wrote.

    Args:
        path: of the file.

    Returns:
        The plan; `init_(module)` and `param_groups(module)` apply it.

    Raises:
        UsageError: the file cannot be read, or is not a target's.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError("the target's file must be readable", received=f"{path}: {error.strerror}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError("a target's file must be YAML", received=f"{path}: {error}") from None
    return read_document(document, str(path))


def read_document(document: object, path: str) -> AppliedPlan:
    """The plan in the parsed content of a `target.yaml`; `path` is for messages.

    Raises:
        UsageError: it is not a target's document.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        received = document.get("format", "no `format` key") if isinstance(document, dict) else type(document).__name__
        raise UsageError(f"a target's file must say `format: {FORMAT}`", received=f"{path}: {received}")
    rows, optimizer = document.get("parameters"), document.get("optimizer")
    hyperparameters = document.get("hyperparameters")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError("`parameters` of a target's file must be a list of rows", received=path)
    if not isinstance(optimizer, str) or not isinstance(hyperparameters, dict):
        raise UsageError("a target's file must have `hyperparameters` and `optimizer`", received=path)
    for name, value in hyperparameters.items():
        if not isinstance(name, str) or not isinstance(value, int | float):
            raise UsageError(
                "`hyperparameters` of a target's file must be numbers", received=f"{name}: {value!r}", hint=NUMBERS
            )
    return AppliedPlan([ParameterGroup.from_mapping(row) for row in rows], hyperparameters, optimizer)


def _param_group(
    learning_rate: float, weight_decay: float, eps: float | None, members: Sequence[tuple[Tensor, str]]
) -> dict[str, Any]:
    return {
        "params": [tensor for tensor, _ in members],
        "lr": learning_rate,
        "weight_decay": weight_decay,
        **({} if eps is None else {"eps": eps}),
        "name": " | ".join(dict.fromkeys(pattern for _, pattern in members)),
    }


def _require(rule: str, offenders: Sequence[str]) -> None:
    if offenders:
        raise UsageError(rule, received=_some(offenders))


def _some(names: Iterable[str], shown: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def _generator(device: torch.device, seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _draw(tensor: Tensor, group: ParameterGroup, generator: torch.Generator | None) -> None:
    if group.init == "normal":
        if group.init_std is None:
            raise UsageError("a normal init must have an `init_std`", received=group.pattern)
        # drawn at std 1 and scaled, so that every std gives the same draw
        tensor.normal_(generator=generator).mul_(group.init_std)
    elif group.init == "ones":
        tensor.fill_(1.0)
    elif group.init == "zeros":
        tensor.zero_()
    else:
        raise UsageError("`init` must be normal, ones or zeros", received=f"{group.pattern}: {group.init}")
