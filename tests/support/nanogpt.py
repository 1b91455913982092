"""nanoGPT's model as it is without muP, tied: what a user tunes whose framework is to be nanoGPT-mup."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

VOCABULARY, CONTEXT = 64, 32


class _Attention(nn.Module):
    def __init__(self, width: int, head_dim: int, bias: bool) -> None:
        super().__init__()
        self.heads = width // head_dim
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        b, t, d = x_BxTxD.shape
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.c_attn(x_BxTxD).split(d, dim=2))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.c_proj(y.transpose(1, 2).reshape(b, t, d))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        out: Tensor = self.c_proj(functional.gelu(self.c_fc(x_BxTxD)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, head_dim: int, bias: bool) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width, bias=bias), _Attention(width, head_dim, bias)
        self.ln_2, self.mlp = nn.LayerNorm(width, bias=bias), _Mlp(width, bias)

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        x_BxTxD = x_BxTxD + self.attn(self.ln_1(x_BxTxD))
        out: Tensor = x_BxTxD + self.mlp(self.ln_2(x_BxTxD))
        return out


class _Gpt(nn.Module):
    """Tokens to logits; the token table reads out."""

    def __init__(self, width: int, depth: int, head_dim: int, bias: bool, smaller_writers: bool, std: float) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCABULARY, width),
                "wpe": nn.Embedding(CONTEXT, width),
                "h": nn.ModuleList(_Block(width, head_dim, bias) for _ in range(depth)),
                "ln_f": nn.LayerNorm(width, bias=bias),
            }
        )
        self.lm_head = nn.Linear(width, VOCABULARY, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight  # type: ignore[assignment]  # an Embedding's
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                smaller = math.sqrt(2 * depth) if smaller_writers and name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=std / smaller)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, idx_BxT: Tensor) -> Tensor:
        x_BxTxD = self.transformer["wte"](idx_BxT) + self.transformer["wpe"].weight[: idx_BxT.shape[1]]  # type: ignore[index]  # torch types a ModuleDict's entries as tensors too
        for block in self.transformer["h"]:  # type: ignore[attr-defined]  # a ModuleList
            x_BxTxD = block(x_BxTxD)
        logits: Tensor = self.lm_head(self.transformer["ln_f"](x_BxTxD))
        return logits


def nanogpt(
    width: int, depth: int, *, head_dim: int = 16, bias: bool = False, smaller_writers: bool = True, std: float = 0.02
) -> nn.Module:
    """The model at a size.

    Args:
        width: of the residual stream.
        depth: number of blocks of the model.
        head_dim: numbers per head, at every width.
        bias: of linear layers and norms.
        smaller_writers: draw what writes the residual stream smaller by sqrt(2 depth), as nanoGPT does; the branch
            completep of nanoGPT-mup does not.
        std: of what is drawn.
    """
    return _Gpt(width, depth, head_dim, bias, smaller_writers, std)
