"""Rules of the ladders of sizes on which transfer is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation


def _ladders(draft: Draft) -> Iterator[tuple[str, tuple[int, ...], int | None]]:
    """Key, values and the proxy's own value of each ladder that is given; None where that is not valid."""
    for name, values, at_proxy in (
        ("widths", draft.widths, draft.proxy.width if draft.proxy else None),
        ("depths", draft.depths, draft.proxy.depth if draft.proxy else None),
        ("batch_sizes", draft.batch_sizes, draft.training.batch_size if draft.training else None),
        ("tokens", draft.tokens, draft.usual_tokens),
    ):
        if values:
            yield name, values, at_proxy


def _listed(values: Sequence[int]) -> str:
    return f"[{', '.join(str(value) for value in values[:12])}{', ...' if len(values) > 12 else ''}]"


def _increases(values: Sequence[int]) -> bool:
    return all(low < high for low, high in pairwise(values))


def _order(draft: Draft) -> Iterator[Violation]:
    for name, values, _ in _ladders(draft):
        if not _increases(values):
            ordered = ", ".join(str(value) for value in sorted(set(values))[:12])
            rule = f"`sizes.{name}` must increase strictly"
            yield Violation(("sizes", name), rule, _listed(values), f"write [{ordered}]")


def _length(draft: Draft) -> Iterator[Violation]:
    hint = "add larger ones: a ladder that spans at least a factor of 8 shows whether the optimum moves"
    for name, values, _ in _ladders(draft):
        if len(values) < 2:
            rule = f"`sizes.{name}` must have at least 2 entries"
            yield Violation(("sizes", name), rule, _listed(values), hint)


def _proxy(draft: Draft) -> Iterator[Violation]:
    for name, values, at_proxy in _ladders(draft):
        if at_proxy and at_proxy not in values:
            what = "tokens" if name == "tokens" else name[:-1].replace("_", " ")
            rule = f"`sizes.{name}` must contain the proxy's {what}"
            received = f"{_listed(values)}; the proxy's is {at_proxy}"
            yield Violation(("sizes", name), rule, received, f"add {at_proxy}: drift is measured from the proxy")


def _tokens(draft: Draft) -> Iterator[Violation]:
    if draft.tokens and draft.tokens_per_example and draft.training:
        step = draft.training.batch_size * draft.tokens_per_example
        if draft.tokens[0] < step:
            rule = "`sizes.tokens` must be enough for one optimizer step each"
            received = f"{draft.tokens[0]}, one step takes {step}"
            hint = "tokens count predicted positions over the whole run"
            yield Violation(("sizes", "tokens"), rule, received, hint)


def _corner(draft: Draft) -> Iterator[Violation]:
    if draft.corner and draft.depths == ():
        rule = "`sizes.corner` needs a ladder of depths as well as one of widths"
        hint = "add `sizes.depths`, or leave `corner` out"
        yield Violation(("sizes", "corner"), rule, "no `sizes.depths`", hint)


RULES = (
    RecipeRule("recipe/ladder-order", "the sizes of a ladder increase strictly", _order),
    RecipeRule("recipe/ladder-length", "a ladder has at least 2 sizes", _length),
    RecipeRule("recipe/ladder-without-proxy", "a ladder contains the proxy's own size", _proxy),
    RecipeRule("recipe/ladder-tokens", "every entry of `sizes.tokens` is enough for one optimizer step", _tokens),
    RecipeRule(
        "recipe/corner-without-depths", "`sizes.corner` is asked only where there is a ladder of depths", _corner
    ),
)
