"""Results as plain JSON data: stable key order, and null where there is no finite number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum
from hptransfer.transfer.cost import CostUnit
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.speed import speed_of


def to_document(value: object) -> Any:
    """Turn a result, or any part of one, into JSON-able data.

    Dataclasses and records become mappings in field order, enums their values, tuples lists; a number that is not
    finite becomes null. An `Interval` also says whether both its ends are known, and an `Optimum` gives its value in
    the hyperparameter's own unit, so that nothing is lost with the infinities.

    Args:
        value: a dataclass, record, mapping, sequence, array, enum, string, number, boolean or None.

    Raises:
        TypeError: data of another type.
    """
    match value:
        case Interval():
            document: Any = _fields(value) | {"bounded": value.bounded}
        case Optimum():
            document = _fields(value) | {"value": _number(value.value)}
        case AxisReport():
            document = _fields(value) | {"speed": to_document(speed_of(value.rho, affordable=value.affordable))}
        case CostUnit():
            document = {
                "of": value.of,
                "name": value.name,
                "known": value.known,
                "gain": to_document(value.gain),
                "exponent": to_document(value.exponent),
                "deviation": to_document(value.deviation),
                "borrowed": value.borrowed,
            }
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
        case _ if names := getattr(type(value), "model_fields", None):
            # a record; its library takes longer to load than a small table to judge
            document = {name: to_document(getattr(value, name)) for name in names}
        case _:
            raise TypeError(f"a document holds plain data, but got {type(value).__name__}")
    return document


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: to_document(getattr(value, field.name)) for field in fields(value)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
