"""`hptransfer check --verify`: was the registered prediction right?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

from hptransfer.errors import UsageError
from hptransfer.recipe.load import load_recipe
from hptransfer.results_table.columns import infer_loss, infer_step
from hptransfer.results_table.readers import read_table
from hptransfer.results_table.table import column_numbers
from hptransfer.storage.run_folder import RunFolder

INSIDE, OUTSIDE = 0, 1


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
