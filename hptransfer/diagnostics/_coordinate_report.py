"""The report of a coordinate check along one axis, and how it reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from hptransfer.diagnostics._coordinate_rows import CoordinateRow, excess_of, worst
from hptransfer.diagnostics._diagnosis import Fault
from hptransfer.diagnostics._update_scaling import Axis, ParameterRow
from hptransfer.diagnostics.base import Columns, Line, Shown
from hptransfer.statistics.slope import RowVerdict

#: more are not asked for: the ladder is then too short for the noise
_MOST_SEEDS = 30


@dataclass(frozen=True, slots=True)
class CoordinateReport:
    """The coordinate check along one axis.

    In depth only the first and the last repetition of a layer are compared, under the names "first" and "last", because
    the ones between have no counterpart at another depth.

    Attributes:
        axis: what the sizes differ in: "width" or "depth".
        sizes: widths or depths that were measured, increasing.
        seeds: number of seeds at every size.
        tolerance: |slope| + 1.96 standard errors that is allowed.
        rows: per layer and step, sorted by name and step.
        verdict: any fault or judged FAILS decides, then any INCONCLUSIVE.
        sentence: the outcome in words, naming the parameters or layers at fault.
        parameters: how each parameter and its update scale; empty where updates were not measured.
        faults: the parameter groups that are wrong, each with its repair.
        quantity: what rows are slopes of: changes of activations, or activations themselves, as mup records them.
    """

    axis: Axis
    sizes: tuple[int, ...]
    seeds: int
    tolerance: float
    rows: tuple[CoordinateRow, ...]
    verdict: RowVerdict
    sentence: str
    parameters: tuple[ParameterRow, ...] = ()
    faults: tuple[Fault, ...] = ()
    quantity: Literal["change", "value"] = "change"


def shown(report: CoordinateReport) -> Iterator[Shown]:
    """A table of slopes, parameters whose updates miss their rule, and the outcome.

    Args:
        report: slopes along one axis.
    """
    sizes = ", ".join(str(size) for size in report.sizes)
    what = "change" if report.quantity == "change" else "mean activation"
    of = f"log2 {what}" if report.rows else "updates alone"
    title = f"coordinate check: slope of {of} against log2 {report.axis} ({sizes}; {report.seeds} seeds)"
    yield Line(title, "bold")
    if report.rows:
        yield _layers(report)
        yield Line(f"! beyond ±{report.tolerance:g}   ? undecided   ( ) shown, not judged", "dim")
    if report.parameters:
        yield _updates(report)
    yield Line(report.sentence)
    yield Line("")


def _layers(report: CoordinateReport) -> Shown:
    """Slopes of every layer, a column per step."""
    steps = sorted({row.step for row in report.rows})
    cells = {(row.layer, row.kind, row.step): row for row in report.rows}
    layers = dict.fromkeys((row.layer, row.kind) for row in report.rows)
    rows = tuple((*layer, *(_slope(cells.get((*layer, step))) for step in steps)) for layer in layers)
    return Columns(("layer", "kind", *(f"step {step}" for step in steps)), rows, left=2)


def _slope(row: CoordinateRow | None) -> str:
    """One cell of the table; the mark behind the number is its verdict."""
    if row is None:
        return ""
    if not row.judged:
        return "(unmoved) " if math.isnan(row.slope) else f"({row.slope:+.2f}) "
    mark = {RowVerdict.HOLDS: " ", RowVerdict.FAILS: "!", RowVerdict.INCONCLUSIVE: "?"}[row.verdict]
    return f"{row.slope:+.2f} ± {1.96 * row.standard_error:.2f}{mark}"


def _updates(report: CoordinateReport) -> Shown:
    """Parameters whose updates miss their rule's power of size; one line where none does."""
    off = [row for row in report.parameters if row.verdict is RowVerdict.FAILS]
    counts = sorted({row.step for row in report.parameters})
    steps = f"{' or '.join(map(str, counts))} step{'' if counts == [1] else 's'}"
    if not off:
        count = len(report.parameters)
        return Line(f"updates after {steps}: none of {count} parameters misses its rule's power of {report.axis}")
    rows = tuple(
        (
            row.name,
            f"{row.update.estimate:+.2f} ± {1.96 * row.update.standard_error:.2f}",
            f"{row.expected_update:+.2g}",
        )
        for row in off
    )
    return Columns((f"update after {steps}", "slope", "expected"), rows)


