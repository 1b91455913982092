"""A coordinate check within seconds of processor time, without tuned values, run folder or study.

What is measured is chosen by what runs cost, and by nothing that they show: sizes from the smallest on, as long as the
fewest seeds fit, and then as many seeds at all of them as fit. So the check is looked at once, and a failure is as rare
as docs/coordinate-check.md says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from hptransfer.checking.design import CheckDesign
from hptransfer.checking.diagnose import facts_of
from hptransfer.diagnostics.base import DIAGNOSTICS, Facts
from hptransfer.diagnostics.coordinate import CoordinateReport
from hptransfer.engine.durations import with_durations
from hptransfer.errors import printable
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Recipe
from hptransfer.registry import look_in
from hptransfer.sizes import MODEL_AXES, Size
from hptransfer.statistics.slope import RowVerdict
from hptransfer.trials.messages import ENTRY, DiagnosticMessage

#: seconds of processor time for runs; importing torch, reading data and building models for the plan come on top
BUDGET = 45.0
#: fewer seeds, or sizes over a smaller factor, FAIL correct plans now and then (docs/coordinate-check.md)
FEWEST_SEEDS = 3
LEAST_FACTOR = 4
#: more are not asked for, unless the recipe does: what layers of small models owe to finite size becomes clear with
#: more (images: the readout's change goes as width^-0.27 over 16 to 128 channels), and is no fault of the rules
MOST_SEEDS = 6
#: of Student's quantile 1.96 and the normal's 0.84: what four checks of five find is this many errors beyond the band
_FOUND = 1.96 + 0.84

#: measures one run
Measure = Callable[[Size, int], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Measured:
    """What fits in the budget.

    Attributes:
        runs: what was measured, every size with every seed.
        sizes: the sizes, small ones first.
        seeds: number of seeds at each of them.
        left_out: sizes of the recipe that were too dear.
        seconds: of processor time that runs took.
    """

    runs: tuple[Mapping[str, Any], ...]
    sizes: tuple[Size, ...]
    seeds: int
    left_out: tuple[Size, ...]
    seconds: float


def check_within(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The coordinate check of a recipe; runs in a process of its own, because it runs the recipe's code.

    Args:
        payload: "path" of the recipe and "seconds", the budget of processor time.

    Returns:
        "axes", an entry each with "axis", "verdict", "sentence", "sizes", "seeds", "least" (the smallest power of size
        that four checks of five would find, null where none is known), "updates" (how many parameters were measured,
        and how many miss their rule) and "faults" with "sentence" and "repair"; "open", clauses on what was not
        measured; "seconds" of processor time.
    """
    loaded = load_recipe(Path(payload["path"]))
    look_in(loaded.root)
    loaded = with_durations(loaded)
    recipe = loaded.recipe
    facts = facts_of(CheckDesign(recipe, loaded.root, starting_values(recipe)))
    module, _, function = ENTRY.partition(":")
    work = getattr(import_module(module), function)
    options: dict[str, Any] = {"steps": list(recipe.check.coordinate.steps)}
    asked: set[Size] = set()

    def measure(size: Size, seed: int) -> Mapping[str, Any]:
        # the model is asked once what its `forward` multiplies
        more = {} if asked else {"ask": True}
        asked.add(size)
        message = DiagnosticMessage.of("coordinate", facts.spec(size, seed), None, options | more)
        found: Mapping[str, Any] = work(message.payload())
        return found

    most = max(MOST_SEEDS, recipe.check.coordinate.seeds)
    measured = measure_within(facts.sizes, measure, payload["seconds"], most)
    judged, too_little = judge_within(facts, measured)
    axes = [_axis(report) for report in judged]
    return {"axes": axes, "open": list(too_little), "seconds": measured.seconds}


def starting_values(recipe: Recipe) -> dict[str, float]:
    """The recipe's own values, and the middle of the searched range where one lies outside of it.

    Args:
        recipe: gives `training` and `tune.space`.
    """
    values = defaults(recipe.training)
    for name, asked in recipe.tune.space.items():
        if not asked.low <= values[name] <= asked.high:
            log = asked.scale == "log" and asked.low > 0
            values[name] = math.sqrt(asked.low * asked.high) if log else (asked.low + asked.high) / 2
    return {name: values[name] for name in (*recipe.tune.space, *recipe.check.checked)}


