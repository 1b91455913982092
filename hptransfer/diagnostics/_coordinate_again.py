"""The verdict of a coordinate check from the slopes that its document holds, without the measurements behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hptransfer.artifacts.json_data import to_document
from hptransfer.diagnostics._coordinate_rows import CoordinateRow, overall, verdict_of
from hptransfer.diagnostics._diagnosis import diagnose
from hptransfer.diagnostics._update_scaling import UPDATE_TOLERANCE, ParameterRow
from hptransfer.statistics.slope import RowVerdict, Slope


def rejudged_coordinates(document: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The reports of the axes, with verdicts of rows, of parameters and over all as their slopes have them.

    Args:
        document: of the diagnostic, as `transfer.json` holds it.

    Raises:
        ValueError: it is no such document.
    """
    try:
        return [_report(each) for each in document]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no document of a coordinate check: {type(error).__name__} {error}") from None


def _report(written: Mapping[str, Any]) -> dict[str, Any]:
    axis, tolerance = written["axis"], written["tolerance"]
    rows = [_row(each, tolerance) for each in written["rows"]]
    weights = [_parameter(each) for each in written["parameters"]]
    faults = diagnose(weights, rows, axis)
    # a model that names no layers is judged by its parameters alone; see `judge_coordinates`
    verdict = overall(rows, faulty=bool(faults)) if rows else _by_updates(weights, faulty=bool(faults))
    said = written["sentence"] if written["sentence"].startswith(f"{verdict}: ") else f"{verdict}: ..."
    return dict(written) | {
        "rows": to_document(rows),
        "parameters": to_document(weights),
        "verdict": verdict.value,
        "sentence": said,
    }


def _by_updates(weights: Sequence[ParameterRow], *, faulty: bool) -> RowVerdict:
    known = [row for row in weights if not math.isnan(row.expected_update)]
    if faulty:
        return RowVerdict.FAILS
    holds = known and all(row.verdict is RowVerdict.HOLDS for row in known)
    return RowVerdict.HOLDS if holds else RowVerdict.INCONCLUSIVE


def _row(written: Mapping[str, Any], tolerance: float) -> CoordinateRow:
    numbers = {name: _number(written[name]) for name in ("slope", "standard_error", "largest_pair", "summed")}
    fields = {name: value for name, value in written.items() if name not in numbers}
    low, high = written["allowed"]
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    slope = Slope(numbers["slope"], numbers["standard_error"], numbers["largest_pair"])
    verdict = verdict_of(slope, low, high, tolerance, drowned=written["drowned"])
    changed = {"allowed": (low, high), "verdict": verdict, "asymptotic": slope.asymptotic}
    return CoordinateRow(**(fields | numbers | changed))


def _parameter(written: Mapping[str, Any]) -> ParameterRow:
    update, initial = _slope(written["update"]), _slope(written["initial"])
    expected = _number(written["expected_update"])
    kept = None if written["kept"] is None else tuple(map(_number, written["kept"]))
    return ParameterRow(
        **(
            dict(written)
            | {
                "update": update,
                "expected_update": expected,
                "initial": initial,
                "expected_initial": _number(written["expected_initial"]),
                "decay": _number(written["decay"]),
                "kept": kept,
                "shared": tuple(written["shared"]),
                "verdict": update.against(expected, UPDATE_TOLERANCE),
            }
        )
    )


def _slope(written: Mapping[str, Any]) -> Slope:
    return Slope(*(_number(written[name]) for name in ("estimate", "standard_error", "largest_pair")))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
