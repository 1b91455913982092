"""A plan applied to a module: initialise in place, and parameter groups for any torch optimizer.

The truth is the table of rows, matched by name. Nothing is stored on tensors, so deepcopy, EMA and state dicts lose
nothing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from hptransfer.artifacts.plan_file import PlanFile
from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.files import write_atomically
from hptransfer.models.applied_init import initialise, starts_by_itself
from hptransfer.models.logit_factors import require_scaled
from hptransfer.models.saved_plan import saved_target, text_of
from hptransfer.parameterization.gauge import gauge_named
from hptransfer.parameterization.gradient_size import gradient_sizes
from hptransfer.parameterization.groups import ParameterGroup, group_rows, plan_markdown
from hptransfer.parameterization.plan import Plan, PlannedParameter
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import IN_TORCH
from hptransfer.parameterization.tables import FAMILIES, ParameterizationSpec


class AppliedPlan:
    """The rows of a plan, ready for a module whose parameters have these names and shapes.

    Args:
        rows: the rows of a `Plan`, or groups that were read from a file.
        hyperparameters: base values by name; what no row carries (betas, momentum, warmup) is kept here.
        optimizer: name of the plan's optimizer, a key of `parameterization.tables.FAMILIES`.
        plan: the whole plan, where there is one and not just a file.
        multipliers: parameter name -> factor of `forward` that the plan absorbed into init and optimizer; missing names
            have none.
        optimizer_values: betas and momentum by name, as a file gives them; None takes the plan's, or the base values.
        training: duration, schedule and clipping as a file gives them; None where there is none.
        muon_scale: the factor of a matrix's shape by which Muon multiplies its rate, as a file gives it; None takes the
            plan's.
        gauge: where multipliers live, as a file gives it; None takes the plan's, or "plain".

    Attributes:
        groups: rows with equal values under one pattern; every parameter matches exactly one.
        optimizer_values: beta1, beta2 and momentum for this size; they differ from the base values where batch or
            duration do.
        muon_scale: the factor that the plan's rates for Muon leave to it; None where it has no Muon.
        gauge: where multipliers live; in "plain" the logits of a tied table are multiplied by `scale_logits`, in others
            `forward` multiplies them.
        config_values: of a model of transformers whose configuration carries multipliers: key -> value to write there
            at this size; empty where the plan leaves no multiplier to `forward`, or no key is for it.
    """

    def __init__(
        self,
        rows: Sequence[PlannedParameter] | Sequence[ParameterGroup],
        hyperparameters: Mapping[str, float] | None = None,
        optimizer: str = "adamw",
        plan: Plan | None = None,
        multipliers: Mapping[str, float] | None = None,
        optimizer_values: Mapping[str, float] | None = None,
        training: TrainingRecord | None = None,
        muon_scale: str | None = None,
        gauge: str | None = None,
    ) -> None:
        self.groups: tuple[ParameterGroup, ...] = group_rows([row for row in rows if isinstance(row, PlannedParameter)])
        self.groups += tuple(row for row in rows if isinstance(row, ParameterGroup))
        self.hyperparameters = dict(hyperparameters or {})
        self.optimizer = optimizer
        self.plan = plan
        self.config_values: dict[str, float | list[float]] = {}
        self.training = training
        self.multipliers = dict(multipliers or {})
        self.muon_scale = muon_scale or (plan.options.muon_scale if plan else None)
        self.gauge = gauge or (plan.gauge if plan else "plain")
        known = ("beta1", "beta2", "momentum")
        self.optimizer_values = {name: self.hyperparameters[name] for name in known if name in self.hyperparameters}
        self.optimizer_values |= dict(optimizer_values or (plan.optimizer_values if plan else {}))

    @classmethod
    def from_plan(cls, plan: Plan, multipliers: Mapping[str, float] | None = None) -> AppliedPlan:
        """The plan with its hyperparameters and optimizer.

        Args:
            plan: the plan to apply.
            multipliers: parameter name -> factor of `forward` that the plan absorbed; None for none.
        """
        return cls(plan.rows, plan.hyperparameters, plan.optimizer, plan, multipliers)

    @classmethod
    def from_target(cls, target: TargetFile) -> AppliedPlan:
        """The plan of a target that was written.

        Args:
            target: the content of `target.yaml`.
        """
        return cls(
            target.parameters,
            target.hyperparameters,
            target.optimizer,
            optimizer_values=target.optimizer_values,
            training=target.training,
            muon_scale=target.muon_scale,
            gauge=target.gauge,
        )

    @property
    def starts_by_itself(self) -> bool:
        """Whether the model's own draws are part of the run: `init_` scales them, or leaves some as they are."""
        return starts_by_itself(self.groups)

    def schedule(self, step: int) -> float:
        """Learning rate of a step as a share of the peak, as the target's file says; for `LambdaLR`.

        Args:
            step: optimizer steps taken before, from 0.

        Raises:
            UsageError: the plan was not read from a target's file, or the schedule is not one of this version.
        """
        if self.training is None:
            raise UsageError("a plan must be read from a target's file to have a schedule", received="a plan without")
        return self.training.factor(step)

    @property
    def rows(self) -> tuple[PlannedParameter, ...]:
        """One row per parameter, with factors and sources; empty for a plan that was read from a file."""
        return tuple(self.plan.rows) if self.plan else ()

    @property
    def whole_plan(self) -> Plan:
        """The plan behind it.

        Raises:
            UsageError: it was read from a file, which has rows only.
        """
        if self.plan is None:
            raise UsageError("a plan must have been made, not read", received="a plan that was read from a file")
        return self.plan

    def save(self, path: str | Path, *, overwrite: bool = False, **training: Any) -> None:
        """Write the plan as a `target.yaml`, which `load_plan` reads; its verdict is that nothing was checked.

        Args:
            path: of the YAML file; its folder is made where it is missing.
            overwrite: whether a file that exists is replaced.
            training: what is to be said of the run, as `artifacts.target.TrainingRecord` has it: `steps`, `batch_size`
                and `schedule` together, and `warmup`, `clip`, `floor`, ...; nothing leaves it out of the file.

        Raises:
            UsageError: the plan was read from a file, the file exists or cannot be written, its name does not end in
                `.yaml`, or the training cannot be so.
        """
        target = saved_target(self.whole_plan, training)
        place = Path(path)
        if place.suffix not in (".yaml", ".yml"):
            raise UsageError("a plan must be saved as YAML", received=str(path), hint='for example "target.yaml"')
        if place.exists() and not overwrite:
            rule = "`save` does not overwrite"
            raise UsageError(rule, received=f"{path}, which exists", hint="choose another path, or `overwrite=True`")
        write_atomically(place, text_of(target))

    def to_table(self) -> str:
        """The groups as a Markdown table, with the notes of the plan below."""
        return plan_markdown(self.groups, self.plan.notes if self.plan else ())

    def init_(self, module: nn.Module, seed: int | None = None) -> None:
        """Start every parameter as planned, in place; buffers are left alone.

        By own init, what the model's code drew is multiplied, by exactly 1 at the base; constants, structures and what
        takes no gradient stay as they are. By the tables' init every parameter is drawn: the draw depends on the seed,
        the name, the shape and the device only, so two hyperparameter values start from the same draws, scaled.

        Args:
            module: any module with the plan's names and shapes; not on the meta device; by own init, fresh from its
                own code.
            seed: of what is drawn; None draws from torch's global generator. An own init has been drawn before:
                `torch.manual_seed` before the model is built.

        Raises:
            UsageError: names, shapes or frozen parameters differ from the plan's, the module has no memory (meta
                device), is not as its own code starts it, or the logits of its tied table are not multiplied.
        """
        matched = self._applicable(module)
        on_meta = [name for name, tensor, _ in matched if tensor.is_meta]
        if on_meta:
            raise UsageError(
                "a module must have memory before it is initialised",
                received=f"on the meta device: {_some(on_meta)}",
                hint='call `module.to_empty(device="cpu")` first'
                + (
                    ", then the model's own init, which this plan scales (transformers: `model.init_weights()`)"
                    if self.starts_by_itself
                    else ""
                ),
            )
        initialise(matched, seed)

    def param_groups(self, module: nn.Module, optimizer: str | None = None) -> list[dict[str, Any]]:
        """Parameter groups for a torch optimizer; parameters with equal values share one, frozen ones are in none.

        Args:
            module: a module with the plan's names and shapes, possibly wrapped.
            optimizer: name of the optimizer whose groups are wanted, where a plan has two; None: of all.

        Returns:
            Groups with `params`, `lr` (peak), `weight_decay`, for Adam `eps`, and `name`, the patterns it consists of.
            Where the plan has two optimizers, each group names its own under `optimizer`; Muon's have `adjust_lr_fn`,
            the factor of a matrix's shape for which their rates are planned, where torch's Muon knows it.
            Multiply every group's `lr` by the same schedule; schedulers that set absolute rates erase the ratios.

        Raises:
            UsageError: names or shapes differ from the plan's, or the logits of a tied table are not multiplied.
        """
        trained = [group for group in self.groups if group.role != Role.FROZEN]
        known = list(dict.fromkeys(group.optimizer or self.optimizer for group in trained))
        if optimizer is not None and optimizer not in known:
            raise UsageError(f"the optimizer must be one of the plan's, {', '.join(known)}", received=optimizer)
        others: dict[str, dict[tuple[float, float, float | None], list[tuple[Tensor, str]]]] = {}
        for _, tensor, group in self._applicable(module):
            if group.role == Role.FROZEN:
                continue
            members = others.setdefault(group.optimizer or self.optimizer, {})
            key = (group.learning_rate, group.weight_decay, group.eps)
            members.setdefault(key, []).append((tensor, group.pattern))
        wanted = known if optimizer is None else [optimizer]
        return [
            _param_group(*key, of) | self._how(name, parted=len(known) > 1)
            for name in wanted
            for key, of in others.get(name, {}).items()
        ]

    def _how(self, optimizer: str, *, parted: bool) -> dict[str, str]:
        """What a group says of the optimizer that it is for."""
        how = {"optimizer": optimizer} if parted else {}
        if FAMILIES.get(optimizer) == "orthogonal" and self.muon_scale in IN_TORCH:
            how["adjust_lr_fn"] = str(self.muon_scale)
        return how

    def clip_grad_norm_(self, module: nn.Module, max_norm: float) -> float:
        """Clip by the norm that the gradients have with multipliers in `forward`, so that a threshold carries over.

        A weight W = A w has the gradient A dL/dW in the form with multipliers and dL/dW in the plain form; torch's own
        `clip_grad_norm_` sees the latter, and clips differently at every size. A plan whose file says `clip_norm:
        scaled` divides each gradient by its expected size instead, so that the norm compares with the base's.

        Args:
            module: module with the plan's names and shapes, after `backward`.
            max_norm: threshold, above 0, as tuned at any size.

        Returns:
            The norm before clipping.

        Raises:
            UsageError: names or shapes differ from the plan's, or its file has no sizes of gradients and needs them.
        """
        scaled = self.training is not None and self.training.clip_norm == "scaled"

        def moved(name: str, group: ParameterGroup) -> float:
            # of a plan that was read from a file the rows say what was moved out of `forward`
            return self.multipliers.get(name, 1.0) if self.plan is not None else group.absorbed or 1.0

        gradients = [
            (tensor.grad, 1 / _expected_gradient(group) if scaled else moved(name, group))
            for name, tensor, group in self._match(module)
            if tensor.grad is not None
        ]
        norms = [_whole(torch.linalg.vector_norm(gradient)) * factor for gradient, factor in gradients]
        norm = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
        if norm > max_norm:
            for gradient, _ in gradients:
                gradient.mul_(max_norm / norm)
        return norm

    def gradient_sizes(self, parameterization: ParameterizationSpec) -> dict[str, float]:
        """The expected norm of each parameter's gradient over that at the base, by name; see `gradient_size`.

        Args:
            parameterization: what the plan was made by; a recipe's section will do.

        Raises:
            UsageError: the plan was read from a file, or the parameterization does not say how large gradients are.
        """
        plan = self.whole_plan
        parameters, gauge = [row.parameter for row in plan.rows], gauge_named(plan.gauge)
        return gradient_sizes(parameterization, plan.base, plan.size, parameters, plan.hyperparameters, gauge)

    def matched(self, module: nn.Module) -> list[tuple[str, Tensor, ParameterGroup]]:
        """Name, tensor and row of every parameter, in the module's order.

        Raises:
            UsageError: names or shapes differ from the plan's.
        """
        return self._match(module)

    def _applicable(self, module: nn.Module) -> list[tuple[str, Tensor, ParameterGroup]]:
        """Each parameter with its row, of a module that multiplies what the plan asks it to."""
        matched = self._match(module)
        if self.gauge == "plain":
            require_scaled(module, self.groups, [name for name, _, _ in matched])
        return matched

    @property
    def _one_size(self) -> str:
        """What a module that does not fit is told."""
        size = "" if self.plan is None else f", this one width {self.plan.size.width}, depth {self.plan.size.depth}"
        return (
            f"a plan is for one size{size}, and for one state of the model's code: build the module at that size, or "
            "plan again where its code has changed"
        )

    def _match(self, module: nn.Module) -> list[tuple[str, Tensor, ParameterGroup]]:
        """Each parameter with its row; every disagreement between the module and the plan is an error."""
        rows = [(re.compile(group.pattern), group) for group in self.groups]
        matched: list[tuple[str, Tensor, ParameterGroup]] = []
        unknown, shapes, frozen = [], [], []
        counts = dict.fromkeys((group.pattern for group in self.groups), 0)
        for name, tensor in plain_names(module):
            found = [group for pattern, group in rows if pattern.fullmatch(name)]
            if len(found) != 1:
                unknown.append(f"{name} ({len(found)} rows)")
                continue
            counts[found[0].pattern] += 1
            if tuple(tensor.shape) != found[0].shape:
                shapes.append(f"{name} {tuple(tensor.shape)}, planned {found[0].shape}")
            if tensor.requires_grad == (found[0].role == Role.FROZEN):
                frozen.append(f"{name} {'takes' if tensor.requires_grad else 'takes no'} gradient")
            matched.append((name, tensor, found[0]))
        hint = _PARAMETRIZED if any("parametrizations." in name for name in unknown) else self._one_size
        _require("every parameter must match one row of the plan", unknown, hint)
        _require("every parameter must have the planned shape", shapes, self._one_size)
        _require("a parameter must take a gradient where the plan trains it, and nowhere else", frozen, _FREEZE)
        missing = [
            f"{group.pattern} ({counts[group.pattern]} of {group.count})"
            for group in self.groups
            if counts[group.pattern] != group.count
        ]
        _require("every row of the plan must match as many parameters as were planned", missing, self._one_size)
        return matched


