"""DeepSpeed: the written configuration and its own schedules, step by step, on the written module's optimizer."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.export.deepspeed import MODULE
from hptransfer.handover.counting import two_steps_late
from hptransfer.handover.trained import EXACT, Reading
from hptransfer.roundtrip._module_rows import edited_files, own_settings, rows_of, shared_values, started
from hptransfer.roundtrip.torch import load_module

if TYPE_CHECKING:
    import torch


class _DeepSpeed:
    """Its engine needs a process of its own; its configuration's reader and its schedules do not."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        with redirect_stdout(sys.stderr):  # importing it prints there, among our data
            config, schedules, version = _deepspeed()
            module = load_module(folder / MODULE)
            with edited_files(folder, "DeepSpeed"):
                return _reading(module, target, config, schedules, version)


def _deepspeed() -> tuple[Any, Any, str]:
    try:
        config = importlib.import_module("deepspeed.runtime.config")
        schedules = importlib.import_module("deepspeed.runtime.lr_schedules")
        return config, schedules, str(importlib.import_module("deepspeed").__version__)
    except ImportError as error:
        raise MachineError(
            "an export to DeepSpeed is read back by deepspeed", received=str(error), hint="pip install deepspeed"
        ) from error


def _reading(module: ModuleType, target: TargetFile, config: Any, schedules: Any, version: str) -> Reading:
    model, starts = started(module, target)
    optimizer = module.optimizer(model)
    read = config.DeepSpeedConfig(dict(module.CONFIG))
    _require_client(read)
    written = [group["lr"] for group in optimizer.param_groups]
    own = target.training is None or target.training.schedule == "own"
    if read.scheduler_name is None:
        peaks, schedule = written, None if own else module.factor
        through = f"deepspeed {version}: its configuration; torch's LambdaLR of the module as the client's schedule"
    else:
        scheduler = getattr(schedules, read.scheduler_name)(optimizer, **(read.scheduler_params or {}))
        peaks = _peaks(scheduler, written)
        schedule = _schedule(scheduler, optimizer, peaks)
        through = f"deepspeed {version}: its configuration, the module's optimizer, {read.scheduler_name}"
        if len(set(peaks)) == 1 < len(set(written)):
            through += ", which sets one rate for all groups"
    values = shared_values(optimizer) | {"batch_size": read.train_batch_size}
    if not own:
        values |= {"floor": _floor(module, read), "precision": _precision(read)}
        values["clip"] = float(read.gradient_clipping)
    return Reading(
        rows_of(model, optimizer, peaks, starts),
        through,
        unread=("DeepSpeed's engine, which the project's tests run on a CPU, but not `verify`",),
        schedule=None if own else schedule,
        values=values,
        counted=None if read.scheduler_name is None else two_steps_late(target),
        others=own_settings(model, optimizer),
        defaulted=frozenset() if "gradient_clipping" in module.CONFIG else frozenset({"clip"}),
    )


def _floor(module: ModuleType, read: Any) -> float:
    """Share of the peak to which the rate falls: of DeepSpeed's cosine its ratio, its linear schedule has none."""
    if read.scheduler_name is None:
        return float(module.FLOOR)
    return float((read.scheduler_params or {}).get("cos_min_ratio", 0.0))


def _precision(read: Any) -> str:
    return "bfloat16" if read.bfloat16_config.enabled else "float16" if read.float16_config.enabled else "float32"


def _require_client(read: Any) -> None:
    if read.optimizer_name is not None:
        raise UsageError(
            "ds_config.json must have no `optimizer`, which has one rate: the groups are the client optimizer's",
            received=f"optimizer: {read.optimizer_name}",
            hint="take the section out",
        )


def _peaks(scheduler: Any, written: list[float]) -> list[float]:
    """The rate that each group reaches, as the schedule has it.

    Args:
        scheduler: one of DeepSpeed's own classes.
        written: rates of the groups before it was made.
    """
    found = getattr(scheduler, "max_lrs", None) or getattr(scheduler, "org_lrs", None)
    if found is None:
        kind = type(scheduler).__name__
        raise UsageError(
            "the schedule must keep the rates that the groups have",
            received=f"{kind} sets its own, over the groups' {sorted(set(written))}",
            hint="write WarmupLR or WarmupDecayLR with `warmup_max_lr: null`, or WarmupCosineLR",
        )
    return [float(rate) for rate in found]


def _schedule(scheduler: Any, optimizer: torch.optim.Optimizer, peaks: list[float]) -> Callable[[int], float]:
    """The factor on every group's peak at a step, as DeepSpeed's engine calls its schedules: after each step.

    The first step is trained at what the schedule has set when it was made.
    """
    made = [float(group["lr"]) for group in optimizer.param_groups]

    def factor(step: int) -> float:
        if step == 0:
            rates = made
        else:
            scheduler.step(step - 1)
            rates = [float(group["lr"]) for group in optimizer.param_groups]
        factors = [rate / peak for rate, peak in zip(rates, peaks, strict=True)]
        if any(not math.isclose(each, factors[0], rel_tol=EXACT, abs_tol=EXACT) for each in factors):
            low, high = min(factors), max(factors)
            raise UsageError(
                "the schedule must multiply the rates of all groups by one factor",
                received=f"{type(scheduler).__name__} at step {step}: {low:.4g} to {high:.4g} of the groups' peaks",
                hint="leave absolute minimum rates at 0",
            )
        return factors[0]

    return factor


READER = _DeepSpeed()
