"""Layers of a coordinate check: as measured in one run, and as judged over sizes and seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hptransfer.statistics.slope import RowVerdict, Slope

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


def comparable(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Rename the first and last repetition of every layer, drop the others; layers that do not repeat stay.

    Args:
        measurements: of models of several depths, in any order.
    """
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


@dataclass(frozen=True, slots=True)
class CoordinateRow:
    """One layer at one step.

    Attributes:
        layer: name of the layer.
        kind: what the layer is.
        step: number of optimizer steps that were taken.
        slope: d log2 change / d log2 size, mean over seeds; nan when a change was not positive and finite.
        standard_error: of the slope, with Student's quantile for few residuals already in it (`slope.fit_slope`).
        largest_pair: slope between the two largest sizes.
        asymptotic: whether it agrees with the whole ladder's within 0.1.
        judged: False where theory predicts no flat line: in depth before step 3, and see `_depth_position.Place`. Such
            rows are shown, not judged.
        verdict: HOLDS, FAILS or INCONCLUSIVE.
        allowed: the slopes that theory gives, 0 to 0 but in depth: for layers whose place moves with it, and where the
            activations at init still fall; the tolerance is added on both sides.
        summed: of attention logits, power of size of scale times head_dim: 0 where they are divided by head_dim or
            heads do not grow, 1/2 where they are divided by the square root of a head that grows; nan for others.
        drowned: whether the random readout's share leaves nothing of some change, so that the slope is of the whole
            change, which may show growth and nothing else.
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
    drowned: bool = False


def verdict_of(fitted: Slope, low: float, high: float, tolerance: float, *, drowned: bool) -> RowVerdict:
    """The verdict of one row.

    Args:
        fitted: power of size of its change.
        low: least slope that theory gives.
        high: largest slope that theory gives.
        tolerance: allowed on both sides.
        drowned: whether the slope is of the whole change, a random readout's share included: it may show growth alone.
    """
    if not drowned:
        return fitted.within(low - tolerance, high + tolerance)
    verdict = fitted.within(-math.inf, high + tolerance)
    return RowVerdict.INCONCLUSIVE if verdict is RowVerdict.HOLDS else verdict


def overall(rows: Sequence[CoordinateRow], *, faulty: bool) -> RowVerdict:
    """The verdict over all layers.

    Args:
        rows: of all layers and steps; those that are judged count.
        faulty: whether a parameter's updates or inits miss their rule.
    """
    seen = {row.verdict for row in rows if row.judged}
    if faulty or RowVerdict.FAILS in seen:
        return RowVerdict.FAILS
    return RowVerdict.HOLDS if seen == {RowVerdict.HOLDS} else RowVerdict.INCONCLUSIVE


def excess_of(row: CoordinateRow) -> float:
    """How far a slope is from what theory gives; what has no slope is worst."""
    low, high = row.allowed
    return math.inf if math.isnan(row.slope) else max(low - row.slope, row.slope - high)


def worst(rows: Iterable[CoordinateRow]) -> str:
    """The layers with the steepest slopes, named, at most four.

    Args:
        rows: judged ones of any layers and steps.
    """
    steepest = {row.layer: row for row in sorted(rows, key=excess_of)}
    named = [f"{row.layer} (slope {row.slope:+.2f} at step {row.step})" for row in list(steepest.values())[:-5:-1]]
    return ", ".join(named) + (f" and {len(steepest) - 4} more" if len(steepest) > 4 else "")