def sentence_of(
    rows: Sequence[CoordinateRow],
    faults: Sequence[str],
    verdict: RowVerdict,
    axis: str,
    *,
    seeds: int,
    tolerance: float,
) -> str:
    """The outcome where activations were measured.

    Args:
        rows: of all layers and steps.
        faults: sentences of what was found at fault.
        verdict: over all rows that are judged.
        axis: along which sizes are compared.
        seeds: number of seeds at every size.
        tolerance: of slopes, in powers of the size.
    """
    if faults:
        return "FAILS: " + ". ".join(faults) + "."
    early = "; in depth only from step 3 on, earlier steps are shown for information" if axis == "depth" else ""
    if verdict is RowVerdict.HOLDS:
        return f"HOLDS: every layer's change is independent of {axis} within the tolerance{early}."
    named = worst(row for row in rows if row.judged and row.verdict is verdict)
    if verdict is RowVerdict.FAILS:
        return f"FAILS: changes depend on {axis} in {named}{early}."
    needed = _seeds_needed(rows, seeds, tolerance)
    wanted = f"{needed} seeds, or a longer ladder," if needed else f"a longer ladder of {axis}s"
    return f"INCONCLUSIVE: seeds or sizes are too few to tell for {named or 'any layer'}; {wanted} would tell{early}."


def _seeds_needed(rows: Sequence[CoordinateRow], seeds: int, tolerance: float) -> int | None:
    """Seeds with which every open row would hold if its slope stayed what it is; None where more seeds may not help.

    Intervals shrink as seeds^-1/2 at least: Student's quantile falls too.
    """
    factors = [1.0]
    for row in rows:
        if row.judged and row.verdict is RowVerdict.INCONCLUSIVE:
            room = tolerance - excess_of(row)
            if not room > 0:
                return None
            factors.append(1.96 * row.standard_error / room)
    needed = math.ceil(seeds * max(factors) ** 2)
    return needed if needed <= _MOST_SEEDS else None


def by_updates(weights: Sequence[ParameterRow], *, faulty: bool) -> RowVerdict:
    """The verdict where activations were not measured.

    Args:
        weights: parameters and how their updates scale.
        faulty: whether some of them miss their rule.
    """
    if faulty:
        return RowVerdict.FAILS
    known = _known(weights)
    holds = known and all(row.verdict is RowVerdict.HOLDS for row in known)
    return RowVerdict.HOLDS if holds else RowVerdict.INCONCLUSIVE


def sentence_of_updates(weights: Sequence[ParameterRow], faults: Sequence[str], verdict: RowVerdict, axis: str) -> str:
    """The outcome where activations were not measured, in words.

    Args:
        weights: parameters and how their updates scale.
        faults: sentences of what was found at fault.
        verdict: as `by_updates` has it.
        axis: along which sizes are compared.
    """
    scope = "activations were not measured, so layers, logits and attention are not judged"
    if faults:
        return f"FAILS: {'. '.join(faults)}. By updates alone: {scope}."
    if verdict is RowVerdict.HOLDS:
        return f"HOLDS: every parameter's update goes as its rule says along {axis}; {scope}."
    open_rows = [row for row in _known(weights) if row.verdict is not RowVerdict.HOLDS]
    steepest = sorted(open_rows, key=lambda row: -abs(row.update.estimate - row.expected_update))
    named = ", ".join(f"{row.name} (slope {row.update.estimate:+.2f})" for row in steepest[:4]) or "any parameter"
    return f"INCONCLUSIVE: updates do not tell for {named}; {scope}."


def _known(weights: Sequence[ParameterRow]) -> list[ParameterRow]:
    return [row for row in weights if not math.isnan(row.expected_update)]
