"""Models for the probe: plain PyTorch as users write it, `name(width, depth) -> nn.Module`, one peculiarity each."""

# ruff: noqa: D101, D102, N812  -- classes say what they are; `F` is how models are written
# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

VOCABULARY = 64
HEAD_DIM = 8


class NormalizedGain(nn.Module):
    """RMS norm by normalisation to the unit sphere, times sqrt(width): lucidrains' form."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.gain = width**0.5, nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) * self.scale * self.gain


class HandNorm(nn.Module):
    """RMS norm whose mean is a sum divided by the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        size = x.pow(2).sum(-1, keepdim=True) / x.shape[-1]
        return self.gain * (x / torch.sqrt(size + 1e-6))


class NormOverRoot(nn.Module):
    """RMS norm by `x.norm() * width**-0.5`, as released with the paper on RMSNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        size = x.norm(dim=-1, keepdim=True) * x.shape[-1] ** -0.5
        return x / (size + 1e-8) * self.gain


class OnePlus(nn.Module):
    """RMS norm with gain 1 + w."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1.0 + self.w)


class CausalAttention(nn.Module):
    """Attention written out: separate projections, masked softmax."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        bias: bool = False,
        power: float = 0.5,
        early: bool = False,
        qk_norm: Callable[[int], nn.Module] | None = None,
        softcap: float | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.power, self.early, self.softcap = heads, power, early, softcap
        self.q, self.k, self.v = (nn.Linear(width, width, bias=bias) for _ in range(3))
        self.out = nn.Linear(width, width, bias=bias)
        self.q_norm, self.k_norm = (qk_norm(width // heads) if qk_norm else nn.Identity() for _ in range(2))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (m(x).view(batch, time, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = self.q_norm(q), self.k_norm(k)
        scale = (width // self.heads) ** -self.power
        logits = (q * scale) @ k.transpose(-2, -1) if self.early else q @ k.transpose(-2, -1) * scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        mask = torch.triu(torch.ones(time, time, dtype=torch.bool), 1)
        probabilities = self.drop(torch.softmax(logits.masked_fill(mask, float("-inf")), -1))
        return self.out((probabilities @ v).transpose(1, 2).reshape(batch, time, width))


class Feed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down, self.drop = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.down(F.silu(self.up(x))))


class Layer(nn.Module):
    """One block; `form` says how branches join the stream."""

    def __init__(
        self, width: int, depth: int, index: int, form: str, norm: Callable[[int], nn.Module], **attention: Any
    ) -> None:
        super().__init__()
        heads = attention.pop("heads", None) or width // HEAD_DIM
        self.form, self.depth, self.index = form, depth, index
        self.attn, self.feed = CausalAttention(width, heads, **attention), Feed(width)
        self.first, self.second = norm(width), norm(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "parallel":
            h = self.first(x)
            return x + self.attn(h) + self.feed(self.second(x))
        if self.form == "in place":
            x = x.clone()
            x += self.attn(self.first(x))
            x += self.feed(self.second(x))
            return x
        if self.form == "after":  # post-LN, as in the first Transformer
            x = self.first(x + self.attn(x))
            return self.second(x + self.feed(x))
        factor = {"depth": 1 / math.sqrt(2 * self.depth), "index": 1 / math.sqrt(1 + self.index), "constant": 0.22}
        by = factor.get(self.form, 1.0)
        x = x + by * self.attn(self.first(x))
        return x + self.feed(self.second(x)) * by


class Bytes(nn.Module):
    """A decoder; `embed`, `logits` multiply where they say."""

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        form: str = "plain",
        norm: Callable[[int], nn.Module] = nn.LayerNorm,
        embed: float | Tensor | None = None,
        logits: float | None = None,
        before_head: float | None = None,
        positions: bool = False,
        tied: bool = False,
        checkpointed: bool = False,
        **attention: Any,
    ) -> None:
        super().__init__()
        self.tok, self.logits, self.before_head, self.checkpointed = (
            nn.Embedding(VOCABULARY, width),
            logits,
            before_head,
            checkpointed,
        )
        self.pos = nn.Embedding(32, width) if positions else None
        self.layers = nn.ModuleList(Layer(width, depth, index, form, norm, **attention) for index in range(depth))
        self.norm, self.head = norm(width), nn.Linear(width, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.tok.weight
        self.factor: float | None = None
        if isinstance(embed, Tensor):
            self.register_buffer("normalizer", embed, persistent=False)
        else:
            self.normalizer = embed

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tok(tokens)
        if self.pos is not None:
            x = x + self.pos(torch.arange(tokens.shape[1], device=tokens.device))
        if self.normalizer is not None:
            x = x * self.normalizer
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.checkpointed else layer(x)
        x = self.norm(x)
        if self.before_head is not None:
            x = x / self.before_head
        answer = self.head(x)
        return answer if self.logits is None else answer * self.logits


class Conditional(Bytes):
    """Logits times base width / width, at a line that runs only where that is not one."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__(width, depth)
        self.multiplier = 64 / width

    def forward(self, tokens: Tensor) -> Tensor:
        answer = super().forward(tokens)
        if self.multiplier != 1.0:
            answer = answer * self.multiplier
        return answer