def measure_within(
    sizes: Sequence[Size],
    measure: Measure,
    budget: float,
    most_seeds: int,
    clock: Callable[[], float] = time.process_time,
) -> Measured:
    """Measure what the budget allows.

    Args:
        sizes: every size of the check.
        measure: makes one run of a size and a seed.
        budget: seconds of the clock in all.
        most_seeds: seeds at each size, at most.
        clock: seconds of processor time so far.
    """
    ordered = sorted(sizes, key=_work)
    measure(ordered[0], 0)  # what imports and data take is no part of a run
    began = clock()
    runs: dict[tuple[Size, int], Mapping[str, Any]] = {}
    seconds: dict[Size, float] = {}
    for size in ordered:
        last = next(reversed(seconds), None)
        dear = 0.0 if last is None else seconds[last] * _work(size) / _work(last)
        # as if it cost what arithmetic alone says; small sizes cost less than that
        if clock() - began + dear + (FEWEST_SEEDS - 1) * (sum(seconds.values()) + dear) > budget:
            break
        before = clock()
        runs[size, 0] = measure(size, 0)
        seconds[size] = clock() - before
    kept = tuple(seconds)
    each = sum(seconds.values())
    more = int((budget - (clock() - began)) / each) if each > 0 else most_seeds
    seeds = max(1, min(most_seeds, 1 + more))
    for seed in range(1, seeds):
        for size in kept:
            runs[size, seed] = measure(size, seed)
    left_out = tuple(size for size in ordered if size not in seconds)
    return Measured(tuple(runs.values()), kept, seeds, left_out, clock() - began)


def judge_within(facts: Facts, measured: Measured) -> tuple[tuple[CoordinateReport, ...], tuple[str, ...]]:
    """What the runs say along every axis, and what they are too few for.

    Args:
        facts: what a check of the recipe knows before its ladder.
        measured: what fits in the budget.
    """
    ladders = {
        axis: tuple(size for size in sizes if size in measured.sizes and axis in MODEL_AXES)
        for axis, sizes in facts.ladders.items()
    }
    too_little = []
    for axis in MODEL_AXES:
        whole, kept = facts.ladders[axis], ladders[axis]
        if len(whole) < 2:
            continue
        values = [getattr(size, axis) for size in kept]
        wide = len(kept) > 1 and values[-1] >= LEAST_FACTOR * values[0]
        dear = [str(getattr(size, axis)) for size in whole if size not in measured.sizes]
        if measured.seeds < FEWEST_SEEDS or not wide:
            reached = f"{measured.seeds} seeds of {axis}s {', '.join(map(str, values)) or 'none'}"
            too_little.append(
                f"whether changes depend on {axis}: {reached} are too little, {FEWEST_SEEDS} seeds over a factor of "
                f"{LEAST_FACTOR} at least are needed" + (", and larger ones take too long" if dear else "")
            )
            ladders[axis] = ()
        elif dear:
            too_little.append(f"{axis} {', '.join(dear)}: a few steps there take longer than this level has")
    judged = DIAGNOSTICS.look_up("coordinate").judge(replace(facts, ladders=ladders), measured.runs)
    return tuple(judged or ()), tuple(too_little)


def least_found(report: CoordinateReport) -> float | None:
    """The smallest power of size, at the layer that is known worst, that four such checks of five would find.

    Args:
        report: the outcome along one axis.
    """
    errors = [row.standard_error for row in report.rows if row.judged and not math.isnan(row.standard_error)]
    return report.tolerance + _FOUND * max(errors) if errors else None


def _axis(report: CoordinateReport) -> dict[str, Any]:
    least = least_found(report)
    return {
        "axis": report.axis,
        "verdict": str(report.verdict),
        "sentence": printable(report.sentence),
        "sizes": list(report.sizes),
        "seeds": report.seeds,
        "least": None if least is None or not math.isfinite(least) else least,
        "updates": {
            "of": len(report.parameters),
            "off": sum(row.verdict is RowVerdict.FAILS for row in report.parameters),
        },
        "faults": [
            {"sentence": printable(fault.sentence), "repair": printable(fault.repair)} for fault in report.faults
        ],
    }


def _work(size: Size) -> float:
    """Something that grows with what a step at a size costs."""
    return float(size.width**2 * size.depth * size.batch_size)
