"""Rules of the model's shape."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from hptransfer.recipe.model_sections import FactoryModel, GptModel, HuggingFaceModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.yaml.gate import KeyPath


def _odd_head_dim(draft: Draft) -> Iterator[Violation]:
    model = draft.model
    if isinstance(model, GptModel) and model.positions == "rotary" and model.head_dim % 2:
        hint = f"write {model.head_dim + 1}, or `positions: learned`"
        rule = "`head_dim % 2 == 0` must hold for rotary positions"
        yield Violation(("model", "head_dim"), rule, f"head_dim={model.head_dim}", hint)


def _partial_head(draft: Draft) -> Iterator[Violation]:
    if not isinstance(draft.model, GptModel):
        return
    head_dim = draft.model.head_dim
    for path, width in _all_widths(draft):
        if width % head_dim:
            below, above = width - width % head_dim, width + head_dim - width % head_dim
            hint = f"write {above}" + (f" or {below}" if below else "") + ", or change `model.head_dim`"
            received = f"width={width}, head_dim={head_dim}"
            yield Violation(path, "`width % head_dim == 0` must hold for gpt", received, hint)


def _fixed_depth(draft: Draft) -> Iterator[Violation]:
    if not isinstance(draft.model, FactoryModel) or draft.model.depth_argument is not None or draft.base is None:
        return
    depth = draft.base.depth
    rule = "all sizes of a model without a depth argument must have one depth"
    others = {("sizes", "proxy", "depth"): draft.proxy, ("sizes", "target", "depth"): draft.target}
    for path, shape in others.items():
        if shape is not None and shape.depth != depth:
            hint = f"write {depth}, or name the function's `model.depth_argument`"
            yield Violation(path, rule, f"{shape.depth}, the base has {depth}", hint)
    if draft.ladders["depth"]:
        hint = "leave `depths` out, or name the function's `model.depth_argument`"
        yield Violation(("sizes", "depths"), rule, "a ladder of depths", hint)


def _small_vocabulary(draft: Draft) -> Iterator[Violation]:
    path: KeyPath = ("model", "vocabulary")
    given, wanted = getattr(draft.model, "vocabulary", None), getattr(draft.data, "vocabulary", None)
    if isinstance(draft.model, HuggingFaceModel):
        path = ("model", "settings", "vocab_size")
        given = draft.model.settings.get("vocab_size")
    if isinstance(given, int) and wanted is not None and given < wanted:
        rule = f"`{'.'.join(map(str, path))} >= data.vocabulary` must hold"
        received = f"{given} in the model, {wanted} in the data"
        hint = f"write `{path[-1]}: {wanted}` in `{'.'.join(map(str, path[:-1]))}`"
        yield Violation(path, rule, received, hint, ("model",))


def _patterns(draft: Draft) -> Iterator[Violation]:
    """Patterns are tried on every name of a parameter; which of them match is seen where the model is built."""
    if not isinstance(draft.model, FactoryModel | HuggingFaceModel):
        return
    model = draft.model
    lists: dict[str, tuple[str, ...]] = {"residual_writers": model.residual_writers, "queries": model.queries}
    places: list[tuple[KeyPath, str]] = [
        (("model", key, index), text) for key, texts in lists.items() for index, text in enumerate(texts)
    ]
    for path, text in (*places, *((("model", "roles", text), text) for text in model.roles)):
        fault = pattern_fault(text)
        if fault is not None:
            hint = r"patterns are Python's regular expressions over full names: `layers\.\d+\.mlp\.down\.weight`"
            yield Violation(path, "a pattern must be a regular expression that ends", f"{text}: {fault}", hint)


def pattern_fault(text: str) -> str | None:
    """What is wrong with a pattern over names of parameters; None where nothing is.

    Args:
        text: as a recipe has it.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later Python will read otherwise
            re.compile(text)
            parsed = _parser.parse(text)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return "a repeat inside a repeat, which can take for ever" if _repeats_a_repeat(parsed, inside=False) else None


# the parser of `re` itself, under these names since Python 3.11: nothing else says how a pattern repeats
_parser, _constants = (import_module(f"re.{name}") for name in ("_parser", "_constants"))
#: repeats of a parsed pattern that go back where they do not match
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)


