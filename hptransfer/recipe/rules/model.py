"""Rules of the model's shape."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.recipe.model_sections import FactoryModel, GptModel
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
    given, wanted = getattr(draft.model, "vocabulary", None), getattr(draft.data, "vocabulary", None)
    if given is not None and wanted is not None and given < wanted:
        rule = "`model.vocabulary >= data.vocabulary` must hold"
        received = f"{given} in the model, {wanted} in the data"
        yield Violation(("model", "vocabulary"), rule, received, f"write `vocabulary: {wanted}` in `model`", ("model",))


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
        "a built-in model knows every token of `kind: tokens`",
        _small_vocabulary,
        explanation=Explanation(
            "HPT137",
            "A token that the model has no row for ends the first trial.",
            "write the data's vocabulary, or a larger one, in `model`",
            (
                "model: {kind: gpt, head_dim: 16, vocabulary: 100}\n"
                "data: {kind: tokens, train: ['*.yaml'], vocabulary: 512}"
            ),
            (
                "model: {kind: gpt, head_dim: 16, vocabulary: 512}\n"
                "data: {kind: tokens, train: ['*.yaml'], vocabulary: 512}"
            ),
            at="^100",
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
