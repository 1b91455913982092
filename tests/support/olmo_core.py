"""OLMo-core as its users run it: exported files imported as they are, and its model beside the one of transformers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.llama import modeling_llama

import hptransfer
from hptransfer.artifacts.target import TargetFile
from hptransfer.checking.judge_coordinates import judge_coordinate_files
from hptransfer.diagnostics.coordinate import CoordinateReport
from hptransfer.handover.decoder import Decoder
from hptransfer.handover.parts import LLAMA_NAMES, places
from hptransfer.roundtrip.torch import load_module
from hptransfer.sizes import Size
from tests.support.exported import llama_target, write_export

FILE = "hptransfer_olmo_core.py"
VOCABULARY, LENGTH = 256, 16


def exported(folder: Path, target: TargetFile, edits: dict[str, tuple[str, str]] | None = None) -> ModuleType:
    """The module that was written for a target, imported.

    Args:
        folder: a new one, which nothing else uses.
        target: the configuration that is written out.
        edits: planted mistakes, see `write_export`.
    """
    return load_module(write_export(folder, "olmo-core", target, edits) / FILE)


def built(module: ModuleType, *, seed: int = 0, double: bool = False) -> Any:
    """OLMo-core's model on the CPU, initialised as its train module does it, with `init_` where the file has it.

    Args:
        module: the Python module that was exported.
        seed: of OLMo-core's own init.
        double: everything in float64; norms and rotations too, which OLMo-core otherwise computes in float32.
    """
    config = module.model_config(init_seed=seed)
    if double:
        config.block.layer_norm.full_precision = False
        config.lm_head.layer_norm.full_precision = False
        config.block.sequence_mixer.rope.full_precision = False
    model = config.build(init_device="cpu")
    model.init_weights(max_seq_len=LENGTH, device=torch.device("cpu"))
    if hasattr(module, "init_"):
        module.init_(model)
    return model.double() if double else model


def precise_norm(self: Any, hidden: Tensor) -> Tensor:
    """RMSNorm of transformers without its detour over float32."""
    variance = hidden.pow(2).mean(-1, keepdim=True)
    normed: Tensor = self.weight * (hidden * torch.rsqrt(variance + self.variance_epsilon))
    return normed


PRECISE = (modeling_llama.LlamaRMSNorm, "forward", precise_norm)


def pairs(decoder: Decoder, names: Any) -> list[tuple[str, str]]:
    """(transformers' name, OLMo-core's) of every parameter.

    Args:
        decoder: sizes of the target's model.
        names: the table of OLMo-core's own names.
    """
    return [
        (LLAMA_NAMES[part].replace("{layer}", str(layer)), name)
        for part, layer, name in places(names, decoder.layers)
        if (part, layer) in decoder.rows
    ]


def tokens(seed: int, sequences: int = 4, length: int = LENGTH) -> Tensor:
    """Random tokens, the same for a seed."""
    return torch.randint(VOCABULARY, (sequences, length), generator=torch.Generator().manual_seed(seed))


def loss_of(logits: Tensor, batch: Tensor) -> Tensor:
    """Next-token loss in the logits' own precision."""
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())


def step(model: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any, number: int, batch: Tensor) -> None:
    """A step as OLMo-core's train module takes it: rates set by its scheduler, then the optimizer.

    Args:
        model: the one that OLMo-core builds.
        optimizer: that its configuration built.
        scheduler: OLMo-core's; None leaves the rates.
        number: of the step, counted from 0.
        batch: tokens, a row per sequence.
    """
    torch.autograd.backward(loss_of(model(batch), batch))
    if scheduler is not None:
        for group in optimizer.param_groups:
            scheduler.set_lr(group, SimpleNamespace(global_step=number + 1, max_steps=100))
    optimizer.step()
    optimizer.zero_grad()


def watched_ladder(
    folder: Path, edits: Sequence[tuple[str, str]] = (), *, axis: str = "width", seeds: int = 4
) -> CoordinateReport:
    """A ladder of exported models, trained a few steps each under `hptransfer.watch`, and judged.

    Args:
        folder: a new one, which nothing else uses.
        edits: planted mistakes, (regular expression, replacement), at every size.
        axis: width under muP, or depth under CompleteP.
        seeds: of init and data.
    """
    path = folder / "watch.jsonl"
    for length in (64, 128, 256) if axis == "width" else (2, 4, 8):
        size = Size(length, 2, 8, 8192) if axis == "width" else Size(64, length, 8, 8192)
        rules = "mup" if axis == "width" else "completep"
        place = write_export(
            folder / str(length), "olmo-core", llama_target(rules, size=size, init="rule", learning_rate=2.0**-8)
        )
        text = (place / FILE).read_text(encoding="utf-8")
        for old, new in edits:
            text = re.sub(old, new, text)
        (place / FILE).write_text(text, encoding="utf-8")
        module = load_module(place / FILE)
        for seed in range(seeds):
            model = built(module, seed=seed)
            optimizer = module.optim_config().build(model)
            # random tokens have nothing in common but those that were trained on, so the probe is what is trained on
            batch = tokens(seed, 1)
            with hptransfer.watch(
                model, batch, (1, 3, 10), optimizer=optimizer, path=path, size={axis: length}, seed=seed
            ):
                for number in range(10):
                    step(model, optimizer, None, number, batch)
    (report,) = judge_coordinate_files([path]).reports
    return report