def load_plan(path: str | Path) -> AppliedPlan:
    """Read a `target.yaml` that `hptransfer scale` wrote, or the `plan.json` of one run of a command.

    Args:
        path: path of the YAML file, or of the JSON file that a command finds in `HPTRANSFER_PLAN_FILE`.

    Returns:
        The plan; `init_(module)` and `param_groups(module)` apply it.

    Warns:
        UserWarning: the evidence did not support the target when it was written, and `--force` was given.

    Raises:
        UsageError: the file cannot be read, or is not a target's.
    """
    if Path(path).suffix == ".json":
        plan = PlanFile.read(Path(path), missing=lambda: _missing(path))
        return AppliedPlan(
            plan.parameters,
            plan.hyperparameters,
            plan.optimizer,
            optimizer_values=plan.optimizer_values,
            training=plan.training,
            muon_scale=plan.muon_scale,
            gauge=plan.gauge,
        )
    target = TargetFile.read(Path(path), missing=lambda: _missing(path))
    if target.caution is not None:
        warnings.warn(f"{Path(path).name}: {target.caution}", stacklevel=2)
    return AppliedPlan.from_target(target)


def _missing(path: str | Path) -> UsageError:
    return UsageError("the target's file must exist", received=str(path), hint="`hptransfer scale` writes it")


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


