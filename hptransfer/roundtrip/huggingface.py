"""Hugging Face: the written model, init, groups and schedule, through transformers' own model and Trainer."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.handover.counting import Counting, Factor, from_zero
from hptransfer.handover.planned_values import model_facts
from hptransfer.handover.trained import Reading, Trained
from hptransfer.models.huggingface import CLASSES, nested
from hptransfer.roundtrip._huggingface_factors import configured_factors
from hptransfer.roundtrip._huggingface_values import (
    argument_values,
    configuration_values,
    moved_base,
    shared,
    trained_by,
    unread_arguments,
)
from hptransfer.roundtrip._recorded_init import Draw, recorded_init
from hptransfer.roundtrip.torch import load_module, stand_in
from hptransfer.user_code import described_error

#: name of a value -> keys of TrainingArguments that say it
_VALUES: Mapping[str, frozenset[str]] = {
    "beta1": frozenset({"adam_beta1"}),
    "beta2": frozenset({"adam_beta2"}),
    "clip": frozenset({"max_grad_norm"}),
    "batch_size": frozenset({"per_device_train_batch_size", "gradient_accumulation_steps"}),
    "steps": frozenset({"max_steps"}),
}


class _HuggingFace:
    """Trainer makes optimizer and schedule of a model on the meta device; nothing is trained, and little is held."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        with redirect_stdout(sys.stderr):  # what accelerate imports (DeepSpeed) may print there, among our data
            return self._read(folder, target)

    def _read(self, folder: Path, target: TargetFile) -> Reading:
        transformers = _transformers()
        module = load_module(folder / "hptransfer_hf.py")
        content = _arguments(folder / "training_args.json")
        try:
            with tempfile.TemporaryDirectory() as place:
                return _reading(transformers, module, content | {"use_cpu": True, "output_dir": place}, target)
        except UsageError:
            raise
        except Exception as error:  # the files may have been edited into anything
            raise UsageError(
                "transformers must take what was exported",
                received=f"{folder}: {described_error(error)}",
                hint="export again",
            ) from error


def _transformers() -> Any:
    try:
        importlib.import_module("accelerate")  # Trainer needs it
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MachineError(
            "an export to Hugging Face is read back by transformers and accelerate",
            received=str(error),
            hint='pip install "transformers[torch]"',
        ) from error


def _arguments(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            "training_args.json must be readable", received=f"{path}: {error}", hint="export again"
        ) from None
    if not isinstance(content, dict):
        raise UsageError("training_args.json must hold keys and values", received=f"{path}: {content!r}")
    return content


def _reading(transformers: Any, module: ModuleType, content: dict[str, Any], target: TargetFile) -> Reading:
    parser = transformers.HfArgumentParser(transformers.TrainingArguments)
    (args,) = parser.parse_dict(content)
    builds = hasattr(module, "build_model")
    with recorded_init() as record, _own_init_on_meta():
        model = module.build_model() if builds else stand_in(target)
        if not builds:
            module.init_(model)
        fresh = _fresh(transformers, target) if builds else stand_in(target)
        draws = _starts(record.followed(model), record.followed(fresh), target)
    trainer = _trainer(transformers, module, model, args)
    said = "lr_scheduler_type" in content or target.training is None or target.training.schedule != "own"
    values = _values(trainer.optimizer, args, with_clip=said) | argument_values(args, model, built=builds)
    if builds:
        facts = frozenset(model_facts(target))
        values |= configuration_values(_config(model), _config(fresh), list(draws), facts)
    schedule, counted = _schedule(trainer.lr_scheduler, module, target) if said else (None, None)
    floor = _floor(trainer.lr_scheduler, module, args.max_steps) if schedule is not None else None
    unread = (
        *(() if said else ("the schedule and clipping are not in the files: those of the runs that were tuned",)),
        *moved_base(getattr(module, "BASE", {}), args),
        *unread_arguments(transformers, content, args),
    )
    return Reading(
        tuple(_rows(trainer.optimizer, model, draws, target)),
        f"transformers {transformers.__version__}: its model and init, Trainer's optimizer and schedule",
        unread=unread,
        schedule=schedule,
        counted=counted,
        values=values if floor is None else values | {"floor": floor},
        defaulted=frozenset(name for name in values if name in _VALUES and not _VALUES[name] & content.keys()),
    )


