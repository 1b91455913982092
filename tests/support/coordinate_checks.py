"""A recipe's coordinate check in this process, as workers and coordinator make it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hptransfer.diagnostics.base import Facts
from hptransfer.diagnostics.coordinate import CoordinateCheck, CoordinateReport
from hptransfer.recipe.schema import Recipe
from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trials.messages import DiagnosticMessage


def facts_along(
    recipe: Recipe, axis: Literal["width", "depth"], lengths: Sequence[int], learning_rate: float = 2.0**-8
) -> Facts:
    """What a check along one axis knows, from the recipe's base.

    Args:
        recipe: gives model, data, training, parameterization, steps and seeds.
        axis: along which sizes differ.
        lengths: the widths or depths that are checked.
        learning_rate: at the base size, before any rule.
    """
    base = recipe.base_size
    sizes = tuple(
        recipe.size(length, base.depth) if axis == "width" else recipe.size(base.width, length) for length in lengths
    )
    ladders: dict[Any, Any] = {"width": (), "depth": (), "batch_size": (), "tokens": ()}
    return Facts(
        recipe=recipe,
        root=Path(),
        values={"learning_rate": learning_rate},
        hyperparameter="learning_rate",
        checked=("learning_rate",),
        proxy=sizes[0],
        ladders=ladders | {axis: sizes},
        sizes=sizes,
    )


def checked(
    recipe: Recipe, axis: Literal["width", "depth"], lengths: Sequence[int], learning_rate: float = 2.0**-8
) -> CoordinateReport:
    """The report along one axis, from the recipe's base.

    Args:
        recipe: gives model, data, training, parameterization, steps and seeds.
        axis: along which sizes differ.
        lengths: the widths or depths that are checked.
        learning_rate: at the base size, before any rule.
    """
    facts = facts_along(recipe, axis, lengths, learning_rate)
    check = CoordinateCheck()
    messages = [DiagnosticMessage.of("coordinate", each.spec, None, each.options) for each in check.requests(facts)]
    (report,) = check.judge(facts, [run_diagnostic(message.payload()) for message in messages])
    return report
