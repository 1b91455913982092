"""Hugging Face: the written model, init, groups and schedule, through transformers' own model and Trainer."""

from __future__ import annotations

import importlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.export.huggingface import config_key
from hptransfer.handover.trained import Reading, Trained
from hptransfer.models.config_families import default_of
from hptransfer.models.huggingface import flat
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.roundtrip.torch import load_module, stand_in
from hptransfer.user_code import described_error

#: name of a value -> what TrainingArguments call it, and of which optimizers it is a value
_VALUES: Mapping[str, str] = {"beta1": "adam_beta1", "beta2": "adam_beta2", "clip": "max_grad_norm"}


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
    with recorded_init() as record, _own_init_on_meta():
        model = module.build_model() if hasattr(module, "build_model") else stand_in(target)
        if not hasattr(module, "build_model"):
            module.init_(model)
        stds = record.stds(model)
    trainer = _trainer(transformers, module, model, args)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    multipliers = _multipliers(model, target)
    rows = tuple(
        Trained(
            names[id(parameter)],
            stds[names[id(parameter)]],
            group["initial_lr"],
            group["weight_decay"],
            group.get("eps"),
            multipliers.get(names[id(parameter)], 1.0),
            group.get("optimizer"),
        )
        for group in trainer.optimizer.param_groups
        for parameter in group["params"]
    )
    said = "lr_scheduler_type" in content or target.training is None or target.training.schedule != "own"
    values = _values(trainer.optimizer, args, with_clip=said)
    return Reading(
        rows,
        f"transformers {transformers.__version__}: its model and init, Trainer's optimizer and schedule",
        unread=() if said else ("the schedule and clipping are not in the files: those of the runs that were tuned",),
        schedule=_schedule(trainer.lr_scheduler) if said else None,
        values=values,
        defaulted=frozenset(name for name in values if name in _VALUES and _VALUES[name] not in content),
    )


@contextmanager
def _own_init_on_meta() -> Iterator[None]:
    """On the meta device transformers skips its own init, which costs nothing there and is to be seen."""
    modeling = importlib.import_module("transformers.modeling_utils")
    with patch.object(modeling, "get_torch_context_manager_or_global_device", lambda: torch.device("cpu")):
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


def _schedule(scheduler: Any) -> Callable[[int], float]:
    """The factor on every group's rate.

    Args:
        scheduler: that Trainer made, one of torch's.
    """
    factors = getattr(scheduler, "lr_lambdas", None)
    if not factors or any(factor is not factors[0] for factor in factors):
        raise UsageError(
            "the schedule must multiply the rates of all groups by one factor",
            received=type(scheduler).__name__,
            hint="choose another lr_scheduler_type",
        )

    def factor(step: int) -> float:
        return float(factors[0](step))

    return factor


def _values(optimizer: Any, args: Any, *, with_clip: bool) -> dict[str, float | str]:
    """What holds for all groups of each kind, as the optimizer has it."""
    values: dict[str, float | str] = {"clip": float(args.max_grad_norm or 0.0)} if with_clip else {}
    for group in optimizer.param_groups:
        if "betas" in group:
            values |= {"beta1": group["betas"][0], "beta2": group["betas"][1]}
        if "momentum" in group:
            values["momentum"] = group["momentum"]
        if "adjust_lr_fn" in group:
            values["muon_scale"] = group["adjust_lr_fn"] or "original"
    return values


def _multipliers(model: nn.Module, target: TargetFile) -> dict[str, float]:
    """Name -> factor over the base's by which `forward` multiplies, by a hook or by a key of the configuration."""
    found: dict[str, float] = {}
    built: Any = model
    if not hasattr(built, "config"):
        return found
    read_out = built.get_output_embeddings()
    for name, parameter in model.named_parameters():
        if read_out is not None and parameter is read_out.weight:
            found[name] = _through_hooks(read_out)
    settings = flat(built.config.to_dict())
    for group in target.parameters:
        key = config_key(target, group)
        if key is None or target.model is None:
            continue
        given = target.model.settings.get(key.name)
        base: Any = default_of(str(target.model.name), key.name) if given is None else given
        used: Any = settings[key.name]
        if key.entry is not None:
            base, used = base[key.entry], used[key.entry]
        for name, _ in model.named_parameters():
            if re.fullmatch(group.pattern, name):
                found[name] = found.get(name, 1.0) * (used / base) ** key.power
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
