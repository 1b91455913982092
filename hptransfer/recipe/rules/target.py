"""Rules of the target."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.sizes import AXES, MODEL_AXES


def _larger(draft: Draft) -> Iterator[Violation]:
    target = draft.target
    if target is None:
        return
    others = [("base", draft.base)] + ([("proxy", draft.proxy)] if draft.proxy is not draft.base else [])
    for name, shape in others:
        for axis in MODEL_AXES if shape else ():
            mine, theirs = getattr(target, axis), getattr(shape, axis)
            if mine < theirs:
                rule = f"`target.{axis} >= {name}.{axis}` must hold"
                ladder = max(draft.ladders.get(axis) or (theirs,))
                enough = f"above {ladder}, where the ladder ends" if ladder > theirs else f"of at least {theirs}"
                hint = f"transfer goes from small to large: write a target {axis} {enough}"
                yield Violation(("sizes", "target", axis), rule, f"target.{axis}={mine}, {name}.{axis}={theirs}", hint)


def _tokens(draft: Draft) -> Iterator[Violation]:
    target = draft.target
    if target is None or target.tokens is None or draft.tokens_per_example is None or draft.training is None:
        return
    step = (target.batch_size or draft.training.batch_size) * draft.tokens_per_example
    if target.tokens < step:
        rule = "`target.tokens` must be enough for one optimizer step"
        received = f"tokens={target.tokens}, one step takes {step}"
        hint = f"write {step} or more: tokens count predicted positions over the whole run"
        yield Violation(("sizes", "target", "tokens"), rule, received, hint)


def _accepted(draft: Draft) -> Iterator[Violation]:
    """What is accepted is an axis, or was tuned and is not checked: anything else would cover a mistake."""
    if draft.target is None:
        return
    checked = draft.check.checked if draft.check is not None else ()
    open_ones = [name for name in draft.space if name not in checked]
    for index, name in enumerate(draft.target.accept):
        if name in (*AXES, "tokens_per_parameter", *open_ones):
            continue
        received = f"{name}, which is {'checked' if name in checked else 'not tuned'}"
        rule = "`target.accept` names axes, and hyperparameters that are tuned and not checked"
        hint = f"leave `{name}` out" + (f"; open are {', '.join(open_ones)}" if open_ones else "")
        yield Violation(("sizes", "target", "accept", index), rule, received, hint)


RULES = (
    RecipeRule(
        "recipe/small-target",
        "the target is at least as wide and as deep as the base and the proxy",
        _larger,
        explanation=Explanation(
            "HPT160",
            "Transfer goes from small to large; nothing is measured below the proxy.",
            "write a target at least as wide and as deep as base and proxy",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 32, depth: 4}",
            "sizes:\n  base: {width: 64, depth: 2}\n  widths: [64, 128, 256, 512]\n  target: {width: 1024, depth: 4}",
            at="width: ^32",
        ),
    ),
    RecipeRule(
        "recipe/target-tokens",
        "`target.tokens` is enough for one optimizer step",
        _tokens,
        explanation=Explanation(
            "HPT161",
            "A run that ends before its first step trains nothing.",
            "raise `target.tokens` to one optimizer step at least",
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4, tokens: 1}"
            ),
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4, tokens: 64000}"
            ),
            at="tokens: ^1}",
        ),
    ),
    RecipeRule(
        "recipe/accept",
        "`target.accept` names axes of size, and hyperparameters that are tuned and not checked",
        _accepted,
        explanation=Explanation(
            "HPT162",
            "Accepting what is checked would cover a result, and accepting what was never tuned says nothing.",
            "leave the name out",
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4, accept: [learning_rate]}"
            ),
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4, accept: [depth]}"
            ),
            at="[^learning_rate]",
        ),
    ),
)
