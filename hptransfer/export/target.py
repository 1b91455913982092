"""`target.yaml`: the large run's configuration with the evidence for it, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from hptransfer.files import write_atomically
from hptransfer.hyperparameters import identifying
from hptransfer.parameterization.groups import FORMAT, ParameterGroup, group_rows
from hptransfer.parameterization.plan import Plan
from hptransfer.training.optimizers.base import OPTIMIZERS

_HEADER = """\
# The configuration of one training run, written by `hptransfer scale`.
#
# parameters: one row per group of parameters. `pattern` is a regular expression that must match the whole name;
#   `init_std`, `learning_rate` (the peak), `weight_decay` (torch's: the decay per step is learning_rate * weight_decay)
#   and `eps` are final values for this size. `rules` and `sources` say where each comes from.
# hyperparameters: the values at the base size, before any rule; warmup holds at every size. Multipliers of roles are
#   in the rows below; those that are left out are 1.
# optimizer_values: betas and momentum for this size.
# verdict, extrapolation: what was measured, and how far this size lies beyond it.
# prediction: the loss this run should end with, written before it; `hptransfer check RECIPE --verify LOSS` compares.
#
# In a training script (the schedule must multiply every group's learning rate by the same factor):
#   plan = hptransfer.load_plan("target.yaml")
#   plan.init_(model, seed=0)
#   optimizer = {optimizer}
#
"""

_FORCED = """\
# FORCED: this file was written although the evidence does not support it.
{reasons}
#
"""


@dataclass(frozen=True, slots=True)
class TargetEvidence:
    """Why the hyperparameters should hold at the target.

    Attributes:
        verdict: TRANSFERS, DRIFTS or INCONCLUSIVE; None without a check.
        sentence: the verdict's sentence, with its numbers.
        axes: drift, regret and sizes per checked axis, as `check` wrote them.
        checked: sizes trained by the check, "widths", "depths", "batch_sizes" and "tokens".
        objections: why the file should not have been written; empty unless forced.
    """

    verdict: str | None
    sentence: str
    axes: Sequence[Mapping[str, object]]
    checked: Mapping[str, Sequence[int]]
    objections: Sequence[str] = ()


def target_document(
    plan: Plan,
    evidence: TargetEvidence,
    *,
    recipe: str,
    training: Mapping[str, object],
    provenance: Mapping[str, object],
) -> dict[str, object]:
    """The content of the file as plain data.

    Args:
        plan: of the target, with the tuned hyperparameters.
        evidence: of the check.
        recipe: its name.
        training: what a trainer needs besides rows and hyperparameters (steps, schedule, clip).
        provenance: versions, recipe hash, data fingerprint, seeds, date.
    """
    return {
        "format": FORMAT,
        "recipe": recipe,
        "verdict": {
            "verdict": evidence.verdict,
            "sentence": evidence.sentence,
            "forced": bool(evidence.objections),
            "objections": list(evidence.objections),
            "axes": [dict(axis) for axis in evidence.axes],
        },
        "extrapolation": list(extrapolation(plan, evidence.checked)),
        "parameterization": plan.parameterization,
        "gauge": plan.gauge,
        "optimizer": plan.optimizer,
        "base": asdict(plan.base),
        "size": asdict(plan.size),
        "hyperparameters": identifying(plan.hyperparameters),
        "optimizer_values": dict(plan.optimizer_values),
        "training": dict(training),
        "notes": list(plan.notes),
        "parameters": [_row(group) for group in group_rows(plan.rows)],
        "provenance": dict(provenance),
    }


def _row(group: ParameterGroup) -> dict[str, object]:
    """The group with the rules that scale something; unscaled quantities need no line."""
    scaled = {quantity: rule for quantity, rule in group.rules.items() if rule != "1"}
    return group.as_mapping() | {"rules": scaled, "sources": {quantity: group.sources[quantity] for quantity in scaled}}


def extrapolation(plan: Plan, checked: Mapping[str, Sequence[int]]) -> Iterator[dict[str, object]]:
    """How far the target lies beyond what was checked, one entry per axis.

    Args:
        plan: of the target.
        checked: "widths", "depths", "batch_sizes" and "tokens" that were trained.
    """
    base, size = plan.base, plan.size
    for axis, reached, target in (
        ("width", max(checked.get("widths", ()), default=None), size.width),
        ("depth", max(checked.get("depths", ()), default=None), size.depth),
        ("batch_size", max(checked.get("batch_sizes", ()), default=base.batch_size), size.batch_size),
        ("tokens", max(checked.get("tokens", ()), default=base.tokens), size.tokens),
    ):
        factor = None if reached is None else target / reached
        yield {
            "axis": axis,
            "target": target,
            "checked_up_to": reached,
            "factor": factor,
            "sentence": _sentence(axis, target, reached, factor, axis.removesuffix("_size") in plan.covers),
        }


def _sentence(axis: str, target: int, reached: int | None, factor: float | None, has_rule: bool) -> str:
    subject = f"{axis.replace('_', ' ')} {target}"
    unchecked = "by theory alone" if has_rule else "no rule and no check cover it"
    if reached is None or factor is None:
        return f"{subject} was not checked: {unchecked}"
    if axis in {"batch_size", "tokens"} and factor != 1:
        return f"{subject} is {factor:g} times that of the checked runs: {unchecked}"
    if factor <= 1:
        return f"{subject} lies within what was trained (up to {reached})"
    return f"{subject} lies {factor:g} times beyond the largest trained ({reached}): {unchecked}"


def render_target(document: Mapping[str, object]) -> str:
    """The file's text: a header that explains it, then YAML; floats are written so that they read back bit for bit."""
    hyperparameters, scaled = _mapping(document["hyperparameters"]), _mapping(document["optimizer_values"])
    values = {name: float(str(value)) for name, value in {**hyperparameters, **scaled}.items()}
    optimizer = OPTIMIZERS.look_up(str(document["optimizer"])).constructor(values)
    verdict = _mapping(document["verdict"])
    header = _HEADER.format(optimizer=optimizer)
    if verdict["forced"]:
        reasons = "\n".join(f"#   {' '.join(str(objection).split())}" for objection in _sequence(verdict["objections"]))
        header += _FORCED.format(reasons=reasons)
    return header + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def write_target(path: Path, document: Mapping[str, object]) -> None:
    """Write the file atomically.

    Raises:
        UsageError: the path cannot be written.
        MachineError: the disk is full or fails.
    """
    write_atomically(path, render_target(document))


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, got {type(value).__name__}")
    return value


def _sequence(value: object) -> Sequence[object]:
    if not isinstance(value, Sequence):
        raise TypeError(f"expected a sequence, got {type(value).__name__}")
    return value


class _Dumper(yaml.SafeDumper):
    """Writes every row out in full, so that each can be read and edited by itself."""

    def ignore_aliases(self, data: object) -> bool:
        """Never use `&name` and `*name`."""
        return True

    def represent_sequence(
        self, tag: str, sequence: Iterable[object], flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        """Shapes and other short lists of numbers go on one line."""
        items = list(sequence)
        short = all(isinstance(item, int | float) for item in items)
        return super().represent_sequence(tag, items, flow_style=short or flow_style)
