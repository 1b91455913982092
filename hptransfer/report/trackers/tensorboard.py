"""TensorBoard: a folder of events per trial, with its loss curve and its row in the HPARAMS tab; no torch needed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from hptransfer.report.tracking import final, numbers
from hptransfer.trials.trial import Trial


class TensorboardSink:
    """Writes below `tensorboard/` in the run folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def trial(self, trial: Trial) -> None:
        """One folder: `w64-d2/<key>`."""
        steps = trial.curve[-1][0] if trial.curve else 0
        values = dict(numbers(trial))
        _write(
            self._folder / trial.size.label / trial.key[:12],
            [
                _event(hparams_pb(values, trial_id=trial.key)),
                *(_event(_scalar("training loss", loss), step) for step, loss in trial.curve),
                *(_event(_scalar(name, value), steps) for name, value in final(trial).items()),
            ],
        )

    def result(self, name: str, values: Mapping[str, float | str]) -> None:
        """One folder per command; words as text."""
        events = [
            _event(text_pb(tag, value) if isinstance(value, str) else _scalar(tag, value))
            for tag, value in values.items()
        ]
        _write(self._folder / name, events)

    def close(self) -> None:
        """Nothing is open between calls."""


def open_sink(folder: Path, recipe: str) -> TensorboardSink:
    """The sink of a run folder, which bears the recipe's name already."""
    return TensorboardSink(folder / "tensorboard")


def _scalar(tag: str, value: float) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _event(summary: Summary, step: int = 0) -> Event:
    return Event(wall_time=time.time(), step=step, summary=summary)


def _write(folder: Path, events: Iterable[Event]) -> None:
    writer = EventFileWriter(str(folder))
    for event in events:
        writer.add_event(event)
    writer.close()