def _repeats_a_repeat(parsed: Any, *, inside: bool) -> bool:
    """Whether a part of a pattern that repeats has a part that repeats: tries then grow as 2^length."""
    if isinstance(parsed, _parser.SubPattern | list | tuple):
        parts = list(parsed)
        if len(parts) == 2 and parts[0] in _REPEATS:
            low, high, repeated = parts[1]
            grows = high - low > 1
            return (inside and grows) or _repeats_a_repeat(repeated, inside=inside or grows)
        return any(_repeats_a_repeat(part, inside=inside) for part in parts)
    return False


def _all_widths(draft: Draft) -> Iterator[tuple[KeyPath, int]]:
    if draft.base:
        yield ("sizes", "base", "width"), draft.base.width
    if draft.proxy and draft.proxy is not draft.base:
        yield ("sizes", "proxy", "width"), draft.proxy.width
    for index, width in enumerate(draft.ladders["width"] or ()):
        yield ("sizes", "widths", index), width
    if draft.target:
        yield ("sizes", "target", "width"), draft.target.width


RULES = (
    RecipeRule(
        "recipe/odd-head-dim",
        "`head_dim` is even where positions are rotary: pairs of numbers turn",
        _odd_head_dim,
        explanation=Explanation(
            "HPT135",
            "Rotary positions turn pairs of numbers.",
            "write an even `head_dim`, or `positions: learned`",
            "model: {kind: gpt, head_dim: 1, positions: rotary}",
            "model: {kind: gpt, head_dim: 2, positions: rotary}",
            at="head_dim: ^1",
        ),
    ),
    RecipeRule(
        "recipe/fixed-depth",
        "a model without a depth argument has one depth at every size",
        _fixed_depth,
        explanation=Explanation(
            "HPT136",
            "The function cannot be told a depth, so every size would be built at one.",
            "write one depth everywhere, or name the function's `model.depth_argument`",
            "model: {kind: factory, factory: 'net:make', depth_argument: null}",
            "model: {kind: factory, factory: 'net:make', depth_argument: layers}",
            at="depth: ^4}",
        ),
    ),
    RecipeRule(
        "recipe/small-vocabulary",
        "a model whose vocabulary is given knows every token of `kind: tokens`",
        _small_vocabulary,
        explanation=Explanation(
            "HPT137",
            "A token that the model has no row for ends the first trial.",
            "write the data's vocabulary, or a larger one, in `model`",
            (
                "model: {kind: gpt, head_dim: 16, context: 8, vocabulary: 256}\n"
                "data: {kind: tokens, train: ['*.yaml'], dtype: uint16, vocabulary: 32768}"
            ),
            (
                "model: {kind: gpt, head_dim: 16, context: 8, vocabulary: 32768}\n"
                "data: {kind: tokens, train: ['*.yaml'], dtype: uint16, vocabulary: 32768}"
            ),
            at="^256",
        ),
    ),
    RecipeRule(
        "recipe/model-pattern",
        "patterns over names are regular expressions without a repeat in a repeat",
        _patterns,
        explanation=Explanation(
            "HPT139",
            "Each pattern is tried on every parameter's name, and a repeat of a repeat can take for ever on one.",
            "write a regular expression over full names, for example `layers\\.\\d+\\.mlp\\.down\\.weight`",
            "model: {kind: factory, factory: 'net:make', queries: ['(q+)+']}",
            "model: {kind: factory, factory: 'net:make', queries: ['q+']}",
            at="^'(q+)+'",
        ),
    ),
    RecipeRule(
        "recipe/partial-head",
        "`head_dim` divides every width of a gpt",
        _partial_head,
        explanation=Explanation(
            "HPT138",
            "A width that is no multiple of it leaves a part of a head.",
            "write a width that is a multiple of `model.head_dim`",
            (
                "model: {kind: gpt, head_dim: 16}\n"
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1030, depth: 4}"
            ),
            (
                "model: {kind: gpt, head_dim: 16}\n"
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4}"
            ),
            at="^1030",
        ),
    ),
)
