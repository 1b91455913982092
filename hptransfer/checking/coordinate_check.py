"""The coordinate check of a recipe: cheap, and first. A few steps at every size, then slopes of activation changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hptransfer.checking.design import CheckDesign
from hptransfer.diagnostics.coordinate import CoordinateReport, judge_coordinates, read_layers
from hptransfer.diagnostics.linearization import LazinessReport, judge_linearisation
from hptransfer.diagnostics.update_scaling import read_parameters
from hptransfer.engine.measurement_cache import measure
from hptransfer.execution.pool import TaskPool
from hptransfer.sizes import Size
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import CoordinatesMessage
from hptransfer.trials.spec import TrialSpec

#: what a measurement holds; raised with it, so that caches of older versions are measured again
_FORMAT = 3


@dataclass(frozen=True, slots=True)
class CoordinateResult:
    """What a coordinate check found.

    Attributes:
        reports: one per axis with at least two sizes, width first.
        laziness: how the distance from linearisation goes with depth; None where the recipe does not ask for it.
    """

    reports: tuple[CoordinateReport, ...]
    laziness: LazinessReport | None


def check_coordinates(design: CheckDesign, pool: TaskPool, cache: Path, identity: Identity) -> CoordinateResult:
    """Measure what is not in the cache yet and judge each axis of the design.

    Args:
        design: sizes and tuned values.
        pool: whose entry is `messages.ENTRY`.
        cache: a JSON file of earlier measurements, by content; written whole.
        identity: gives the runs' keys.

    Returns:
        The reports.
    """
    measured = _measure(design, pool, cache, identity)
    axes: tuple[Literal["width", "depth"], ...] = ("width", "depth")
    reports = tuple(
        judge_coordinates(
            [layer for size in design.sizes(axis) for run in measured[size] for layer in read_layers(run, axis)],
            axis=axis,
            tolerance=design.recipe.check.coordinate.tolerance,
            parameters=[
                parameter
                for size in design.sizes(axis)
                for run in measured[size]
                for parameter in read_parameters(run, axis)
            ],
        )
        for axis in axes
        if len(design.sizes(axis)) > 1
    )
    deep = [run for size in design.sizes("depth") for run in measured[size]]
    return CoordinateResult(
        reports, judge_linearisation(deep) if design.recipe.check.coordinate.linearisation else None
    )


def _measure(
    design: CheckDesign, pool: TaskPool, cache: Path, identity: Identity
) -> dict[Size, list[Mapping[str, Any]]]:
    recipe = design.recipe
    values = design.held | {design.hyperparameter: design.tuned[design.hyperparameter]}
    linearised = design.sizes("depth") if recipe.check.coordinate.linearisation else ()
    requests = {
        _key(request, identity, linearisation=size in linearised): request
        for size in design.all_sizes()
        for seed in range(recipe.check.coordinate.seeds)
        for request in [TrialSpec(recipe, design.root, size, values, seed)]
    }
    payloads = {
        key: CoordinatesMessage.of(request, identity.fingerprint, linearisation=request.size in linearised).payload()
        for key, request in requests.items()
    }
    known = measure(payloads, pool, cache, "the coordinate check must be able to train a few steps at every size")
    by_size: dict[Size, list[Mapping[str, Any]]] = {}
    for key, request in requests.items():
        by_size.setdefault(request.size, []).append(known[key])
    return by_size


def _key(request: TrialSpec, identity: Identity, *, linearisation: bool) -> str:
    steps = ",".join(map(str, request.recipe.check.coordinate.steps))
    measured = f"{steps}:linearisation" if linearisation else steps
    return hashlib.sha256(f"{identity.key(request)}:{measured}:{_FORMAT}".encode()).hexdigest()
