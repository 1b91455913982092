"""The coordinate check: how much each layer's activations change in the first steps, as a power of width or depth.

A parameterization that transfers changes every layer, and the logits, by an amount that does not depend on size.
Measured is the *change* RMS(h(t) - h(0)) on a fixed probe batch, never the activation itself: the logits of a random
readout fall as width^-1/2 under muP, and that is right (Yang et al., arXiv 2203.03466, appendix D.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.evidence.diagnosis import Fault, diagnose
from hptransfer.evidence.slope import RowVerdict, fit_slope
from hptransfer.evidence.updates import ParameterMeasurement, ParameterRow, parameter_rows

Array = npt.NDArray[np.float64]

#: under CompleteP the first step's change falls with depth (0.13 to 0.03 from 2 to 64 layers in its own plot) and is
#: flat by step 3 to 10, so depth is judged from this step on
FIRST_STEP_IN_DEPTH = 3
#: |slope| + 1.96 SE must stay below it; finite-width corrections under a correct muP reach 0.09, the standard
#: parameterization's smallest signal is 0.24
TOLERANCE = 0.15
#: power of width with which a random readout's share of the logits' change falls
_RANDOM_READOUT = -0.5
#: a layer's index in its module name
_INDEX = re.compile(r"(.*?\.)(\d+)((?:\..*)?)$")


@dataclass(frozen=True, slots=True)
class Measurement:
    """How much one layer changed in one run.

    Attributes:
        size: width or depth of the model.
        seed: of init and data.
        step: optimizer steps taken, at least 1.
        layer: module name, with the layer's index where layers repeat ("blocks.3.up").
        kind: what the layer is: "embedding", "hidden", "branch", "residual", "logits", "attention" (its logits).
        change: RMS over probe batch and coordinates of h(step) - h(0); None or nan when not finite.
        initial: RMS of h(0), by which changes are divided in depth; nan or 0 where it is not known.
    """

    size: int
    seed: int
    step: int
    layer: str
    kind: str
    change: float | None
    initial: float | None = None


@dataclass(frozen=True, slots=True)
class CoordinateRow:
    """One layer at one step.

    Attributes:
        layer: name of the layer.
        kind: what the layer is.
        step: optimizer steps taken.
        slope: d log2 change / d log2 size, mean over seeds; nan when a change was not positive and finite.
        standard_error: of the slope over seeds, with Student's quantile for few seeds already in it.
        largest_pair: slope between the two largest sizes.
        asymptotic: whether it agrees with the whole ladder's within 0.1.
        judged: False where theory predicts no flat line: in depth before step 3, what a single block adds to the
            residual stream, and the stream after the first block. Such rows are shown, not judged.
        verdict: HOLDS, FAILS or INCONCLUSIVE.
        settling: it fails, but every parameter follows its rule and the slope is one that a finite size gives: see
            `_settles`. Larger sizes would show it to vanish.
    """

    layer: str
    kind: str
    step: int
    slope: float
    standard_error: float
    largest_pair: float
    asymptotic: bool
    judged: bool
    verdict: RowVerdict
    settling: bool = False


@dataclass(frozen=True, slots=True)
class CoordinateReport:
    """The coordinate check along one axis.

    In depth only the first and the last repetition of a layer are compared, under the names "first" and "last", because
    the ones between have no counterpart at another depth.

    Attributes:
        axis: "width" or "depth".
        sizes: sizes measured, increasing.
        seeds: number of seeds.
        tolerance: allowed |slope|.
        rows: per layer and step, sorted by name and step.
        verdict: any fault or judged FAILS decides, then any INCONCLUSIVE; a row that fails and is `settling` counts as
            INCONCLUSIVE.
        sentence: the outcome in words, naming the parameters or layers at fault.
        parameters: how each parameter and its update scale; empty where updates were not measured.
        faults: the parameter groups that are wrong, each with its repair.
    """

    axis: Literal["width", "depth"]
    sizes: tuple[int, ...]
    seeds: int
    tolerance: float
    rows: tuple[CoordinateRow, ...]
    verdict: RowVerdict
    sentence: str
    parameters: tuple[ParameterRow, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_layers(run: Mapping[str, Any], axis: Literal["width", "depth"]) -> Iterator[Measurement]:
    """The layers of one run as a worker returned it."""
    for row in run["layers"]:
        yield Measurement(
            run["size"][axis], run["seed"], row["step"], row["layer"], row["kind"], row["change"], row["initial"]
        )


def judge_coordinates(
    measurements: Sequence[Measurement],
    *,
    axis: Literal["width", "depth"] = "width",
    tolerance: float = TOLERANCE,
    parameters: Sequence[ParameterMeasurement] = (),
) -> CoordinateReport:
    """Fit the slope of every layer's change against size, per step, hold it against the tolerance, and name causes.

    Args:
        measurements: every (size, seed, step, layer) once, in any order; layers that not every size has are left out.
        axis: what `size` is.
        tolerance: |slope| + 1.96 standard errors must stay below it; wholly above it FAILS.
        parameters: the same runs' parameters and updates.

    Raises:
        UsageError: fewer than two sizes, fewer than two seeds, or a missing combination.
    """
    sizes = sorted({m.size for m in measurements})
    seeds = sorted({m.seed for m in measurements})
    if len(sizes) < 2 or len(seeds) < 2:
        raise UsageError(
            "a coordinate check needs at least two sizes and two seeds",
            received=f"{len(sizes)} sizes, {len(seeds)} seeds",
        )
    ordered = sorted(
        _comparable(measurements) if axis == "depth" else measurements,
        key=lambda m: (m.layer, m.kind, m.step, m.seed, m.size),
    )
    groups = {key: list(group) for key, group in groupby(ordered, key=lambda m: (m.layer, m.kind, m.step))}
    rows = tuple(
        _row(layer, kind, step, _changes(group, sizes, seeds, axis), np.log2(np.array(sizes)), axis, tolerance)
        for (layer, kind, step), group in groups.items()
        if {m.size for m in group} == set(sizes)
    )
    weights = parameter_rows(parameters, axis)
    faults = diagnose(weights, rows, axis)
    if weights and not faults:
        rows = tuple(replace(row, settling=_settles(row, axis, tolerance)) for row in rows)
    verdict = _overall(rows, faults)
    sentence = _sentence(rows, faults, verdict, axis)
    return CoordinateReport(axis, tuple(sizes), len(seeds), tolerance, rows, verdict, sentence, weights, faults)


def _settles(row: CoordinateRow, axis: str, tolerance: float) -> bool:
    """Whether a failing row of a model whose parameters all follow their rules shows no more than its finite size.

    Two cases. What a random readout adds to the logits' change falls as width^-1/2 until the part that all weights
    contribute coherently is left, so logits may fall by up to that power. Anything else must bend: towards flat where
    it falls, and be flat within the tolerance between the two largest sizes where it grows.
    """
    if row.verdict is not RowVerdict.FAILS:
        return False
    if axis == "width" and row.kind == "logits" and _RANDOM_READOUT <= row.slope < 0:
        return True
    if row.slope < 0:
        return row.slope < row.largest_pair <= tolerance
    return abs(row.largest_pair) <= tolerance


def _comparable(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Rename the first and last repetition of every layer, drop the others; layers that do not repeat stay."""
    last: dict[tuple[str, int], int] = {}
    parts = [_INDEX.match(m.layer) for m in measurements]
    for m, part in zip(measurements, parts, strict=True):
        if part:
            place = (f"{part[1]}*{part[3]}", m.size)
            last[place] = max(last.get(place, 0), int(part[2]))
    named = []
    for m, part in zip(measurements, parts, strict=True):
        if part is None:
            named.append(m)
            continue
        if int(part[2]) == 0:
            named.append(replace(m, layer=f"{part[1]}first{part[3]}"))
        if int(part[2]) == last[f"{part[1]}*{part[3]}", m.size]:
            named.append(replace(m, layer=f"{part[1]}last{part[3]}"))
    return named


