"""The coordinate check: how much each layer's activations change in the first steps, as a power of width or depth.

A parameterization that transfers changes every layer, and the logits, by an amount that does not depend on size.
Measured is the *change* RMS(h(t) - h(0)) on a fixed probe batch, never the activation itself: the logits of a random
readout fall as width^-1/2 under muP, and that is right (Yang et al., arXiv 2203.03466, appendix D.1). Their change too
has a part of that kind, the random readout times the change of its input; its size is known from the run itself, and in
width the logits are judged by what is left without it.
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

from hptransfer.diagnostics.depth_position import Place, place_in_depth
from hptransfer.diagnostics.diagnosis import Fault, diagnose
from hptransfer.diagnostics.update_scaling import ParameterMeasurement, ParameterRow, parameter_rows
from hptransfer.errors import UsageError
from hptransfer.statistics.slope import RowVerdict, fit_slope, unevenness_of

Array = npt.NDArray[np.float64]

#: under CompleteP the first step's change falls with depth (0.13 to 0.03 from 2 to 64 layers in its own plot) and is
#: flat by step 3 to 10, so depth is judged from this step on
FIRST_STEP_IN_DEPTH = 3
#: |slope| + 1.96 SE must stay below it; finite-width corrections under a correct muP reach 0.09, the standard
#: parameterization's smallest signal is 0.24
TOLERANCE = 0.15
#: more are not asked for: the ladder is then too short for the noise
_MOST_SEEDS = 30
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
        random: of logits, RMS of what a readout of random weights, independent of training, would add to the change;
            None where it is not known. It falls as width^-1/2 under muP.
        summed: of attention logits, scale times head_dim; None for others.
    """

    size: int
    seed: int
    step: int
    layer: str
    kind: str
    change: float | None
    initial: float | None = None
    random: float | None = None
    summed: float | None = None


@dataclass(frozen=True, slots=True)
class CoordinateRow:
    """One layer at one step.

    Attributes:
        layer: name of the layer.
        kind: what the layer is.
        step: optimizer steps taken.
        slope: d log2 change / d log2 size, mean over seeds; nan when a change was not positive and finite.
        standard_error: of the slope, with Student's quantile for few residuals already in it (`slope.fit_slope`).
        largest_pair: slope between the two largest sizes.
        asymptotic: whether it agrees with the whole ladder's within 0.1.
        judged: False where theory predicts no flat line: in depth before step 3, and see `places.Place`. Such rows are
            shown, not judged.
        verdict: HOLDS, FAILS or INCONCLUSIVE.
        allowed: the slopes that theory gives, 0 to 0 but in depth: for layers whose place moves with it, and where the
            activations at init still fall; the tolerance is added on both sides.
        summed: of attention logits, power of size of scale times head_dim: 0 where they are divided by head_dim or
            heads do not grow, 1/2 where they are divided by the square root of a head that grows; nan for others.
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
    allowed: tuple[float, float] = (0.0, 0.0)
    summed: float = math.nan


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
        verdict: any fault or judged FAILS decides, then any INCONCLUSIVE.
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
            run["size"][axis],
            run["seed"],
            row["step"],
            row["layer"],
            row["kind"],
            row["change"],
            row["initial"],
            row.get("random"),
            row.get("summed"),
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
    groups = {key: group for key, group in groups.items() if {m.size for m in group} == set(sizes)}
    blocks = [layer for layer, kind, _ in groups if kind == "residual"]
    changes = {key: _changes(group, sizes, seeds, axis) for key, group in groups.items()}
    places = {key: _place(key, axis, blocks, sizes) for key in groups}
    judged = [table for key, table in changes.items() if places[key].judged]
    uneven = unevenness_of(judged, np.log2(np.array(sizes)))
    rows = tuple(_row(key, groups[key], changes[key], uneven, tolerance, places[key], axis) for key in groups)
    weights = parameter_rows(parameters, axis)
    faults = diagnose(weights, rows, axis)
    verdict = _overall(rows, faults)
    sentence = _sentence(rows, faults, verdict, axis, _seeds_needed(rows, len(seeds), tolerance))
    return CoordinateReport(axis, tuple(sizes), len(seeds), tolerance, rows, verdict, sentence, weights, faults)


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
    if axis == "depth":
        initial = np.array([m.initial or math.nan for m in group])
        changes = changes / initial if np.isfinite(initial).all() else changes
    else:
        random = np.array([m.random or 0.0 for m in group])
        with np.errstate(invalid="ignore"):  # below zero: see `_drowned`
            changes = np.where(random > 0, np.sqrt(changes**2 - random**2), changes)
    return np.asarray(changes.reshape(len(seeds), len(sizes)))


def _place(key: tuple[str, str, int], axis: str, blocks: Iterable[str], sizes: Sequence[int]) -> Place:
    layer, kind, step = key
    if axis == "width":
        return Place()
    place = place_in_depth(layer, kind, blocks, sizes)
    return place if step >= FIRST_STEP_IN_DEPTH else replace(place, judged=False)


def _row(
    key: tuple[str, str, int],
    group: list[Measurement],
    changes: Array,
    uneven: float,
    tolerance: float,
    place: Place,
    axis: str,
) -> CoordinateRow:
    log_size = np.log2(np.array(sorted({m.size for m in group})))
    fitted = fit_slope(changes, log_size, uneven, _precision(group, changes) if axis == "width" else None)
    high = place.high + (_settling_start(group, changes.shape, log_size) if axis == "depth" else 0.0)
    verdict = fitted.within(place.low - tolerance, high + tolerance)
    if axis == "width" and any(_drowned(m) for m in group):
        # the whole change has a slope still, and where it grows something learned does: a random share never grows
        whole = np.array([m.change for m in group], dtype=float).reshape(changes.shape)
        fitted = fit_slope(whole, log_size, uneven)
        verdict = fitted.within(-math.inf, high + tolerance)
        verdict = RowVerdict.INCONCLUSIVE if verdict is RowVerdict.HOLDS else verdict
    summed = fit_slope(np.array([m.summed or math.nan for m in group]).reshape(changes.shape), log_size)
    return CoordinateRow(
        *key,
        slope=fitted.estimate,
        standard_error=fitted.standard_error,
        largest_pair=fitted.largest_pair,
        asymptotic=fitted.asymptotic,
        judged=place.judged,
        verdict=verdict,
        allowed=(place.low, high),
        summed=summed.estimate,
    )


def _precision(group: list[Measurement], changes: Array) -> Array | None:
    """Of the logits' learned part at each size: its share of the squared change, squared; None where all is learned.

    The square of the whole change is known as well at one size as at another. Taking the random readout's share away
    leaves its error on what may be a seventh of it, and the logarithm's error is larger by as much.
    """
    if not (any(m.random for m in group) and np.isfinite(changes).all()):
        return None
    whole = np.array([m.change for m in group], dtype=float).reshape(changes.shape)
    return np.asarray(((changes**2).mean(axis=0) / (whole**2).mean(axis=0)) ** 2)


def _settling_start(group: list[Measurement], shape: tuple[int, ...], log_size: Array) -> float:
    """By which power the activations at init, which changes are divided by, fall with depth; 0 where they do not.

    With branches of 1/L the random start of the stream is that of the embedding plus a part whose square falls as 1/L.
    It is no property of training, so a relative change may rise by as much as it falls.
    """
    initial = np.array([m.initial or math.nan for m in group]).reshape(shape)
    slope = fit_slope(initial, log_size).estimate
    return 0.0 if math.isnan(slope) else max(0.0, -slope)


def _drowned(m: Measurement) -> bool:
    """Whether the random readout's share leaves nothing of the change: the rest is too small to be told from noise."""
    return m.change is not None and m.random is not None and 0 < m.change <= m.random


