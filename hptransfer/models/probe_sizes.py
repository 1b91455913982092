"""The sizes at which a model is run to be asked: the base where it is small, else a smaller one with its layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import nn

from hptransfer.parameterization.groups import without_numbers

#: parameters of the largest model that is built on the CPU: 512 MB in float32
MOST_PARAMETERS = 128_000_000
#: the narrowest model that is tried in place of a large base
_NARROWEST = 32

#: (width, depth) -> module, under the current device
Builder = Callable[[int, int], nn.Module]
Shape = tuple[int, int]


def probe_sizes(build: Builder, base: Shape) -> Iterator[tuple[Shape, Shape, Shape]]:
    """Base, wider and deeper size of models that may be run, the best first: small ones with every kind of layer.

    Args:
        build: makes the module; called under the meta device here.
        base: width and depth of the recipe's base.

    Returns:
        Widths and depths, the first with the kinds of parameters that the base has; nothing where no size is small
        enough.
    """
    kinds = _kinds(build, base)
    for width, depth in _candidates(base):
        wide, deeper = (2 * width, depth), dict.fromkeys(((width, 2 * depth), (width, depth + 1)))
        try:
            if _kinds(build, (width, depth)) != kinds:
                continue
            small = [shape for shape in deeper if _is_small(build, shape)] if _is_small(build, wide) else []
        except Exception:  # the user's code may refuse a size in any way; another one is tried
            small = [(width, 2 * depth)] if (width, depth) == base else []
        if small:
            yield (width, depth), wide, small[0]


def _candidates(base: Shape) -> Iterator[Shape]:
    """The base first, then fewer layers, then narrower ones."""
    width, depth = base
    depths = dict.fromkeys((depth, min(depth, 2)))
    widths = itertools.takewhile(lambda each: each >= min(_NARROWEST, width), (width >> halved for halved in range(12)))
    for each in widths:
        yield from ((each, layers) for layers in depths)


def _built(build: Builder, shape: Shape) -> nn.Module:
    with torch.device("meta"):
        return build(*shape)


def _kinds(build: Builder, shape: Shape) -> frozenset[str]:
    return frozenset(without_numbers(name) for name, _ in _built(build, shape).named_parameters())


def _is_small(build: Builder, shape: Shape) -> bool:
    return sum(parameter.numel() for parameter in _built(build, shape).parameters()) <= MOST_PARAMETERS
