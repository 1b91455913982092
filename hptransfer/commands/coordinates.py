"""The coordinate check of a recipe: cheap, and first. A few steps at every size, then slopes of activation changes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hptransfer.commands.design import CheckDesign
from hptransfer.commands.trial import TrialRequest
from hptransfer.errors import MachineError
from hptransfer.evidence.coordinate import CoordinateReport, Measurement, judge_coordinates
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import WorkerPool
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import write_atomically

_BLOCK = re.compile(r"\bblocks\.(\d+)(?=\.|$)")


def check_coordinates(
    design: CheckDesign, pool: WorkerPool, cache: Path, fingerprint: str
) -> tuple[CoordinateReport, ...]:
    """Measure what is not in the cache yet and judge each axis of the design.

    Args:
        design: sizes and tuned values.
        pool: whose entry is `hptransfer.commands.work:work`.
        cache: a JSON file of earlier measurements, by content; written whole.
        fingerprint: of the corpus.

    Returns:
        A report per axis with at least two sizes, width first.
    """
    measured = _measure(design, pool, cache, fingerprint)
    axes: tuple[Literal["width", "depth"], ...] = ("width", "depth")
    return tuple(
        judge_coordinates(
            [entry for size in design.sizes(axis) for run in measured[size] for entry in _entries(run, axis)],
            axis=axis,
            tolerance=design.recipe.check.coordinate.tolerance,
        )
        for axis in axes
        if len(design.sizes(axis)) > 1
    )


def _measure(
    design: CheckDesign, pool: WorkerPool, cache: Path, fingerprint: str
) -> dict[Size, list[Mapping[str, Any]]]:
    recipe = design.recipe
    values = design.held | {design.hyperparameter: design.tuned[design.hyperparameter]}
    requests = {
        _key(request, fingerprint): request
        for size in design.all_sizes()
        for seed in range(recipe.check.coordinate.seeds)
        for request in [TrialRequest(recipe, design.root, size, values, seed)]
    }
    known = _read(cache)
    missing = [key for key in requests if key not in known]
    for key in reversed(missing):  # largest first, so that no worker ends with a long one
        pool.submit(key, requests[key].coordinates_payload())
    for _ in missing:
        outcome = pool.next_result()
        if outcome is None:
            raise MachineError("a worker must answer while tasks are under way", received="none is")
        if isinstance(outcome, Failure):
            raise MachineError(
                "the coordinate check must be able to train a few steps at every size",
                received=f"{requests[outcome.task_id].size.label}: {outcome.cause}: {outcome.message}",
            )
        known[outcome.task_id] = outcome.value
    if missing:
        write_atomically(cache, json.dumps(known))
    by_size: dict[Size, list[Mapping[str, Any]]] = {}
    for key, request in requests.items():
        by_size.setdefault(request.size, []).append(known[key])
    return by_size


def _key(request: TrialRequest, fingerprint: str) -> str:
    steps = ",".join(map(str, request.recipe.check.coordinate.steps))
    return hashlib.sha256(f"{request.key(fingerprint)}:{steps}".encode()).hexdigest()


def _read(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a cache: what cannot be read is measured again
        return {}
    return known if isinstance(known, dict) else {}


def _entries(run: Mapping[str, Any], axis: Literal["width", "depth"]) -> Iterator[Measurement]:
    """One run's measurements; in depth relative to init and at places that every depth has."""
    size, last = run["size"][axis], run["size"]["depth"] - 1
    for layer in run["layers"]:
        change = math.nan if layer["change"] is None else layer["change"]
        names: Sequence[str] = [layer["layer"]]
        if axis == "depth":
            names = _places(layer["layer"], last)
            change = change / layer["initial"] if layer["initial"] else math.nan
        for name in names:
            yield Measurement(size, run["seed"], layer["step"], name, layer["kind"], change)


def _places(layer: str, last: int) -> list[str]:
    """The name with its block called first or last; none for blocks between, which shallower models lack."""
    found = _BLOCK.search(layer)
    if found is None:
        return [layer]
    block = int(found.group(1))
    return [_BLOCK.sub(f"blocks.{place}", layer) for place, index in (("first", 0), ("last", last)) if block == index]
