"""How far each layer's output moves in the first optimizer steps, and how large each weight's update is.

Under a correct parameterization RMS(h(t) - h(0)) on a fixed probe batch does not depend on the size; a missing rule
shows as a slope of its logarithm against the width or the depth (Tensor Programs V, arXiv 2203.03466, appendix D.1).
The change of the logits is measured, never the logits: at init they shrink with the width under muP even when all is
well. The size of a parameter's own update tells which parameter is at fault.

Tensor names carry their shape: B batch, C context window (T of a decoder), H heads, K head_dim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from hptransfer.parameterization.roles import Parameter
from hptransfer.training.data import Corpus
from hptransfer.training.loop import TrainingSettings, training_losses
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
#: examples of the probe batch on which attention logits are kept; they are many, and their RMS needs few
ATTENTION_EXAMPLES = 8


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
    parameters: Iterable[Parameter] = (),
) -> dict[str, list[dict[str, Any]]]:
    """Train a few steps at the peak learning rate (no warmup, no decay) and compare with init.

    Args:
        module: already initialised; it is trained in place.
        param_groups: as for `train`.
        corpus: training batches, and the probe: the first validation batch.
        settings: optimizer and batch; its duration and schedule are replaced.
        seed: of the data order.
        steps: how many optimizer steps after which to measure, each at least 1.
        kinds: module name -> kind, for models that are not built in; default: `layer_kind`.
        parameters: of the plan; they say which weights lie in a block and which write the residual stream.

    Returns:
        "layers": one mapping per layer and step: "layer" (module name, or "attention.0" for the logits of the first
        attention), "kind" (see `layer_kind`, or "attention"), "step", "change" (RMS over batch and coordinates of
        h(t) - h(0)) and "initial" (RMS of h(0)); a number that is not finite is None.
        "parameters": one mapping per parameter and step, see `UpdateMeter.rows`.
    """
    (probe_BxC1,) = corpus.validation_batches(1, settings.batch_size, settings.context)
    of = {name: kind for name, _ in module.named_modules() if (kind := layer_kind(name))} if kinds is None else kinds
    at_init = activations(module, probe_BxC1, of)
    meter = UpdateMeter(module, param_groups, parameters, adam=settings.optimizer == "adamw")
    peak = replace(settings, steps=max(steps), schedule="constant", warmup=0.0)
    layers: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    for done, _ in enumerate(training_losses(module, param_groups, corpus, peak, seed), start=1):
        if done == 1:
            meter.see_gradients()
        if done in steps:
            now = activations(module, probe_BxC1, of)
            layers += [
                {
                    "layer": name,
                    "kind": of.get(name, "attention"),
                    "step": done,
                    "change": finite_rms(now[name] - initial),
                    "initial": finite_rms(initial),
                }
                for name, initial in at_init.items()
            ]
            weights += meter.rows(done)
    return {"layers": layers, "parameters": weights}


class AttentionLogits(TorchFunctionMode):
    """Keeps what softmax sees in each call of torch's attention, with the scale that was really used.

    Attributes:
        seen: B x H x T x T scaled products of queries and keys of a few examples, in order of the calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        options = dict(kwargs or {})
        if func is functional.scaled_dot_product_attention:
            named = dict(zip(("query", "key"), args, strict=False)) | options
            q_BxHxTxK, k_BxHxTxK = (named[side][:ATTENTION_EXAMPLES] for side in ("query", "key"))
            if k_BxHxTxK.shape[-3] == q_BxHxTxK.shape[-3]:  # grouped queries share keys: left out
                given = options.get("scale")
                scale = q_BxHxTxK.shape[-1] ** -0.5 if given is None else given
                self.seen.append(q_BxHxTxK @ k_BxHxTxK.transpose(-1, -2) * scale)
        return func(*args, **options)


@torch.no_grad()
def activations(module: nn.Module, tokens_BxC1: Tensor, kinds: Mapping[str, str]) -> dict[str, Tensor]:
    """Outputs of the modules named in `kinds` on one batch, in order of computation, then attention logits.

    Of a module that returns a tuple, its first entry.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        outputs[name] = (output[0] if isinstance(output, tuple) else output).clone()

    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output, name=name: keep(name, output))
        for name, layer in module.named_modules()
        if name in kinds
    ]
    attention = AttentionLogits()
    module.eval()
    try:
        with attention:
            module(tokens_BxC1[:, :-1])
    finally:
        for hook in hooks:
            hook.remove()
        module.train()
    return outputs | {f"attention.{call}": logits for call, logits in enumerate(attention.seen)}


def finite_rms(values: Tensor) -> float | None:
    """Root of the mean square over all entries; None when it is not finite."""
    rms = values.double().square().mean().sqrt()
    return rms.item() if rms.isfinite() else None
