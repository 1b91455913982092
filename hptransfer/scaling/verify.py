"""`hptransfer check --verify`: was the registered prediction right?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.results_table.columns import infer_loss, infer_step
from hptransfer.results_table.readers import read_table
from hptransfer.results_table.table import numbers
from hptransfer.scaling.registered_prediction import describe_ends
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.prediction import registered

INSIDE, OUTSIDE = 0, 1


def verify_command(recipe: str, verify: str, runs: Path, as_json: bool) -> int:
    """Compare a finished run of the target with what was predicted.

    Args:
        recipe: path or name of a recipe, or the `target.yaml` that holds the prediction.
        verify: the run's final loss, or a file with it: a table with a loss column (the last step counts, or the mean
            of several runs), or a JSON object.
        runs: the folder of run folders.
        as_json: print JSON.

    Returns:
        0 when the loss lies inside the predicted interval, 1 outside; a run that diverged lies outside.

    Raises:
        UsageError: there is no prediction, it was edited, or the loss cannot be read.
        InconclusiveError: the prediction says nothing about the loss.
    """
    path = _target(recipe, runs)
    prediction = registered(_read_prediction(path))
    if prediction["loss"] is None:
        raise InconclusiveError(
            "a loss must have been predicted to be verified", received=" ".join(prediction["basis"])
        )
    loss = finished_loss(verify)
    low, high = prediction["loss"]["low"], prediction["loss"]["high"]
    inside = math.isfinite(loss) and (low is None or low <= loss) and (high is None or loss <= high)
    where = f"{path}, registered {prediction['written']}"
    if as_json:
        found = {"inside": inside, "loss": loss if math.isfinite(loss) else None, "prediction": prediction}
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        word = "INSIDE" if inside else "OUTSIDE"
        print(f"{word}: loss {loss:.5g}, predicted {describe_ends(prediction['loss'])} ({where})")
    return INSIDE if inside else OUTSIDE


def finished_loss(text: str) -> float:
    """The final loss a user gives as a number or as a file.

    Raises:
        UsageError: it is neither, or the file holds no loss.
    """
    try:
        return float(text)
    except ValueError:
        pass
    path = Path(text)
    if not path.exists():
        raise UsageError("`--verify` takes a loss or a file with one", received=text)
    table = read_table(path)
    loss, missing = numbers(table, infer_loss(table))
    kept = [row for row in range(len(table)) if not missing[row]]
    if not kept:
        raise UsageError("the file of a finished run must hold its loss", received=f"{path}: no value")
    step = infer_step(table)
    if step is not None:
        order, _ = numbers(table, step)
        return float(loss[max(kept, key=lambda row: (order[row], row))])
    return math.fsum(float(loss[row]) for row in kept) / len(kept)


def _target(recipe: str, runs: Path) -> Path:
    """The file that holds the prediction."""
    named = Path(recipe)
    if named.name.endswith(("target.yaml", "target.yml")):
        return named
    return RunFolder(runs / load_recipe(recipe).recipe.name).target


def _read_prediction(path: Path) -> Any:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            "a prediction must be registered before it can be verified",
            received=f"no {path}",
            hint="`hptransfer scale` writes it together with the target's configuration",
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError("target.yaml must be readable", received=f"{path}: {str(error)[:200]}") from None
    return document.get("prediction") if isinstance(document, dict) else None
