"""Rules of the target."""

from __future__ import annotations

from collections.abc import Iterator

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
                hint = f"transfer goes from small to large: write a target {axis} of at least {theirs}"
                yield Violation(("sizes", "target", axis), rule, f"target.{axis}={mine}, {name}.{axis}={theirs}", hint)


def _tokens(draft: Draft) -> Iterator[Violation]:
    target = draft.target
    if target is None or target.tokens is None or draft.tokens_per_example is None or draft.training is None:
        return
    step = (target.batch_size or draft.training.batch_size) * draft.tokens_per_example
    if target.tokens < step:
        rule = "`target.tokens` must be enough for one optimizer step"
        received = f"tokens={target.tokens}, one step takes {step}"
        hint = "tokens count predicted positions over the whole run"
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
    RecipeRule("recipe/small-target", "the target is at least as wide and as deep as the base and the proxy", _larger),
    RecipeRule("recipe/target-tokens", "`target.tokens` is enough for one optimizer step", _tokens),
    RecipeRule(
        "recipe/accept",
        "`target.accept` names axes of size, and hyperparameters that are tuned and not checked",
        _accepted,
    ),
)
