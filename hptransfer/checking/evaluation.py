"""What the losses of a check were measured on, and how far they may lie from those on more data of the kind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from hptransfer.recipe.objective import NO_UNIT, evaluation_text, unit_of
from hptransfer.recipe.schema import Recipe
from hptransfer.transfer.judge import TransferReport
from hptransfer.trials.trial import EVALUATION_ERROR, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The evaluation set of a check, with its noise beside what is allowed.

    Attributes:
        evaluation: what losses were measured on, in words.
        unit: in which losses are.
        error: standard error of one trial's loss over the evaluation set, the median over the trials of the largest
            size; None where trials do not tell it.
        bound: loss that the transferred value may cost there, in the same unit; None where it is not known.
        where: the largest size, for example "width 1024".
    """

    evaluation: str
    unit: str
    error: float | None
    bound: float | None
    where: str

    @property
    def sentence(self) -> str:
        """All of it, without a full stop."""
        of = "say no unit" if self.unit == NO_UNIT else f"are {self.unit}"
        said = f"losses {of}, over {self.evaluation}"
        if self.error is None:
            return said
        said += f"; standard error {self.error:.2g} at {self.where}"
        if self.bound is not None:
            said += f", allowed regret {self.bound:.2g}"
        return f"{said} (all trials share the examples, so their differences are known better than each loss)"


def evaluation_of(recipe: Recipe, fingerprint: str, report: TransferReport, trials: Iterable[Trial]) -> Evaluated:
    """What the losses of a check were measured on.

    Args:
        recipe: says how many examples of which data, and the loss.
        fingerprint: sha256 (hex) of the data.
        report: over all hyperparameters and axes, of which the first is described.
        trials: of its ladder; what they say of their unit is taken where the recipe does not know it.
    """
    axis = report.axes[0]
    largest = axis.sizes[-1]
    ran = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    there = [trial for trial in ran if getattr(trial.size, axis.axis, None) == largest.value]
    errors = [float(trial.provenance[EVALUATION_ERROR]) for trial in there if EVALUATION_ERROR in trial.provenance]
    units = {trial.provenance.get("unit", NO_UNIT) for trial in ran}
    unit = unit_of(recipe)
    bound = axis.allowed_loss
    if recipe.objective.direction == "maximize":
        unit = f"{recipe.objective.name} with its sign changed" + ("" if unit == NO_UNIT else f" ({unit})")
    return Evaluated(
        evaluation_text(recipe, fingerprint),
        units.pop() if unit == NO_UNIT and len(units) == 1 else unit,
        statistics.median(errors) if errors else None,
        bound if math.isfinite(bound) else None,
        f"{axis.axis} {largest.label}",
    )
