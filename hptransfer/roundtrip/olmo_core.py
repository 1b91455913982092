"""OLMo-core: its own model, init, optimizer and scheduler, built from the configurations that were written."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import MachineError, UsageError
from hptransfer.export.olmo_core import FILE, NAMES, model_settings, required_decoder
from hptransfer.handover.parts import places
from hptransfer.handover.trained import Reading, Trained
from hptransfer.roundtrip._as_written import (
    edited,
    leaves,
    odd_one,
    require_shapes,
    require_starts,
    require_unedited,
    written_anew,
)
from hptransfer.roundtrip._recorded_init import recorded_init
from hptransfer.roundtrip.torch import load_module
from hptransfer.user_code import described_error


class _OlmoCore:
    """The model is built on the meta device, so size costs nothing."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        version = _version()
        # it warns at import of accelerators that are not there; without a handler that would be printed
        logging.getLogger("olmo_core").addHandler(logging.NullHandler())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the framework and what it imports
            module = load_module(folder / FILE)
            try:
                return _reading(module, target, version)
            except UsageError:
                raise
            except Exception as error:  # the file may have been edited into anything
                raise UsageError(
                    "OLMo-core must accept the exported configuration",
                    received=f"{folder / FILE}: {described_error(error)}",
                ) from error


def _version() -> str:
    try:
        from olmo_core.version import VERSION
    except ImportError as error:
        raise MachineError(
            "OLMo-core must be installed to read its files back",
            received=str(error),
            hint="pip install ai2-olmo-core==3.0.0",
        ) from None
    return str(VERSION)