def _config(model: nn.Module) -> Any:
    built: Any = model
    return built.config


def _fresh(transformers: Any, target: TargetFile) -> nn.Module:
    """The recipe's model at the target's size as its own code starts it; within `recorded_init`.

    Args:
        transformers: the library, as it was imported.
        target: gives the model's settings, and keys of its configuration that hold multipliers.
    """
    model = target.model
    if model is None or model.kind != "huggingface":
        raise UsageError(
            "the plan must name the model that the files build",
            received=target.recipe or "a plan without a model",
            hint="give `--plan` the target that was exported",
        )
    config = transformers.AutoConfig.for_model(model.name, **nested({**model.settings, **model.config_values}))
    built: nn.Module = getattr(transformers, CLASSES[model.task or "causal-lm"]).from_config(config)
    return built


def _starts(used: Mapping[str, Draw], fresh: Mapping[str, Draw], target: TargetFile) -> dict[str, Draw]:
    """The draws by name, where constants are the plan's, and draws around zero; stds are compared elsewhere.

    What the plan leaves as the model's own code starts it may be computed, but by the same operations.

    Args:
        used: start of each parameter by the files.
        fresh: start by the model's own code.
        target: gives what the plan starts each at.

    Raises:
        UsageError: a start is another, or cannot be followed; the message names it.
    """
    apart = []
    draws = dict(used)
    for name, draw in used.items():
        group = next((each for each in target.parameters if re.fullmatch(each.pattern, name)), None)
        if math.isnan(draw.std):
            if group is None or group.init != "kept" or not draw.made:
                raise UsageError("an initialisation must be made of draws and factors", received=name)
            if name not in fresh or fresh[name].made != draw.made:
                apart.append(f"{name} by other operations than the model's own code")
            draws[name] = Draw(math.nan, 0.0)  # no std, as in the plan
            continue
        if group is None or (group.init_std is not None and draw.std == 0):
            continue
        own = fresh[name].mean if name in fresh else 0.0
        planned = {"ones": 1.0, "zeros": 0.0, "constant": group.init_value, "kept": own}.get(group.init, 0.0)
        if planned is not None and not math.isclose(draw.mean, planned, rel_tol=1e-12):
            apart.append(f"{name} {draw.mean:.12g}, planned {planned:.12g}")
    if apart:
        raise UsageError(
            "constants must start at the plan's values, and what is drawn must be drawn around zero",
            received=f"{', '.join(apart[:5])}{f' and {len(apart) - 5} others' if apart[5:] else ''}",
            hint="export again",
        )
    return draws


