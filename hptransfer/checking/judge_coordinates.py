"""Judging a coordinate check that somebody else's training recorded: nothing is trained, printed or written.

Files are those of `hptransfer.watch`, or a table of mup's `get_coord_data`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hptransfer.artifacts.watch import WatchedRun, read_watch_file
from hptransfer.diagnostics.base import Diagnosed
from hptransfer.diagnostics.coordinate import (
    TOLERANCE,
    ActivationSize,
    Axis,
    CoordinateReport,
    judge_coordinates,
    judge_values,
    read_layers,
    read_parameters,
)
from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.parameterization.groups import name_template
from hptransfer.results_table.coordinate_table import read_coordinate_table
from hptransfer.results_table.readers import read_table
from hptransfer.sizes import SizeAxis
from hptransfer.statistics.slope import RowVerdict

#: suffixes of tables; files of other names are those of `hptransfer.watch`
_TABLES = (".csv", ".tsv", ".parquet", ".pq")
#: fewer cannot be judged, and these rarely leave a row open (docs/coordinate-check.md)
_ENOUGH = "four widths over a factor of 8 or more and three seeds rarely leave a row open"
_EXIT = {RowVerdict.HOLDS: 0, RowVerdict.FAILS: 1, RowVerdict.INCONCLUSIVE: 3}


@dataclass(frozen=True, slots=True)
class CoordinateJudgement:
    """A coordinate check, judged.

    Attributes:
        sources: paths of the files, as the user named them.
        reports: one per axis along which runs differ, width first.
        notes: what was inferred, chosen and left out, a sentence each.
    """

    sources: tuple[Path, ...]
    reports: tuple[CoordinateReport, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> RowVerdict:
        """Over all axes: any FAILS decides, then any INCONCLUSIVE."""
        found = {report.verdict for report in self.reports}
        return next((each for each in (RowVerdict.FAILS, RowVerdict.INCONCLUSIVE) if each in found), RowVerdict.HOLDS)

    @property
    def exit_status(self) -> int:
        """0 HOLDS, 1 FAILS, 3 INCONCLUSIVE."""
        return _EXIT[self.verdict]

    @property
    def diagnosed(self) -> Diagnosed:
        """The reports as lines, tables and JSON-able data, as the check of a recipe has them."""
        return Diagnosed.of("coordinate", self.reports)


def judge_coordinate_files(paths: Sequence[Path], *, tolerance: float | None = None) -> CoordinateJudgement:
    """Judge files of `hptransfer.watch`, one or many runs in each, or one table of mup's `get_coord_data`.

    Args:
        paths: at least one; a file's suffix says whether it is a table.
        tolerance: |slope| + 1.96 standard errors must stay below it, positive; None: 0.15.

    Raises:
        UsageError: a file cannot be read, or its runs do not belong together; file and line are named.
        InconclusiveError: there are too few sizes or seeds; it says which are needed.
    """
    tolerance = TOLERANCE if tolerance is None else tolerance
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise UsageError("`--tolerance` must be positive and finite", received=str(tolerance))
    tables = [path for path in paths if path.suffix.lower() in _TABLES]
    if tables and len(paths) > 1:
        raise UsageError(
            "a table of coordinates is judged by itself",
            received=", ".join(map(str, paths))[:200],
            hint=f"hptransfer judge --coordinates {tables[0]}",
        )
    if tables:
        return _judge_table(tables[0], tolerance)
    runs, notes = read_runs(paths)
    axes = [axis for axis in _AXES if any(len(ladder) > 1 for ladder in _ladders(runs, axis).values())]
    if not axes:
        seen = ", ".join(sorted({_label(run.opening.size) for run in runs}))
        raise InconclusiveError(
            "a coordinate check needs at least two widths, or two depths, with all else alike",
            received=f"{len(runs)} run{'' if len(runs) == 1 else 's'} of {seen}",
            hint=f"watch the same training at more sizes; {_ENOUGH}",
        )
    reports = tuple(_judge_axis(runs, axis, tolerance, notes) for axis in axes)
    return CoordinateJudgement(tuple(paths), reports, tuple(dict.fromkeys(notes)))


def read_runs(paths: Sequence[Path]) -> tuple[list[WatchedRun], list[str]]:
    """The complete runs in files of `hptransfer.watch`, the last of each size and seed.

    What `measured()` of each gives is what a worker's measurement of the coordinate check has: a trainer that collects
    these files hands them to `CoordinateCheck.judge`.

    Args:
        paths: of files, in the order in which they were written.

    Returns:
        (runs, what was left out, a sentence each).

    Raises:
        UsageError: a file cannot be read, or its runs do not belong together.
        InconclusiveError: no run is complete.
    """
    found: list[WatchedRun] = []
    notes: list[str] = []
    for path in paths:
        runs, said = read_watch_file(path)
        notes += said
        found += runs
    kept: dict[tuple[Any, ...], WatchedRun] = {}
    for run in found:
        if run.missing:
            done = ", ".join(map(str, run.steps)) or "none"
            notes.append(f"{run.place}: left out: {_named(run)} was measured after {done} of its steps, and ended")
            continue
        key = (tuple(sorted(run.opening.size.items())), run.opening.seed)
        if key in kept:
            notes.append(f"{kept[key].place}: left out: {_named(run)} is there again at {run.place}")
        kept[key] = run
    runs = list(kept.values())
    if not runs:
        raise InconclusiveError(
            "a coordinate check needs complete runs",
            received=f"{len(found)} begun, none measured after its last step, in {', '.join(map(str, paths))}"[:200],
            hint="train at least as many steps as `hptransfer.watch` is to measure",
        )
    _require_one_model(runs)
    _require_common_steps(runs, notes)
    notes += _not_finite(runs)
    return runs, notes


_AXES: tuple[Axis, ...] = ("width", "depth")


def _named(run: WatchedRun) -> str:
    return f"the run of {_label(run.opening.size)}, seed {run.opening.seed},"


def _label(size: Mapping[SizeAxis, int]) -> str:
    return " ".join(f"{axis} {value}" for axis, value in size.items())


def _require_one_model(runs: Sequence[WatchedRun]) -> None:
    """Runs of one check differ in size and seed alone."""
    first = runs[0]
    for run in runs[1:]:
        for what in ("model", "optimizer", "probe"):
            if getattr(run.opening, what) != getattr(first.opening, what):
                _refuse_mixed(what, first, run, getattr(first.opening, what), getattr(run.opening, what))
        here, there = _templates(first), _templates(run)
        if here != there:
            extra = sorted(here ^ there)[0]
            _refuse_mixed(
                "set of parameters", first, run, *(f"{'' if extra in side else 'no '}{extra}" for side in (here, there))
            )


def _refuse_mixed(what: str, first: WatchedRun, run: WatchedRun, here: object, there: object) -> None:
    raise UsageError(
        f"all runs of a coordinate check must have one {what}",
        received=f"{here} at {first.place}, {there} at {run.place}",
        hint="judge each in a file of its own",
        place=run.place,
        code="coordinates/mixed",
    )


def _templates(run: WatchedRun) -> set[str]:
    return {name_template(row.name) for step in run.steps.values() for row in step.parameters}


def _require_common_steps(runs: Sequence[WatchedRun], notes: list[str]) -> None:
    """Leaves the steps that all runs have measured."""
    common = set(runs[0].steps).intersection(*(set(run.steps) for run in runs))
    if not common:
        other = next(run for run in runs if not set(run.steps) & set(runs[0].steps))
        raise UsageError(
            "all runs of a coordinate check must be measured after the same steps",
            received=f"{list(runs[0].steps)} at {runs[0].place}, {list(other.steps)} at {other.place}",
            hint="give `hptransfer.watch` the same steps=(1, 3, 10) in every run",
            code="coordinates/steps",
        )
    left = sorted({step for run in runs for step in run.steps} - common)
    if left:
        notes.append(f"left out: steps {', '.join(map(str, left))}, which not every run has measured")
    for run in runs:
        run.steps = {step: run.steps[step] for step in sorted(common)}


def _not_finite(runs: Sequence[WatchedRun]) -> Iterator[str]:
    for run in runs:
        for step, row in run.steps.items():
            names = [layer.layer for layer in row.layers if layer.change is None]
            names += [weight.name for weight in row.parameters if weight.update is None]
            if names:
                more = f" and {len(names) - 4} more" if len(names) > 4 else ""
                place = f"{run.place.file}:{run.lines[step]}"
                where = f"at {_label(run.opening.size)} after step {step}"
                yield f"{place}: not finite {where}: {', '.join(names[:4])}{more}"
                break


def _ladders(runs: Sequence[WatchedRun], axis: Axis) -> dict[tuple[Any, ...], dict[int, list[WatchedRun]]]:
    """Runs by what else their size says, and by their size along the axis; tokens do not change first steps."""
    ladders: dict[tuple[Any, ...], dict[int, list[WatchedRun]]] = {}
    for run in runs:
        size = run.opening.size
        if axis in size:
            other = tuple(sorted((name, value) for name, value in size.items() if name not in (axis, "tokens")))
            ladders.setdefault(other, {}).setdefault(size[axis], []).append(run)
    return ladders


def _judge_axis(runs: Sequence[WatchedRun], axis: Axis, tolerance: float, notes: list[str]) -> CoordinateReport:
    """The longest ladder along an axis, the one at the smallest other sizes where several are as long."""
    ladders = _ladders(runs, axis)
    other = min(ladders, key=lambda key: (-len(ladders[key]), key))
    ladder = {size: ladders[other][size] for size in sorted(ladders[other])}
    held = " and ".join(f"{name} {value}" for name, value in other)
    beside = len(runs) - sum(map(len, ladder.values()))
    if beside:
        notes.append(
            f"{axis}: judged at {held or 'no other size'}; {beside} runs of other sizes are not compared along it"
        )
    seeds = set.intersection(*({run.opening.seed for run in members} for members in ladder.values()))
    every = {run.opening.seed for members in ladder.values() for run in members}
    if len(seeds) < 2:
        raise InconclusiveError(
            f"a coordinate check needs at least two seeds that every {axis} has",
            received="; ".join(
                f"{axis} {size}: {_listed(sorted(run.opening.seed for run in members))}"
                for size, members in ladder.items()
            ),
            hint=f"watch runs with seeds 0, 1 and 2 at {axis}s {', '.join(map(str, ladder))}; {_ENOUGH}",
        )
    if every - seeds:
        notes.append(f"left out: {_listed(sorted(every - seeds))}, which not every {axis} has")
    judged = [run for members in ladder.values() for run in members if run.opening.seed in seeds]
    measured = [run.measured() for run in judged]
    _agree_on_kinds(measured)
    notes += _unjudged(judged, axis)
    layers = [layer for run in measured for layer in read_layers(run, axis)]
    if axis == "width":
        notes += _not_everywhere(
            Counter(name for run in measured for name in {row["layer"] for row in run["layers"]}), measured
        )
    known = axis == "width" or not any(step.blocks == "unknown" for run in judged for step in run.steps.values())
    parameters = [row for run in measured for row in read_parameters(run, axis)] if known else []
    report = judge_coordinates(layers, axis=axis, tolerance=tolerance, parameters=parameters)
    unseen = sorted({name for run in judged for step in run.steps.values() for name in step.left_out})
    if not layers and unseen and report.verdict is RowVerdict.HOLDS:
        scope = report.sentence.partition(": ")[2]
        sentence = f"INCONCLUSIVE: without a probe nothing is known of {unseen[0]}; as for the others, {scope}"
        return replace(report, verdict=RowVerdict.INCONCLUSIVE, sentence=sentence)
    return report


def _listed(seeds: Sequence[int]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def _agree_on_kinds(measured: Sequence[dict[str, Any]]) -> None:
    """A layer is what most runs saw in it: zeros can hide from some of them that it writes the stream."""
    votes: dict[str, Counter[str]] = {}
    rows = [row for run in measured for row in run["layers"]]
    for row in rows:
        votes.setdefault(row["layer"], Counter())[row["kind"]] += 1
    for row in rows:
        row["kind"] = votes[row["layer"]].most_common(1)[0][0]


def _unjudged(runs: Sequence[WatchedRun], axis: Axis) -> Iterator[str]:
    """What these runs cannot show."""
    first, steps = runs[0].opening, [step for run in runs for step in run.steps.values()]
    if not first.probe:
        yield "no probe: only updates are judged, and a factor in `forward` that is outside of a layer is not seen"
    if first.optimizer is None:
        yield "`watch` was given no optimizer: weight decay and eps are not judged"
    left_out = sorted({name_template(name) for step in steps for name in step.left_out})
    if left_out:
        more = f" and {len(left_out) - 4} more" if len(left_out) > 4 else ""
        yield (
            f"left out: updates of {', '.join(left_out[:4])}{more}: it is not known which axis is summed, or by what "
            "`forward` multiplies them"
        )
    if axis == "depth" and any(step.blocks == "unknown" for step in steps):
        yield "depth: updates are not judged, because it was not seen which layers write the residual stream"


def _not_everywhere(counts: Counter[str], measured: Sequence[Any]) -> Iterator[str]:
    names = [name for name, count in counts.items() if count < len(measured)]
    if names:
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        yield f"left out: layers that not every run has: {', '.join(names[:4])}{more}"


def _judge_table(path: Path, tolerance: float) -> CoordinateJudgement:
    table = read_coordinate_table(read_table(path))
    widths = sorted({row[0] for row in table.rows})
    seeds = sorted({row[1] for row in table.rows})
    if len(widths) < 2 or len(seeds) < 2:
        raise InconclusiveError(
            "a coordinate check needs at least two widths and two seeds",
            received=f"{path}: widths {', '.join(map(str, widths))}; {_listed(seeds)}",
            hint=f"get_coord_data(models, dataloader, nseeds=3) with models of more widths; {_ENOUGH}",
        )
    values = [ActivationSize(*row) for row in table.rows]
    report = judge_values(values, table.logits, tolerance=tolerance)
    return CoordinateJudgement((path,), (report,), (*table.notes, *_unchanged(values)))


def _unchanged(values: Sequence[ActivationSize]) -> Iterator[str]:
    """Sizes that are the same to the last digit after every step are those of a model that is not trained."""
    seen: dict[tuple[int, int, str], set[float]] = {}
    for each in values:
        seen.setdefault((each.width, each.seed, each.layer), set()).add(each.value)
    if len({each.step for each in values}) > 1 and all(len(found) == 1 for found in seen.values()):
        yield "no value changes with t: nothing was trained between the passes, or these are not what was measured"