def _reading(module: ModuleType, target: TargetFile, version: str) -> Reading:
    config, anew = module.model_config(), written_anew("olmo-core", FILE, target)
    _require_planned(config, target)
    with recorded_init() as record, _generators_on_the_cpu():
        model = config.build(init_device="meta")
        model.init_weights(device=torch.device("meta"))
        if hasattr(module, "init_"):
            module.init_(model)
        stds, means = record.stds(model), record.means(model)
    _require_rows(model, means, target)
    optimizer = module.optim_config().build(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    factors = _factors(model)
    parameters = tuple(
        Trained(
            names[id(parameter)],
            stds[names[id(parameter)]],
            group["lr"],
            group["weight_decay"],
            group.get("eps"),
            factors.get(names[id(parameter)], 1.0),
        )
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
    twice = [name for name, count in Counter(each.name for each in parameters).items() if count > 1]
    if twice:
        raise UsageError("two globs of the optimizer must not match one parameter", received=", ".join(twice))
    require_unedited("OLMo-core", _edited(module, anew, config, optimizer, model))
    rates, schedule = _scheduled(module, optimizer, model)
    unread = tuple(
        f"{clause}: what that changes was not compared"
        for clause in edited(_kept(config, _LEFT_OPEN), _kept(anew.model_config(), _LEFT_OPEN))
    )
    return Reading(
        parameters,
        f"ai2-olmo-core {version}: its model, init_weights, optimizer and scheduler",
        schedule=schedule,
        unread=unread,
        values=_values(module, optimizer, target) | _facts(config),
        rates=rates,
    )


#: fields of the model's configuration that are values of the plan, read from what was built
_READ = frozenset(
    {"init_std", "embedding_init_std", "embed_scale", "attention_residual_alpha", "feed_forward_residual_alpha"}
)
#: fields that may differ by rounding alone
_LEFT_OPEN = frozenset({"dtype", "backend", "use_flash", "fused_linear", "fused_loss_implementation"})
_OF_GROUPS = frozenset({"params", "lr", "initial_lr", "weight_decay", "eps", "betas"})
#: fields of an optimizer that change no value
_FASTER = frozenset({"foreach", "fused", "compile", "capturable", "fixed_fields", "group_overrides"})


def _edited(module: ModuleType, anew: ModuleType, config: Any, optimizer: Any, model: Any) -> Iterator[str]:
    """What the file has otherwise than it was written, besides the plan's values."""
    for clause in edited(config, anew.model_config(), _READ | _LEFT_OPEN):
        yield f"model_config: {clause}"
    used, written = module.optim_config(), anew.optim_config()
    for clause in edited(used, written, _OF_GROUPS | _FASTER):
        yield f"optim_config: {clause}"
    (defaults, *_) = written.build(model).param_groups
    for group in optimizer.param_groups:
        yield from (f"a group: {clause}" for clause in edited(group, defaults, _OF_GROUPS | _FASTER))


def _kept(config: Any, names: Collection[str]) -> dict[str, object]:
    """Of a configuration the fields with one of the names."""
    return {place: value for place, value in leaves(config) if place.rpartition(".")[2] in names}


def _values(module: ModuleType, optimizer: Any, target: TargetFile) -> dict[str, float | str]:
    """What is one value for all parameters; of betas that differ among groups one that is not the plan's."""
    clip, scheduler = module.MAX_GRAD_NORM, getattr(module, "scheduler", None)
    values: dict[str, float | str] = {"clip": 0.0 if clip is None else float(clip)}
    for number, name in enumerate(("beta1", "beta2")):
        used = [float(group["betas"][number]) for group in optimizer.param_groups]
        values[name] = odd_one(used, target.optimizer_values.get(name))
    said = {"STEPS": "steps", "BATCH_SIZE": "batch_size", "SEQUENCE_LENGTH": "sequence_length", "FLOOR": "floor"}
    values |= {name: getattr(module, key) for key, name in said.items() if getattr(module, key, None) is not None}
    try:
        floor = getattr(scheduler(), "alpha_f", None) if scheduler else None
    except NotImplementedError:
        floor = None
    # of a scheduler of OLMo-core's own that was put in
    return values if floor is None else values | {"floor": float(floor)}


def _facts(config: Any) -> dict[str, float | str]:
    """Sizes of the model, by the names of `planned_values.MODEL_FACTS`."""
    mixer = config.block.sequence_mixer
    return {
        "width": config.d_model,
        "layers": config.n_layers,
        "heads": mixer.n_heads,
        "key_value_heads": mixer.n_kv_heads or mixer.n_heads,
        "head_dim": mixer.head_dim or config.d_model // mixer.n_heads,
        "feed_forward": config.block.feed_forward.hidden_size,
        "vocabulary": config.vocab_size,
        "gated": "yes",  # its FeedForward always is
        "rope_theta": float(mixer.rope.theta),
        "norm_eps": float(config.block.layer_norm.eps),
    }


def _require_rows(model: Any, means: Mapping[str, float], target: TargetFile) -> None:
    """Shapes and constants of the model that was built, against the rows."""
    decoder = required_decoder(target)
    rows = {
        name: (decoder.shape(part, layer), decoder.row(part, layer))
        for part, layer, name in places(NAMES, decoder.layers)
        if decoder.has(part)
    }
    require_shapes(
        {name: shape for name, (shape, _) in rows.items()},
        {name: tuple(parameter.shape) for name, parameter in model.named_parameters()},
    )
    require_starts({name: group for name, (_, group) in rows.items()}, means)


def _scheduled(
    module: ModuleType, optimizer: torch.optim.Optimizer, model: torch.nn.Module
) -> tuple[Callable[[int], Mapping[str, float]], Callable[[int], float]] | tuple[None, None]:
    """Rates by name, and the share of the peak, at a step from 0; nothing where the file has no scheduler."""
    try:
        scheduler = module.scheduler()
    except NotImplementedError:
        return None, None
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    # a group's own copy: a scheduler writes into it
    groups = [
        ({**group, "params": ()}, [names[id(each)] for each in group["params"]]) for group in optimizer.param_groups
    ]

    def rates(step: int) -> Mapping[str, float]:
        """OLMo-core's trainer counts a step before it takes it; the file asks whether the model was started."""
        trainer = SimpleNamespace(global_step=step + 1, max_steps=module.STEPS, model=model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return {name: float(scheduler.set_lr(group, trainer)) for group, members in groups for name in members}
        except Exception as error:
            raise UsageError(
                "OLMo-core's scheduler must accept every group's rate",
                received=f"step {step}: {described_error(error)}",
            ) from error

    peaks = {name: float(group["initial_lr"]) for group, members in groups for name in members}

    def schedule(step: int) -> float:
        """Of the parameter with the largest rate."""
        name = max(peaks, key=peaks.__getitem__)
        return rates(step)[name] / peaks[name]

    return rates, schedule


def _require_planned(config: Any, target: TargetFile) -> None:
    """What decides the model's function, and is seen in no parameter's values, must be as the user's model has it."""
    decoder = required_decoder(target)
    planned, mixer = model_settings(decoder), config.block.sequence_mixer
    used = {
        "d_model": config.d_model,
        "vocab_size": config.vocab_size,
        "n_layers": config.n_layers,
        "n_heads": mixer.n_heads,
        "n_kv_heads": mixer.n_kv_heads or mixer.n_heads,
        "head_dim": mixer.head_dim or config.d_model // mixer.n_heads,
        "hidden_size": config.block.feed_forward.hidden_size,
        "rope_theta": mixer.rope.theta,
        "layer_norm_eps": config.block.layer_norm.eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "qk_norm": mixer.qk_norm is not None,
    }
    wrong = [
        f"{name} {used[name]!r}, the user's model {value!r}" for name, value in planned.items() if used[name] != value
    ]
    if wrong:
        raise UsageError("the exported model must be the user's", received="; ".join(wrong))


@contextmanager
def _generators_on_the_cpu() -> Iterator[None]:
    """A generator of the meta device does not exist; nothing is drawn there."""
    own = torch.Generator
    with patch.object(torch, "Generator", lambda *_, **__: own("cpu")):
        yield


def _factors(model: Any) -> Mapping[str, float]:
    """What `forward` multiplies, by the name of the parameter in front of it."""
    found = {"embeddings.weight": 1.0 if model.embed_scale is None else float(model.embed_scale)}
    for number, block in model.blocks.items():
        found[f"blocks.{number}.attention.w_out.weight"] = float(block.attention_residual_stream.alpha)
        found[f"blocks.{number}.feed_forward.w2.weight"] = float(block.feed_forward_residual_stream.alpha)
    return found


READER = _OlmoCore()
