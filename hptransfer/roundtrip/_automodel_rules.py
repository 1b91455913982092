"""What NeMo Automodel 36044ad3 makes of `param_group_overrides` and `lr_scheduler`, in own words.

`tests/data/automodel.json` is what its unmodified functions return, and tests hold this against it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

COMMIT = "36044ad3"


def param_groups(
    named: Iterable[tuple[str, nn.Parameter]], overrides: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Groups for torch's optimizer: parameters that no pattern finds first, then one group for each override.

    Args:
        named: parameters that take a gradient.
        overrides: `pattern`, `lr_mult` and `wd_mult`; the first whose pattern is found in a name counts, and one
            without a parameter is left out.
    """
    rest: list[nn.Parameter] = []
    found: list[list[nn.Parameter]] = [[] for _ in overrides]
    for name, parameter in named:
        first = next((at for at, each in enumerate(overrides) if re.search(each["pattern"], name)), None)
        (rest if first is None else found[first]).append(parameter)
    groups: list[dict[str, Any]] = [{"params": rest}] if rest else []
    for each, members in zip(overrides, found, strict=True):
        if members:
            mults = {key: each.get(key, 1.0) for key in ("lr_mult", "wd_mult")}
            groups.append({"params": members, **mults})
    return groups


def with_defaults(scheduler: Mapping[str, Any], *, rate: float, decay: float, steps: int) -> dict[str, Any]:
    """The scheduler's section with what Automodel puts where a key is missing.

    Args:
        scheduler: the section `lr_scheduler` as it is written.
        rate: learning rate of the optimizer's default group.
        decay: weight decay of the optimizer's default group.
        steps: how many optimizer steps the run has.
    """
    defaults = {
        "lr_decay_style": "cosine",
        "lr_warmup_steps": min(1000, steps // 10),
        "lr_decay_steps": steps,
        "init_lr": rate * 0.1,
        "max_lr": rate,
        "min_lr": rate * 0.01,
        "start_wd": decay,
        "end_wd": decay,
        "wsd_decay_steps": None,
        "lr_wsd_decay_style": None,
    }
    return defaults | {key: value for key, value in scheduler.items() if value is not None}


def rate_at(step: int, scheduler: Mapping[str, Any]) -> float:
    """The rate of a group whose `lr_mult` is 1.

    Args:
        step: optimizer steps taken before.
        scheduler: the section, see `with_defaults`.

    Raises:
        ValueError: Automodel has no such style.
    """
    rising, last, high = scheduler["lr_warmup_steps"], scheduler["lr_decay_steps"], scheduler["max_lr"]
    if 0 < rising >= step:
        return float(scheduler["init_lr"] + (high - scheduler["init_lr"]) * step / rising)
    style, low = scheduler["lr_decay_style"], scheduler["min_lr"]
    if style == "constant":
        return float(high)
    if step > last:
        return float(low)
    if style == "inverse-square-root":
        return float(max(low, high * math.sqrt(max(rising, 1) / max(step, 1))))
    progress = (step - rising) / (last - rising)
    if style == "WSD":
        stable = last - scheduler["wsd_decay_steps"]
        shape = _annealed(max(0.0, (step - stable) / scheduler["wsd_decay_steps"]), scheduler["lr_wsd_decay_style"])
    else:
        shape = {"linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}.get(style, math.nan)
    if math.isnan(shape):
        raise ValueError(f"{style} decay style")
    return float(low + shape * (high - low))


def _annealed(progress: float, style: str | None) -> float:
    return {
        "linear": 1 - progress,
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "exponential": 2 * math.pow(0.5, progress) - 1,
        "minus_sqrt": 1 - math.sqrt(progress),
    }.get(style or "", math.nan)
