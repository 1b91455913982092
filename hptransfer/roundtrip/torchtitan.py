"""torchtitan: the written configuration, through torchtitan's own Llama3, init, optimizers and scheduler."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.export.torchtitan import FILE, muon_named, rows_of, shapes_of
from hptransfer.handover.trained import Reading, Trained
from hptransfer.roundtrip._as_written import odd_one, require_shapes, require_starts, require_unedited
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.roundtrip._torchtitan_config import configured, edits, facts, run_facts
from hptransfer.roundtrip.torch import load_module
from hptransfer.user_code import described_error

#: kernels that dispatch tokens to experts; they are all that asks for triton when a Llama3 is imported
_KERNELS = "torchtitan.distributed.minimal_async_ep.kernels"
_REDISTRIBUTION = (
    "DistMuon's redistribution of shards needs GPUs and was not run; its groups, names and layouts were checked by it"
)


class _Torchtitan:
    """Everything that decides a value is torchtitan's; what needs GPUs (kernels, parallelism) is left out."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        import_llama3()
        path = folder / FILE
        module = load_module(path)
        try:
            config, unread = configured(module)
            with recorded_init() as record:
                model = config.model_spec.model.build()
                model.init_states()
                stds, means = record.stds(model), record.means(model)
            require_shapes(shapes_of(target), {name: tuple(each.shape) for name, each in model.named_parameters()})
            require_starts(rows_of(target), means)
            config.activation_checkpoint.build().apply(model)  # before the optimizer, as the trainer does: it renames
            container, muon = build_optimizers(config.optimizer, model)
            groups = [group for optimizer in container for group in optimizer.param_groups]
            rows = tuple(each for group in groups for each in _trained(group, stds))
            # from here on the rates are those of the first step, not the peaks
            schedule = config.lr_scheduler.build(optimizers=container, training_steps=config.training.steps)
            require_unedited("torchtitan", edits(config, target))
        except UsageError:
            raise
        except Exception as error:  # the file may have been edited into anything
            raise UsageError(
                "torchtitan must be able to build what the exported file describes",
                received=f"{path}: {described_error(error)}",
            ) from error
        written = config.optimizer.param_groups
        values, defaulted, more = _values(groups, written, config.training.max_norm, target)
        if muon:
            more = (*more, _REDISTRIBUTION)
        own = target.training is None or target.training.schedule == "own"
        factor = None if own else schedule.schedulers[0].lr_lambdas[0]
        return Reading(
            rows,
            f"torchtitan {version('torchtitan')}: its Llama3 and init, OptimizersContainer and LRSchedulersContainer",
            schedule=factor,
            unread=(*unread, *more),
            values=values | facts(config) | ({} if own else run_facts(config, target)),
            defaulted=defaulted,
            unsaid=frozenset(_unsaid(groups, written)),
        )


def import_llama3() -> None:
    """Imports torchtitan's Llama3, without triton too: then kernels for experts, which no Llama runs, are left empty.

    Raises:
        MachineError: torchtitan is not installed.
    """
    if importlib.util.find_spec("torchtitan") is None:
        raise MachineError(
            "torchtitan must be installed to read what was written for it", hint="pip install torchtitan==0.3.0"
        )
    try:
        if importlib.util.find_spec("triton") is None and _KERNELS not in sys.modules:
            with _no_triton():
                importlib.import_module(_KERNELS)
        importlib.import_module("torchtitan.models.llama3")
    except ImportError as error:
        raise MachineError(
            "torchtitan must be importable", received=described_error(error), hint="pip install torchtitan==0.3.0"
        ) from error


