"""NeMo Automodel: the written sections by its rules, on torch's optimizer, and the written module's init."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.yaml_keys import yaml_content
from hptransfer.errors import UsageError
from hptransfer.export.automodel import CONFIG, EXPORTER, MODULE
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.trained import Reading
from hptransfer.roundtrip._automodel_rules import COMMIT, param_groups, rate_at, with_defaults
from hptransfer.roundtrip._module_rows import edited_files, own_settings, rows_of, shared_values, started
from hptransfer.roundtrip.torch import load_module

_CLASSES = {"torch.optim.AdamW": torch.optim.AdamW, "torch.optim.Adam": torch.optim.Adam}
#: name of a value -> key of `step_scheduler`
_SIZES = {"batch_size": "global_batch_size", "steps": "max_steps"}
#: Automodel's, where the config has no `clip_grad_norm.max_norm`
_CLIP = 1.0


class _Automodel:
    """Its package needs GPUs; a record of its rules stands for it, which tests hold against what its code returns."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        path = folder / CONFIG
        module = load_module(folder / MODULE)
        with edited_files(path, "NeMo Automodel"):
            content = yaml_content(exported_text(path))
            model, starts = started(module, target)
            return _reading(
                content, _CLASSES | {f"{Path(MODULE).stem}.optimizer": module.optimizer}, (model, starts), target
            )


def _reading(content: dict[str, Any], makers: Mapping[str, Any], start: Any, target: TargetFile) -> Reading:
    model, starts = start
    section = dict(content["optimizer"])
    overrides = section.pop("param_group_overrides", [])
    named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    _require_found(named, overrides)
    made = makers.get(section.pop("_target_"))
    if made is None:
        received = content["optimizer"]["_target_"]
        raise UsageError(f"`optimizer._target_` must be one of {', '.join(makers)}", received=received)
    optimizer: Any = made(param_groups(named, overrides), **section)
    scheduler = content.get("lr_scheduler")
    steps = content["step_scheduler"].get("max_steps", 1)
    rate, decay = optimizer.defaults["lr"], optimizer.defaults["weight_decay"]
    whole = with_defaults(scheduler or {}, rate=rate, decay=decay, steps=steps)
    peaks = []
    for group in optimizer.param_groups:
        # only the scheduler applies the multipliers
        lr_mult, wd_mult = (group.get(key, 1.0) if scheduler else 1.0 for key in ("lr_mult", "wd_mult"))
        group["weight_decay"] = (whole["start_wd"] if scheduler else decay) * wd_mult
        peaks.append((whole["max_lr"] if scheduler else rate) * lr_mult)
    clip = content.get("clip_grad_norm", {}).get("max_norm")
    known = target.training is not None and target.training.schedule != "own"
    values = shared_values(optimizer)
    sizes = content["step_scheduler"]
    values |= {name: sizes[key] for name, key in _SIZES.items() if key in sizes}
    if known:
        if scheduler:
            values["floor"] = whole["min_lr"] / whole["max_lr"]
        values["clip"] = _CLIP if clip is None else 0.0 if clip == float("inf") else float(clip)

    def factor(step: int) -> float:
        return rate_at(step, whole) / whole["max_lr"] if scheduler else 1.0

    alone = "" if scheduler else "; without an `lr_scheduler` Automodel applies neither lr_mult nor wd_mult"
    return Reading(
        rows_of(model, optimizer, peaks, starts),
        f"hptransfer's record of NeMo Automodel {COMMIT}, torch's optimizer, and the module's init{alone}",
        schedule=factor if known else None,
        counted=EXPORTER.about.counted(target) if scheduler else None,
        values=values,
        others=own_settings(model, optimizer),
        defaulted=frozenset({"clip"}) if clip is None else frozenset(),
    )


def _require_found(named: list[tuple[str, torch.nn.Parameter]], overrides: list[dict[str, Any]]) -> None:
    """Automodel itself warns and goes on: what was to be in the group trains at the base's rate."""
    counts = dict.fromkeys(range(len(overrides)), 0)
    for name, _ in named:
        first = next((at for at in counts if re.search(overrides[at]["pattern"], name)), None)
        if first is not None:
            counts[first] += 1
    empty = [overrides[at]["pattern"] for at, count in counts.items() if not count]
    if empty:
        raise UsageError(
            "each pattern of `param_group_overrides` must be the first that finds some parameter",
            received=", ".join(empty),
            hint="Automodel would warn, skip it, and train its parameters at another group's rate",
        )


READER = _Automodel()
