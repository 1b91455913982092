"""The number that trials are compared by: its unit, and the examples that it is measured on."""

from __future__ import annotations

from hptransfer.recipe.registered import LOSSES
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.sections import ExternalData

#: of losses that do not say theirs
NO_UNIT = "units of the loss"


def unit_of(recipe: Recipe) -> str:
    """The unit in which a recipe's losses are printed; no code of the user's is imported for it.

    Args:
        recipe: names the loss that is trained.

    Returns:
        What `objective.unit` says, else the built-in loss's own unit, and `NO_UNIT` where the loss is the user's.
    """
    if recipe.objective.unit is not None:
        return recipe.objective.unit
    loss = recipe.training.loss if recipe.trainer.name == "torch" else ""
    if loss not in LOSSES.built_in:
        return NO_UNIT
    unit: str = LOSSES.look_up(loss).unit
    return unit


def objective_record(recipe: Recipe, fingerprint: str) -> dict[str, str]:
    """The number that a recipe's losses are, as files of results carry it.

    Args:
        recipe: says name, unit, direction and evaluation.
        fingerprint: sha256 (hex) of the data.

    Returns:
        "name", "unit", "direction" and "evaluation".
    """
    said = recipe.objective
    evaluation = evaluation_text(recipe, fingerprint)
    return {"name": said.name, "unit": unit_of(recipe), "direction": said.direction, "evaluation": evaluation}


def evaluation_text(recipe: Recipe, fingerprint: str) -> str:
    """What a recipe's losses are measured on, in words; a prediction holds for it alone.

    Args:
        recipe: says how many examples of which data.
        fingerprint: sha256 (hex) of the data.

    Returns:
        For example "1,024 examples of stdlib-text validation, sha256 ab12cd34".
    """
    said = recipe.objective.evaluation
    if isinstance(recipe.data, ExternalData):
        return said or "the trainer's own evaluation"
    named = f"{recipe.evaluation_examples:,} examples of {recipe.data.kind} validation, sha256 {fingerprint[:8]}"
    return f"{said} ({named})" if said else named
