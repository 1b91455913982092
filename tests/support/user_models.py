"""Models as their users write them, each `name(width, depth) -> nn.Module`, with a batch and a loss of its own.

Names, inits and layouts are those that the public models of each kind have: GPT-2's init with smaller residual writers,
fused queries, keys and values, RMS norms of one's own, batch norms, adaLN-zero, two towers, a selective scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY, CONTEXT, HEAD_DIM = 64, 32, 16

# A GPT-2 in a few classes: tied or not, dropout, learned positions, writers drawn smaller by the depth.


class GptAttention(nn.Module):
    """Causal attention with queries, keys and values in one matrix."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.n_head = n_embd // HEAD_DIM
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """B x T x C to the same."""
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.n_head, -1).transpose(1, 2) for y in self.c_attn(x).split(c, dim=2))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.c_proj(y.transpose(1, 2).reshape(b, t, c))
        return out


class GptBlock(nn.Module):
    """Attention and MLP, each behind a norm."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(n_embd), GptAttention(n_embd)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(n_embd, 4 * n_embd), "c_proj": nn.Linear(4 * n_embd, n_embd)})

    def forward(self, x: Tensor) -> Tensor:
        """B x T x C to the same."""
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(x))))
        return out


class Gpt(nn.Module):
    """Tokens to logits."""

    def __init__(self, n_embd: int, n_layer: int, *, tied: bool = False) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(VOCABULARY, n_embd),
                "wpe": nn.Embedding(CONTEXT, n_embd),
                "h": nn.ModuleList(GptBlock(n_embd) for _ in range(n_layer)),
                "ln_f": nn.LayerNorm(n_embd),
            }
        )
        self.lm_head = nn.Linear(n_embd, VOCABULARY, bias=False)
        if tied:
            self.lm_head.weight = self.transformer["wte"].weight  # type: ignore[assignment]  # an Embedding's
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def forward(self, idx: Tensor) -> Tensor:
        """B x T to B x T x V."""
        pos = torch.arange(idx.shape[1], device=idx.device)
        x = self.transformer["wte"](idx) + self.transformer["wpe"](pos)
        for block in self.transformer["h"]:  # type: ignore[attr-defined]  # a ModuleList
            x = block(x)
        logits: Tensor = self.lm_head(self.transformer["ln_f"](x))
        return logits


def nanogpt(width: int, depth: int, *, tied: bool = False) -> nn.Module:
    """GPT-2 as a small training script has it."""
    return Gpt(width, depth, tied=tied)


# A Llama in one file: a norm of its own, rotary positions, SwiGLU.


class RMSNorm(nn.Module):
    """Root mean square norm with a gain."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs of coordinates: B x T x H x K."""
    a, b = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = cos[None, :, None], sin[None, :, None]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(3)


