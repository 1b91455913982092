"""Rules of who trains: what a trainer must find in the recipe, and what it cannot be asked for."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.parameterization.tables import MEASURED
from hptransfer.recipe.model_sections import ExternalModel
from hptransfer.recipe.rule_text import Explanation
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation

#: the trainer that builds the recipe's model and reads its data by itself
_BUILT_IN = "torch"


def _needs_model(draft: Draft) -> Iterator[Violation]:
    if draft.trainer != _BUILT_IN:
        return
    if isinstance(draft.model, ExternalModel):
        hint = "for example `model: {kind: mlp}`; or say who else trains it: `trainer: {function: 'module:function'}`"
        yield Violation(("model",), "`model` must be given", "none", hint)
    if draft.external_data:
        hint = "for example `data: {kind: stdlib-text}`"
        yield Violation(("data",), "`data` must be given", "none", hint)


def _measured(draft: Draft) -> Iterator[Violation]:
    chosen = draft.parameterization
    if chosen is None or draft.model is None or chosen.name != MEASURED:
        return
    path = ("parameterization", "name")
    if not isinstance(draft.model, ExternalModel):
        rule = f"`{MEASURED}` claims no rule, so it is for programs whose model cannot be read"
        hint = "write `standard` for one value at every size, or leave `model` out"
        yield Violation(path, rule, f"model.kind={draft.model.kind}", hint)
    for name in ("alpha", "weight_decay", "eps", "batch_rule", "token_exponent", "betas", "decay_timescale"):
        if getattr(chosen, name) is not None:
            rule = f"`{name}` must belong to a parameterization with rules"
            yield Violation(("parameterization", name), rule, f"name={MEASURED}", "delete the line")


def _flops(draft: Draft) -> Iterator[Violation]:
    if isinstance(draft.model, ExternalModel) and draft.limits_flops:
        rule = "`budget.flops` needs a model whose operations can be counted"
        yield Violation(("budget", "flops"), rule, "a recipe without `model`", "limit `trials` or `time` instead")


RULES = (
    RecipeRule(
        "recipe/trainer-needs",
        "the trainer `torch` is given a model and data",
        _needs_model,
        explanation=Explanation(
            "HPT165",
            "The built-in trainer builds the model and reads the data by itself.",
            "give `model` and `data`, or say who else trains: `trainer: {function: 'module:function'}`",
            "data: {kind: external}",
            "data: {kind: stdlib-text}",
            at="^{kind: external",
        ),
    ),
    RecipeRule(
        "recipe/measured",
        "`measured` is used where no rule can be applied, and takes no options",
        _measured,
        explanation=Explanation(
            "HPT166",
            "`measured` claims no rule; where a model can be read, a rule can be applied and checked.",
            "write the name of a parameterization with rules, or leave `model` out",
            "parameterization: {name: measured}",
            "parameterization: {name: mup}",
            at="^measured",
        ),
    ),
    RecipeRule(
        "recipe/unknown-flops",
        "FLOPs are limited only where they can be counted",
        _flops,
        explanation=Explanation(
            "HPT167",
            "Without a model nothing says how many operations a trial costs.",
            "limit `trials` or `time` instead",
            "budget: {flops: 1e15}",
            "budget: {trials: 100}",
            at="^1e15",
            base="command",
        ),
    ),
)
