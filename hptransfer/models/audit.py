"""Audits of a training script: what silently undoes a plan. Each returns findings; none means nothing was found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hptransfer.errors import Finding, UsageError
from hptransfer.models.applied_plan import AppliedPlan
from hptransfer.parameterization.roles import Role

#: ratios between groups may differ by this much; schedulers multiply floats
_TOLERANCE = 1e-3
#: below this |g|/eps, Adam's step is visibly shortened: |g| / (|g| + eps) < 0.91
_EPS_MARGIN = 10.0


class Scheduler(Protocol):
    """What torch's schedulers have in common."""

    def step(self) -> None:
        """Set the learning rates of the next step."""


def audit_scheduler(
    factory: Callable[[torch.optim.Optimizer], Scheduler],
    groups: Iterable[Mapping[str, Any]],
    steps: int,
) -> tuple[Finding, ...]:
    """Run a scheduler over groups with a plan's learning rates and see whether they keep their ratios.

    Args:
        factory: makes the scheduler for an optimizer, for example `lambda o: OneCycleLR(o, max_lr=0.1,
            total_steps=100)`.
        groups: mappings with `lr` (the peak), as `param_groups` returns them; the parameters are not touched.
        steps: number of steps to run the scheduler for, at least 1.

    Returns:
        A finding where at some step one group's share of its peak differs from another's.

    Raises:
        UsageError: fewer than two different learning rates, with which no ratio can be lost.
    """
    peaks = [float(group["lr"]) for group in groups]
    if len(set(peaks)) < 2:
        raise UsageError(
            "an audit of a scheduler needs groups with at least two learning rates", received=f"{len(peaks)} groups"
        )
    optimizer = torch.optim.AdamW([{"params": [nn.Parameter(torch.zeros(1))], "lr": peak} for peak in peaks])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch complains about steps of a scheduler without steps of its optimizer
        scheduler = factory(optimizer)
        for step in range(steps):
            factors = [float(group["lr"]) / peak for group, peak in zip(optimizer.param_groups, peaks, strict=True)]
            low, high = min(factors), max(factors)
            if high - low > _TOLERANCE * abs(high):
                return (_lost(type(scheduler).__name__, step, peaks, factors),)
            scheduler.step()
    return ()


def _lost(name: str, step: int, peaks: Sequence[float], factors: Sequence[float]) -> Finding:
    worst = [factors.index(min(factors)), factors.index(max(factors))]
    rates = " and ".join(f"{factors[i] * peaks[i]:.4g} (planned peak {peaks[i]:.4g})" for i in worst)
    hints = {
        "OneCycleLR": "give it `max_lr=[group['lr'] for group in groups]`, and check `final_div_factor`",
        "CosineAnnealingLR": "use `eta_min=0`, or LambdaLR with a factor that ends above zero",
        "CyclicLR": "give it lists for `base_lr` and `max_lr`",
    }
    return Finding(
        "a scheduler must multiply every group's peak learning rate by the same factor",
        f"{name} at step {step}: {rates}",
        hints.get(name, "use LambdaLR: it multiplies") + "; hptransfer.schedule_factor gives such factors",
        code="audit/scheduler",
    )


def audit_optimizer(optimizer: torch.optim.Optimizer, plan: AppliedPlan, module: nn.Module) -> tuple[Finding, ...]:
    """Compare an optimizer's groups with the plan, for example after `load_state_dict` restored old ones.

    Learning rates are compared up to one common factor, which a schedule may have applied; where groups carry
    `initial_lr` (a scheduler's peak), those are compared as they are.

    Args:
        optimizer: the optimizer as training will use it.
        plan: plan that `module` was initialised by.
        module: the model, possibly wrapped.

    Returns:
        Findings on parameters that the optimizer lacks, and on learning rates, decays and eps that are not the plan's.
    """
    trained = [each for each in plan.matched(module) if each[2].role != Role.FROZEN]
    planned = {id(tensor): (name, row) for name, tensor, row in trained}
    seen = {id(tensor): group for group in optimizer.param_groups for tensor in group["params"]}
    findings = []
    missing = [name for key, (name, _) in planned.items() if key not in seen]
    if missing:
        rule = "the optimizer must hold every planned parameter"
        hint = "build it from plan.param_groups(module), after the module was wrapped (FSDP replaces parameters)"
        findings.append(Finding(rule, _named(missing), hint, code="audit/missing"))
    pairs = [(planned[key], group) for key, group in seen.items() if key in planned]
    findings += _other_rates([(name, row.learning_rate, group) for (name, row), group in pairs])
    for quantity in ("weight_decay", "eps"):
        other = [
            f"{name} {group[quantity]:.4g}, planned {getattr(row, quantity):.4g}"
            for (name, row), group in pairs
            if quantity in group
            and getattr(row, quantity) is not None
            and not _close(float(group[quantity]), getattr(row, quantity))
        ]
        if other:
            rule = f"the optimizer's `{quantity}` must be the plan's"
            findings.append(Finding(rule, _named(other), _RESUMED, code=f"audit/{quantity.replace('_', '-')}"))
    return tuple(findings)