class LlamaBlock(nn.Module):
    """Attention with fewer key-value heads, and SwiGLU."""

    def __init__(self, dim: int, n_kv_heads: int = 2) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads = dim // HEAD_DIM, n_kv_heads
        hidden = 32 * ((int(2 * 4 * dim / 3) + 31) // 32)
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, n_kv_heads * HEAD_DIM, bias=False)
        self.wv = nn.Linear(dim, n_kv_heads * HEAD_DIM, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)
        self.w1, self.w3 = nn.Linear(dim, hidden, bias=False), nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        self.attention_norm, self.ffn_norm = RMSNorm(dim), RMSNorm(dim)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """B x T x D to the same."""
        b, t, d = x.shape
        h = self.attention_norm(x)
        q = rotate(self.wq(h).view(b, t, self.n_heads, HEAD_DIM), cos, sin)
        k = rotate(self.wk(h).view(b, t, self.n_kv_heads, HEAD_DIM), cos, sin)
        v = self.wv(h).view(b, t, self.n_kv_heads, HEAD_DIM)
        k, v = (y.repeat_interleave(self.n_heads // self.n_kv_heads, dim=2) for y in (k, v))
        scores = q.transpose(1, 2) @ k.permute(0, 2, 3, 1) / math.sqrt(HEAD_DIM)
        scores = scores + torch.full((t, t), float("-inf")).triu(1)
        y = functional.softmax(scores, dim=-1) @ v.transpose(1, 2)
        x = x + self.wo(y.transpose(1, 2).reshape(b, t, d))
        h = self.ffn_norm(x)
        out: Tensor = x + self.w2(functional.silu(self.w1(h)) * self.w3(h))
        return out


class Llama(nn.Module):
    """Tokens to logits."""

    def __init__(self, dim: int, n_layers: int, *, tied: bool = False) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(VOCABULARY, dim)
        self.layers = nn.ModuleList(LlamaBlock(dim) for _ in range(n_layers))
        self.norm = RMSNorm(dim)
        self.output = nn.Linear(dim, VOCABULARY, bias=False)
        if tied:
            self.tok_embeddings.weight = self.output.weight
        angles = torch.outer(torch.arange(CONTEXT), 1.0 / 10000 ** (torch.arange(0, HEAD_DIM, 2) / HEAD_DIM))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                writes = name.endswith(("w2.weight", "wo.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * n_layers) if writes else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x T to B x T x V."""
        h = self.tok_embeddings(tokens)
        cos, sin = (buffer[: tokens.shape[1]] for buffer in (self.cos, self.sin))  # type: ignore[index]  # buffers
        for layer in self.layers:
            h = layer(h, cos, sin)
        logits: Tensor = self.output(self.norm(h))
        return logits


def llama2c(width: int, depth: int, *, tied: bool = False) -> nn.Module:
    """A Llama as a small training script has it."""
    return Llama(width, depth, tied=tied)


# A residual network of images.


class BasicBlock(nn.Module):
    """Two convolutions with batch norms, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(x + self.bn2(self.conv2(y)))


class ResNet(nn.Module):
    """Images to class scores: one stage."""

    def __init__(self, channels: int, blocks: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(*(BasicBlock(channels) for _ in range(blocks)))
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """B x 3 x H x W to B x classes."""
        x = self.layer1(functional.relu(self.bn1(self.conv1(images))))
        scores: Tensor = self.fc(x.mean(dim=(2, 3)))
        return scores


def resnet(width: int, depth: int) -> nn.Module:
    """A ResNet of basic blocks."""
    return ResNet(width, depth)


# A diffusion transformer with adaLN-zero.


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """B x T x D with one shift and scale per example."""
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class DitBlock(nn.Module):
    """A block whose norms and gates are made by the condition."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.attn = nn.MultiheadAttention(hidden_size, hidden_size // HEAD_DIM, batch_first=True)
        self.norm2 = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * hidden_size, hidden_size),
        )
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 6 * hidden_size))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """B x T x D under a condition of B x D."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, dim=1)
        h = modulate(self.norm1(x), shift_a, scale_a)
        x = x + gate_a.unsqueeze(1) * self.attn(h, h, h, need_weights=False)[0]
        out: Tensor = x + gate_m.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift_m, scale_m))
        return out


class DiT(nn.Module):
    """Noisy patches, a time and a class to predicted noise."""

    def __init__(self, hidden_size: int, depth: int, patch: int = 12, tokens: int = 16, classes: int = 8) -> None:
        super().__init__()
        self.x_embedder = nn.Linear(patch, hidden_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, hidden_size), requires_grad=False)
        self.t_embedder = nn.Sequential(nn.Linear(64, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size))
        self.y_embedder = nn.Embedding(classes, hidden_size)
        self.blocks = nn.ModuleList(DitBlock(hidden_size) for _ in range(depth))
        self.norm_final = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.final_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden_size, 2 * hidden_size))
        self.linear = nn.Linear(hidden_size, patch)
        self.initialize_weights()

    def initialize_weights(self) -> None:
        """Xavier for linear layers, sinusoids for positions, zeros for gates and the output."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        tokens, width = self.pos_embed.shape[1:]
        omega = 1.0 / 10000 ** (torch.arange(width // 2) / (width / 2))
        angles = torch.outer(torch.arange(tokens), omega)
        self.pos_embed.data.copy_(torch.cat([angles.sin(), angles.cos()], dim=1)[None])
        nn.init.normal_(self.y_embedder.weight, std=0.02)
        for each in (self.t_embedder[0], self.t_embedder[2]):
            nn.init.normal_(each.weight, std=0.02)  # type: ignore[arg-type]  # a Linear's
        gates: list[Any] = [block.adaLN_modulation[-1] for block in self.blocks]  # type: ignore[index]  # Sequential
        for made in [*gates, self.final_modulation[-1], self.linear]:
            nn.init.zeros_(made.weight)
            nn.init.zeros_(made.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """B x T x patch, times of B, classes of B."""
        freqs = torch.exp(-math.log(10000) * torch.arange(32, device=t.device) / 32)
        times = t[:, None].float() * freqs[None]
        c = self.t_embedder(torch.cat([times.cos(), times.sin()], dim=-1)) + self.y_embedder(y)
        h = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.final_modulation(c).chunk(2, dim=1)
        out: Tensor = self.linear(modulate(self.norm_final(h), shift, scale))
        return out


def dit(width: int, depth: int) -> nn.Module:
    """A diffusion transformer."""
    return DiT(width, depth)


# Two towers whose outputs are compared by a dot product.


class Tower(nn.Module):
    """Features to a point of fixed dimension."""

    def __init__(self, inputs: int, width: int, depth: int, outputs: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(inputs, width), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Linear(width, width), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """B x inputs to B x outputs."""
        out: Tensor = self.net(x)
        return out


class TwoTower(nn.Module):
    """How well users and items match."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.user, self.item = Tower(24, width, depth), Tower(12, width, depth)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """B x 24 and B x 12 to B x B scores."""
        scores: Tensor = self.user(user) @ self.item(item).T
        return scores


def two_tower(width: int, depth: int) -> nn.Module:
    """Retrieval by two towers; the dimension in which they are compared does not grow."""
    return TwoTower(width, depth)


# A selective state space.


class MambaBlock(nn.Module):
    """Projection, short convolution, selective scan, gate."""

    def __init__(self, d_model: int, d_state: int = 8, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        d_inner, self.d_state, self.dt_rank = expand * d_model, d_state, max(1, d_model // 16)
        self.norm = nn.LayerNorm(d_model)
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, d_state + 1).float()).repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        bound = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        dt = torch.exp(torch.rand(d_inner) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)).clamp(min=1e-4)
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Tensor) -> Tensor:
        """B x T x D to the same."""
        steps = x.shape[1]
        u, z = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        u = functional.silu(self.conv1d(u.transpose(1, 2))[..., :steps].transpose(1, 2))
        dt, b, c = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        dt = functional.softplus(self.dt_proj(dt))
        decay = torch.exp(dt.unsqueeze(-1) * -torch.exp(self.A_log))
        drive = (dt * u).unsqueeze(-1) * b.unsqueeze(2)
        state, outputs = torch.zeros_like(drive[:, 0]), []
        for step in range(steps):
            state = decay[:, step] * state + drive[:, step]
            outputs.append((state * c[:, step].unsqueeze(1)).sum(-1))
        y = torch.stack(outputs, dim=1) + u * self.D
        out: Tensor = x + self.out_proj(y * functional.silu(z))
        return out


class Mamba(nn.Module):
    """Tokens to logits."""

    def __init__(self, d_model: int, n_layer: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, d_model)
        self.layers = nn.ModuleList(MambaBlock(d_model) for _ in range(n_layer))
        self.norm_f = nn.LayerNorm(d_model)
        self.lm_head = nn.Linear(d_model, VOCABULARY, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x T to B x T x V."""
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.lm_head(self.norm_f(x))
        return logits


def mamba(width: int, depth: int) -> nn.Module:
    """A state space model with a scan in plain torch."""
    return Mamba(width, depth)


def tabular(width: int, depth: int) -> nn.Module:
    """A regressor of tables, the most usual form there is."""
    layers: list[nn.Module] = [nn.Linear(16, width), nn.BatchNorm1d(width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


Batch = tuple[tuple[Tensor, ...], Callable[[Any], Tensor]]


def _tokens(generator: torch.Generator) -> Batch:
    tokens = torch.randint(0, VOCABULARY, (4, CONTEXT), generator=generator)
    return (tokens,), lambda logits: functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def _images(generator: torch.Generator) -> Batch:
    images = torch.randn(16, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 10, (16,), generator=generator)
    return (images,), lambda scores: functional.cross_entropy(scores, labels)


def _noise(generator: torch.Generator) -> Batch:
    noisy, noise = (torch.randn(8, 16, 12, generator=generator) for _ in range(2))
    times = torch.randint(0, 1000, (8,), generator=generator)
    classes = torch.randint(0, 8, (8,), generator=generator)
    return (noisy, times, classes), lambda predicted: functional.mse_loss(predicted, noise)


def _pairs(generator: torch.Generator) -> Batch:
    users, items = torch.randn(32, 24, generator=generator), torch.randn(32, 12, generator=generator)
    return (users, items), lambda scores: functional.cross_entropy(scores, torch.arange(32))


def _table(generator: torch.Generator) -> Batch:
    rows, target = torch.randn(64, 16, generator=generator), torch.randn(64, 1, generator=generator)
    return (rows,), lambda predicted: functional.mse_loss(predicted, target)


@dataclass(frozen=True)
class UserModel:
    """A model with what it is trained on.

    Attributes:
        build: from a width and a depth.
        batch: inputs and the loss of the model's output, from a generator.
        stream: whether its layers add to a residual stream, so that rules for depth apply.
    """

    build: Callable[[int, int], nn.Module]
    batch: Callable[[torch.Generator], Batch]
    stream: bool = True


USER_MODELS: Mapping[str, UserModel] = {
    "nanogpt": UserModel(nanogpt, _tokens),
    "llama2c": UserModel(llama2c, _tokens),
    "resnet": UserModel(resnet, _images),
    "dit": UserModel(dit, _noise),
    "two_tower": UserModel(two_tower, _pairs, stream=False),
    "mamba": UserModel(mamba, _tokens),
    "tabular": UserModel(tabular, _table, stream=False),
}
