"""The section `expect`: what CI holds a recipe to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from hptransfer.hyperparameters import HyperparameterName
from hptransfer.recipe.numbers import NonNegative, Positive
from hptransfer.recipe.sections import Section
from hptransfer.verdict import Verdict

# names from the lists that own them, as literals for messages and docs; a type checker cannot read them
if TYPE_CHECKING:
    VerdictName: TypeAlias = str
    CoordinateName: TypeAlias = str
else:
    VerdictName = Literal[tuple(verdict.value for verdict in Verdict)]
    CoordinateName = Literal["HOLDS", "FAILS", "INCONCLUSIVE"]  # of `statistics.slope`, which lies above


class ExpectedRange(Section):
    """Where a tuned value is to lie, in its own unit."""

    low: NonNegative
    high: Positive


class ExpectedLoss(Section):
    """What the prediction at the target is held to: either both ends, or a value that it contains."""

    low: float | None = None
    """the predicted interval lies between `low` and `high`, in the unit of the loss"""
    high: float | None = None
    """see `low`"""
    contains: float | None = None
    """the predicted interval contains this loss"""


class Expect(Section):
    """What CI holds the recipe to; it decides the exit status of `check`, `run` and `validate` (docs/verdicts.md)."""

    verdict: VerdictName | None = None
    """over the checked sizes; where it is left out, the verdict's own status counts beside the rest"""
    coordinate: CoordinateName | None = None
    """of the coordinate check, over all its axes; default: anything but FAILS, unless another verdict than TRANSFERS is
    expected"""
    optimum: Annotated[dict[HyperparameterName, ExpectedRange], Field(max_length=32)] = Field(default_factory=dict)
    """hyperparameter -> where its tuned value lies"""
    drift: Positive | None = None
    """octaves of the optimum per doubling, at most, either way: the whole interval along every ladder"""
    cost: Positive | None = None
    """of the tuned value, at most, in the unit of the verdict: the upper end at every checked size"""
    prediction: ExpectedLoss | None = None
    """of the loss at the target"""
