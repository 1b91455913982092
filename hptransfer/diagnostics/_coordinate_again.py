"""A coordinate check from the slopes that its document holds, without the measurements behind them.

What was asked for is the recipe's: axes, sizes, seeds, steps, the tolerance, and which layers are judged. Not known
again are the slopes themselves, whether a random readout's share drowns one of the logits, how far activations at init
still fall with depth, and what the model's `forward` was found to do. Which layers and parameters there are, and what
the rules say of them, is asked of the model where it was read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hptransfer.artifacts.json_data import to_document
from hptransfer.diagnostics._coordinate_model import held_to_model
from hptransfer.diagnostics._coordinate_report import by_updates, sentence_of, sentence_of_updates
from hptransfer.diagnostics._coordinate_rows import CoordinateRow, overall, verdict_of
from hptransfer.diagnostics._depth_position import place_of
from hptransfer.diagnostics._diagnosis import Fault, diagnose
from hptransfer.diagnostics._update_scaling import UPDATE_TOLERANCE, Axis, ParameterRow
from hptransfer.diagnostics.base import Facts
from hptransfer.statistics.slope import RowVerdict, Slope


def rejudged_coordinates(document: Any, facts: Facts) -> list[dict[str, Any]]:
    """The reports of the axes, as the recipe asks for them and their slopes have them.

    Args:
        document: of the diagnostic, as `transfer.json` holds it.
        facts: of the recipe's check.

    Raises:
        ValueError: it is no such document, or is of other axes, layers or steps than the check asks for.
    """
    possible: tuple[Axis, ...] = ("width", "depth")
    axes = [axis for axis in possible if len(facts.ladders[axis]) > 1]
    try:
        stated = [each["axis"] for each in document or ()]
        if stated != axes:
            said = f"it judges {' and '.join(map(str, stated)) or 'nothing'}"
            raise ValueError(f"`diagnostics.coordinate` must judge {' and '.join(axes) or 'nothing'}; {said}")
        return [_report(each, axis, facts) for each, axis in zip(document or (), axes, strict=True)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no document of a coordinate check: {type(error).__name__} {error}") from None


def _report(written: Mapping[str, Any], axis: Axis, facts: Facts) -> dict[str, Any]:
    asked = facts.recipe.check.coordinate
    sizes = sorted({int(getattr(size, axis)) for size in facts.ladders[axis]})
    held_to_model(written, axis, facts)
    _require_steps(written["rows"], facts)
    _require_drowned(written["rows"], axis)
    rows = _rows(written["rows"], axis, sizes, asked.tolerance)
    weights = [_parameter(each) for each in written["parameters"]]
    found = diagnose(weights, rows, axis)
    # a model that names no layers is judged by its parameters alone; see `judge_coordinates`
    verdict = overall(rows, faulty=bool(found)) if rows else by_updates(weights, faulty=bool(found))
    faults = _faults(written["faults"], found) if verdict is RowVerdict.FAILS else []
    said = [str(fault["sentence"]) for fault in faults]
    if rows:
        sentence = sentence_of(rows, said, verdict, axis, seeds=asked.seeds, tolerance=asked.tolerance)
    else:
        sentence = sentence_of_updates(weights, said, verdict, axis)
    return dict(written) | {
        "sizes": sizes,
        "seeds": asked.seeds,
        "tolerance": asked.tolerance,
        "rows": to_document(rows),
        "parameters": to_document(weights),
        "verdict": verdict.value,
        "sentence": sentence,
        "faults": faults,
    }


def _require_steps(rows: Sequence[Mapping[str, Any]], facts: Facts) -> None:
    """Every layer has each step once; which steps a loop of the user's own recorded is its own affair."""
    steps: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        steps.setdefault((row["layer"], row["kind"]), []).append(row["step"])
    wanted = {step for of in steps.values() for step in of}
    if not facts.recipe.trainer.watches:
        wanted = set(facts.recipe.check.coordinate.steps)
    for (layer, kind), of in steps.items():
        if sorted(of) != sorted(wanted):
            asked, there = (", ".join(map(str, sorted(each))) for each in (wanted, of))
            raise ValueError(f"`diagnostics.coordinate` must have {layer} ({kind}) at steps {asked}; it has {there}")


def _require_drowned(rows: Sequence[Mapping[str, Any]], axis: Axis) -> None:
    """A random readout's share is in the logits alone, and is looked at along width alone."""
    for row in rows:
        if row["drowned"] and (axis != "width" or row["kind"] != "logits"):
            raise ValueError(
                f"`diagnostics.coordinate` must not call {row['layer']} ({row['kind']}) drowned along {axis}"
            )


def _faults(stated: Sequence[Mapping[str, Any]], found: Sequence[Fault]) -> list[Any]:
    """What is stated, which names causes in `forward` too, where all that the slopes show is among it."""
    known = {(each["group"], each["cause"]) for each in stated}
    among = all((fault.group, fault.cause.value) in known for fault in found)
    return list(stated) if among else list(to_document(found))


def _rows(
    written: Sequence[Mapping[str, Any]], axis: Axis, sizes: Sequence[int], tolerance: float
) -> list[CoordinateRow]:
    blocks = [row["layer"] for row in written if row["kind"] == "residual"]
    moved = {(row["layer"], row["kind"]): math.inf for row in written}
    for row in written:
        if row["slope"] is not None:
            moved[row["layer"], row["kind"]] = min(moved[row["layer"], row["kind"]], row["step"])
    found = []
    for row in written:
        place = place_of(row["layer"], row["kind"], row["step"], axis, blocks, sizes)
        # behind zeros, a readout's, a layer has no change at first, and is judged from its first change on
        unmoved = not row["judged"] and row["step"] < moved[row["layer"], row["kind"]]
        high = place.high if axis == "width" else max(place.high, _number(row["allowed"][1]))
        found.append(_row(row, (place.low, high), tolerance, judged=place.judged and not unmoved))
    return found


def _row(written: Mapping[str, Any], allowed: tuple[float, float], tolerance: float, *, judged: bool) -> CoordinateRow:
    numbers = {name: _number(written[name]) for name in ("slope", "standard_error", "largest_pair", "summed")}
    fields = {name: value for name, value in written.items() if name not in numbers}
    slope = Slope(numbers["slope"], numbers["standard_error"], numbers["largest_pair"])
    verdict = verdict_of(slope, *allowed, tolerance, drowned=written["drowned"])
    changed = {"allowed": allowed, "verdict": verdict, "asymptotic": slope.asymptotic, "judged": judged}
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
