"""What training costs, counted as the literature counts it."""

from __future__ import annotations

from torch import nn

from hptransfer.models.gpt import Block


def training_flops(module: nn.Module, predictions: int, context: int) -> float:
    """Floating point operations of a training run.

    Per prediction 6 for each weight of a linear layer (2 forward, 4 backward; Kaplan et al., arXiv 2001.08361, table 1)
    and 12 * width * context for each attention (PaLM, arXiv 2204.02311, appendix B; causality is not discounted).
    Embedding look-ups, norms, the optimizer and, of models that are not built in, attention and stacked experts are not
    counted.

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
