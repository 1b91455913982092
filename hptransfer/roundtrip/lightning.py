"""Lightning: the written module in a real `Trainer.fit`, on parameters with the plan's names and one number each."""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.export.lightning import MODULE
from hptransfer.handover.own_names import named_groups
from hptransfer.handover.trained import Reading
from hptransfer.parameterization.roles import Role
from hptransfer.roundtrip._module_rows import (
    edited_files,
    own_settings,
    rows_of,
    schedule_values,
    shared_values,
    started,
)
from hptransfer.roundtrip.torch import load_module

#: Lightning's word -> precision of the tuned runs
_PRECISIONS = {"bf16-mixed": "bfloat16", "32-true": "float32", "64-true": "float64", "16-mixed": "float16"}
#: optimizer steps that are trained
_STEPS = 16


class _Lightning:
    """Stds are seen on the meta device at the plan's shapes; everything else in a run on the CPU."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        lightning = _lightning()
        module = load_module(folder / MODULE)
        with edited_files(folder, "Lightning"), tempfile.TemporaryDirectory() as place:
            _, starts = started(module, target)
            for row in module.PLAN["groups"]:  # from here on one number each
                row["shape"] = [1] * len(row["shape"])
            trainer, run = _fitted(lightning, module, target, place)
            (optimizer,) = trainer.optimizers
            peaks = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
            known = target.training is not None and target.training.schedule != "own"
            rows = rows_of(run.model, optimizer, peaks, starts)
            values = shared_values(optimizer) | schedule_values(module, target)
            if "max_steps" in module.TRAINER:
                values["steps"] = module.TRAINER["max_steps"]
            if known:
                values["clip"] = float(trainer.gradient_clip_val or 0.0)
            if known and trainer.precision in _PRECISIONS:
                values["precision"] = _PRECISIONS[trainer.precision]
            return Reading(
                rows,
                f"pytorch-lightning {lightning.__version__}: Trainer.fit for {len(run.rates)} steps on the CPU",
                schedule=_schedule(trainer, run.rates, peaks) if known else None,
                values=values,
                others=own_settings(run.model, optimizer),
                defaulted=frozenset() if "gradient_clip_val" in module.TRAINER else frozenset({"clip"}),
            )


def _lightning() -> Any:
    for name in ("pytorch_lightning", "lightning.pytorch"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MachineError(
        "an export to Lightning is read back by pytorch-lightning",
        received="no such package",
        hint="pip install pytorch-lightning",
    )


def _model(target: TargetFile) -> nn.Module:
    """Parameters under the plan's names in modules that hold them, with one number each."""
    model = nn.Module()
    for name, group in named_groups(target):
        *path, leaf = name.split(".")
        place = model
        for part in path:
            if part not in dict(place.named_children()):
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        parameter = nn.Parameter(torch.ones([1] * len(group.shape)), requires_grad=group.role != Role.FROZEN)
        place.register_parameter(leaf, parameter)
    return model


def _fitted(lightning: Any, module: ModuleType, target: TargetFile, place: str) -> tuple[Any, Any]:
    """A Trainer after its first steps, and the module that it trained, with the rates of each step."""

    class Run(lightning.LightningModule):  # type: ignore[misc]  # Lightning is imported where it is installed
        """Its loss is a sum, so that every parameter has a gradient."""

        def __init__(self) -> None:
            super().__init__()
            self.model = _model(target)
            self.rates: list[tuple[float, ...]] = []

        def configure_optimizers(self) -> Any:
            """What was written."""
            return module.configure_optimizers(self.model)

        def training_step(self, batch: Tensor, index: int) -> Tensor:
            """Notes the rates that the step is taken with."""
            optimizer: Any = self.optimizers()
            self.rates.append(tuple(group["lr"] for group in optimizer.param_groups))
            total = sum(parameter.float().sum() for parameter in self.model.parameters() if parameter.requires_grad)
            return total * batch.float().sum()

    run = Run()
    asked = dict(module.TRAINER)
    steps = min(asked.pop("max_steps", _STEPS), _STEPS)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    with _quiet():
        trainer = lightning.Trainer(
            **asked, max_steps=steps, accelerator="cpu", devices=1, default_root_dir=place, **quiet
        )
        batches: Any = torch.ones(steps * int(asked.get("accumulate_grad_batches", 1)))
        loader: Any = torch.utils.data.DataLoader(batches)
        trainer.fit(run, loader)
    return trainer, run


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning tells what machine it runs on, and that loaders could have more workers; both are no business here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning", "lightning_fabric")]
    levels = [each.level for each in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)


def _schedule(trainer: Any, rates: Sequence[Sequence[float]], peaks: Sequence[float]) -> Callable[[int], float]:
    """The factor of a step: the one that was trained with, and after those steps what the schedule says."""
    factors = [[rate / peak for rate, peak in zip(each, peaks, strict=True) if peak] for each in rates]
    for step, each in enumerate(factors):
        if max(each) - min(each) > 1e-9:
            raise UsageError(
                "the schedule must multiply the rates of all groups by one factor",
                received=f"at step {step} between {min(each):.4g} and {max(each):.4g} of the groups' peaks",
                hint="no learning-rate finder, and no schedule with absolute rates",
            )
    configs = trainer.lr_scheduler_configs
    later = configs[0] if configs else None

    def factor(step: int) -> float:
        if step < len(factors):
            return factors[step][0]
        if later is None or later.interval != "step":  # the epoch is one, so it does not move
            return factors[-1][0]
        return float(later.scheduler.lr_lambdas[0](step // later.frequency))

    return factor


READER = _Lightning()
