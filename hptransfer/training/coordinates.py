"""How far each layer's output moves in the first optimizer steps, and how large each weight's update is.

Under a correct parameterization RMS(h(t) - h(0)) on a fixed probe batch does not depend on the size; a missing rule
shows as a slope of its logarithm against the width or the depth (Tensor Programs V, arXiv 2203.03466, appendix D.1).
The change of the logits is measured, never the logits: at init they shrink with the width under muP even when all is
well. The size of a parameter's own update tells which parameter is at fault.

Tensor names carry their shape: B batch, C context window (T of a decoder), D fan-in, H heads, K head_dim, V logits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hptransfer.parameterization.roles import Parameter
from hptransfer.training.attention_logits import AttentionLogits
from hptransfer.training.batches import Batches
from hptransfer.training.loop import TrainingSettings, training_losses
from hptransfer.training.losses.base import find_loss
from hptransfer.training.optimizers.base import OPTIMIZERS
from hptransfer.training.updates import UpdateMeter

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
    corpus: Batches,
    settings: TrainingSettings,
    seed: int,
    steps: Sequence[int] = (1, 3, 10),
    kinds: Mapping[str, str] | None = None,
    parameters: Iterable[Parameter] = (),
) -> dict[str, list[dict[str, Any]]]:
    """Train a few steps at the peak learning rate (no warmup, no decay) and compare with init.

    Args:
        module: already initialised; it is trained in place.
        param_groups: for the optimizer; each has "params", "lr" (the peak), "weight_decay", and "eps" for Adam.
        corpus: training batches, and the probe: the first validation batch.
        settings: optimizer and batch; its duration and schedule are replaced.
        seed: of the order in which training windows are drawn, at least 0.
        steps: how many optimizer steps after which to measure, each at least 1.
        kinds: module name -> kind, for models that are not built in; default: `layer_kind`.
        parameters: of the plan; they say which weights lie in a block and which write the residual stream.

    Returns:
        "layers": one mapping per layer and step: "layer" (module name, or "attention.0" for the logits of the first
        attention), "kind" (see `layer_kind`, or "attention"), "step", "change" (RMS over batch and coordinates of
        h(t) - h(0)), "initial" (RMS of h(0)), "random" (see `random_share`; None but for logits of a readout with a
        weight matrix) and "summed" (of attention: scale times head_dim); a number that is not finite is None.
        "parameters": one mapping per parameter and step, see `UpdateMeter.rows`.
    """
    (batch,) = corpus.validation_batches(1, settings.batch_size, settings.context)
    forward = partial(find_loss(settings.loss, settings.loss_arguments), module, batch)
    of = {name: kind for name, _ in module.named_modules() if (kind := layer_kind(name))} if kinds is None else kinds
    at_init = probe(module, forward, of)
    readouts = {name: weight.detach().clone() for name in at_init.read if (weight := _weight(module, name)) is not None}
    meter = UpdateMeter(module, param_groups, parameters, has_eps="eps" in OPTIMIZERS.look_up(settings.optimizer).reads)
    peak = replace(settings, steps=max(steps), schedule="constant", warmup=0.0)
    layers: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    for done, _ in enumerate(training_losses(module, param_groups, corpus, peak, seed), start=1):
        if done == 1:
            meter.see_gradients()
        if done in steps:
            now = probe(module, forward, of)
            layers += [
                {
                    "layer": name,
                    "kind": of.get(name, "attention"),
                    "step": done,
                    "change": finite_rms(now.outputs[name] - initial),
                    "initial": finite_rms(initial),
                    "random": random_share(readouts[name], now.read[name] - at_init.read[name])
                    if name in readouts
                    else None,
                    "summed": at_init.summed.get(name),
                }
                for name, initial in at_init.outputs.items()
            ]
            weights += meter.rows(done)
    return {"layers": layers, "parameters": weights}


@dataclass(frozen=True, slots=True)
class Probe:
    """What a forward pass shows.

    Attributes:
        outputs: of the modules that were asked for, in order of computation, then attention logits as "attention.0",
            "attention.1", ...
        read: inputs of the modules whose outputs are logits.
        summed: scale times head_dim, by name of attention logits.
    """

    outputs: dict[str, Tensor]
    read: dict[str, Tensor]
    summed: dict[str, float]


@torch.no_grad()
def probe(module: nn.Module, forward: Callable[[], object], kinds: Mapping[str, str]) -> Probe:
    """Run the module once and keep what its modules named in `kinds` return.

    Args:
        module: of which one forward pass is made, without dropout.
        forward: makes the pass, for example by computing the loss of a batch.
        kinds: names of the modules to keep, to what their outputs are; of a tuple, its first entry is kept.
    """
    outputs: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}

    def keep(name: str, inputs: Any, output: Any) -> None:
        outputs[name] = (output[0] if isinstance(output, tuple) else output).clone()
        if kinds[name] == "logits" and inputs and isinstance(inputs[0], Tensor):
            read[name] = inputs[0].clone()

    hooks = [
        layer.register_forward_hook(lambda _layer, inputs, output, name=name: keep(name, inputs, output))
        for name, layer in module.named_modules()
        if name in kinds
    ]
    attention = AttentionLogits()
    module.eval()
    try:
        with attention:
            forward()
    finally:
        for hook in hooks:
            hook.remove()
        module.train()
    names = [f"attention.{call}" for call in range(len(attention.seen))]
    outputs |= zip(names, attention.seen, strict=True)
    return Probe(outputs, read, dict(zip(names, attention.summed, strict=True)))


def _weight(module: nn.Module, name: str) -> Tensor | None:
    """The matrix with which the named module maps its inputs."""
    weight = getattr(module.get_submodule(name), "weight", None)
    return weight if isinstance(weight, Tensor) and weight.ndim == 2 else None


def random_share(weight_VxD: Tensor, moved_BxD: Tensor) -> float | None:
    """What a readout would add to the logits' change if its weights knew nothing of the data.

    The logits change by (W(t) - W(0)) h(t) + W(0) (h(t) - h(0)). Were W(0) independent of h(t) - h(0), the second part
    would have the RMS that is returned: rms(W(0)) times the norm of h(t) - h(0). Under muP it falls as width^-1/2 while
    everything that is learned does not depend on width, and their squares add up.

    Args:
        weight_VxD: the readout's matrix at init, logits by fan-in.
        moved_BxD: h(t) - h(0), what the readout reads; further axes may stand between batch and fan-in.

    Returns:
        RMS over batch and logits; None when it is not finite.
    """
    spread = weight_VxD.double().square().mean() * moved_BxD.double().square().sum(-1).mean()
    return spread.sqrt().item() if spread.isfinite() else None


def finite_rms(values: Tensor) -> float | None:
    """Root of the mean square over all entries; None when it is not finite."""
    rms = values.double().square().mean().sqrt()
    return rms.item() if rms.isfinite() else None
