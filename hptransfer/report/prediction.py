"""Predictions in words: before they are registered, and as they stand in `target.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hptransfer.transfer.prediction import Prediction, prediction_document


def describe_prediction(document: Mapping[str, Any]) -> str:
    """A registered prediction in one line.

    Args:
        document: the `prediction` of `target.yaml`.
    """
    where = ", ".join(f"{axis} {value:g}" for axis, value in document["target"].items()) or "the proxy's size"
    loss = document["loss"]
    if loss is None:
        return f"prediction for {where}: {' '.join(document['basis'])}"
    return f"prediction for {where}: loss {describe_ends(loss)}, registered {document['written']}"


def describe_ends(ends: Mapping[str, float | None]) -> str:
    """An interval of a document, for example 1.934 (1.921 to 1.950).

    Args:
        ends: "estimate", "low" and "high"; None where an end is open.
    """
    low, high = ("open" if ends[end] is None else f"{ends[end]:.4g}" for end in ("low", "high"))
    return f"{ends['estimate']:.4g} ({low} to {high})"


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