def _other_rates(rates: Sequence[tuple[str, float, Mapping[str, Any]]]) -> list[Finding]:
    peaks = [(name, planned, float(group["initial_lr"])) for name, planned, group in rates if "initial_lr" in group]
    other = [f"{name} {peak:.4g}, planned {planned:.4g}" for name, planned, peak in peaks if not _close(peak, planned)]
    rule = "the optimizer's peak learning rates must be the plan's"
    if not other and rates:
        factors = [float(group["lr"]) / planned for _, planned, group in rates]
        usual = median(factors)
        other = [
            f"{name} {float(group['lr']):.4g}, planned peak {planned:.4g}"
            for (name, planned, group), factor in zip(rates, factors, strict=True)
            if not _close(factor, usual) or factor > 1 + _TOLERANCE
        ]
        rule = "the optimizer's learning rates must be the plan's peaks times one factor of at most 1"
    return [Finding(rule, _named(other), _RESUMED, code="audit/learning-rate")] if other else []


_RESUMED = (
    "`load_state_dict` restores the values of the run that was saved: load the state first, then copy `lr`, "
    "`initial_lr`, `weight_decay` and `eps` of plan.param_groups(module) into optimizer.param_groups, and build the "
    "scheduler last"
)


def audit_clipping(max_norm: float | None, plan: AppliedPlan) -> tuple[Finding, ...]:
    """Whether clipping by the global gradient norm means the same at this size as at the base.

    Args:
        max_norm: threshold given to `torch.nn.utils.clip_grad_norm_`; None for no clipping.
        plan: the plan of the model, with or without absorbed multipliers.

    Returns:
        A finding where the plan absorbed multipliers and a threshold is in use.
    """
    absorbed = {factor for factor in plan.multipliers.values() if not _close(factor, 1.0)}
    if max_norm is None or not absorbed:
        return ()
    return (
        Finding(
            "clipping by the global gradient norm must not see gradients that absorbed multipliers have changed",
            f"max_norm {max_norm:g}; absorbed multipliers from {min(absorbed):.4g} to {max(absorbed):.4g}",
            "call plan.clip_grad_norm_(module, max_norm), which weighs each gradient by its multiplier",
            code="audit/clipping",
        ),
    )


def eps_ratios(plan: AppliedPlan, module: nn.Module) -> dict[str, float]:
    """Median |gradient| / eps of every group, after `backward`.

    Args:
        plan: the plan of `module`, with an eps in every row that counts.
        module: whose gradients to read; parameters without one, and entries that are exactly zero (rows of a table
            that no token looked up), are left out.

    Returns:
        Pattern of the group -> median over all entries of its parameters; groups without gradients are left out.

    Raises:
        UsageError: names or shapes differ from the plan's.
    """
    entries: dict[str, list[Tensor]] = {}
    eps: dict[str, float] = {}
    for _, tensor, row in plan.matched(module):
        if tensor.grad is None or row.eps is None:
            continue
        gradient = tensor.grad.full_tensor() if hasattr(tensor.grad, "full_tensor") else tensor.grad
        sizes = gradient.detach().abs().float().flatten()
        entries.setdefault(row.pattern, []).append(sizes[sizes > 0])
        eps[row.pattern] = row.eps
    joined = {pattern: torch.cat(sizes) for pattern, sizes in entries.items()}
    return {
        pattern: float(sizes.median()) / eps[pattern] if len(sizes) else math.nan for pattern, sizes in joined.items()
    }


def audit_eps(plan: AppliedPlan, module: nn.Module) -> tuple[Finding, ...]:
    """Whether Adam's eps lies well below every group's gradients, after `backward`.

    Args:
        plan: the plan of `module`.
        module: the model after `backward`, possibly wrapped.

    Returns:
        A finding per group whose median |gradient| is not ten times its eps: there Adam turns into SGD, whose rules are
        others. `eps_ratios` has all numbers.
    """
    return tuple(
        Finding(
            "eps must lie well below the gradients: median |g|/eps >= 10",
            f"{pattern}: median |g|/eps = {ratio:.3g}",
            "lower `eps` at the base size, or use an eps mode that follows the gradients",
            code="audit/eps",
        )
        for pattern, ratio in eps_ratios(plan, module).items()
        if ratio < _EPS_MARGIN
    )


def _close(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=_TOLERANCE, abs_tol=0.0)


def _named(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
