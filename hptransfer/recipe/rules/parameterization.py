"""Rules of the parameterization and of what it scales."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.parameterization.tables import TABLES
from hptransfer.recipe.rules.base import Draft, RecipeRule, Violation

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


RULES = (
    RecipeRule(
        "recipe/alpha-not-used", "`alpha` is given only where the parameterization has a residual exponent", _alpha
    ),
    RecipeRule(
        "recipe/no-residual-blocks", "a parameterization of residual branches has a model with branches", _branches
    ),
)
