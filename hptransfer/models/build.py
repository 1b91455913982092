"""From the recipe's `model` section and a shape to a module, and what training it costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn

from hptransfer.errors import UsageError
from hptransfer.models.factory import build_factory
from hptransfer.models.gpt import Block, Gpt
from hptransfer.models.huggingface import build_huggingface
from hptransfer.models.mlp import Mlp
from hptransfer.recipe.model_sections import GptModel, Model


def build_model(model: Model, width: int, depth: int, device: str | None = "cpu") -> nn.Module:
    """Build one model; its weights are torch's defaults until a plan initialises them.

    Args:
        model: the recipe's `model` section, whose `kind` says what is built.
        width: see the section, at least 1.
        depth: see the section, at least 1.
        device: a torch device; "meta" allocates no memory, for any size; None takes the current one.

    Returns:
        The module; `forward` of the built-ins takes B x context integers below the vocabulary V and returns logits,
        B x V for an MLP (the token after the window), B x context x V for a decoder (the token after each position).

    Raises:
        UsageError: a size below 1, a width that heads do not divide, or a factory or configuration that fails.
    """
    for name, value in (("width", width), ("depth", depth)):
        if value < 1:
            raise UsageError(f"`{name} >= 1` must hold for a model", received=f"{name}={value}")
    if model.kind == "external":
        raise UsageError(
            "a model must be named to be built", received="a recipe without `model`: its trainer builds it"
        )
    if model.kind == "gpt":
        check_heads(model, width)
    with nullcontext() if device is None else torch.device(device):
        if model.kind == "factory":
            return build_factory(model, width, depth)
        if model.kind == "huggingface":
            return build_huggingface(model, width, depth)
        if model.kind == "gpt":
            return Gpt(
                width,
                depth,
                context=model.context,
                head_dim=model.head_dim,
                positions=model.positions,
                mlp_ratio=model.mlp_ratio,
                vocabulary=model.vocabulary,
            )
        return Mlp(
            width,
            depth,
            context=model.context,
            embedding=model.embedding,
            activation=model.activation,
            norm=model.norm,
            vocabulary=model.vocabulary,
        )


def check_heads(model: GptModel, width: int) -> None:
    """Raise UsageError unless whole heads fit the width and rotary pairs fit a head.

    Args:
        model: the recipe's `model` section of kind gpt.
        width: width of the model, at least 1.
    """
    if width % model.head_dim:
        raise UsageError(
            "`width % head_dim == 0` must hold for gpt",
            received=f"width={width}, head_dim={model.head_dim}",
            hint=f"use a multiple of {model.head_dim}, for example {-(-width // model.head_dim) * model.head_dim}",
        )
    if model.positions == "rotary" and model.head_dim % 2:
        raise UsageError(
            "`head_dim % 2 == 0` must hold for rotary positions, which turn pairs of coordinates",
            received=f"head_dim={model.head_dim}",
            hint="use an even head_dim or `positions: learned`",
        )


def model_builder(model: Model) -> Callable[[int, int], nn.Module]:
    """`build_model` of one section as a function of width and depth, on the current device."""
    return lambda width, depth: build_model(model, width, depth, device=None)


# What training costs, counted as the literature counts it.


def training_flops(module: nn.Module, predictions: int, context: int) -> float:
    """Floating point operations of a training run.

    Per prediction 6 for each weight of a linear layer (2 forward, 4 backward; Kaplan et al., arXiv 2001.08361, table 1)
    and 12 * width * context for each attention (PaLM, arXiv 2204.02311, appendix B; causality is not discounted).
    Embedding look-ups, norms, the optimizer and, of models that are not built in, convolutions, attention and stacked
    experts are not counted: their runs are counted by `forward_cost`.

    Args:
        module: a model, on any device.
        predictions: predicted positions over the whole run.
        context: length of the sequences that attention sees.

    Returns:
        The count.
    """
    weights = sum(_weights(layer) for layer in module.modules())
    attention = sum(12 * layer.q.out_features * context for layer in module.modules() if isinstance(layer, Block))
    return float((6 * weights + attention) * predictions)


def _weights(layer: nn.Module) -> int:
    """Weights of a linear layer, GPT-2's own kind in transformers included; 0 for other layers."""
    if not (isinstance(layer, nn.Linear) or (type(layer).__name__ == "Conv1D" and hasattr(layer, "nf"))):
        return 0
    weight = layer.weight
    return weight.numel() if isinstance(weight, nn.Parameter) else 0
