"""How far each layer's output moves in the first optimizer steps, on a fixed probe batch.

Under a correct parameterization RMS(h(t) - h(0)) does not depend on the size; a missing rule shows as a slope of its
logarithm against the width or the depth (Tensor Programs V, arXiv 2203.03466, appendix D.1). The change of the logits
is measured, never the logits: at init they shrink with the width under muP even when all is well.

Tensor names carry their shape: B batch, C context window (T of a decoder).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, training_losses

#: what a layer's output is, by module name; the first pattern that matches decides, other modules are not measured
KINDS: tuple[tuple[str, str], ...] = (
    (r"embedding|input", "embedding"),
    (r"readout", "logits"),
    (r"blocks\.\d+", "residual"),
    (r"blocks\.\d+\.(attention_out|down)", "branch"),
    (r"blocks\.\d+\.(q|k|v|up)", "hidden"),
    (r"hidden\.\d+", "hidden"),
)


def layer_kind(name: str) -> str | None:
    """What the named module's output is.

    Returns:
        "embedding" (fan-in does not grow), "hidden" (pre-activations), "branch" (what a block adds to the residual
        stream: shrinks with depth by design), "residual" (the stream after a block), "logits", or None.
    """
    return next((kind for pattern, kind in KINDS if re.fullmatch(pattern, name)), None)


def measure_coordinates(
    module: nn.Module,
    param_groups: Sequence[Mapping[str, Any]],
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    steps: Sequence[int] = (1, 3, 10),
    kinds: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Train a few steps at the peak learning rate (no warmup, no decay) and compare activations with those at init.

    Args:
        module: already initialised; it is trained in place.
        param_groups: as for `train`.
        corpus: training batches, and the probe: the first validation batch.
        settings: optimizer and batch; its duration and schedule are replaced.
        seed: of the data order.
        steps: how many optimizer steps after which to measure, each at least 1.
        kinds: module name -> kind, for models that are not built in; default: `layer_kind`.

    Returns:
        One mapping per layer and step: "layer" (module name), "kind" (see `layer_kind`), "step", "change" (RMS over
        batch and coordinates of h(t) - h(0)) and "initial" (RMS of h(0)); a change that is not finite is None.
    """
    (probe_BxC1,) = corpus.validation_batches(1, settings.batch_size, settings.context)
    of = {name: kind for name, _ in module.named_modules() if (kind := layer_kind(name))} if kinds is None else kinds
    at_init = activations(module, probe_BxC1, of)
    peak = replace(settings, steps=max(steps), schedule="constant", warmup=0.0)
    measured = []
    for done, _ in enumerate(training_losses(module, param_groups, corpus, peak, seed), start=1):
        if done in steps:
            now = activations(module, probe_BxC1, of)
            measured += [
                {
                    "layer": name,
                    "kind": of[name],
                    "step": done,
                    "change": finite_rms(now[name] - initial),
                    "initial": finite_rms(initial),
                }
                for name, initial in at_init.items()
            ]
    return measured


@torch.no_grad()
def activations(module: nn.Module, tokens_BxC1: Tensor, kinds: Mapping[str, str]) -> dict[str, Tensor]:
    """Outputs of the modules named in `kinds` on one batch, in order of computation; of a tuple, its first entry."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        outputs[name] = (output[0] if isinstance(output, tuple) else output).clone()

    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=name: keep(name, output))
        for name, layer in module.named_modules()
        if name in kinds
    ]
    module.eval()
    try:
        module(tokens_BxC1[:, :-1])
    finally:
        for hook in hooks:
            hook.remove()
        module.train()
    return outputs


def finite_rms(values: Tensor) -> float | None:
    """Root of the mean square over all entries; None when it is not finite."""
    rms = values.double().square().mean().sqrt()
    return rms.item() if rms.isfinite() else None
