"""Reports as JSON documents: plain data, stable key order, and null where there is no finite number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from hptransfer.diagnostics.collapse import CollapseReport
from hptransfer.diagnostics.coordinate import CoordinateReport
from hptransfer.diagnostics.interactions import Interaction
from hptransfer.diagnostics.linearization import LazinessReport
from hptransfer.diagnostics.noise_scale import NoiseScaleReport
from hptransfer.diagnostics.sharpness import SharpnessReport
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.verdict import Verdict, speed_of

#: bumped when a key changes its meaning or goes away
FORMAT = 1


def to_document(value: object) -> Any:
    """Turn a report, or any part of one, into JSON-able data.

    Dataclasses become mappings in field order, enums their values, tuples lists; a number that is not finite becomes
    null. An `Interval` also says which of its ends are open, and an `Optimum` gives its value in the hyperparameter's
    own unit, so that nothing is lost with the infinities.

    Args:
        value: a report, dataclass, mapping, sequence, enum, string, number, boolean or None.

    Raises:
        TypeError: data of another type.
    """
    match value:
        case Interval():
            document: Any = _fields(value) | {"bounded": value.bounded}
        case Optimum():
            document = _fields(value) | {"value": _number(value.value)}
        case AxisReport():
            document = _fields(value) | {"speed": to_document(speed_of(value.rho))}
        case Enum():
            document = value.value
        case None | str() | bool() | int():
            document = value
        case float():
            document = _number(value)
        case np.ndarray():
            document = to_document(value.tolist())
        case Mapping():
            document = {str(key): to_document(item) for key, item in value.items()}
        case Sequence():
            document = [to_document(item) for item in value]
        case _ if is_dataclass(value):
            document = _fields(value)
        case _:
            raise TypeError(f"a document holds plain data, but got {type(value).__name__}")
    return document


def transfer_document(
    report: TransferReport,
    *,
    recipe: str,
    recipe_hash: str,
    coordinate: Sequence[CoordinateReport] = (),
    linearisation: LazinessReport | None = None,
    sharpness: SharpnessReport | None = None,
    noise_scale: NoiseScaleReport | None = None,
    collapse: CollapseReport | None = None,
    provenance: Mapping[str, object] | None = None,
    adaptive: Mapping[str, object] | None = None,
    interactions: Sequence[Interaction] = (),
) -> dict[str, Any]:
    """The content of `transfer.json`.

    Args:
        report: the judgement.
        recipe: the recipe's name.
        recipe_hash: sha256 of the recipe.
        coordinate: coordinate checks that were made, one per axis.
        linearisation: distance from linearisation over depth, where it was measured.
        sharpness: over width, where it was measured.
        noise_scale: of gradients at the proxy, where it was measured.
        collapse: of loss curves over widths, where seeds and curves allow it.
        provenance: versions, data fingerprint, seeds.
        adaptive: what each round of trials bought, and why they ended.
        interactions: of the searched hyperparameters, from the search at the proxy.
    """
    first = report.axes[0]
    return {
        "format": FORMAT,
        "recipe": recipe,
        "recipe_hash": recipe_hash,
        "verdict": report.verdict.value,
        "sentence": report.sentence,
        "hyperparameter": first.hyperparameter,
        "transferred": first.transferred,
        "hyperparameters": [
            _overall(name, report.axes) for name in dict.fromkeys(a.hyperparameter for a in report.axes)
        ],
        "interactions": [to_document(pair) | {"sentence": pair.sentence} for pair in interactions],
        "criteria": to_document(first.criteria),
        "checked": {
            "widths": _checked(report.axes, "width"),
            "depths": _checked(report.axes, "depth"),
            "batch_sizes": _checked(report.axes, "batch_size"),
            "tokens": _checked(report.axes, "tokens"),
        },
        "axes": [to_document(axis) for axis in report.axes],
        "coordinate": [to_document(check) for check in coordinate],
        "linearisation": to_document(linearisation),
        "sharpness": to_document(sharpness),
        "noise_scale": to_document(noise_scale),
        "collapse": to_document(collapse),
        "adaptive": to_document(dict(adaptive or {})),
        "provenance": to_document(dict(provenance or {})),
    }


def _overall(name: str, axes: Sequence[AxisReport]) -> dict[str, Any]:
    """One hyperparameter over all axes of size."""
    own = [axis for axis in axes if axis.hyperparameter == name]
    verdict = Verdict.combine(axis.verdict for axis in own)
    sentence = " ".join(axis.sentence for axis in own if axis.verdict is verdict)
    return {"hyperparameter": name, "transferred": own[0].transferred, "verdict": verdict.value, "sentence": sentence}


def _checked(axes: Sequence[AxisReport], name: str) -> list[int]:
    return sorted({size.value for axis in axes if axis.axis == name for size in axis.sizes})


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: to_document(getattr(value, field.name)) for field in fields(value)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