def _changes(group: list[Measurement], sizes: list[int], seeds: list[int], axis: str) -> Array:
    """(seeds, sizes) changes of one layer at one step; in depth relative to the activations at init."""
    if [(m.seed, m.size) for m in group] != [(seed, size) for seed in seeds for size in sizes]:
        raise UsageError(
            "every layer must be measured once at every size and seed",
            received=f"{len(group)} measurements of {group[0].layer} at step {group[0].step}, "
            f"expected {len(sizes)} sizes x {len(seeds)} seeds",
        )
    changes = np.array([math.nan if m.change is None else m.change for m in group])
    initial = np.array([m.initial or math.nan for m in group])
    if axis == "depth" and np.isfinite(initial).all():
        changes = changes / initial
    return np.asarray(changes.reshape(len(seeds), len(sizes)))


def _row(
    layer: str, kind: str, step: int, changes: Array, log_size: Array, axis: str, tolerance: float
) -> CoordinateRow:
    judged = axis == "width" or (step >= FIRST_STEP_IN_DEPTH and kind != "branch" and not _early(layer, kind))
    fitted = fit_slope(changes, log_size)
    verdict = fitted.against(0.0, tolerance)
    return CoordinateRow(
        layer,
        kind,
        step,
        fitted.estimate,
        fitted.standard_error,
        fitted.largest_pair,
        fitted.asymptotic,
        judged,
        verdict,
    )


def _early(layer: str, kind: str) -> bool:
    """Whether a row is the stream after the first block: one branch of order 1/depth has been added to it so far."""
    return kind == "residual" and layer.endswith("first")


def _overall(rows: Sequence[CoordinateRow], faults: Sequence[Fault]) -> RowVerdict:
    seen = {RowVerdict.INCONCLUSIVE if row.settling else row.verdict for row in rows if row.judged}
    if faults or RowVerdict.FAILS in seen:
        return RowVerdict.FAILS
    return RowVerdict.HOLDS if seen == {RowVerdict.HOLDS} else RowVerdict.INCONCLUSIVE


def _sentence(rows: Sequence[CoordinateRow], faults: Sequence[Fault], verdict: RowVerdict, axis: str) -> str:
    if faults:
        return "FAILS: " + ". ".join(fault.sentence for fault in faults) + "."
    early = "; in depth only from step 3 on, earlier steps are shown for information" if axis == "depth" else ""
    if verdict is RowVerdict.HOLDS:
        return f"HOLDS: every layer's change is independent of {axis} within the tolerance{early}."
    named = _worst(row for row in rows if row.judged and row.verdict is verdict)
    if verdict is RowVerdict.FAILS:
        return f"FAILS: changes depend on {axis} in {named}{early}."
    settling = _worst(row for row in rows if row.judged and row.settling)
    if settling:
        return (
            f"INCONCLUSIVE: every parameter follows its rule, but changes still settle with {axis} in {settling}: a "
            f"finite-size correction, which larger sizes would show to vanish{early}."
        )
    return f"INCONCLUSIVE: seeds or sizes are too few to tell for {named or 'any layer'}{early}."


def _worst(rows: Iterable[CoordinateRow]) -> str:
    """The layers with the steepest slopes."""
    worst = {row.layer: row for row in sorted(rows, key=lambda row: abs(row.slope))}
    named = [f"{row.layer} (slope {row.slope:+.2f} at step {row.step})" for row in list(worst.values())[:-5:-1]]
    return ", ".join(named) + (f" and {len(worst) - 4} more" if len(worst) > 4 else "")
