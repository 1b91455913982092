"""Rules of the parameterization and of what it scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from hptransfer.errors import UsageError
from hptransfer.parameterization.option_faults import option_faults
from hptransfer.parameterization.rules import ON_SPHERE, Options
from hptransfer.parameterization.tables import ABSOLUTE, FAMILIES, MEASURED, TABLES, Parameterization, find_table
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation
from hptransfer.recipe.yaml.gate import KeyPath

#: parameterizations with a residual exponent to choose
_WITH_ALPHA = tuple(dict.fromkeys(name for (name, _), table in TABLES.items() if table.alpha is not None))
#: those whose factors of residual branches follow the growth of the depth: nothing is left of them without branches
_WITH_BRANCHES = frozenset(
    name for (name, _), table in TABLES.items() if table.residual is not None and not table.absolute
)


def _alpha(draft: Draft) -> Iterator[Violation]:
    choice = draft.parameterization
    if choice is not None and choice.alpha is not None and choice.name not in _WITH_ALPHA:
        rule = f"`alpha` belongs to {' and '.join(_WITH_ALPHA)} only"
        hint = f"delete `alpha`, or write `name: {_WITH_ALPHA[0]}`"
        yield Violation(("parameterization", "alpha"), rule, f"name={choice.name}", hint)


def _branches(draft: Draft) -> Iterator[Violation]:
    choice = draft.parameterization
    if choice is None or draft.model is None:
        return
    if choice.name in _WITH_BRANCHES and draft.model.kind == "mlp":
        rule = f"{choice.name} needs residual blocks, and an mlp has none"
        hint = "write `name: mup`, or `model: {kind: gpt}`"
        yield Violation(("parameterization", "name"), rule, f"{choice.name} with mlp", hint)
    elif choice.name in ABSOLUTE and draft.model.kind == "mlp" and draft.base is not None:
        rule = (
            f"{choice.name} scales residual branches with depth, and an mlp has none: every size has the base's depth"
        )
        for path, depth in _depths(draft):
            if depth != draft.base.depth:
                yield Violation(path, rule, f"{depth}, the base has {draft.base.depth}", f"write {draft.base.depth}")


def _depths(draft: Draft) -> Iterator[tuple[KeyPath, int]]:
    if draft.proxy is not None:
        yield ("sizes", "proxy", "depth"), draft.proxy.depth
    for index, depth in enumerate(draft.ladders["depth"] or ()):
        yield ("sizes", "depths", index), depth
    if draft.target is not None:
        yield ("sizes", "target", "depth"), draft.target.depth


def _combination(draft: Draft) -> Iterator[Violation]:
    choice, training = draft.parameterization, draft.training
    if choice is None or training is None or choice.name == MEASURED:
        return
    if (choice.name, FAMILIES.get(training.optimizer)) not in TABLES:
        try:
            find_table(Parameterization(choice.name), training.optimizer)
        except UsageError as error:
            (found,) = error.findings
            place, elsewhere = ("training", "optimizer"), ("parameterization", "name")
            yield Violation(place, found.rule, found.received or "", found.hint, elsewhere)


#: option -> the optimizers that it belongs to
_OPTIMIZERS_OF = {
    "muon_scale": [name for name, family in FAMILIES.items() if family == "orthogonal"],
    "update_rank": [name for name, family in FAMILIES.items() if family in ON_SPHERE],
}


def _of_other_optimizers(draft: Draft) -> Iterator[Violation]:
    choice, training = draft.parameterization, draft.training
    if choice is None or training is None:
        return
    for option, optimizers in _OPTIMIZERS_OF.items():
        if getattr(choice, option) is not None and training.optimizer not in optimizers:
            rule, received = f"`{option}` belongs to {' and '.join(optimizers)} only", f"optimizer={training.optimizer}"
            yield Violation(("parameterization", option), rule, received, f"delete `{option}`")


def _options(draft: Draft) -> Iterator[Violation]:
    """What the tables refuse whatever the model is; those of `_of_other_optimizers` are said there."""
    choice, training = draft.parameterization, draft.training
    if choice is None or training is None or (choice.name, FAMILIES.get(training.optimizer)) not in TABLES:
        return
    given = Options(**{each.name: getattr(choice, each.name, None) for each in fields(Options)})
    for option, found in option_faults(Parameterization(choice.name), training.optimizer, given):
        if training.optimizer in _OPTIMIZERS_OF.get(option, [training.optimizer]):
            hint = found.hint or f"delete `{option}`"
            yield Violation(("parameterization", option), found.rule, found.received or "", hint)


def _gauge(draft: Draft) -> Iterator[Violation]:
    choice, model = draft.parameterization, draft.model
    if choice is None or model is None or choice.gauge == "plain" or model.kind not in _PLAIN:
        return
    rule = f"the gauge belongs to models whose `forward` multiplies, and {_PLAIN[model.kind]}"
    yield Violation(
        ("parameterization", "gauge"), rule, f"gauge={choice.gauge} with {model.kind}", "delete `gauge`: plain is right"
    )


#: kind of models whose `forward` multiplies by nothing -> why
_PLAIN = {
    "gpt": "the built-in decoder multiplies by nothing",
    "mlp": "the built-in MLP multiplies by nothing",
    "external": "a recipe without `model` has no plan",
}


def _absolute_init(draft: Draft) -> Iterator[Violation]:
    choice = draft.parameterization
    if choice is not None and choice.init == "own" and choice.name in ABSOLUTE:
        rule = f"`init: own` needs a parameterization that scales an init; `{choice.name}` draws every weight at std 1"
        yield Violation(("parameterization", "init"), rule, "init: own", "delete `init`, or write `init: rule`")


RULES = (
    RecipeRule(
        "recipe/gauge-not-applied",
        "`gauge` is given only with a model of one's own, whose `forward` may multiply",
        _gauge,
        explanation=Explanation(
            "HPT140",
            "A gauge moves factors into `forward`, and these models multiply by nothing there.",
            "delete `gauge`: plain is right",
            "parameterization: {name: mup, gauge: multipliers}",
            "parameterization: {name: mup}",
            at="^multipliers",
        ),
    ),
    RecipeRule(
        "recipe/alpha-not-used",
        "`alpha` is given only where the parameterization has a residual exponent",
        _alpha,
        explanation=Explanation(
            "HPT141",
            "No factor of this parameterization has the exponent, so it would change nothing.",
            "delete `alpha`",
            "parameterization: {name: mup, alpha: 1.0}",
            "parameterization: {name: mup}",
            at="^1.0",
        ),
    ),
    RecipeRule(
        "recipe/no-source",
        "the parameterization with the optimizer is one for which a source of rules is known",
        _combination,
        explanation=Explanation(
            "HPT142",
            (
                "A rule without a published or derived source would be a guess; docs/parameterizations.md "
                "lists the known ones."
            ),
            "choose another optimizer or parameterization of docs/parameterizations.md",
            (
                "model: {kind: gpt, head_dim: 16}\n"
                "training: {steps: 100, optimizer: adafactor}\n"
                "parameterization: {name: u-mup}"
            ),
            (
                "model: {kind: gpt, head_dim: 16}\n"
                "training: {steps: 100, optimizer: adamw}\n"
                "parameterization: {name: u-mup}"
            ),
            at="^adafactor",
        ),
    ),
    RecipeRule(
        "recipe/option-of-others",
        "`muon_scale` is given only with muon, `update_rank` only with adamh and muonh",
        _of_other_optimizers,
        explanation=Explanation(
            "HPT143",
            "Another optimizer does not read it, so it would change nothing.",
            "delete the option",
            "parameterization: {name: mup, muon_scale: original}",
            "parameterization: {name: mup}",
            at="^original",
        ),
    ),
    RecipeRule(
        "recipe/option-not-known",
        "each option of `parameterization` is one that its tables know for the optimizer",
        _options,
        explanation=Explanation(
            "HPT146",
            "What no rule of the table reads would change nothing, or has no source.",
            "delete the option",
            "training: {steps: 100, optimizer: sgd}\nparameterization: {name: mup, eps: published}",
            "training: {steps: 100, optimizer: adamw}\nparameterization: {name: mup, eps: published}",
            at="^published",
        ),
    ),
    RecipeRule(
        "recipe/own-init-at-std-1",
        "`init: own` is given only where the parameterization scales an init",
        _absolute_init,
        explanation=Explanation(
            "HPT144",
            "The parameterization draws every weight at std 1, and nothing of the model's own init is left to scale.",
            "delete `init`, or write `init: rule`",
            "model: {kind: gpt, head_dim: 16}\nparameterization: {name: u-mup, init: own}",
            "model: {kind: gpt, head_dim: 16}\nparameterization: {name: u-mup}",
            at="^own",
        ),
    ),
    RecipeRule(
        "recipe/no-residual-blocks",
        "a parameterization of residual branches has a model with branches",
        _branches,
        explanation=Explanation(
            "HPT145",
            "What it adds to muP are factors of residual branches, and an mlp has none.",
            "write `name: mup`, or `model: {kind: gpt}`",
            "parameterization: {name: completep}",
            "parameterization: {name: mup}",
            at="^completep",
        ),
    ),
)
