"""Plain PyTorch: the groups as JSON, and a module of a few lines that applies them without hptransfer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.own_names import own_names
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity

_SNIPPET = """\
import json, math, pathlib, re, torch
PLAN = json.loads((pathlib.Path(__file__).parent / "groups.json").read_text())

def rows(model):  # every parameter with its row; one without a row, or with another shape, is an error
    for name, tensor in model.named_parameters():
        (row,) = [row for row in PLAN["groups"] if re.fullmatch(row["pattern"], name)]
        assert list(tensor.shape) == row["shape"], (name, tuple(tensor.shape), row["shape"])
        yield tensor, row

@torch.no_grad()
def init_(model):  # {start}
    for tensor, row in rows(model):
        tensor.normal_(std=row["init_std"]) if row["init"] == "draw" else tensor.mul_(row["init_factor"])

def optimizer(model):
    groups = [{{"params": [t], **row["optimizer"]}} for t, row in rows(model) if row["optimizer"]]
    return torch.optim.{constructor}

def scheduler(optimizer):  # one factor for all groups, so that their ratios stay
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

{schedule}
"""
_OWN_START = "scales what the model's own code has just drawn; call it once"
_RULE_START = "draws every weight anew; call it once"
_OWN_SCHEDULE = """\
def factor(step):
    raise NotImplementedError("the schedule was the trainer's own: put it here, as a share of the peak")
"""


class _Torch:
    """`groups.json` and `hptransfer_groups.py`, which applies it to the user's own model without hptransfer."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    about = About(
        framework="PyTorch",
        read_at="torch 2.13.0",
        itself="scales nothing; final values of this size are written.",
        executed="torch: the module that is written, with its own model, init, optimizer and scheduler",
        by_hand=(
            "import hptransfer_groups; build the model, then init_(model), optimizer(model), scheduler(optimizer), and "
            "call scheduler.step() after each optimizer step.",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return own_names(target)

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The two files.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: there are no rows, the optimizer is none of torch's, or a multiplier must be in `forward`.
        """
        _require(target)
        lines = header(target, "torch", replace(self.about, by_hand=(*self.about.by_hand, *_clipping(target))))
        content = {
            "hptransfer": lines,
            "training": None if target.training is None else target.training.model_dump(mode="json"),
            "groups": [_row(group) for group in target.parameters],
        }
        own = any(group.own_init_std is not None for group in target.parameters)
        module = _SNIPPET.format(
            start=_OWN_START if own else _RULE_START,
            constructor=_CONSTRUCTORS[target.optimizer](target.optimizer_values),
            schedule=schedule_function(target.training),
        )
        return {"groups.json": json.dumps(content, indent=1) + "\n", "hptransfer_groups.py": commented(lines) + module}


_CONSTRUCTORS = {
    "adamw": lambda values: f"AdamW(groups, betas=({values['beta1']!r}, {values['beta2']!r}))",
    "adam": lambda values: f"Adam(groups, betas=({values['beta1']!r}, {values['beta2']!r}))",
    "sgd": lambda values: f"SGD(groups, momentum={values.get('momentum', 0.0)!r})",
}


def _require(target: TargetFile) -> None:
    if not target.parameters:
        raise UsageError(
            "the recipe must name the model, so that values can be given to its parameters",
            received=f"{target.recipe or 'the plan'} without rows: whoever trains builds the model",
            hint="name it under `model`, or choose a format that applies the parameterization by itself",
        )
    if target.optimizer not in _CONSTRUCTORS:
        raise UsageError(
            f"the format torch writes the optimizers {', '.join(_CONSTRUCTORS)}",
            received=target.optimizer,
            hint="`hptransfer.load_plan(...).param_groups(model, optimizer=...)` gives the groups of each optimizer",
        )
    if target.training is not None and target.training.clip_norm == "scaled":
        raise UsageError(
            "the format torch has no clipping by gradients over their expected sizes",
            received="clip_norm: scaled",
            hint="`hptransfer.load_plan(...).clip_grad_norm_(model, max_norm)` clips so",
        )
    multiplied = [group for group in target.parameters if group.multiplier != 1]
    if multiplied:
        raise UsageError(
            "the format torch changes no `forward`, so no row may need a multiplier there",
            received=", ".join(f"{group.pattern} ({group.role}): {group.multiplier!r}" for group in multiplied),
            hint="untie the weights, or apply the plan with `hptransfer.load_plan` and `hptransfer.scale_logits`",
        )


def _clipping(target: TargetFile) -> tuple[str, ...]:
    """What the user's loop has to clip by, as the runs that were tuned did."""
    training = target.training
    if training is None or training.clip is None:
        return ()
    return (f"torch.nn.utils.clip_grad_norm_(model.parameters(), {training.clip!r}) before each optimizer step.",)


def _row(group: ParameterGroup) -> dict[str, Any]:
    draws = group.own_init_std is None and group.init_std is not None
    scaled = 1.0 if group.own_init_std is None or group.init_std is None else group.init_std / group.own_init_std
    rates = {"lr": group.learning_rate, "weight_decay": group.weight_decay}
    return {
        "pattern": group.pattern,
        "role": group.role,
        "shape": list(group.shape),
        "init": "draw" if draws else "scale",
        **({"init_std": group.init_std} if draws else {"init_factor": scaled}),
        "optimizer": None if group.role == Role.FROZEN else rates | ({} if group.eps is None else {"eps": group.eps}),
    }


def schedule_function(training: TrainingRecord | None) -> str:
    """Python text of `factor(step)`: the rate of a step, counted from 0, as a share of the peak.

    Args:
        training: of the target; None where nothing was said of it.
    """
    if training is None or training.schedule == "own":
        return _OWN_SCHEDULE
    rising = round((training.warmup or 0.0) * training.steps)
    falling = round((training.decay_share or 0.0) * training.steps)
    shape = {
        "constant": "1.0",
        "linear": "1 - progress",
        "cosine": "(1 + math.cos(math.pi * progress)) / 2",
        "wsd": f"min(1.0, (STEPS - step) / (STEPS - max(WARMUP, STEPS - {falling})))",
        "inverse-sqrt": "math.sqrt(max(WARMUP, 1) / (step + max(WARMUP, 1) - WARMUP))",
    }[training.schedule]
    return f"""\
STEPS, WARMUP, FLOOR = {training.steps!r}, {rising!r}, {training.floor!r}

def factor(step):  # {training.schedule}
    step = min(step, STEPS - 1)
    if step < WARMUP:
        return (step + 1) / WARMUP
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return FLOOR + (1 - FLOOR) * ({shape})
"""


EXPORTER = _Torch()
