"""Plain YAML: everything of a plan, by parameter and by group, for any framework and without hptransfer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.handover.decoder import heads_by_hand
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.own_names import named_groups, own_names
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity

_KEYS = """
groups: parameters with equal values; `pattern` is a regular expression that must match the whole name.
parameters: the same by full name, for who looks one up.
how: `scale`: multiply what the model's own code has drawn (at `own_std`) by `factor`; `draw`: draw anew from a
  normal distribution of mean 0 with `std`; `fill`: set to `value`; `keep`: leave as the model starts it.
learning_rate: the peak; null: not trained. weight_decay: as torch's AdamW takes it, learning_rate * weight_decay is
  what a step takes away. multiplier: factor by which `forward` multiplies what the parameter gives, over the base's.
schedule.factors: step (from 0) -> rate as a share of the peak, for each group alike; between them, by the formula."""


class _Yaml:
    """`plan.yaml`: groups, parameters by full name, init, rates, schedule as formula and as table, model settings."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    about = About(
        framework="any framework",
        read_at="no code: it is plain YAML",
        itself="nothing is assumed of it; final values of this size are written, and multipliers where the user's "
        "model has them.",
        executed="torch: an optimizer that is built from the file, of those that torch has",
        by_hand=("read the file by a safe loader and apply every value; nothing here is code.",),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return own_names(target)

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The one file.

        Args:
            target: in any gauge; without rows it has hyperparameters and sizes alone.
        """
        names: dict[int, list[str]] = {id(group): [] for group in target.parameters}
        values: dict[str, Any] = {}
        for name, group in named_groups(target):
            names[id(group)].append(name)
            values[name] = _values(group, target)
        content = {
            "format": "hptransfer-plan/1",
            "rules": target.parameterization,
            "gauge": target.gauge,
            "base": _size(target.base),
            "size": _size(target.size),
            "hyperparameters_at_base": dict(target.hyperparameters),
            "optimizer": {
                "name": target.optimizer,
                **target.optimizer_values,
                **({} if target.muon_scale is None else {"adjust_lr_fn": target.muon_scale}),
            },
            "training": None if target.training is None else _training(target.training),
            "model": None if target.model is None else target.model.model_dump(mode="json"),
            "groups": [
                {
                    "pattern": group.pattern,
                    "names": names[id(group)],
                    "role": str(group.role),
                    "shape": list(group.shape),
                    **_values(group, target),
                }
                for group in target.parameters
            ],
            "parameters": values,
        }
        head = commented([*header(target, "yaml", self.about, heads_by_hand(target)), *_KEYS.split("\n")])
        return {"plan.yaml": head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)}


def _size(size: Any) -> dict[str, int]:
    return {name: getattr(size, name) for name in ("width", "depth", "batch_size", "tokens")}


def _values(group: ParameterGroup, target: TargetFile) -> dict[str, Any]:
    frozen = group.role == Role.FROZEN
    return {
        "init": start_of(group),
        "optimizer": None if frozen else group.optimizer or target.optimizer,
        "learning_rate": None if frozen else group.learning_rate,
        "weight_decay": None if frozen else group.weight_decay,
        "eps": None if frozen else group.eps,
        "multiplier": group.multiplier,
    }


def start_of(group: ParameterGroup) -> dict[str, Any]:
    """How a parameter starts, in the words of the file's comments.

    Args:
        group: a row of the plan, frozen ones too.
    """
    constant = {"ones": 1.0, "zeros": 0.0, "constant": group.init_value}.get(group.init)
    if group.role == Role.FROZEN or group.init == "kept":
        return {"how": "keep"}
    if group.init_std is None:
        return {"how": "keep"} if constant is None else {"how": "fill", "value": constant}
    if group.own_init_std is None:
        return {"how": "draw", "std": group.init_std}
    own, std = group.own_init_std, group.init_std
    return {"how": "scale", "own_std": own, "factor": std / own, "std": std}


def _training(training: TrainingRecord) -> dict[str, Any]:
    known = training.schedule != "own"
    rising = round((training.warmup or 0.0) * training.steps)
    falling = None if training.decay_share is None else round(training.decay_share * training.steps)
    return {
        "steps": training.steps,
        "batch_size": training.batch_size,
        "clip": training.clip,
        "clip_norm": training.clip_norm,
        "precision": training.precision,
        "schedule": {
            "shape": training.schedule,
            "warmup_steps": rising if known else None,
            "decay_steps": falling,
            "floor": training.floor,
            "factors": {step: training.factor(step) for step in _table(training, rising, falling)} if known else None,
        },
    }


def _table(training: TrainingRecord, rising: int, falling: int | None) -> list[int]:
    """Steps whose factors are written out: where the shape changes, and 65 spread over the run."""
    last = training.steps - 1
    turns = {rising - 1, rising, training.steps - (falling or 0)}
    spread = {round(share * last / 64) for share in range(65)}
    return sorted(step for step in turns | spread if 0 <= step <= last)


class _Dumper(yaml.SafeDumper):
    """Lists of numbers on one line; no `&name` and `*name`."""

    def ignore_aliases(self, data: object) -> bool:
        """Every row is written out."""
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        """As PyYAML's, but short lists of numbers go on one line."""
        items = list(sequence)
        short = all(isinstance(item, int | float) for item in items)
        return super().represent_sequence(tag, items, flow_style=short or flow_style)


EXPORTER = _Yaml()
