"""A folder of Weights & Biases that works offline: its log by its own library, its summary without.

The binary log (`run-*.wandb`) holds every step; `wandb-summary.json`, written at the end of a run, the last values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.recipe.result_sections import NamedColumns, Text
from hptransfer.trainers.results.base import Report, Source, report_of

#: the step that wandb counts by itself
_STEP = "_step"


class WandbOffline(NamedColumns):
    """A folder of Weights & Biases, offline; `WANDB_DIR` and `WANDB_MODE=offline` are set for the command."""

    wandb: Text = "wandb"
    """folder below the trial's, which is `{results}` in the command; `wandb.init` makes it in `WANDB_DIR`"""


class _Tail:
    def __init__(self, section: WandbOffline, source: Source) -> None:
        self._section, self._objective = section, source.objective
        self._folder = source.folder / section.wandb
        self._rows: dict[Path, int] = {}
        self._any = False

    def heard(self, output: bytes) -> Iterable[Report]:
        """Nothing: results are in files."""
        return ()

    def poll(self, ended: bool) -> Iterator[Report]:
        """As `Tail.poll`; without wandb's package there is nothing before the end."""
        if _library() is not None:
            for path in sorted(self._folder.glob("*run-*/run-*.wandb")):
                rows = list(_history(path))
                for row in rows[self._rows.get(path, 0) :]:
                    yield from self._reported(row, path)
                self._rows[path] = len(rows)
        if ended and not self._any:
            for path in sorted(self._folder.glob("*run-*/files/wandb-summary.json")):
                try:
                    row = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError) as error:
                    raise UsageError("wandb's summary must be JSON", received=f"{path}: {error}") from None
                yield from self._reported(row, path)
            if not self._any and _library() is None and any(self._folder.glob("*run-*/run-*.wandb")):
                raise UsageError(
                    "wandb's log is read by the package `wandb`",
                    received=f"{self._folder}: a log without wandb-summary.json",
                    hint="install it: `pip install 'hptransfer[wandb]'`",
                )

    def _reported(self, row: Mapping[str, Any], path: Path) -> Iterator[Report]:
        section = self._section if self._section.step else self._section.model_copy(update={"step": _STEP})
        # a step of wandb's own counts from 0
        shifted = {**row, _STEP: row[_STEP] + 1} if _STEP in row and not self._section.step else row
        if (report := report_of(shifted, section, self._objective, path.name)) is not None:
            self._any = self._any or report.value is not None
            yield report


def _library() -> Any:
    try:
        return import_module("wandb.sdk.internal.datastore")
    except ImportError:
        return None


def _history(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log, as far as it is written."""
    proto = import_module("wandb.proto.wandb_internal_pb2")
    store = _library().DataStore()
    store.open_for_scan(str(path))
    while True:
        try:
            data = store.scan_data()
        except (AssertionError, ValueError):  # the end of a log that is still written
            return
        if data is None:
            return
        record = proto.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            yield {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}


class ReadsWandb:
    """Reads an offline run."""

    section = WandbOffline
    polls = True

    def path(self, section: WandbOffline, folder: Path, /) -> Path:
        """As `ResultsReader.path`."""
        return folder / section.wandb

    def environment(self, section: WandbOffline, folder: Path, /) -> Mapping[str, str]:
        """Nothing is sent anywhere."""
        return {"WANDB_MODE": "offline", "WANDB_DIR": str(folder)}

    def open(self, section: WandbOffline, source: Source, /) -> _Tail:
        """As `ResultsReader.open`."""
        return _Tail(section, source)


READER = ReadsWandb()
