"""Rules of the ladders of sizes on which transfer is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.sizes import AXES, LADDERS, SizeAxis


def _ladders(draft: Draft) -> Iterator[tuple[SizeAxis, str, tuple[int, ...]]]:
    """Axis, key and values of each ladder that is given."""
    for axis in AXES:
        if values := draft.ladders[axis]:
            yield axis, LADDERS[axis], values


def _listed(values: Sequence[int]) -> str:
    return f"[{', '.join(str(value) for value in values[:12])}{', ...' if len(values) > 12 else ''}]"


def _increases(values: Sequence[int]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _order(draft: Draft) -> Iterator[Violation]:
    for _, name, values in _ladders(draft):
        if not _increases(values):
            ordered = ", ".join(str(value) for value in sorted(set(values))[:12])
            rule = f"`sizes.{name}` must increase strictly"
            yield Violation(("sizes", name), rule, _listed(values), f"write [{ordered}]")


def _length(draft: Draft) -> Iterator[Violation]:
    hint = "add larger ones: a ladder that spans at least a factor of 8 shows whether the optimum moves"
    for _, name, values in _ladders(draft):
        if len(values) < 2:
            rule = f"`sizes.{name}` must have at least 2 entries"
            yield Violation(("sizes", name), rule, _listed(values), hint)


def _proxy(draft: Draft) -> Iterator[Violation]:
    for axis, name, values in _ladders(draft):
        at_proxy = draft.at_proxy(axis)
        if at_proxy and at_proxy not in values:
            what = axis.replace("_", " ")
            rule = f"`sizes.{name}` must contain the proxy's {what}"
            received = f"{_listed(values)}; the proxy's is {at_proxy}"
            yield Violation(("sizes", name), rule, received, f"add {at_proxy}: drift is measured from the proxy")


def _tokens(draft: Draft) -> Iterator[Violation]:
    tokens = draft.ladders["tokens"]
    if tokens and draft.tokens_per_example and draft.training:
        step = draft.training.batch_size * draft.tokens_per_example
        if tokens[0] < step:
            rule = "`sizes.tokens` must be enough for one optimizer step each"
            received = f"{tokens[0]}, one step takes {step}"
            hint = f"write {step} or more: tokens count predicted positions over the whole run"
            yield Violation(("sizes", "tokens"), rule, received, hint)


def _corner(draft: Draft) -> Iterator[Violation]:
    if draft.corner and draft.ladders["depth"] == ():
        rule = "`sizes.corner` needs a ladder of depths as well as one of widths"
        hint = "add `sizes.depths`, or leave `corner` out"
        yield Violation(("sizes", "corner"), rule, "no `sizes.depths`", hint)


RULES = (
    RecipeRule(
        "recipe/ladder-order",
        "the sizes of a ladder increase strictly",
        _order,
        explanation=Explanation(
            "HPT130",
            "Drift is followed from each size to the next larger one.",
            "write the sizes in increasing order, each once",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 256, 128, 512]\n  target: {width: 1024, depth: 4}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^[64, 256",
        ),
    ),
    RecipeRule(
        "recipe/ladder-length",
        "a ladder has at least 2 sizes",
        _length,
        explanation=Explanation(
            "HPT131",
            "One size cannot show whether the optimum moves.",
            "add larger sizes: a factor of 8 shows whether the optimum moves",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64]\n  target: {width: 1024, depth: 4}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^[64]",
        ),
    ),
    RecipeRule(
        "recipe/ladder-without-proxy",
        "a ladder contains the proxy's own size",
        _proxy,
        explanation=Explanation(
            "HPT132",
            "The tuned value comes from the proxy, so drift is measured from there.",
            "add the proxy's own size to the ladder",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [32, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^[32",
        ),
    ),
    RecipeRule(
        "recipe/ladder-tokens",
        "every entry of `sizes.tokens` is enough for one optimizer step",
        _tokens,
        explanation=Explanation(
            "HPT133",
            "A run that ends before its first step trains nothing.",
            "raise the entry to one optimizer step at least",
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  tokens: [1, 6400, 12800]\n"
                "  target: {width: 1024, depth: 4}"
            ),
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  tokens: [3200, 6400, 12800]\n"
                "  target: {width: 1024, depth: 4}"
            ),
            at="^[1, 6400",
        ),
    ),
    RecipeRule(
        "recipe/corner-without-depths",
        "`sizes.corner` is asked only where there is a ladder of depths",
        _corner,
        explanation=Explanation(
            "HPT134",
            (
                "The corner is the largest width at the largest depth; without depths it is a size of the "
                "ladder of widths."
            ),
            "add `sizes.depths`, or leave `corner` out",
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  corner: true\n"
                "  target: {width: 1024, depth: 4}"
            ),
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="^true",
        ),
    ),
)
