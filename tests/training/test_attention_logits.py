"""What softmax sees in an attention, and the scale that was used, whichever way the attention is written."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hptransfer.training.attention_logits import AttentionLogits

WIDTH, HEADS, TOKENS = 64, 4, 8
HEAD_DIM = WIDTH // HEADS


class Written(nn.Module):
    """Attention of one fused projection, with logits as `product` makes them of queries and keys."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.qkv, self.product = nn.Linear(WIDTH, 3 * WIDTH), product

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        """Mask, softmax, and the product with values."""
        q, k, v = (part.unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2) for part in self.qkv(x_BxTxD).chunk(3, dim=-1))
        logits = self.product(q, k).masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), -math.inf)
        weights: Tensor = functional.softmax(logits, dim=-1) @ v
        return weights


def looked(module: nn.Module, *inputs: Tensor) -> AttentionLogits:
    """What one pass in evaluation mode shows."""
    attention = AttentionLogits()
    with torch.no_grad(), attention:
        module.eval()(*inputs)
    return attention


@pytest.mark.parametrize(
    ("product", "scale"),
    [
        (lambda q, k: q @ k.mT / math.sqrt(HEAD_DIM), HEAD_DIM**-0.5),
        (lambda q, k: (q * HEAD_DIM**-1) @ k.mT, 1 / HEAD_DIM),
        (lambda q, k: (q * HEAD_DIM**-0.25) @ (k * HEAD_DIM**-0.25).mT, HEAD_DIM**-0.5),
        (lambda q, k: torch.einsum("bhqk,bhtk->bhqt", q, k) * torch.tensor(0.5), 0.5),
        (lambda q, k: q @ k.mT, 1.0),
        (lambda q, k: 30 * torch.tanh(q @ k.mT * 0.25 / 30), 0.25),
    ],
)
def test_a_scale_is_read_wherever_it_is_applied(product: Callable[[Tensor, Tensor], Tensor], scale: float) -> None:
    """Scalars before and after the product of queries and keys multiply, whoever applies them."""
    attention = looked(Written(product), torch.randn(2, TOKENS, WIDTH))

    assert attention.summed == pytest.approx([scale * HEAD_DIM])
    assert [tuple(each.shape) for each in attention.seen] == [(2, HEADS, TOKENS, TOKENS)]


def test_torchs_own_layers_are_seen() -> None:
    """nn.MultiheadAttention with and without weights, and a whole encoder layer, divide by the root of head_dim."""

    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            attended: Tensor = self.attention(x, x, x, need_weights=True)[0]
            return attended

    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, batch_first=True, norm_first=True)

    for module in (Weighted(), layer):
        assert looked(module, torch.randn(2, TOKENS, WIDTH)).summed == pytest.approx([math.sqrt(HEAD_DIM)])


def test_other_softmaxes_are_none_of_attention() -> None:
    """A router's scores and logits of classes are products with a weight."""
    router = nn.Sequential(nn.Linear(WIDTH, 4), nn.Softmax(dim=-1))

    assert looked(router, torch.randn(2, TOKENS, WIDTH)).seen == []
