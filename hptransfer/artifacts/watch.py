"""The file that `hptransfer.watch` writes: JSON lines, one that opens a run and one per measured step.

Many runs may share a file, also at the same time: every line names its run, and is written at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import AfterValidator, Field, ValidationError

from hptransfer.artifacts.base import Record
from hptransfer.errors import Place, UsageError, printable
from hptransfer.sizes import SizeAxis

#: where `hptransfer.watch` writes where it gets no path; a trainer sets it for the programs that it starts
PATH_VARIABLE = "HPTRANSFER_WATCH"
#: as the path: nothing is recorded, as in the trials of a function that also watches itself
OFF = "off"
#: the run's size as JSON, {"width": 256, "depth": 4}, where `hptransfer.watch` gets none
SIZE_VARIABLE = "HPTRANSFER_SIZE"
#: the run's seed, a whole number, where `hptransfer.watch` gets none
SEED_VARIABLE = "HPTRANSFER_SEED"
#: raised when a field changes its name, unit or meaning
FORMAT: Literal[1] = 1
#: how lines begin, by which the rest of a killed run's last line is recognised
_BEGINNINGS = ('{"format":', '{"run":')
#: longest line, in bytes: 200,000 parameters
_LONGEST_LINE = 2**26

#: names come from somebody's model, or from whoever wrote the file
Name = Annotated[str, AfterValidator(printable)]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=2**53)]


class Opening(Record):
    """The first line of a run."""

    #: key that only this line has
    KEY: ClassVar[str] = "format"

    format: Literal[1]
    """number of the file's format"""
    run: Annotated[Name, Field(min_length=1, max_length=64)]
    """by which the run's other lines name it"""
    size: Annotated[dict[SizeAxis, Count], Field(min_length=1)]
    """width, depth, and further axes where they are known"""
    seed: Annotated[int, Field(ge=0)]
    """of init and data"""
    steps: Annotated[list[Count], Field(min_length=1)]
    """optimizer steps after which is measured, increasing"""
    probe: bool
    """whether activations are measured"""
    optimizer: Name | None
    """name of the optimizer's class; null where `watch` got none, so that decay and eps are not known"""
    model: Name
    """name of the model's class"""
    version: Name
    """of hptransfer"""


class Layer(Record):
    """One layer at one step; see `diagnostics._coordinate_rows.Measurement`."""

    layer: Name
    kind: Literal["embedding", "hidden", "branch", "residual", "logits", "attention"]
    change: Amount | None
    initial: Amount | None
    random: Amount | None
    summed: Amount | None


class Weight(Record):
    """One parameter at one step; see `diagnostics._update_scaling.ParameterMeasurement`."""

    name: Name
    kind: Literal["matrix", "table", "vector"]
    fan_in: Count
    fan_out: Count
    update: Amount | None
    initial: Amount | None
    learning_rate: Amount | None
    decay: Amount
    kept: Amount | None
    in_block: bool
    writes_residual: bool
    shared: list[Name]


class Step(Record):
    """What was measured after one step."""

    run: Name
    """the run's, as its opening says it"""
    step: Count
    """optimizer steps taken"""
    blocks: Literal["read", "unknown", "none"]
    """whether it is known who writes the residual stream; none: no module repeats that could have one"""
    layers: list[Layer]
    """empty without a probe"""
    parameters: list[Weight]
    """of all that are trained and understood"""
    left_out: list[Name]
    """parameters of which it is not known which axis is summed, or by which factor `forward` multiplies them"""


@dataclass(slots=True)
class WatchedRun:
    """One run of a file.

    Attributes:
        place: file and line of its opening.
        opening: what it says of the run.
        steps: what was measured, by the number of steps.
        lines: in the file, by the number of steps.
    """

    place: Place
    opening: Opening
    steps: dict[int, Step] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[int, ...]:
        """Steps that it was to measure and did not: it was killed, or is not there yet."""
        return tuple(step for step in self.opening.steps if step not in self.steps)

    def measured(self) -> dict[str, Any]:
        """Size, seed, layers and parameters as a worker's measurement of the coordinate check has them."""
        return {
            "size": dict(self.opening.size),
            "seed": self.opening.seed,
            "layers": [row.model_dump() | {"step": step} for step, each in self.steps.items() for row in each.layers],
            "parameters": [
                row.model_dump() | {"step": step} for step, each in self.steps.items() for row in each.parameters
            ],
        }


def line_of(row: Mapping[str, Any]) -> str:
    """One line of the file, with its end.

    Args:
        row: an `Opening` or a `Step` as plain data.
    """
    kind = Opening if Opening.KEY in row else Step
    return json.dumps(kind.model_validate(row).model_dump(), allow_nan=False) + "\n"


def read_watch_file(path: Path) -> tuple[list[WatchedRun], list[str]]:
    """The runs of a file, and what is to be said of it.

    Args:
        path: of a file that `hptransfer.watch` wrote.

    Returns:
        (runs in the order of their openings, sentences with file and line about lines that killed runs left behind).

    Raises:
        UsageError: the file cannot be read, or a line is none that `hptransfer.watch` writes.
    """
    runs: dict[str, WatchedRun] = {}
    notes: list[str] = []
    for number, text in _lines(path):
        place = Place(str(path), number)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            if not any(text.startswith(mark[: len(text)]) for mark in _BEGINNINGS):
                _refuse(place, text)
            notes.append(f"{place}: the line breaks off, as a killed run leaves it; it is not used")
            continue
        _add(runs, data, place, text)
    return list(runs.values()), notes


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), start=1):
                text = raw.decode("utf-8", errors="replace").strip()
                if text:
                    yield number, text
    except OSError as error:
        raise UsageError("a file of coordinates must be readable", received=f"{path}: {error.strerror}") from None


def _add(runs: dict[str, WatchedRun], data: Any, place: Place, text: str) -> None:
    if not isinstance(data, dict):
        _refuse(place, text)
    found = data.get(Opening.KEY)
    if found is not None and found != FORMAT:
        raise UsageError(
            f"a file of coordinates must have format {FORMAT}",
            received=printable(f"format {found!r}")[:80],
            hint="measure again with this version of hptransfer",
            place=place,
            code="coordinates/format",
        )
    try:
        if found is not None:
            opening = Opening.model_validate(data)
            if opening.run in runs:
                _refuse(place, f"run {opening.run} a second time")
            runs[opening.run] = WatchedRun(place, opening)
            return
        step = Step.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        _refuse(place, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
    if step.run not in runs:
        _refuse(place, f"a step of run {step.run}, which no line before opens")
    run = runs[step.run]
    if step.step in run.steps or step.step not in run.opening.steps:
        _refuse(place, f"step {step.step} of a run that measures {', '.join(map(str, run.opening.steps))} once each")
    run.steps[step.step], run.lines[step.step] = step, place.line or 0


def _refuse(place: Place, received: str) -> NoReturn:
    raise UsageError(
        "every line must be one that `hptransfer.watch` writes",
        received=printable(received)[:120],
        hint="give a file that `hptransfer.watch` wrote, or a table of mup's get_coord_data as .csv",
        place=place,
        code="coordinates/malformed",
    )
