"""The coordinate check: how much each layer's activations change in the first steps, as a power of width or depth.

A parameterization that transfers changes every layer, and the logits, by an amount that does not depend on size.
Measured is the *change* RMS(h(t) - h(0)) on a fixed probe batch, never the activation itself: the logits of a random
readout fall as width^-1/2 under muP, and that is right (Yang et al., arXiv 2203.03466, appendix D.1). Their change too
has a part of that kind, the random readout times the change of its input; its size is known from the run itself, and in
width the logits are judged by what is left without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

import numpy as np

from hptransfer.diagnostics._coordinate_again import rejudged_coordinates
from hptransfer.diagnostics._coordinate_report import (
    CoordinateReport,
    by_updates,
    sentence_of,
    sentence_of_updates,
    shown,
)
from hptransfer.diagnostics._coordinate_rows import CoordinateRow, Measurement, comparable, overall, verdict_of
from hptransfer.diagnostics._coordinate_values import ActivationSize, judge_values
from hptransfer.diagnostics._depth_position import Place, place_of
from hptransfer.diagnostics._diagnosis import Fault, diagnose
from hptransfer.diagnostics._forward_causes import forward_beside, read_causes, told_by_model, with_causes
from hptransfer.diagnostics._update_scaling import (
    Axis,
    ParameterMeasurement,
    kind_of,
    parameter_rows,
    read_parameters,
)
from hptransfer.diagnostics.base import Bench, Diagnostic, Facts, Request, Shown, Stage
from hptransfer.errors import UsageError
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.slope import RowVerdict, fit_slope, unevenness_of

__all__ = [
    "DIAGNOSTIC",
    "TOLERANCE",
    "ActivationSize",
    "Axis",
    "CoordinateCheck",
    "CoordinateReport",
    "judge_coordinates",
    "judge_values",
    "read_layers",
    "read_parameters",
]

#: |slope| + 1.96 SE must stay below it; finite-width corrections under a correct muP reach 0.09, the standard
#: parameterization's smallest signal is 0.24
TOLERANCE = 0.15


def read_layers(run: Mapping[str, Any], axis: Axis, behind: Mapping[str, float] | None = None) -> Iterator[Measurement]:
    """The layers of one run as a worker returned it.

    Args:
        run: with "size", "seed" and "layers".
        axis: along which sizes are compared.
        behind: layer, with `*` for numbers, -> power by which `forward` multiplies what it returned: what the model
            goes on with is judged.
    """
    for row in run["layers"]:
        factor = run["size"][axis] ** (behind or {}).get(kind_of(row["layer"]), 0.0)
        change, initial, random = (
            None if row.get(name) is None else factor * row[name] for name in ("change", "initial", "random")
        )
        place = (run["size"][axis], run["seed"], row["step"], row["layer"], row["kind"])
        yield Measurement(*place, change, initial, random, row.get("summed"))


def judge_coordinates(
    measurements: Sequence[Measurement],
    *,
    axis: Axis = "width",
    tolerance: float = TOLERANCE,
    parameters: Sequence[ParameterMeasurement] = (),
    causes: Sequence[Fault] = (),
) -> CoordinateReport:
    """Fit the slope of every layer's change against size, per step, hold it against the tolerance, and name causes.

    Args:
        measurements: every (size, seed, step, layer) once, in any order; layers that not every size has are left out.
            None at all: updates alone are judged.
        axis: the one along which `size` is counted.
        tolerance: |slope| + 1.96 standard errors must stay below it; wholly above it FAILS.
        parameters: the same runs' parameters and updates.
        causes: what the model's `forward` does along the axis that the plan leaves out; a check that fails names it.

    Raises:
        UsageError: fewer than two sizes, fewer than two seeds, or a missing combination.
    """
    sizes = sorted({m.size for m in measurements or parameters})
    seeds = sorted({m.seed for m in measurements or parameters})
    if len(sizes) < 2 or len(seeds) < 2:
        raise UsageError(
            "a coordinate check needs at least two sizes and two seeds",
            received=f"{len(sizes)} sizes, {len(seeds)} seeds",
        )
    ordered = sorted(
        comparable(measurements) if axis == "depth" else measurements,
        key=lambda m: (m.layer, m.kind, m.step, m.seed, m.size),
    )
    groups = {key: list(group) for key, group in groupby(ordered, key=lambda m: (m.layer, m.kind, m.step))}
    groups = {key: group for key, group in groups.items() if {m.size for m in group} == set(sizes)}
    blocks = [layer for layer, kind, _ in groups if kind == "residual"]
    changes = {key: _changes(group, sizes, seeds, axis) for key, group in groups.items()}
    places = {key: place_of(*key, axis, blocks, sizes) for key in groups}
    for key in _unmoved(groups):
        places[key] = replace(places[key], judged=False)
    judged = [table for key, table in changes.items() if places[key].judged]
    uneven = unevenness_of(judged, np.log2(np.array(sizes)))
    rows = tuple(_row(key, groups[key], changes[key], uneven, tolerance, places[key], axis) for key in groups)
    weights = parameter_rows(parameters, axis)
    faults = diagnose(weights, rows, axis)
    verdict = overall(rows, faulty=bool(faults)) if measurements else by_updates(weights, faulty=bool(faults))
    if measurements and verdict is RowVerdict.FAILS:
        faults = with_causes(faults, causes)
    said = [fault.sentence for fault in faults]
    if measurements:
        sentence = sentence_of(rows, said, verdict, axis, seeds=len(seeds), tolerance=tolerance)
    else:
        sentence = sentence_of_updates(weights, said, verdict, axis)
    return CoordinateReport(axis, tuple(sizes), len(seeds), tolerance, rows, verdict, sentence, weights, faults)


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


def _unmoved(groups: Mapping[tuple[str, str, int], Sequence[Measurement]]) -> Iterator[tuple[str, str, int]]:
    """Layers at steps before they move at any size: behind zeros, a readout's, there is no gradient at first."""
    moving = {
        (layer, kind): step for (layer, kind, step), group in sorted(groups.items()) if any(m.change for m in group)
    }
    for layer, kind, step in groups:
        still = all(m.change == 0 for m in groups[layer, kind, step])
        if still and step < moving.get((layer, kind), 0):
            yield layer, kind, step


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
    drowned = axis == "width" and any(_drowned(m) for m in group)
    if drowned:
        # the whole change has a slope still, and where it grows something learned does: a random share never grows
        whole = np.array([m.change for m in group], dtype=float).reshape(changes.shape)
        fitted = fit_slope(whole, log_size, uneven)
    summed = fit_slope(np.array([m.summed or math.nan for m in group]).reshape(changes.shape), log_size)
    return CoordinateRow(
        *key,
        slope=fitted.estimate,
        standard_error=fitted.standard_error,
        largest_pair=fitted.largest_pair,
        asymptotic=fitted.asymptotic,
        judged=place.judged,
        verdict=verdict_of(fitted, place.low, high, tolerance, drowned=drowned),
        allowed=(place.low, high),
        summed=summed.estimate,
        drowned=drowned,
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
    """Whether the random readout's share leaves nothing of the change: the rest cannot be distinguished from noise."""
    return m.change is not None and m.random is not None and 0 < m.change <= m.random


class CoordinateCheck(Diagnostic[tuple[CoordinateReport, ...]]):
    """A few steps at every size, then slopes of activation changes: cheap, and first; one report per axis."""

    always = True
    stage = Stage.BEFORE_LADDER
    version = 5
    rule = "the coordinate check must be able to train a few steps at every size"

    def requests(self, facts: Facts) -> list[Request]:
        """Every size of the check, with seeds and steps of `check.coordinate`; in the first the model is asked too."""
        asked = facts.recipe.check.coordinate
        specs = [facts.spec(size, seed) for size in facts.sizes for seed in range(asked.seeds)]
        options = {"steps": list(asked.steps)}
        return [Request(spec, options if index else {**options, "ask": True}) for index, spec in enumerate(specs)]

    def measure(self, bench: Bench) -> dict[str, Any]:
        """Layers and parameters after each of the steps; see `measure_coordinates`."""
        from hptransfer.models.logit_scale import tied_layers
        from hptransfer.models.shape_reading import layer_kinds
        from hptransfer.training.coordinates import measure_coordinates

        module, groups = bench.model()
        parameters = [row.parameter for row in bench.plan.rows]
        own = bench.spec.recipe.model.kind in ("mlp", "gpt")
        kinds = None if own else layer_kinds(parameters) | tied_layers(module, parameters)
        steps = bench.options["steps"]
        measured: dict[str, Any] = measure_coordinates(
            module, groups, bench.corpus, bench.settings, bench.spec.seed, steps, kinds, parameters
        )
        if bench.options.get("ask") and not own:
            measured |= told_by_model(bench, parameters)
        return measured

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> tuple[CoordinateReport, ...]:
        """One report per axis with at least two sizes, width first."""
        axes: tuple[Axis, ...] = ("width", "depth")
        return tuple(self._judged(facts, axis, measured) for axis in axes if len(facts.ladders[axis]) > 1)

    def _judged(self, facts: Facts, axis: Axis, measured: Sequence[Mapping[str, Any]]) -> CoordinateReport:
        sizes = [asdict(size) for size in facts.ladders[axis]]
        runs = [run for size in sizes for run in measured if run["size"] == size]
        causes = tuple(cause for run in measured for cause in read_causes(run, axis))
        beside = forward_beside(causes)
        behind = {name: powers[axis == "depth"] for run in measured for name, powers in run.get("behind", {}).items()}
        return judge_coordinates(
            [layer for run in runs for layer in read_layers(run, axis, behind)],
            axis=axis,
            tolerance=facts.recipe.check.coordinate.tolerance,
            parameters=[parameter for run in runs for parameter in read_parameters(run, axis, beside)],
            causes=causes,
        )

    def again(self, document: Any, facts: Facts) -> Any:
        """What is judged as the recipe has it; verdicts and the outcome as the slopes in the document have them."""
        return rejudged_coordinates(document, facts)

    def show(self, report: tuple[CoordinateReport, ...]) -> Iterator[Shown]:
        """Per axis a table of slopes, parameters whose updates miss their rule, and the outcome."""
        for each in report:
            yield from shown(each)


DIAGNOSTIC = CoordinateCheck()
