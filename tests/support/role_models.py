"""Models whose roles the tests read: each is `name(width, depth) -> module`, written as its user would, small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Builder = Callable[[int, int], nn.Module]
VOCABULARY = 16


class Parts(nn.Module):
    """Modules and raw parameters under names."""

    def __init__(self, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def raw(*shape: int) -> nn.Parameter:
    """A parameter whose module says nothing."""
    return nn.Parameter(torch.empty(shape).normal_())


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer without a bias."""
    return nn.Linear(inputs, outputs, bias=False)


def around(width: int, layers: nn.Module) -> nn.Module:
    """A table before the layers and a readout behind them."""
    return Parts(table=nn.Embedding(VOCABULARY, width), layers=layers, head=linear(width, VOCABULARY))


def stack(width: int, depth: int, layer: Callable[[int], nn.Module]) -> nn.Module:
    """As many layers as the depth, in an nn.ModuleList."""
    return around(width, nn.ModuleList(layer(width) for _ in range(depth)))


def block(width: int) -> nn.Module:
    """A block of two branches."""
    return Parts(
        norm=nn.LayerNorm(width),
        qkv=linear(width, 3 * width),
        out=nn.Linear(width, width),
        up=linear(width, 4 * width),
        down=nn.Linear(4 * width, width),
    )


def sequential(width: int, depth: int) -> nn.Module:
    """A regressor whose names are numbers; its inputs and outputs are as many as the base is wide."""
    hidden = [each for _ in range(depth) for each in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), *hidden, nn.Linear(width, 64))


def nested_sequential(width: int, depth: int) -> nn.Module:
    """Layers of layers, all under numbers; the last holds a hidden matrix and the readout."""
    hidden = [nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()) for _ in range(depth)]
    first = nn.Sequential(nn.Linear(8, width), nn.LayerNorm(width), nn.ReLU())
    return nn.Sequential(first, *hidden, nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)))


def sequential_blocks(width: int, depth: int) -> nn.Module:
    """A table, blocks, a norm and a readout in one nn.Sequential."""
    blocks = [block(width) for _ in range(depth)]
    return nn.Sequential(nn.Embedding(VOCABULARY, width), *blocks, nn.LayerNorm(width), linear(width, VOCABULARY))


def attributes(width: int, depth: int) -> nn.Module:
    """layer_0, layer_1, ... as attributes."""
    layers = {f"layer_{index}": block(width) for index in range(depth)}
    return Parts(table=nn.Embedding(VOCABULARY, width), **layers, head=linear(width, VOCABULARY))


def dictionary(width: int, depth: int) -> nn.Module:
    """block0, block1, ... in an nn.ModuleDict."""
    return around(width, nn.ModuleDict({f"block{index}": block(width) for index in range(depth)}))


def two_stacks(width: int, depth: int) -> nn.Module:
    """An encoder, and a decoder of twice its depth."""
    return Parts(
        table=nn.Embedding(VOCABULARY, width),
        encoder=nn.ModuleList(block(width) for _ in range(depth)),
        decoder=nn.ModuleList(block(width) for _ in range(2 * depth)),
        head=linear(width, VOCABULARY),
    )


def residual_stages(width: int, depth: int) -> nn.Module:
    """Two stages of convolutions, the second twice as wide, its first block with a shortcut of its own."""

    def stage(inputs: int, outputs: int) -> nn.Sequential:
        blocks = []
        for index in range(depth):
            into = inputs if index == 0 else outputs
            parts: dict[str, nn.Module] = {
                "conv1": nn.Conv2d(into, outputs, 3, bias=False),
                "norm": nn.BatchNorm2d(outputs),
                "conv2": nn.Conv2d(outputs, outputs, 3, bias=False),
            }
            if into != outputs:
                parts["shortcut"] = nn.Conv2d(into, outputs, 1, bias=False)
            blocks.append(Parts(**parts))
        return nn.Sequential(*blocks)

    return Parts(
        stem=nn.Conv2d(3, width, 3),
        layer1=stage(width, width),
        layer2=stage(width, 2 * width),
        fc=linear(2 * width, 10),
    )


def mixture(width: int, depth: int, *, dense: int = 1) -> nn.Module:
    """Low-rank attention; dense layers first, then a router, listed experts and a shared one."""

    def feed_forward(index: int) -> nn.Module:
        if index < dense:
            return Parts(up=linear(width, 2 * width), down_proj=linear(2 * width, width))
        expert = [Parts(up=linear(width, width), down_proj=linear(width, width)) for _ in range(8)]
        shared = Parts(up=linear(width, 2 * width), down_proj=linear(2 * width, width))
        return Parts(gate=linear(width, 8), experts=nn.ModuleList(expert), shared=shared)

    def attention() -> nn.Module:
        return Parts(
            q_a=linear(width, 24),
            q_norm=nn.RMSNorm(24),
            q_b=linear(24, width),
            kv_a=linear(width, 12 + 8),  # low-rank keys and values, and a rotary part that goes on alone
            kv_norm=nn.RMSNorm(12),
            kv_b=linear(12, 2 * width),
            o_proj=linear(width, width),
        )

    layers = [Parts(norm=nn.RMSNorm(width), attention=attention(), mlp=feed_forward(index)) for index in range(depth)]
    return around(width, nn.ModuleList(layers))


