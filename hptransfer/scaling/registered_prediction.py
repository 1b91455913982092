"""The registered prediction that goes into `target.yaml`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hptransfer.artifacts.transfer import TransferFile
from hptransfer.sizes import Size
from hptransfer.transfer.prediction import moved_axes, predict, prediction_document, register


def registered_prediction(
    checked: TransferFile | None, *, recipe: str, proxy: Size, size: Size
) -> dict[str, Any] | None:
    """Predict for a target from what `check` wrote, dated now; None where nothing was checked.

    Args:
        checked: the content of `transfer.json`; None without a check.
        recipe: name of the recipe.
        proxy: size at which the value was tuned.
        size: the target to predict for.
    """
    if checked is None:
        return None
    axes = [axis.facts() for axis in checked.axes if axis.hyperparameter == checked.hyperparameter]
    moved = moved_axes(proxy, size)
    prediction = predict(axes, moved, hyperparameter=checked.hyperparameter, value=checked.transferred)
    content = {"recipe": recipe, "size": asdict(size), **prediction_document(prediction)}
    return register(content, written=datetime.now(UTC).isoformat(timespec="seconds"))
