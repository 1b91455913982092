"""`groups.json` and the text of a Python module that applies it to a model without hptransfer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import IN_TORCH
from hptransfer.schedule import DECAY_SHARE

#: name of the file that the module reads, beside it
GROUPS = "groups.json"

_ROWS = """\
import json, math, pathlib, re, torch
PLAN = json.loads((pathlib.Path(__file__).parent / "groups.json").read_text())

def rows(model):  # every parameter with its row; the model must have the plan's parameters, no others, and their shapes
    found, counts = [], [0] * len(PLAN["groups"])
    for full, tensor in model.named_parameters():
        inner = re.sub(r"(_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\\.", "", full)
        for name in (full, inner, re.sub(r"^(module\\.)+", "", inner)):  # names without those that wrappers add
            at = [at for at, row in enumerate(PLAN["groups"]) if re.fullmatch(row["pattern"], name)]
            if at:
                break
        if len(at) != 1 or list(tensor.shape) != PLAN["groups"][at[0]]["shape"]:
            wanted = [PLAN["groups"][each]["shape"] for each in at] or "no such parameter"
            raise ValueError(f"{{full}} {{list(tensor.shape)}}: the plan has {{wanted}}")
        counts[at[0]] += 1
        found.append((tensor, PLAN["groups"][at[0]]))
    for row, count in zip(PLAN["groups"], counts):
        if count != row["count"]:
            raise ValueError(f"{{row['pattern']}}: {{count}} parameters, the plan has {{row['count']}}")
    return found

@torch.no_grad()
def init_(model):  # {start}
    if getattr(model, "_hptransfer_started", False):
        raise RuntimeError("init_ was called on this model before: a second call would scale it twice")
    for tensor, row in rows(model):
        tensor.normal_(std=row["init_std"]) if row["init"] == "draw" else tensor.mul_(row["init_factor"])
    model._hptransfer_started = True
"""
_GROUPS = """
def groups(model, trained_by):
    return [{{"params": [t], **row["optimizer"]}} for t, row in rows(model) if row["trained_by"] == trained_by]

{optimizer}
def scheduler(optimizer):  # one factor for all groups, so that their ratios stay
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

{schedule}
"""
_ONE = """\
def optimizer(model):
    return {constructor}
"""
_TWO = """\
def optimizers(model):  # step both, and schedule both
    return [
        {muon},
        {beside},
    ]
"""
_OWN_START = "scales what the model's own code has just drawn; call it once"
_RULE_START = "draws every weight anew; call it once"
_OWN_SCHEDULE = """\
def factor(step):
    raise NotImplementedError("the schedule was the trainer's own: put it here, as a share of the peak")