class _Empty(ModuleType):
    """A module whose every attribute can be had and called, and does nothing."""

    def __getattr__(self, name: str) -> _Empty:
        """Any name but Python's own."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _Empty(name)

    def __call__(self, *_: object, **__: object) -> _Empty:
        """What decorators and types of kernels are called for."""
        return self


@contextmanager
def _no_triton() -> Iterator[None]:
    with patch.dict(sys.modules, {"triton": _Empty("triton"), "triton.language": _Empty("triton.language")}):
        yield
        imported = {name: module for name, module in sys.modules.items() if not isinstance(module, _Empty)}
    sys.modules.update(imported)


def build_optimizers(config: Any, model: Any) -> tuple[Any, bool]:
    """Torchtitan's optimizers of a model on any device, and whether DistMuon is one of them.

    Args:
        config: an `OptimizersContainer.Config`; fused kernels, which no value depends on, are replaced by foreach.
        model: whose parameters they train.
    """
    from torchtitan.distributed.flex_shard import dist_muon

    prepared: list[object] = []
    initialize = dist_muon._initialize_dist_muon

    class _NeedsGpusError(Exception):
        """Everything before the redistribution is planned has been checked."""

    def stop(_: object) -> None:
        raise _NeedsGpusError

    def checked(optimizer: object, **how: Any) -> None:
        prepared.append(optimizer)
        with patch.object(dist_muon.DistMuon, "_validate_parameter_storage", stop):
            try:
                initialize(optimizer, **how)
            except _NeedsGpusError:
                return

    portable = replace(config, implementation="foreach")
    with patch.object(dist_muon, "_initialize_dist_muon", checked):
        container = portable.build(model_parts=[model])
    return container, bool(prepared)


def _trained(group: Mapping[str, Any], stds: Mapping[str, float | None]) -> Iterator[Trained]:
    """Each parameter of a group; of DistMuon with the rate that it moves by, through its own factor of the shape."""
    for name, parameter in zip(group["param_names"], group["params"], strict=True):
        rate, decay, eps, kind = group["lr"], group["weight_decay"], group["eps"], "adamw"
        if "adjust_lr_fn" in group:
            from torchtitan.distributed.flex_shard.dist_muon import _adjust_muon_learning_rate as adjusted

            moved = adjusted(rate, group["adjust_lr_fn"], parameter.shape)
            # it decays by the rate that it is given
            rate, decay, eps = moved, decay * rate / moved if moved else decay, None
            kind = muon_named(group["adjust_lr_fn"] or "original")
        elif not group.get("decoupled_weight_decay", False):
            kind = "adam"
        yield Trained(name, stds[name], rate, decay, eps, optimizer=kind)


def _values(
    groups: list[Mapping[str, Any]], written: list[Any], max_norm: float, target: TargetFile
) -> tuple[dict[str, float | str], frozenset[str], tuple[str, ...]]:
    """Betas, momentum and clipping; of groups that differ one that is not the plan's, which a sentence names."""
    said: dict[str, list[tuple[float, str]]] = {}
    for group in groups:
        names = {"beta1": group["betas"][0], "beta2": group["betas"][1]} if "betas" in group else {}
        names |= {"momentum": group["momentum"]} if "momentum" in group else {}
        for name, value in names.items():
            said.setdefault(name, []).append((value, group["param_names"][0]))
    values: dict[str, float | str] = {"clip": 0.0 if math.isinf(max_norm) else float(max_norm)}
    sentences = []
    for name, found in said.items():
        counts = [value for value, _ in found]
        values[name] = odd_one(counts, target.optimizer_values.get(name))
        if len(set(counts)) > 1:
            odd = ", ".join(of for value, of in found if value == values[name])
            sentences.append(f"{name} is not the same in all groups: {values[name]!r} of {odd}")
    missing = {
        name
        for entry in written
        for name, key, of in (
            ("beta1", "betas", "Adam"),
            ("beta2", "betas", "Adam"),
            ("momentum", "momentum", "DistMuon"),
        )
        if entry.optimizer_name.startswith(of) and key not in entry.optimizer_kwargs
    }
    return values, frozenset(missing), tuple(sentences)


def _unsaid(groups: list[Mapping[str, Any]], written: list[Any]) -> Iterator[tuple[str, str]]:
    """(parameter, quantity) that its group leaves out: then it is torch's default, for torchtitan has none."""
    keys = {"lr": "learning_rate", "weight_decay": "weight_decay", "eps": "eps"}
    # torchtitan keeps the order within each kind of optimizer
    by_kind: dict[str, list[Any]] = {}
    for entry in written:
        by_kind.setdefault(entry.optimizer_name, []).append(entry)
    for entry, group in zip((each for of in by_kind.values() for each in of), groups, strict=True):
        for key, quantity in keys.items():
            if key not in entry.optimizer_kwargs and not (quantity == "eps" and entry.optimizer_name == "DistMuon"):
                yield from ((name, quantity) for name in group["param_names"])


READER = _Torchtitan()
