"""Rules of `expect`: what is expected can be met, and is measured."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.recipe import suggestion
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.yaml.gate import KeyPath
from hptransfer.sizes import AXES, MODEL_AXES


def _something(draft: Draft) -> Iterator[Violation]:
    if draft.expect is not None and not draft.expect.model_fields_set:
        rule = "`expect` must name what is expected"
        yield Violation(("expect",), rule, "nothing", "write `expect: {verdict: TRANSFERS}`, or delete `expect`")


def _tuned(draft: Draft) -> Iterator[Violation]:
    for name in draft.expect.optimum if draft.expect else ():
        if draft.searched and name not in draft.searched:
            rule = "`expect.optimum` names hyperparameters of `tune.space`"
            hint = suggestion.hint(name, sorted(draft.searched), "searched")
            yield Violation(("expect", "optimum", name), rule, f"{name}, which is not tuned", hint)


def _ordered(draft: Draft) -> Iterator[Violation]:
    if draft.expect is None:
        return
    ranges: dict[tuple[str, ...], tuple[float, float]] = {
        ("optimum", name): (each.low, each.high) for name, each in draft.expect.optimum.items()
    }
    asked = draft.expect.prediction
    if asked is not None and asked.low is not None and asked.high is not None:
        ranges["prediction",] = (asked.low, asked.high)
    for keys, (low, high) in ranges.items():
        if low > high:
            rule = f"`low <= high` must hold in `expect.{'.'.join(keys)}`"
            hint = f"write `{{low: {high:g}, high: {low:g}}}`"
            yield Violation(("expect", *keys), rule, f"low={low:g}, high={high:g}", hint)


def _reachable(draft: Draft) -> Iterator[Violation]:
    for name, asked in draft.expect.optimum.items() if draft.expect else ():
        space = draft.space.get(name)
        if space is None or asked.low > asked.high:
            continue
        if asked.high < space.low or asked.low > space.high:
            rule = f"`expect.optimum.{name}` must overlap `tune.space.{name}`, or no search can meet it"
            received = f"{asked.low:g} to {asked.high:g}, but {space.low:g} to {space.high:g} is searched"
            hint = f"write a range within {space.low:g} to {space.high:g}"
            yield Violation(("expect", "optimum", name), rule, received, hint)


def _one_form(draft: Draft) -> Iterator[Violation]:
    asked = draft.expect.prediction if draft.expect else None
    if asked is None:
        return
    given = sorted(asked.model_fields_set)
    if given not in (["contains"], ["high", "low"]):
        rule = "`expect.prediction` takes `low` and `high`, or `contains` alone"
        hint = "for example `prediction: {contains: 2.4}`, or `prediction: {low: 2.3, high: 2.5}`"
        yield Violation(("expect", "prediction"), rule, ", ".join(given) or "nothing", hint)


def _measured(draft: Draft) -> Iterator[Violation]:
    """What no check of this recipe measures cannot be met, whatever happens."""
    expect = draft.expect
    if expect is None:
        return
    known = None not in (*draft.ladders.values(), draft.trainer, draft.training)
    ladders = {axis: draft.ladders[axis] or () for axis in AXES}
    if expect.coordinate is not None and known:
        hint = "delete `expect.coordinate`"
        blind = draft.trainer in ("function", "command") and not draft.watches
        if blind:
            received = f"a {draft.trainer}, whose models cannot be measured"
            hint += ", or let the program call `hptransfer.watch` and write `watches: true` in `trainer`"
            yield _never(("expect", "coordinate"), "a coordinate check", received, hint)
        elif all(len(ladders[axis]) < 2 for axis in MODEL_AXES):
            received = "fewer than two widths and fewer than two depths"
            yield _never(("expect", "coordinate"), "a coordinate check", received, f"{hint}, or add widths")
    if expect.drift is not None and known and all(len(ladder) < 2 for ladder in ladders.values()):
        hint = "add widths, or delete `expect.drift`"
        yield _never(("expect", "drift"), "a drift", "no ladder of two sizes", hint)
    target, proxy = draft.target, draft.proxy
    if expect.prediction is not None and target is not None and proxy is not None and draft.training is not None:
        same = (target.width, target.depth) == (proxy.width, proxy.depth)
        same = same and target.batch_size in (None, draft.training.batch_size)
        if same and target.tokens in (None, draft.usual_tokens):
            hint = "write a larger `sizes.target`, or delete `expect.prediction`"
            yield _never(("expect", "prediction"), "a prediction", "a target that is the proxy itself", hint)


def _never(path: KeyPath, what: str, received: str, hint: str) -> Violation:
    return Violation(path, f"`{'.'.join(map(str, path))}` needs {what}, which this recipe never makes", received, hint)


RULES = (
    RecipeRule(
        "recipe/expects-nothing",
        "`expect` names what is expected",
        _something,
        explanation=Explanation(
            "HPT180",
            "An empty section holds the recipe to nothing, and whoever reads it believes that it does.",
            "write `expect: {verdict: TRANSFERS}`, or delete `expect`",
            "expect: {}",
            "expect: {verdict: TRANSFERS}",
            at="expect: ^{}",
        ),
    ),
    RecipeRule(
        "recipe/expects-untuned",
        "`expect.optimum` names hyperparameters of `tune.space`",
        _tuned,
        explanation=Explanation(
            "HPT181",
            "What is not tuned has no optimum.",
            "name a hyperparameter of `tune.space`",
            "expect:\n  optimum: {weight_decay: {low: 0.01, high: 0.1}}",
            "expect:\n  optimum: {learning_rate: {low: 0.001, high: 0.1}}",
            at="weight_decay: ^{low",
        ),
    ),
    RecipeRule(
        "recipe/expected-order",
        "ranges in `expect` have `low <= high`",
        _ordered,
        explanation=Explanation(
            "HPT182",
            "Nothing lies in a range whose ends are exchanged.",
            "exchange `low` and `high`",
            "expect:\n  optimum: {learning_rate: {low: 0.1, high: 0.001}}",
            "expect:\n  optimum: {learning_rate: {low: 0.001, high: 0.1}}",
            at="learning_rate: ^{low: 0.1",
        ),
    ),
    RecipeRule(
        "recipe/expected-reach",
        "an expected optimum overlaps the searched range",
        _reachable,
        explanation=Explanation(
            "HPT183",
            "A search finds its optimum in the searched range, so an expectation outside of it is never met.",
            "write a range within that of `tune.space`",
            "expect:\n  optimum: {learning_rate: {low: 0.2, high: 0.4}}",
            "expect:\n  optimum: {learning_rate: {low: 0.02, high: 0.04}}",
            at="learning_rate: ^{low: 0.2",
        ),
    ),
    RecipeRule(
        "recipe/expected-loss",
        "`expect.prediction` takes `low` and `high`, or `contains` alone",
        _one_form,
        explanation=Explanation(
            "HPT184",
            "With one end, or with both forms, it is not said what is to hold.",
            "write both ends, or `contains` alone",
            "expect:\n  prediction: {low: 2.3}",
            "expect:\n  prediction: {low: 2.3, high: 2.5}",
            at="prediction: ^{low",
        ),
    ),
    RecipeRule(
        "recipe/expects-unmeasured",
        "a recipe expects nothing that it never measures",
        _measured,
        explanation=Explanation(
            "HPT185",
            "What no check of the recipe measures is never met, whatever happens.",
            "delete the expectation, or let the recipe measure it",
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 64, depth: 2}\n"
                "expect:\n"
                "  prediction: {contains: 2.4}"
            ),
            (
                "sizes:\n"
                "  base: {width: 64, depth: 2}\n"
                "  widths: [64, 128, 256, 512]\n"
                "  target: {width: 1024, depth: 4}\n"
                "expect:\n"
                "  prediction: {contains: 2.4}"
            ),
            at="prediction: ^{contains",
        ),
    ),
)
