"""The registered prediction that goes into `target.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hptransfer.sizes import Size
from hptransfer.transfer.judge import TransferReport
from hptransfer.transfer.prediction import (
    Prediction,
    axis_facts_from_json,
    axis_facts_from_report,
    predict,
    prediction_document,
    register,
)


def registered_prediction(
    checked: Mapping[str, Any] | None, *, recipe: str, proxy: Size, size: Size
) -> dict[str, Any] | None:
    """Predict for a target from what `check` wrote, dated now; None where nothing was checked.

    Args:
        checked: the content of `transfer.json`.
        recipe: its name.
        proxy: where the value was tuned.
        size: the target.
    """
    if not checked or not checked.get("axes"):
        return None
    try:
        name = checked.get("hyperparameter")
        axes = [axis_facts_from_json(axis) for axis in checked["axes"] if axis.get("hyperparameter", name) == name]
    except (KeyError, TypeError):
        return None  # written by another version: the target stands, but there is nothing to predict from
    moved = {axis: value for axis, value in asdict(size).items() if value != getattr(proxy, axis)}
    prediction = predict(axes, moved, hyperparameter=checked["hyperparameter"], value=float(checked["transferred"]))
    content = {"recipe": recipe, "size": asdict(size), **prediction_document(prediction)}
    return register(content, written=datetime.now(UTC).isoformat(timespec="seconds"))


def describe_prediction(document: Mapping[str, Any]) -> str:
    """A registered prediction in one line."""
    where = ", ".join(f"{axis} {value:g}" for axis, value in document["target"].items()) or "the proxy's size"
    loss = document["loss"]
    if loss is None:
        return f"prediction for {where}: {' '.join(document['basis'])}"
    return f"prediction for {where}: loss {describe_ends(loss)}, registered {document['written']}"


def describe_ends(ends: Mapping[str, float | None]) -> str:
    """An interval of a document, for example 1.934 (1.921 to 1.950)."""
    low, high = ("open" if ends[end] is None else f"{ends[end]:.4g}" for end in ("low", "high"))
    return f"{ends['estimate']:.4g} ({low} to {high})"


def describe_target(report: TransferReport, *, proxy: Size, size: Size) -> str:
    """What the checked value is expected to cost at the target, not registered; empty where the target is the proxy."""
    first = report.axes[0]
    moved = {axis: value for axis, value in asdict(size).items() if value != getattr(proxy, axis)}
    if not moved:
        return ""
    axes = [axis_facts_from_report(axis) for axis in report.axes if axis.hyperparameter == first.hyperparameter]
    prediction = predict(axes, moved, hyperparameter=first.hyperparameter, value=first.transferred)
    return f"prediction {describe_forecast(prediction)}"


def describe_forecast(prediction: Prediction) -> str:
    """A prediction that is not registered, in a few lines."""
    document = prediction_document(prediction)
    where = ", ".join(f"{axis} {value:g}" for axis, value in document["target"].items())
    best = document["optimum"]
    lines = [f"at {where}: optimum {describe_ends(best)}" if best["estimate"] is not None else f"at {where}:"]
    if document["loss"] is not None:
        lines.append(f"  loss of one run at {prediction.value:.4g}: {describe_ends(document['loss'])}")
    if document["penalty"] is not None:
        lines.append(
            f"  above the best loss there, because the value is not the optimum: {describe_ends(document['penalty'])}"
        )
    return "\n".join([*lines, *(f"  {sentence}" for sentence in prediction.basis)])
