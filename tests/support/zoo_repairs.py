"""Models of the zoo with the repairs that a check prints, made as their users would make them."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from tests.support import zoo

#: size of a head at the base: 64 / 4
BASE_HEAD_DIM = 16


class _Scaled(zoo.Block):
    """Attention logits times sqrt(base_head_dim) / head_dim."""

    def attention(self, x: Tensor) -> Tensor:
        """The same as its parent's but for the scale.

        Args:
            x: B x T x D stream, normed.
        """
        batch, context, width = x.shape
        q, k, v = (t.view(batch, context, self.heads, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        scale = math.sqrt(BASE_HEAD_DIM) / (width // self.heads)
        read = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        given: Tensor = self.proj(read.transpose(1, 2).reshape(batch, context, width))
        return given


def fixed_heads_scaled(width: int, depth: int) -> nn.Module:
    """`fixed_heads`, divided by head_dim.

    Args:
        width: of the stream, a multiple of 4.
        depth: number of blocks of the model.
    """
    model: nn.Module = zoo.fixed_heads(width, depth)
    for block in model.get_submodule("blocks").children():
        block.__class__ = _Scaled
    return model


def fixed_heads_more(width: int, depth: int) -> nn.Module:
    """`fixed_heads`, whose heads keep their size and grow in number.

    Args:
        width: of the stream, a multiple of 16.
        depth: number of blocks of the model.
    """
    decoder: Any = zoo.Decoder
    model: nn.Module = decoder(width, depth, heads=width // BASE_HEAD_DIM)
    return model


def mha_more(width: int, depth: int) -> nn.Module:
    """`mha`, whose heads keep their size and grow in number.

    Args:
        width: of the stream, a multiple of 16.
        depth: number of blocks of the model.
    """
    model: nn.Module = zoo.mha(width, depth)
    model.blocks = nn.ModuleList(
        nn.TransformerEncoderLayer(
            width, width // BASE_HEAD_DIM, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        for _ in range(depth)
    )
    return model
