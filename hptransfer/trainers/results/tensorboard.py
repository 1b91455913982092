"""TensorBoard's event files, read by its own library."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.recipe import suggestion
from hptransfer.recipe.result_sections import ResultsSection, Text, TrialPath
from hptransfer.trainers.results.base import Report, Source, regular_file


class TensorBoardEvents(ResultsSection):
    """TensorBoard's event files; steps are those of the events."""

    tensorboard: TrialPath
    """folder below the trial's, which is `{results}` in the command; event files in it and below are read"""
    value: Text | None = None
    """tag of the objective; default: the objective's name"""
    curve: Text | None = None
    """tag of the training loss, recorded as learning curve; default: the objective's values are the curve"""
    flops: Text | None = None
    """tag of the run's floating point operations so far; the last one counts"""


class _Tail:
    def __init__(self, section: TensorBoardEvents, source: Source) -> None:
        self._loader = _event_accumulator()
        self._trial = source.folder
        self._folder = source.folder / section.tensorboard
        self._tags = {"value": section.value or source.objective, "curve": section.curve, "flops": section.flops}
        self._open: dict[Path, Any] = {}
        self._read: dict[tuple[Path, str], int] = {}

    def heard(self, output: bytes) -> Iterable[Report]:
        """Nothing: results are in files."""
        return ()

    def poll(self, ended: bool) -> Iterator[Report]:
        """As `Tail.poll`."""
        found: list[tuple[int, str, float]] = []
        seen: set[str] = set()
        for folder in self._folders():
            if folder not in self._open:
                # size 0 keeps every event
                guidance = {"scalars": 0, "tensors": 0}
                self._open[folder] = self._loader.EventAccumulator(str(folder), size_guidance=guidance)
            events = self._open[folder]
            with contextlib.suppress(self._loader.directory_watcher.DirectoryDeletedError):
                events.Reload()
            seen |= _tags(events)
            for what, tag in self._tags.items():
                new = _values(events, tag)[self._read.get((folder, what), 0) :] if tag is not None else []
                self._read[folder, what] = self._read.get((folder, what), 0) + len(new)
                found += [(step, what, value) for step, value in new]
        if ended and not any(count for (_, what), count in self._read.items() if what == "value") and seen:
            tag = str(self._tags["value"])
            hint = suggestion.hint(tag, sorted(seen), "tags")
            raise UsageError("the event files must have the objective's tag", received=tag, hint=hint)
        for step, what, value in sorted(found, key=lambda each: each[0]):
            yield replace(Report(step=step), **{what: value})  # type: ignore[arg-type]  # all but the step are floats

    def _folders(self) -> list[Path]:
        """Folders with event files, each of which is a regular file of the trial: the library would wait for a pipe."""
        found = list(self._folder.rglob("*tfevents*"))
        for path in found:
            if (file := regular_file(self._trial, path.relative_to(self._trial))) is not None:
                file.close()
        return sorted({path.parent for path in found})


def _tags(events: Any) -> set[str]:
    tags = events.Tags()
    return {*tags["scalars"], *tags["tensors"]}


def _values(events: Any, tag: str) -> list[tuple[int, float]]:
    tags = events.Tags()
    if tag in tags["scalars"]:
        return [(event.step, event.value) for event in events.Scalars(tag)]
    if tag not in tags["tensors"]:
        return []
    from tensorboard.util import tensor_util  # TensorFlow 2 writes a scalar as a tensor of rank 0

    return [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]


def _event_accumulator() -> Any:
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as error:
        raise UsageError(
            "TensorBoard's event files are read by the package `tensorboard`",
            received=str(error),
            hint="install it: `pip install 'hptransfer[tensorboard]'`",
        ) from error
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of every file that is still empty
    return event_accumulator


class ReadsTensorBoard:
    """Reads event files."""

    section = TensorBoardEvents
    polls = True

    def path(self, section: TensorBoardEvents, folder: Path, /) -> Path:
        """As `ResultsReader.path`."""
        return folder / section.tensorboard

    def environment(self, section: TensorBoardEvents, folder: Path, /) -> Mapping[str, str]:
        """None."""
        return {}

    def open(self, section: TensorBoardEvents, source: Source, /) -> _Tail:
        """As `ResultsReader.open`."""
        return _Tail(section, source)


READER = ReadsTensorBoard()