class BasicBlock(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(2):
            for index in range(depth):
                outputs = width * 2**stage
                blocks.append(BasicBlock(channels, outputs, 2 if stage and not index else 1))
                channels = outputs
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


class Experts(nn.Module):
    """A mixture whose tokens are gathered per expert and added back."""

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(Feed(width) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = self.router(flat).softmax(-1).topk(2, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            rows, slot = torch.where(chosen == number)
            if len(rows):
                out.index_add_(0, rows, expert(flat[rows]) * weights[rows, slot, None])
        return out.view_as(x)


class StackedExperts(nn.Module):
    """A dense mixture with stacked weights."""

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Parameter(torch.randn(width, experts) / width**0.5)
        self.up = nn.Parameter(torch.randn(experts, width, 2 * width) / width**0.5)
        self.down = nn.Parameter(torch.randn(experts, 2 * width, width) / (2 * width) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.softmax(x @ self.router, -1)
        hidden = torch.relu(torch.einsum("btd,edf->betf", x, self.up))
        return torch.einsum("betd,bte->btd", torch.einsum("betf,efd->betd", hidden, self.down), gates)


class Mixture(nn.Module):
    def __init__(self, width: int, depth: int, kind: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.tok, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.mixtures = nn.ModuleList(kind(width) for _ in range(depth))

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        x = self.tok(tokens)
        for norm, mixture in zip(self.norms, self.mixtures, strict=True):
            x = x + mixture(norm(x))
        return {"logits": self.head(x), "hidden": x}


class DiTBlock(nn.Module):
    """Modulated by a condition: shift, scale and gate of each branch come from one linear layer that starts at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attn = nn.MultiheadAttention(width, heads, dropout=0.1, batch_first=True)
        self.feed = Feed(width)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nn.init.zeros_(self.modulation[1].get_parameter("weight"))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        a, b, g, d, e, f = self.modulation(c)[:, None].chunk(6, -1)
        h = self.norm(x) * (1 + b) + a
        x = x + g * self.attn(h, h, h, need_weights=False)[0]
        return x + f * self.feed(self.norm(x) * (1 + e) + d)


class DiT(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.pos = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.time = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(10, width)
        self.blocks = nn.ModuleList(DiTBlock(width, width // HEAD_DIM) for _ in range(depth))
        self.norm, self.out = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, 48)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(8, device=t.device) / 8)
        c = self.time(torch.cat([angles.cos(), angles.sin()], -1)) + self.label(y)
        for block in self.blocks:
            x = block(x, c)
        return self.out(self.norm(x))


class Looped(nn.Module):
    """One block, run `depth` times; `with_input` adds the embedding again each time."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.depth, self.tok, self.head = depth, nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.block = Layer(width, depth, 0, "plain", nn.LayerNorm)

    def forward(self, tokens: Tensor) -> tuple[Tensor, None]:
        x = self.tok(tokens)
        for _ in range(self.depth):
            x = self.block(x)
        return self.head(x), None


class Recurrent(nn.Module):
    def __init__(self, width: int, depth: int, kind: str = "LSTM") -> None:
        super().__init__()
        self.tok, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.rnn = getattr(nn, kind)(width, width, num_layers=depth, batch_first=True, dropout=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.rnn(self.tok(tokens))[0])
        return out


class UNet(nn.Module):
    """Skips are concatenated: no residual stream."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.inputs = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(depth))
        self.up = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(depth))
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x, kept = self.inputs(image), []
        for layer in self.down:
            kept.append(x)
            x = F.relu(layer(x))
        for layer in self.up:
            skip = kept.pop()
            x = F.relu(layer(torch.cat([F.interpolate(x, size=skip.shape[-2:]), skip], 1)))
        out: Tensor = self.out(x)
        return out


class Rotary(nn.Module):
    """Rotary positions, fused projections cut from one raw tensor, scaled weights, a temperature."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.width, self.depth = width, depth
        self.tok = nn.Parameter(torch.randn(VOCABULARY, width))
        self.qkv = nn.ParameterList(nn.Parameter(torch.randn(3 * width, width)) for _ in range(depth))
        self.out = nn.ParameterList(nn.Parameter(torch.randn(width, width)) for _ in range(depth))
        self.temperature = nn.Parameter(torch.ones(()))
        self.head = nn.Parameter(torch.randn(width, VOCABULARY))
        angles = torch.outer(torch.arange(32.0), 1 / 100 ** torch.linspace(0, 1, HEAD_DIM // 2)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    cos: Tensor
    sin: Tensor

    def rotate(self, x: Tensor) -> Tensor:
        low, high = x.chunk(2, -1)
        time = x.shape[-2]
        return x * self.cos[:time] + torch.cat([-high, low], -1) * self.sin[:time]

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok[ids]
        for qkv, out in zip(self.qkv, self.out, strict=True):
            weights = (qkv * self.width**-0.5).split(self.width)
            h = F.rms_norm(x, (self.width,))
            q, k, v = (F.linear(h, w).reshape(*h.shape[:-1], -1, HEAD_DIM).transpose(1, 2) for w in weights)
            a = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True, scale=1 / HEAD_DIM)
            x = x + F.linear(a.transpose(1, 2).flatten(-2), out) / self.width**0.5 / self.depth
        return torch.matmul(x, self.head) / self.width * self.temperature


class Cosine(nn.Module):
    """Two towers, compared by the cosine of their outputs times a temperature."""

    def __init__(self, width: int, depth: int, *, normed: bool = True) -> None:
        super().__init__()
        self.normed = normed
        self.user, self.item = nn.Embedding(50, width), nn.Embedding(50, width)
        self.tower = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        u, v = self.tower(self.user(users)), self.tower(self.item(items))
        if self.normed:
            u, v = F.normalize(u, dim=-1), F.normalize(v, dim=-1)
        return u @ v.transpose(-1, -2) / 0.07


class MeanOfExperts(nn.Module):
    """Sums over experts and over the width, divided by how many there are: sizes taken back by hand."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(width // 8, 12, width) / 12**0.5)
        self.down = nn.Parameter(torch.randn(width, 5) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(torch.einsum("bi,eiw->bew", x, self.up)).sum(1) / self.up.shape[0]
        return (hidden - hidden.sum(-1, keepdim=True) / hidden.shape[-1]) @ self.down


class OutputThenInput(nn.Module):
    """Numbers of the width at every kind of place in a regressor without a residual stream."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (
            nn.Linear(12, width),
            nn.Linear(width, width),
            nn.Linear(width, width),
            nn.Linear(width, 1),
        )
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x) * self.width**0.5)  # output of a
        x = torch.tanh(self.b(x)) / self.width  # input of c
        x = torch.tanh(self.c(x)) * self.width**-0.25
        return (self.d(x) + x.sum(-1, keepdim=True) * 0.1) * 1.0  # the number before stands before a sum: open


class Adapted(nn.Module):
    """Low-rank updates beside frozen weights, inside the branch."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tok, self.head = nn.Embedding(VOCABULARY, width).requires_grad_(False), nn.Linear(width, VOCABULARY)
        self.up, self.down = (nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(2))
        self.a = nn.ModuleList(nn.Linear(width, 4, bias=False) for _ in range(depth))
        self.b = nn.ModuleList(nn.Linear(4, width, bias=False) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tok(tokens)
        for up, down, a, b in zip(self.up, self.down, self.a, self.b, strict=True):
            x = x + down(torch.tanh(up(x) + 2.0 * b(a(F.dropout(x, 0.1)))))
        answer: Tensor = self.head(x)
        return answer


class ValueResidual(nn.Module):
    """Values of the first layer are mixed into those of the others: a sum that is no residual stream."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.tok, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.q, self.v, self.o = (nn.ModuleList(nn.Linear(width, width) for _ in range(depth)) for _ in range(3))
        self.mix = nn.Parameter(torch.ones(2))

    def forward(self, tokens: Tensor) -> Tensor:
        x, first = self.tok(tokens), None
        for q, v, o in zip(self.q, self.v, self.o, strict=True):
            h = F.rms_norm(x, x.shape[-1:])
            value = v(h) if first is None else self.mix[0] * v(h) + self.mix[1] * first
            first = value if first is None else first
            keys = q(h)[:, None]
            x = x + o(F.scaled_dot_product_attention(keys, keys, value[:, None], is_causal=True)[:, 0])
        answer: Tensor = self.head(x)
        return answer


class Curved(nn.Module):
    """Blocks that add a curve of a weight: `relu` passes a factor, `tanh` does not."""

    def __init__(self, width: int, depth: int, curve: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.curve, self.first, self.last = curve, nn.Linear(7, width), nn.Linear(width, 2)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = x + self.curve(layer(x))
        answer: Tensor = self.last(x)
        return answer


class HandGelu(nn.Module):
    """A plain MLP whose GELU is written out: its sums are no residual stream."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width if index else 7, width) for index in range(depth + 1))
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
            x = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        answer: Tensor = self.last(x)
        return answer


class Factorized(nn.Module):
    """Users and items with biases: the answer is a product."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(100, width), nn.Embedding(90, width)
        self.bias = nn.Embedding(100, 1)

    def forward(self, user_ids: Tensor, item_ids: Tensor) -> Tensor:
        return (self.user(user_ids) * self.item(item_ids)).sum(-1) + self.bias(user_ids)[..., 0]


class Encoder(nn.Module):
    """A time series through torch's own encoder."""

    def __init__(self, width: int, depth: int, *, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, batch_first=True, norm_first=norm_first)
        self.first, self.last = nn.Linear(10, width), nn.Linear(width, 1)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, series: Tensor) -> Tensor:
        answer: Tensor = self.last(self.encoder(self.first(series)).mean(1))
        return answer


class Loud(nn.Module):
    """Prints, draws, warns and changes flags, as scripts do."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        print("building", width)
        random.random(), np.random.rand(), torch.rand(3)
        self.layer = nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        warnings.warn("careful", stacklevel=1)
        print("running")
        answer: Tensor = self.layer(x)
        return answer * random.random()


class Broken(nn.Module):
    """Raises after its first layer; wider or deeper than `limit` it cannot be built."""

    def __init__(self, width: int, depth: int, *, limit: int | None = None) -> None:
        super().__init__()
        if limit is not None and max(width, 16 * depth) > limit:
            raise ValueError("too large")
        self.layer, self.limit = nn.Linear(4, width), limit

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layer(x)
        if self.limit is None:
            raise KeyError("a name that is not there")
        return answer
