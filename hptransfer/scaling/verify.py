"""Was the registered prediction right? A finished run of the target against the interval in `target.yaml`.

The prediction that is registered there is made here too, from what `check` wrote.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.objective import objective_record
from hptransfer.recipe.schema import Recipe
from hptransfer.results_table.cells import column_numbers
from hptransfer.results_table.columns import infer_loss, infer_step
from hptransfer.results_table.readers import read_table
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.horizon import carried_exponents, carried_value, with_exponents
from hptransfer.transfer.prediction import (
    Prediction,
    moved_axes,
    predict,
    prediction_document,
    register,
    registered,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """A finished run against what was predicted.

    Attributes:
        path: the file that holds the prediction.
        prediction: as it was registered.
        loss: of the finished run, in the objective's unit, as what is minimized; not finite where it diverged.
        inside: whether the loss lies inside the predicted interval; a run that diverged lies outside.
    """

    path: Path
    prediction: dict[str, Any]
    loss: float
    inside: bool

    @property
    def document(self) -> dict[str, Any]:
        """The comparison as JSON-able data."""
        loss = self.loss if math.isfinite(self.loss) else None
        return {"inside": self.inside, "loss": loss, "prediction": self.prediction}


def verify(recipe: str, finished: str, runs: Path) -> Verification:
    """Compare a finished run of the target with what was predicted.

    Args:
        recipe: path or name of a recipe, or the `target.yaml` that holds the prediction.
        finished: the run's final value of the objective, or a file with it; see `finished_loss`.
        runs: the folder of run folders.

    Raises:
        UsageError: there is no prediction, it was edited, or the loss cannot be read.
        InconclusiveError: the prediction says nothing about the loss.
    """
    path = _target(recipe, runs)
    prediction = registered(TargetFile.read(path, missing=lambda: _missing(path)).prediction)
    if prediction["loss"] is None:
        raise InconclusiveError(
            "a loss must have been predicted to be verified", received=" ".join(prediction["basis"])
        )
    objective = prediction.get("objective", {})
    # what is maximized is predicted, as it is compared, with its sign changed
    sign = -1 if objective.get("direction") == "maximize" else 1
    loss = sign * finished_loss(finished)
    low, high = prediction["loss"]["low"], prediction["loss"]["high"]
    inside = math.isfinite(loss) and (low is None or low <= loss) and (high is None or loss <= high)
    return Verification(path, prediction, loss, inside)


def finished_loss(text: str) -> float:
    """The final loss that a user gives as a number or as a file.

    Args:
        text: a number in nats; or a table with a loss column, of which the last step counts, or the mean of several
            runs; or a JSON object.

    Raises:
        UsageError: it is neither, or the file holds no loss.
    """
    try:
        return float(text)
    except ValueError:
        pass
    path = Path(text)
    if not path.exists():
        raise UsageError("a finished run is given as its loss or as a file with it", received=text)
    table = read_table(path)
    loss, missing = column_numbers(table, infer_loss(table))
    kept = [row for row in range(len(table)) if not missing[row]]
    if not kept:
        raise UsageError("the file of a finished run must hold its loss", received=f"{path}: no value")
    step = infer_step(table)
    if step is not None:
        order, _ = column_numbers(table, step)
        return float(loss[max(kept, key=lambda row: (order[row], row))])
    return math.fsum(float(loss[row]) for row in kept) / len(kept)


def _target(recipe: str, runs: Path) -> Path:
    """The file that holds the prediction."""
    named = Path(recipe)
    if named.name.endswith(("target.yaml", "target.yml")):
        return named
    return RunFolder(runs / load_recipe(recipe).recipe.name).target


def _missing(path: Path) -> UsageError:
    return UsageError(
        "a prediction must be registered before it can be verified",
        received=f"no {path}",
        hint="`hptransfer scale` writes it together with the target's configuration",
    )


# The registered prediction that goes into `target.yaml`.


def predicted(checked: TransferFile | None, *, proxy: Size, size: Size, on_ray: bool = False) -> Prediction | None:
    """Predict for a target from what `check` wrote; None where nothing was checked.

    Args:
        checked: the content of `transfer.json`; None without a check.
        proxy: size at which the value was tuned.
        size: the target to predict for.
        on_ray: whether its tokens are those that belong to its shape, as those of the checked sizes do.
    """
    if checked is None:
        return None
    axes = [axis.facts() for axis in checked.axes if axis.hyperparameter == checked.hyperparameter]
    name = checked.hyperparameter
    exponents = carried_exponents(axes, name, proxy=proxy, target=size, on_ray=on_ray)
    moved = moved_axes(proxy, size, on_ray=on_ray)
    found = predict(axes, moved, hyperparameter=name, value=carried_value(checked.transferred, exponents))
    return with_exponents(found, exponents)


def registered_now(prediction: Prediction, recipe: Recipe, size: Size, fingerprint: str) -> dict[str, Any]:
    """A prediction as the target's file holds it, dated now, with what its loss is measured on.

    Args:
        prediction: of the run at this size.
        recipe: gives its name and the objective, for which alone the prediction holds.
        size: the target that it predicts for.
        fingerprint: sha256 (hex) of the recipe's data.
    """
    content = {
        "recipe": recipe.name,
        "size": asdict(size),
        "objective": objective_record(recipe, fingerprint),
        **prediction_document(prediction),
    }
    return register(content, written=datetime.now(UTC).isoformat(timespec="seconds"))