def _overall(rows: Sequence[CoordinateRow], faults: Sequence[Fault]) -> RowVerdict:
    seen = {row.verdict for row in rows if row.judged}
    if faults or RowVerdict.FAILS in seen:
        return RowVerdict.FAILS
    return RowVerdict.HOLDS if seen == {RowVerdict.HOLDS} else RowVerdict.INCONCLUSIVE


def _seeds_needed(rows: Sequence[CoordinateRow], seeds: int, tolerance: float) -> int | None:
    """Seeds with which every open row would hold if its slope stayed what it is; None where more seeds may not help.

    Intervals shrink as seeds^-1/2 at least: Student's quantile falls too.
    """
    factors = [1.0]
    for row in rows:
        if row.judged and row.verdict is RowVerdict.INCONCLUSIVE:
            room = tolerance - _excess(row)
            if not room > 0:
                return None
            factors.append(1.96 * row.standard_error / room)
    needed = math.ceil(seeds * max(factors) ** 2)
    return needed if needed <= _MOST_SEEDS else None


def _sentence(
    rows: Sequence[CoordinateRow], faults: Sequence[Fault], verdict: RowVerdict, axis: str, needed: int | None
) -> str:
    if faults:
        return "FAILS: " + ". ".join(fault.sentence for fault in faults) + "."
    early = "; in depth only from step 3 on, earlier steps are shown for information" if axis == "depth" else ""
    if verdict is RowVerdict.HOLDS:
        return f"HOLDS: every layer's change is independent of {axis} within the tolerance{early}."
    named = _worst(row for row in rows if row.judged and row.verdict is verdict)
    if verdict is RowVerdict.FAILS:
        return f"FAILS: changes depend on {axis} in {named}{early}."
    settle = f"{needed} seeds, or a longer ladder," if needed else f"a longer ladder of {axis}s"
    return f"INCONCLUSIVE: seeds or sizes are too few to tell for {named or 'any layer'}; {settle} would tell{early}."


def _excess(row: CoordinateRow) -> float:
    """How far a slope is from what theory gives; what has no slope is worst."""
    low, high = row.allowed
    return math.inf if math.isnan(row.slope) else max(low - row.slope, row.slope - high)


def _worst(rows: Iterable[CoordinateRow]) -> str:
    """The layers with the steepest slopes."""
    worst = {row.layer: row for row in sorted(rows, key=_excess)}
    named = [f"{row.layer} (slope {row.slope:+.2f} at step {row.step})" for row in list(worst.values())[:-5:-1]]
    return ", ".join(named) + (f" and {len(worst) - 4} more" if len(worst) > 4 else "")