def _expected_gradient(group: ParameterGroup) -> float:
    if group.gradient_size is None:
        rule = "every group of a plan with `clip_norm: scaled` must have a `gradient_size`"
        raise UsageError(rule, received=f"{group.pattern} without")
    return group.gradient_size


def _whole(value: Tensor) -> Tensor:
    """The sum over ranks of a sharded number."""
    whole: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return whole.float()


def plain_names(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Named parameters without what torch.compile, data parallelism, EMA and activation checkpointing add to names."""
    while isinstance(module, DistributedDataParallel | DataParallel | AveragedModel) or hasattr(module, "_orig_mod"):
        inner = module._orig_mod if hasattr(module, "_orig_mod") else module.module
        if not isinstance(inner, nn.Module):
            break
        module = inner
    for name, tensor in module.named_parameters():
        yield _WRAPPERS.sub("", name), tensor


#: wrappers inside a model: a compiled layer, a checkpointed one, FSDP's first version
_WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.")
_FREEZE = "freeze parameters (`requires_grad_(False)`) where the model is built, so that the plan sees it too"
_PARAMETRIZED = (
    "a parametrization (weight_norm, ...) replaced planned weights: plan a model that has it, or initialise and group "
    "parameters before it is registered"
)


def _require(rule: str, offenders: Sequence[str], hint: str | None = None) -> None:
    if offenders:
        raise UsageError(rule, received=_some(offenders), hint=hint)


def _some(names: Iterable[str], shown: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
