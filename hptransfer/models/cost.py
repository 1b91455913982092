"""What training costs, counted as the literature counts it."""

from __future__ import annotations

from torch import nn

from hptransfer.models.gpt import Block


def training_flops(module: nn.Module, predictions: int, context: int) -> float:
    """Floating point operations of a training run.

    Per prediction 6 for each weight of a linear layer (2 forward, 4 backward; Kaplan et al., arXiv 2001.08361, table 1)
    and 12 * width * context for each attention (PaLM, arXiv 2204.02311, appendix B; causality is not discounted).
    Embedding look-ups, norms and the optimizer are not counted.

    Args:
        module: a model, on any device.
        predictions: predicted positions over the whole run.
        context: length of the sequences that attention sees.

    Returns:
        The count.
    """
    weights = sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))
    attention = sum(12 * layer.q.out_features * context for layer in module.modules() if isinstance(layer, Block))
    return float((6 * weights + attention) * predictions)