def fixed_key_values(width: int, depth: int) -> nn.Module:
    """Attention whose keys and values have a fixed number of heads."""
    return stack(width, depth, lambda w: Parts(q=linear(w, w), k=linear(w, 32), v=linear(w, 32), o=linear(w, w)))


def gated(width: int, depth: int) -> nn.Module:
    """Blocks with one gate each."""
    return stack(width, depth, lambda w: Parts(up=linear(w, 4 * w), down=linear(4 * w, w), gate=nn.Linear(w, 1)))


def adapters(width: int, depth: int) -> nn.Module:
    """Low-rank pairs beside a frozen matrix, as LoRA has them."""

    def layer(w: int) -> nn.Module:
        base = linear(w, w)
        base.weight.requires_grad_(False)
        return Parts(base=base, lora_a=linear(w, 4), lora_b=linear(4, w))

    return stack(width, depth, layer)


def state_space(width: int, depth: int) -> nn.Module:
    """The parameters of a Mamba block."""

    def layer(w: int) -> nn.Module:
        return Parts(
            in_proj=linear(w, 4 * w),
            conv1d=nn.Conv1d(2 * w, 2 * w, 4, groups=2 * w),
            x_proj=linear(2 * w, 33),  # one step size, 16 inputs and 16 outputs of the state
            dt_proj=nn.Linear(1, 2 * w),
            A_log=raw(2 * w, 16),
            D=raw(2 * w),
            out_proj=linear(2 * w, w),
        )

    return stack(width, depth, layer)


def heads_tensors(width: int, depth: int) -> nn.Module:
    """Projections for einsum: width x heads x head_dim, and back."""
    return stack(width, depth, lambda w: Parts(w_q=raw(w, w // 16, 16), w_o=raw(w // 16, 16, w)))


def stacked_experts(width: int, depth: int) -> nn.Module:
    """Experts stacked as inputs x outputs."""
    return stack(width, depth, lambda w: Parts(router=linear(w, 4), up=raw(4, w, 2 * w), down=raw(4, 2 * w, w)))


def stacked_experts_by_output(width: int, depth: int) -> nn.Module:
    """Experts stacked as outputs x inputs, gates and values in one, as transformers has them; the router is raw."""
    return stack(
        width, depth, lambda w: Parts(router=Parts(weight=raw(4, w)), gate_up=raw(4, 4 * w, w), down=raw(4, w, 2 * w))
    )


def raw_head(width: int, depth: int) -> nn.Module:
    """A readout that is a raw parameter."""
    layers = nn.ModuleList(linear(width, width) for _ in range(depth))
    return Parts(table=nn.Embedding(VOCABULARY, width), layers=layers, head=raw(VOCABULARY, width))


def tokens_and_positions(width: int, depth: int) -> nn.Module:
    """A class token and a table of positions that are raw parameters."""
    model = stack(width, depth, lambda w: linear(w, w))
    model.cls, model.positions = raw(1, 1, width), raw(1, 9, width)
    return model


def layer_scale(width: int, depth: int) -> nn.Module:
    """A gain for every channel of a branch."""
    return stack(width, depth, lambda w: Parts(up=linear(w, w), scale=raw(w)))


def bottlenecks(width: int, depth: int) -> nn.Module:
    """A matrix with few outputs in each layer, and nothing that says what they are for."""
    return stack(width, depth, lambda w: Parts(inner=linear(w, w), scores=linear(w, 6)))


def own_linear(width: int, depth: int) -> nn.Module:
    """Matrices of a class of one's own, under numbers."""
    hidden = [Parts(kernel=raw(width, width)) for _ in range(depth)]
    return nn.Sequential(Parts(kernel=raw(4, width)), *hidden, Parts(kernel=raw(width, 3)))


def parameter_list(width: int, depth: int) -> nn.Module:
    """Raw matrices in a list."""
    return around(width, nn.ParameterList(raw(width, width) for _ in range(depth)))


def upsampler(width: int, depth: int) -> nn.Module:
    """Transposed convolutions between convolutions."""
    body = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, stride=2) for _ in range(depth))
    return Parts(stem=nn.Conv2d(3, width, 3), body=body, out=nn.Conv2d(width, 3, 3))


def stacked_biases(width: int, depth: int) -> nn.Module:
    """Stacked experts with biases, and a raw router beside them."""
    return stack(
        width,
        depth,
        lambda w: Parts(
            up=raw(4, w, 2 * w), up_bias=raw(4, 2 * w), down=raw(4, 2 * w, w), down_bias=raw(4, w), router=raw(4, w)
        ),
    )


#: every model above, by name
MODELS: dict[str, Builder] = {
    function.__name__: function
    for function in (
        *(sequential, nested_sequential, sequential_blocks, attributes, dictionary, two_stacks, residual_stages),
        *(mixture, fixed_key_values, gated, adapters, state_space, heads_tensors, stacked_experts),
        *(stacked_experts_by_output, raw_head, tokens_and_positions, layer_scale, bottlenecks, own_linear),
        *(parameter_list, upsampler, stacked_biases),
    )
}
