"""A small input for a model: what the user gives, or a guess from its signature and from what its layers take."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from hptransfer.probe.sizes import arguments_of

#: examples per batch
BATCH = 2
#: positions of a sequence, where nothing says less
POSITIONS = 16
#: sides of images that are tried, after the one a configuration says
SIDES = (16, 32, 28, 64, 224, 8)
#: how many guesses are tried
MOST = 96
#: what the second candidate for an argument costs where its name says what it is; 1 elsewhere
_SAID = 4

_INTEGERS = re.compile(
    r"token|(^|_)ids?($|_|x)|idx|index|input_ids|users?|items?|labels?|targets?|class|categor|words?|src|tgt|(^|_)y$"
)
_TIMES = re.compile(r"^(t|ts|time|times|timesteps?|sigma|noise_level|step)$")
_MASKS = re.compile(r"mask")
#: `image_BxHxW` is `image`: letters of the axes say nothing of the kind
_AXES = re.compile(r"_[A-Z][A-Za-z0-9]*$")


@dataclass(frozen=True, slots=True)
class Example:
    """How an input is made.

    Attributes:
        text: one clause that says it.
        make: from a model, its width and its depth, the positional arguments and those by name.
    """

    text: str
    make: Callable[[nn.Module, int, int], tuple[tuple[Any, ...], dict[str, Any]]]


def given(example: object) -> Example:
    """The user's example: a value, or a function of nothing, or of width and depth.

    Args:
        example: a tensor, a tuple of arguments, a dict of arguments by name, or a function that returns one.
    """

    def make(_module: nn.Module, width: int, depth: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not callable(example) or isinstance(example, torch.Tensor):
            return arguments_of(example)
        count = len([each for each in inspect.signature(example).parameters.values() if each.default is each.empty])
        return arguments_of(example(width, depth) if count >= 2 else example())

    return Example("the input that `model.example` gives", make)


def guesses(module: nn.Module, context: int) -> Iterator[Example]:
    """Inputs that the model may take, the likeliest first.

    Args:
        module: the model at the base size.
        context: positions of a sequence at most.
    """
    positions = max(2, min(context, POSITIONS))
    config = getattr(module, "config", None)
    if config is not None and isinstance(getattr(module, "main_input_name", None), str):
        yield from _of_transformers(module, config, positions)
    names = _required(module)
    kinds = _distinct(_of_layers(module, positions))
    for choice in itertools.islice(_likeliest([_ordered(name, kinds) for name in names]), MOST):
        text = ", ".join(f"{name}: {each.text}" for name, each in zip(names, choice, strict=True)) or "no input"
        yield Example(f"guessed: {text}", _maker(choice, positions))


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One tensor that may be an argument.

    Attributes:
        text: its shape and what it holds.
        kind: what it is like.
        make: makes it for a model.
        place: its place among the candidates of a model's layers; None where no layer says it.
    """

    text: str
    kind: str
    make: Callable[[nn.Module], torch.Tensor | None]
    place: int | None = None