"""
#: hptransfer's name -> constructor of torch, with the values of all groups
_CONSTRUCTORS = {
    "adamw": 'torch.optim.AdamW(groups(model, "adamw"), betas=({beta1!r}, {beta2!r}))',
    "adam": 'torch.optim.Adam(groups(model, "adam"), betas=({beta1!r}, {beta2!r}))',
    "sgd": 'torch.optim.SGD(groups(model, "sgd"), momentum={momentum!r})',
    "muon": 'torch.optim.Muon(groups(model, "muon"), momentum={momentum!r}, adjust_lr_fn={scale!r})',
}


def init_text(target: TargetFile) -> str:
    """Python text that reads the groups, with `rows(model)` and `init_(model)`.

    Args:
        target: in the form that the user's model has.
    """
    own = any(group.own_init_std is not None for group in target.parameters)
    return _ROWS.format(start=_OWN_START if own else _RULE_START)


def module_text(target: TargetFile, makers: str = "torch.optim.") -> str:
    """The whole module: `init_`, `optimizer` (or `optimizers`, where there are two), `scheduler` and `factor`.

    Args:
        target: in the form that the user's model has, and one that `require_applicable` accepts.
        makers: what stands before the name of torch's class, where others make the optimizer.
    """
    made = _optimizer(target).replace("torch.optim.", makers)
    return init_text(target) + _GROUPS.format(optimizer=made, schedule=schedule_function(target.training))


def groups_text(target: TargetFile, lines: Iterable[str]) -> str:
    """The text of `groups.json`.

    Args:
        target: in the form that the user's model has.
        lines: what every exported file says first.
    """
    content = {
        "hptransfer": list(lines),
        "groups": [_row(group, target) for group in target.parameters],
    }
    return json.dumps(content, indent=1) + "\n"


def _optimizer(target: TargetFile) -> str:
    """Python text of `optimizer`, or of `optimizers` where there are two."""
    values = {"momentum": 0.0, **target.optimizer_values, "scale": target.muon_scale}
    if target.optimizer != "muon":
        return _ONE.format(constructor=_CONSTRUCTORS[target.optimizer].format(**values))
    return _TWO.format(muon=_CONSTRUCTORS["muon"].format(**values), beside=_CONSTRUCTORS["adamw"].format(**values))


def require_rows(target: TargetFile) -> None:
    """The recipe must name a model.

    Args:
        target: the plan, in any gauge.

    Raises:
        UsageError: there are no rows.
    """
    if not target.parameters:
        raise UsageError(
            "the recipe must name the model, so that values can be given to its parameters",
            received=f"{target.recipe or 'the plan'} without rows: whoever trains builds the model",
            hint="name it under `model`, or choose a format that applies the parameterization by itself",
        )


def require_applicable(
    target: TargetFile, name: str, *, optimizers: Iterable[str] = tuple(_CONSTRUCTORS), plain: bool = True
) -> None:
    """The module must be able to do everything that the plan asks for.

    Args:
        target: in the form that the user's model has.
        name: of the format, for messages.
        optimizers: that the format writes, by hptransfer's names.
        plain: whether the user's `forward` multiplies nothing.

    Raises:
        UsageError: there are no rows, the optimizer is none of those, or a multiplier must be in `forward`.
    """
    require_rows(target)
    known = tuple(optimizers)
    trained_by = {_trained_by(group, target) for group in target.parameters if group.role != Role.FROZEN}
    if not trained_by <= set(known):
        others = "torch" if trained_by <= _CONSTRUCTORS.keys() else "yaml"
        raise UsageError(
            f"the format {name} writes the optimizers {', '.join(known)}",
            received=", ".join(sorted(trained_by - set(known))),
            hint=f"`hptransfer.load_plan(...).param_groups(model, optimizer=...)` gives the groups of each optimizer, "
            f"and `--format {others}` writes them",
        )
    if target.optimizer == "muon" and target.muon_scale not in IN_TORCH:
        raise UsageError(
            f"torch's Muon multiplies its rate by {' or '.join(sorted(IN_TORCH))}, so the plan must leave one to it",
            received=f"muon_scale: {target.muon_scale}",
            hint="plan with `parameterization: {muon_scale: original}`",
        )
    require_plain_clipping(target, name)
    if plain:
        require_plain_forward(target, name)


def require_plain_clipping(target: TargetFile, name: str) -> None:
    """Clipping must be by the norm of all gradients, as frameworks have it.

    Args:
        target: the plan, in any gauge.
        name: of the format, for messages.

    Raises:
        UsageError: the plan clips gradients over their expected sizes.
    """
    if target.training is not None and target.training.clip_norm == "scaled":
        raise UsageError(
            f"the format {name} has no clipping by gradients over their expected sizes",
            received="clip_norm: scaled",
            hint="`hptransfer.load_plan(...).clip_grad_norm_(model, max_norm)` clips so",
        )


def require_plain_forward(target: TargetFile, name: str) -> None:
    """No row may need a factor in `forward`.

    Args:
        target: in the form that the user's model has.
        name: of the format, for messages.

    Raises:
        UsageError: a row has a multiplier, for example a table that is looked up and reads out.
    """
    multiplied = [group for group in target.parameters if group.multiplier != 1]
    if multiplied:
        raise UsageError(
            f"the format {name} changes no `forward`, so no row may need a multiplier there",
            received=", ".join(f"{group.pattern} ({group.role}): {group.multiplier!r}" for group in multiplied),
            hint="untie the weights, or apply the plan with `hptransfer.load_plan` and `hptransfer.scale_logits`",
        )


def clipping_by_hand(target: TargetFile) -> tuple[str, ...]:
    """What the user's loop has to clip by, as the runs that were tuned did.

    Args:
        target: the plan, in any gauge.
    """
    training = target.training
    if training is None or training.clip is None:
        return ()
    return (f"torch.nn.utils.clip_grad_norm_(model.parameters(), {training.clip!r}) before each optimizer step.",)


def _trained_by(group: ParameterGroup, target: TargetFile) -> str:
    return group.optimizer or target.optimizer


def _row(group: ParameterGroup, target: TargetFile) -> dict[str, Any]:
    draws = group.own_init_std is None and group.init_std is not None
    scaled = 1.0 if group.own_init_std is None or group.init_std is None else group.init_std / group.own_init_std
    rates = {"lr": group.learning_rate, "weight_decay": group.weight_decay}
    return {
        "pattern": group.pattern,
        "role": group.role,
        "shape": list(group.shape),
        "count": group.count,
        "init": "draw" if draws else "scale",
        **({"init_std": group.init_std} if draws else {"init_factor": scaled}),
        "trained_by": None if group.role == Role.FROZEN else _trained_by(group, target),
        "optimizer": None if group.role == Role.FROZEN else rates | ({} if group.eps is None else {"eps": group.eps}),
    }


def decay_steps(training: TrainingRecord) -> int:
    """Steps over which the schedule `wsd` decays, none of them in the warmup; 0: it never decays.

    Args:
        training: of the target, whose schedule is known.
    """
    rising = round((training.warmup or 0.0) * training.steps)
    share = DECAY_SHARE if training.decay_share is None else training.decay_share
    return min(training.steps - rising, round(share * training.steps))


def schedule_function(training: TrainingRecord | None) -> str:
    """Python text of `factor(step)`: the rate of a step, counted from 0, as a share of the peak.

    Args:
        training: of the target; None where nothing was said of it.
    """
    if training is None or training.schedule == "own":
        return _OWN_SCHEDULE
    rising = round((training.warmup or 0.0) * training.steps)
    falling = decay_steps(training)
    shape = {
        "constant": "1.0",
        "linear": "1 - progress",
        "cosine": "(1 + math.cos(math.pi * progress)) / 2",
        # a decay that rounds to no step is none
        "wsd": f"min(1.0, (STEPS - step) / {falling})" if falling else "1.0",
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
