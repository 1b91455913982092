"""Two records of one thing compared field by field: as they are written in a file, and as they are computed again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: share of a number by which another machine may compute it otherwise. Measured (docs/identity.md): fits end within
#: 1e-5 of each other over five instruction sets of OpenBLAS, one thread or two, with numpy's own vector code on and off
TOLERANCE = 1e-3
#: of the fields that say that a mapping is an interval, which is known to a share of its largest end
_INTERVAL = "estimate"
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs.

    Attributes:
        field: dotted path within the file, places of a list in brackets: `axes[0].drift.low`.
        written: what the file says.
        again: what its trials say.
        said: what is wrong of it, a clause, where that is no value of a field; empty for the two values.
    """

    field: str
    written: Any
    again: Any
    said: str = ""

    @property
    def in_words(self) -> bool:
        """Whether only sentences differ, which another version of hptransfer may word otherwise."""
        return not self.said and _is_prose(self.written) and _is_prose(self.again)

    def __str__(self) -> str:
        if self.said:
            return f"{self.field} {self.said}"
        written, again = _apart(self.written, self.again)
        return f"{self.field} {_shown(written)}, computed again {_shown(again)}"


def differences(written: Any, again: Any, field: str = "") -> Iterator[Difference]:
    """Every field that differs by more than rounding, depth first.

    Args:
        written: JSON-able data of the file.
        again: JSON-able data of the same form, computed again.
        field: path to them, for messages.
    """
    if isinstance(written, Mapping) and isinstance(again, Mapping):
        scale = _scale(again)
        for name in {**written, **again}:
            one, other = written.get(name), again.get(name)
            if not (scale and _close(one, other, scale)):
                yield from differences(one, other, f"{field}.{name}" if field else str(name))
    elif _is_list(written) and _is_list(again) and len(written) == len(again):
        for place, (one, other) in enumerate(zip(written, again, strict=True)):
            yield from differences(one, other, f"{field}[{place}]")
    elif not _same(written, again):
        yield Difference(field, written, again)


def _is_prose(value: Any) -> bool:
    """A sentence; a verdict, a name and a state are single words, and that nothing is said any more is a fact."""
    return isinstance(value, str) and " " in value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _scale(again: Mapping[str, Any]) -> float:
    """The largest end of an interval; 0 for what is none."""
    if _INTERVAL not in again:
        return 0.0
    # of what is computed, not of what is written, which anybody may have made larger
    return max((abs(value) for value in again.values() if _is_number(value)), default=0.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(one: Any, other: Any, scale: float) -> bool:
    return _is_number(one) and _is_number(other) and abs(one - other) <= TOLERANCE * scale


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one == other or _same_text(one, other)
    if isinstance(one, float) or isinstance(other, float):
        return _is_number(one) and _is_number(other) and _close(one, other, max(abs(one), abs(other), 1e-9))
    return type(one) is type(other) and bool(one == other)


def _same_text(written: str, again: str) -> bool:
    """Whether texts differ in the last digits of numbers alone, where rounding may tip."""
    if _NUMBER.sub("#", written) != _NUMBER.sub("#", again):
        return False
    pairs = zip(_NUMBER.findall(written), _NUMBER.findall(again), strict=True)
    return all(one == other or _rounds_to(one, other) for one, other in pairs)


def _rounds_to(written: str, again: str) -> bool:
    """Whether a number is another up to its last digit: of the one computed again, for a file may round as it likes."""
    unit = _unit(again)
    return math.isfinite(unit) and abs(_value(written) - _value(again)) <= 1.5 * unit


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _unit(text: str) -> float:
    """What the last digit counts; of a whole number nothing, unless it is rounded itself."""
    mantissa, _, exponent = text.lower().partition("e")
    _, point, fraction = mantissa.partition(".")
    # a power of Python's would raise an error for an exponent that no float has; as text it is infinite, or 0
    return float(f"1e{exponent or 0}") * 10.0 ** -len(fraction) if point or exponent else 0.0


def _apart(written: Any, again: Any) -> tuple[Any, Any]:
    """Both; of long texts that begin alike the parts from a little before they differ."""
    if not (isinstance(written, str) and isinstance(again, str)) or max(len(written), len(again)) <= _LONGEST:
        return written, again
    alike = next((place for place, (a, b) in enumerate(zip(written, again, strict=False)) if a != b), 0)
    start = max(0, alike - _LONGEST // 4)
    if start == 0:
        return written, again
    return f"...{written[start:]}", f"...{again[start:]}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
