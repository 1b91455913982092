"""Predictions in words, before they are registered and as `target.yaml` has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.sizes import grouped
from hptransfer.transfer.prediction import Prediction, prediction_document
from hptransfer.transfer.scope import Outlook


def describe_prediction(document: Mapping[str, Any]) -> str:
    """A registered prediction in one line.

    Args:
        document: the `prediction` of `target.yaml`.
    """
    where = _where(document["target"]) or "the proxy's size"
    loss = document["loss"]
    if loss is None:
        return f"prediction for {where}: {' '.join(document['basis'])}"
    evaluation = document.get("objective", {}).get("evaluation")
    on = f" on {evaluation}" if evaluation else ""
    said = f"prediction for {where}: loss {describe_ends(loss)}{on}, registered {document['written']}"
    # what the interval leaves out comes last
    return f"{said}. {document['basis'][-1]}" if document["basis"] else said


def _where(target: Mapping[str, float]) -> str:
    """A target in words, for example "width 1,048,576"; no digits are rounded away."""
    return ", ".join(f"{axis} {grouped(value)}" for axis, value in target.items())


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
    where = _where(document["target"])
    best = document["optimum"]
    lines = [f"at {where}: optimum {describe_ends(best)}" if best["estimate"] is not None else f"at {where}:"]
    if document["loss"] is not None:
        lines.append(f"  loss at {prediction.value:.4g}: {describe_ends(document['loss'])}")
    if document["penalty"] is not None:
        lines.append(
            f"  above the best loss there, because the value is not the optimum: {describe_ends(document['penalty'])}"
        )
    return "\n".join([*lines, *(f"  {sentence}" for sentence in prediction.basis)])


def describe_outlook(outlook: Outlook) -> Iterator[str]:
    """What a check says of its target: the laws, or else the prediction, and whether the target is covered.

    Args:
        outlook: of the recipe's target.
    """
    yield from (law.sentence for law in outlook.laws)
    if outlook.prediction is not None and not outlook.laws:
        yield f"prediction {describe_forecast(outlook.prediction)}"
    if outlook.scope is not None:
        yield outlook.scope.sentence