def _rows(optimizer: Any, model: nn.Module, draws: Mapping[str, Draw], target: TargetFile) -> Iterator[Trained]:
    """What each parameter is trained with, one entry for each group that it is in."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    factors = _factors(model, target)
    for group, kind in trained_by(optimizer):
        for parameter in group["params"]:
            name = names[id(parameter)]
            yield Trained(
                name,
                draws[name].std or None,
                group.get("initial_lr", group["lr"]) if parameter.requires_grad else 0.0,
                group["weight_decay"],
                None if kind.startswith("muon") else group.get("eps"),
                factors.get(name, 1.0),
                kind,
            )


@contextmanager
def _own_init_on_meta() -> Iterator[None]:
    """On the meta device transformers skips its own init, which costs nothing there and is to be seen."""
    modeling = importlib.import_module("transformers.modeling_utils")
    functions = importlib.import_module("transformers.initialization").TORCH_INIT_FUNCTIONS
    with (
        patch.object(modeling, "get_torch_context_manager_or_global_device", lambda: torch.device("cpu")),
        patch.dict(functions, {"orthogonal_": nn.init.orthogonal_}),  # the recorded one
    ):
        yield


def _trainer(transformers: Any, module: ModuleType, model: nn.Module, args: Any) -> Any:
    """A Trainer that has made its optimizer and its schedule."""
    made: dict[str, Any]
    try:
        made = {"optimizer_cls_and_kwargs": module.optimizer_cls_and_kwargs(args)}
    except RuntimeError:  # no schedule of transformers has the shape
        made = {"optimizers": module.optimizers(model, args)}
    # a model on the meta device cannot be moved to another
    with patch.object(transformers.Trainer, "_move_model_to_device", lambda *_: None):
        trainer = transformers.Trainer(model, args, **made)
    trainer.create_optimizer_and_scheduler(args.max_steps)
    return trainer


def _schedule(scheduler: Any, module: ModuleType, target: TargetFile) -> tuple[Factor | None, Counting | None]:
    """The factor on every group's rate, by Trainer's scheduler or the module's own, and the plan's as that one counts.

    At each step it is the one that is further from the plan.

    Args:
        scheduler: that Trainer made, one of torch's.
        module: whose `factor` `optimizers` gives to scripts.
        target: says which of the two is worse.
    """
    factors = getattr(scheduler, "lr_lambdas", None)
    if not factors or any(factor is not factors[0] for factor in factors):
        raise UsageError(
            "the schedule must multiply the rates of all groups by one factor",
            received=type(scheduler).__name__,
            hint="choose another lr_scheduler_type",
        )
    training = target.training
    if training is None or training.schedule == "own":
        return None, None
    late = None if factors[0] is module.factor else from_zero(target)
    pairs: list[tuple[Factor, Factor]] = [(module.factor, training.factor)]
    if factors[0] is not module.factor:
        pairs.append((factors[0], training.factor if late is None else late.factor))

    def worse(step: int) -> tuple[Factor, Factor]:
        return max(pairs, key=lambda pair: abs(float(pair[0](step)) - pair[1](step)))

    for step in range(training.steps - 1, -1, -max(training.steps // 64, 1)):
        worse(step)  # what cannot be computed is named by whoever reads the files
    counted = None if late is None else Counting(lambda step: worse(step)[1](step), late.sentence)
    return lambda step: float(worse(step)[0](step)), counted


def _floor(scheduler: Any, module: ModuleType, steps: int) -> float | str:
    """Share of the peak after the last step, by Trainer's scheduler and by the module's constant."""
    last, constant = float(scheduler.lr_lambdas[0](steps)), float(module.FLOOR)
    unreached = module.WARMUP >= module.STEPS
    if (
        unreached
        or scheduler.lr_lambdas[0] is module.factor
        or math.isclose(last, constant, rel_tol=1e-9, abs_tol=1e-15)
    ):
        return constant
    return f"{last:.6g} by training_args.json and {constant:.6g} by hptransfer_hf.py"


def _values(optimizer: Any, args: Any, *, with_clip: bool) -> dict[str, float | str]:
    """What holds for all groups of each kind, as the optimizer has it; what differs among groups is said of all."""
    read = {
        "beta1": shared(optimizer.param_groups, "betas", 0),
        "beta2": shared(optimizer.param_groups, "betas", 1),
        "momentum": shared(optimizer.param_groups, "momentum"),
        "muon_scale": shared(optimizer.param_groups, "adjust_lr_fn"),
        "clip": float(args.max_grad_norm or 0.0) if with_clip else None,
    }
    return {name: value for name, value in read.items() if value is not None}


def _factors(model: nn.Module, target: TargetFile) -> dict[str, float]:
    """Name -> factor over the base's by which `forward` multiplies, by a hook or by a key of the configuration."""
    built: Any = model
    if not hasattr(built, "config"):
        return {}
    found = configured_factors(model, {} if target.model is None else target.model.settings)
    head = built.get_output_embeddings()
    for name, parameter in model.named_parameters():
        if head is not None and parameter is head.weight:
            found[name] = found.get(name, 1.0) * _through_hooks(head)
    return found


def _through_hooks(module: nn.Module) -> float:
    """What a linear module's hooks make of the number 1, by torch's own way of calling them.

    Args:
        module: any that takes one tensor; its weight is not touched.
    """
    probe = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        probe.weight.fill_(1.0)
        for registry in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_forward_hooks"):
            setattr(probe, registry, getattr(module, registry))
        return float(probe(torch.ones(1, 1, dtype=torch.float64)))


READER = _HuggingFace()
