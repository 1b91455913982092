"""What the evidence says of one target: whether it is covered, what is used there, and what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hptransfer.artifacts.transfer import TransferFile
from hptransfer.engine.flops import run_flops
from hptransfer.parameterization.tables import MEASURED
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.transfer.horizon import CarriedExponent, carried_exponents, predict_carried
from hptransfer.transfer.law import LawValue, law_values
from hptransfer.transfer.prediction import Prediction
from hptransfer.transfer.scope import scope_of
from hptransfer.transfer.target import TargetReport

#: what the target is trained with: what was tuned at the proxy, or where the ladder's path leads
Use = Literal["tuned", "predicted"]


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is known of one target.

    Attributes:
        laws: values that the target is trained with in place of the tuned ones; none where those are carried.
        scope: the judgement of the target; None without a check, or where the target is the proxy.
        prediction: of optimum and loss there; None without a check.
        exponents: by which values are moved along batch and tokens, used or not; none where laws carry them.
    """

    laws: tuple[LawValue, ...] = ()
    scope: TargetReport | None = None
    prediction: Prediction | None = None
    exponents: tuple[CarriedExponent, ...] = ()

    @property
    def covered(self) -> bool:
        """Whether nothing of the target lies where the check does not reach, unless the recipe accepts it."""
        return self.scope is None or self.scope.covered


def look_ahead(recipe: Recipe, root: Path, size: Size, checked: TransferFile | None, use: Use = "tuned") -> Ahead:
    """What a check says of a target.

    Args:
        recipe: says what was tuned and what the target may lack.
        root: the recipe's folder, where modules are looked for too.
        size: width, depth, batch and tokens of the target.
        checked: the content of `transfer.json`; None without a check.
        use: what the target is trained with; where no rule is claimed it is what the ladder's law says.
    """
    if checked is None:
        return Ahead()
    facts, proxy = checked.facts(), recipe.proxy_size
    values: Mapping[str, float] = {each.hyperparameter: each.transferred for each in checked.hyperparameters}
    laws: list[LawValue] = []
    measured = recipe.parameterization.name == MEASURED
    if measured or use == "predicted":
        laws = law_values(facts, proxy=proxy, target=size, at=values)
    if not measured and laws:
        laws = [replace(law, why="the predicted optimum is used instead of the tuned value") for law in laws]
        values = {law.name: law.estimate for law in laws}
    scope = scope_of(recipe, facts, values, size, lambda each: run_flops(recipe, root, each), by_path=bool(laws))
    if laws:
        return Ahead(tuple(laws), scope, laws[0].prediction)
    on_ray = recipe.on_ray(size)
    exponents = tuple(
        each
        for name, axes in facts.items()
        for each in carried_exponents(axes, name, proxy=proxy, target=size, on_ray=on_ray)
    )
    name = checked.hyperparameter
    prediction = predict_carried(
        facts[name], name, checked.transferred, proxy=proxy, target=size, on_ray=on_ray, at_proxy=True
    )
    return Ahead((), scope, prediction, exponents)