def _maker(
    choice: tuple[_Tensor, ...], positions: int
) -> Callable[[nn.Module, int, int], tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments for a model of any size: of each candidate, the one at the same place among those of that model."""

    def make(module: nn.Module, _width: int, _depth: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        own = list(_of_layers(module, positions))
        return tuple((own[each.place] if each.place is not None else each).make(module) for each in choice), {}

    return make


def _required(module: nn.Module) -> list[str]:
    """Arguments of forward without a default; one where nothing is known."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return ["x"]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [each.name for each in parameters if each.kind in positional and each.default is each.empty]
    if not names:  # all have defaults, or *args
        names = [each.name for each in parameters if each.kind in positional][:1]
    if not names and any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return ["x"]
    return names


def _ordered(name: str, kinds: list[_Tensor]) -> tuple[int, list[_Tensor]]:
    """What each further candidate for an argument costs, and the candidates, those that its name suggests first."""
    name = _AXES.sub("", name)
    if _MASKS.search(name):
        return _SAID, [_Tensor("none", "none", lambda _module: None)]
    if _TIMES.match(name):
        times = _Tensor(f"{BATCH} numbers", "time", lambda _module: torch.rand(BATCH))
        return _SAID, [times, *_sorted(kinds, "rows"), *_sorted(kinds, "tokens")]
    if _INTEGERS.search(name):
        first = "rows" if re.search(r"label|class|user|item|(^|_)y$", name) else "tokens"
        return _SAID, sorted(kinds, key=lambda each: {"tokens": 1, "rows": 1, first: 0}.get(each.kind, 2))
    return 1, kinds


def _likeliest(arguments: list[tuple[int, list[_Tensor]]]) -> Iterator[tuple[_Tensor, ...]]:
    """One candidate for each argument, in the order of what they cost together: all of one cost, then the next."""
    highest = sum(cost * (len(kinds) - 1) for cost, kinds in arguments)
    for total in range(highest + 1):
        yield from _costing(arguments, total)


def _costing(arguments: list[tuple[int, list[_Tensor]]], total: int) -> Iterator[tuple[_Tensor, ...]]:
    if not arguments:
        if total == 0:
            yield ()
        return
    (cost, kinds), *others = arguments
    for index, kind in enumerate(kinds[: total // cost + 1]):
        for rest in _costing(others, total - cost * index):
            yield (kind, *rest)


def _sorted(kinds: list[_Tensor], kind: str) -> list[_Tensor]:
    return [each for each in kinds if each.kind == kind]


def _distinct(tensors: Iterator[_Tensor]) -> list[_Tensor]:
    """Each candidate once, with its place among all."""
    found: dict[str, _Tensor] = {}
    for place, each in enumerate(tensors):
        found.setdefault(each.text, replace(each, place=place))
    return list(found.values())


def _of_layers(module: nn.Module, positions: int) -> Iterator[_Tensor]:
    leaves = [each for each in module.modules() if not any(True for _ in each.children())]
    tables = [each for each in leaves if isinstance(each, nn.Embedding | nn.EmbeddingBag)]
    linear = [each for each in leaves if isinstance(each, nn.Linear)][:3]
    convolutions = [each for each in leaves if isinstance(each, nn.modules.conv._ConvNd)][:2]
    recurrent = [each for each in leaves if isinstance(each, nn.RNNBase)][:1]
    first = next(iter([each for each in leaves if isinstance(each, _TAKE_DATA)]), None)
    groups: list[Iterator[_Tensor]] = []
    if tables:
        groups.append(_tokens(positions))
    groups += [_images(module, each) for each in convolutions]
    groups += [_features(each.input_size, positions, sequence=True) for each in recurrent]
    groups += [_features(each.in_features, positions, sequence=False) for each in linear]
    if first in convolutions and tables:
        groups = [*groups[1:], groups[0]]
    if first in linear and tables and not convolutions:
        groups = [groups[1], groups[0], *groups[2:]]
    for group in groups:
        yield from group
    if not groups or first is None:
        yield from _of_parameters(module, positions)
    elif not tables:
        yield from _tokens(positions)


_TAKE_DATA = (nn.Embedding, nn.EmbeddingBag, nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase)


def _tokens(positions: int) -> Iterator[_Tensor]:
    def make(module: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randint(0, smallest_table(module), shape)

    yield _Tensor(f"{BATCH} x {positions} integers", "tokens", lambda module: make(module, (BATCH, positions)))
    yield _Tensor(f"{BATCH} integers", "rows", lambda module: make(module, (BATCH,)))


def smallest_table(module: nn.Module) -> int:
    """How many rows the smallest table has that could be looked up, at least one.

    Args:
        module: a model of any size.
    """
    rows = [each.num_embeddings for each in module.modules() if isinstance(each, nn.Embedding | nn.EmbeddingBag)]
    if not rows:
        rows = [each.shape[0] for each in module.parameters() if each.dim() == 2]
    return max(min(rows, default=2), 1)


def _features(length: int, positions: int, *, sequence: bool) -> Iterator[_Tensor]:
    flat = _Tensor(f"{BATCH} x {length} numbers", "features", lambda _module: torch.randn(BATCH, length))
    rows = _Tensor(
        f"{BATCH} x {positions} x {length} numbers", "features", lambda _module: torch.randn(BATCH, positions, length)
    )
    yield from (rows, flat) if sequence else (flat, rows)


def _images(module: nn.Module, layer: nn.Module) -> Iterator[_Tensor]:
    axes = len(layer.kernel_size)  # type: ignore[arg-type]  # of a convolution of any kind
    channels = int(layer.in_channels)  # type: ignore[arg-type]  # the same
    sides: tuple[int, ...] = (16, 64, 3000, 8) if axes == 1 else SIDES if axes == 2 else (8, 16, 32)
    stated = getattr(getattr(module, "config", module), "image_size", None) or getattr(module, "img_size", None)
    if isinstance(stated, int) and axes > 1:
        sides = (stated, *(side for side in sides if side != stated))
    leading = [(BATCH, channels)] + ([(BATCH,)] if channels == 1 else [])  # `forward` may add the only channel
    for start, side in itertools.product(leading, sides):
        shape = (*start, *(side for _ in range(axes)))
        text = " x ".join(map(str, shape)) + " numbers"
        yield _Tensor(text, "images", lambda _module, shape=shape: torch.randn(shape))  # type: ignore[misc]  # a default binds it


def _of_parameters(module: nn.Module, positions: int) -> Iterator[_Tensor]:
    """Models of raw parameters: rows of the first matrices, and features as long as their axes."""
    shapes = [tuple(each.shape) for each in module.parameters() if each.dim() >= 2][:3]
    yield from _tokens(positions)
    for shape in shapes:
        for length in dict.fromkeys(shape):
            yield from _features(length, positions, sequence=False)


def _of_transformers(module: nn.Module, config: Any, positions: int) -> Iterator[Example]:
    """Inputs by the names that transformers gives them; masks are left out."""

    def make(module: nn.Module, _width: int, _depth: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        own = getattr(module, "config", config)
        name = str(module.main_input_name)
        inputs: dict[str, Any] = {name: _named(name, module, own, positions)}
        accepts = inspect.signature(module.forward).parameters
        if getattr(own, "is_encoder_decoder", False) and "decoder_input_ids" in accepts:
            inputs["decoder_input_ids"] = torch.randint(0, _vocabulary(module, own), (BATCH, positions))
        for more in ("input_ids", "pixel_values"):
            required = accepts.get(more)
            if more not in inputs and required is not None and (required.default is required.empty or _is_clip(own)):
                inputs[more] = _named(more, module, own, positions)
        if "use_cache" in accepts:
            inputs["use_cache"] = False
        return (), inputs

    yield Example(f"`{module.main_input_name}` as its configuration says", make)


def _is_clip(config: Any) -> bool:
    return hasattr(config, "text_config") and hasattr(config, "vision_config") and hasattr(config, "projection_dim")


def _named(name: str, module: nn.Module, config: Any, positions: int) -> torch.Tensor:
    vision = getattr(config, "vision_config", config)
    if name == "pixel_values":
        side, channels = getattr(vision, "image_size", 32), getattr(vision, "num_channels", 3)
        sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
        return torch.randn(BATCH, channels, *sides)
    if name == "input_features":
        stated = getattr(config, "max_source_positions", None)
        bins = getattr(config, "num_mel_bins", getattr(config, "input_feat_per_channel", 80))
        return torch.randn(BATCH, bins, 2 * stated) if stated else torch.randn(BATCH, 64, bins)
    if name == "input_values":
        return torch.randn(BATCH, 4000)
    text = getattr(config, "text_config", config)
    longest = getattr(text, "max_position_embeddings", None)
    length = min(positions, longest) if isinstance(longest, int) and longest > 2 else positions
    tokens = torch.randint(0, _vocabulary(module, text), (BATCH, length))
    reserved = getattr(text, "pad_token_id", None)
    if isinstance(reserved, int) and 0 <= reserved < _vocabulary(module, text) - 1:
        tokens = torch.where(tokens == reserved, tokens + 1, tokens)
    return tokens


def _vocabulary(module: nn.Module, config: Any) -> int:
    size = getattr(config, "vocab_size", None)
    return size if isinstance(size, int) and size > 0 else smallest_table(module)
