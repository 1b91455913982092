"""Durations and amounts of memory as users write them: a number and its unit."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from hptransfer.recipe.sections import EditorPattern

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?"

DURATION = "must be a number and a unit: 90s, 30m, 2h or 1d"
MEMORY = "must be a number and a unit: 500MB, 4GB or 1.5GiB"


def seconds(text: str) -> float:
    """The duration in seconds, above 0.

    Args:
        text: a number and one of the units s, m, h, d: "90s", "1.5h".

    Raises:
        ValueError: it is not a number with one of the units s, m, h, d.
    """
    return _amount(text, _SECONDS, DURATION)


def memory(text: str) -> int:
    """The amount in bytes, at least 1.

    Args:
        text: a number and one of the units MB, GB, TB, MiB, GiB, TiB: "4GB".

    Raises:
        ValueError: it is not a number with one of the units MB, GB, TB (powers of 10), MiB, GiB, TiB (powers of 2).
    """
    return int(_amount(text, _BYTES, MEMORY))


def _amount(text: str, units: dict[str, float] | dict[str, int], rule: str) -> float:
    match = re.fullmatch(_NUMBER + f"({'|'.join(units)})", text)
    if match is None or not float(match[1]):
        raise ValueError(rule)
    return float(match[1]) * units[match[2]]


def _duration_text(value: object) -> object:
    return _checked(value, _SECONDS, DURATION)


def _memory_text(value: object) -> object:
    return _checked(value, _BYTES, MEMORY)


def _checked(value: object, units: dict[str, float] | dict[str, int], rule: str) -> object:
    try:
        _amount(value if isinstance(value, str) else "", units, rule)
    except ValueError:
        raise PydanticCustomError("quantity", rule) from None
    return value


def _for_editors(units: dict[str, float] | dict[str, int]) -> EditorPattern:
    return EditorPattern(f"^(?=[0-9.]*[1-9]){_NUMBER}({'|'.join(units)})$")


#: kept as written; `seconds` and `memory` read it
Duration = Annotated[str, BeforeValidator(_duration_text), _for_editors(_SECONDS)]
Memory = Annotated[str, BeforeValidator(_memory_text), _for_editors(_BYTES)]
