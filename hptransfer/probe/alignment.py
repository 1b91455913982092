"""Which operation of a larger model is which of the base: by module, line, kind and order there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from hptransfer.probe.trace import Op, Trace

#: how far the logarithm of a single-precision ratio may be off
_EXACT = 1e-6
#: and that of a ratio of two numbers in bfloat16
_HALF = 2**-8


def align(base: Trace, other: Trace) -> Mapping[int, Op]:
    """The other run's operation for each operation of the base's run, by the index of the latter.

    Args:
        base: the run of the base model.
        other: the run of a wider or deeper model.
    """
    known = dict(zip(_keys(other), other.ops, strict=True))
    return {op.index: known[key] for key, op in zip(_keys(base), base.ops, strict=True) if key in known}


def _keys(trace: Trace) -> list[tuple[str, str, str, int]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    keys: list[tuple[str, str, str, int]] = []
    for op in trace.ops:
        place = (op.where.module, op.where.code, op.name)
        keys.append((*place, counts[place]))
        counts[place] += 1
    return keys


def same(one: float, other: float) -> bool:
    """Whether two numbers of `forward` are one number, up to the rounding of single precision.

    Args:
        one: the number at the base.
        other: the number at another size.
    """
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=0.0) or one == other


def power(base: float | None, other: float | None, growth: float) -> float | None:
    """The power of a growth that a number follows exactly; None where it follows none.

    Args:
        base: the number at the base.
        other: the number at the larger size.
        growth: ratio of the two widths or depths, not one.
    """
    if base is None or other is None:
        return None
    if same(base, other):
        return 0.0
    if base * other <= 0 or not math.isfinite(base * other) or growth <= 0 or growth == 1:
        return None
    exact = math.log(other / base) / math.log(growth)
    snapped = round(12 * exact) / 12
    if abs(exact - snapped) * abs(math.log(growth)) < _EXACT:
        return snapped
    halves = round(2 * exact) / 2  # numbers that `forward` rounds to bfloat16
    rounded = _in_half_precision(base) and _in_half_precision(other)
    return halves if rounded and abs(exact - halves) * abs(math.log(growth)) < _HALF else None


def _in_half_precision(number: float) -> bool:
    """Whether eight significant bits hold a number."""
    mantissa, _ = math.frexp(number)
    return (mantissa * 256).is_integer()
