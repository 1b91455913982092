"""A folder of Weights & Biases that works offline.

Its log (`run-*.wandb`) is a file in the form of LevelDB's logs with protocol buffers in it, of which the few fields
that are needed are read here: wandb's own reader is no part of its newer versions. `wandb-summary.json`, which some
versions write at the end of a run, has the last values; it is read where a run has no log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.recipe.result_sections import NamedColumns, TrialPath
from hptransfer.trainers.results.base import Report, Source, regular_file, report_of

#: the step that wandb counts by itself
_STEP = "_step"


class WandbOffline(NamedColumns):
    """A folder of Weights & Biases, offline; `WANDB_DIR` and `WANDB_MODE=offline` are set for the command."""

    wandb: TrialPath = "wandb"
    """folder below the trial's, which is `{results}` in the command; `wandb.init` makes it in `WANDB_DIR`"""


class _Tail:
    def __init__(self, section: WandbOffline, source: Source) -> None:
        self._section, self._objective = section, source.objective
        self._trial = source.folder
        self._folder = source.folder / section.wandb
        self._rows: dict[Path, int] = {}
        self._any = False

    def heard(self, output: bytes) -> Iterable[Report]:
        """Nothing: results are in files."""
        return ()

    def poll(self, ended: bool) -> Iterator[Report]:
        """As `Tail.poll`."""
        runs = {path: list(_history(self._content(path), path.name)) for path in self._found("run-*.wandb")}
        if any(len(runs.get(path, ())) < count for path, count in self._rows.items()):
            self._rows.clear()
            yield Report(anew=True)
        for path, rows in runs.items():
            for row in rows[self._rows.get(path, 0) :]:
                yield from self._reported(row, path)
            self._rows[path] = len(rows)
        if ended and not self._any:
            for path in self._found("files/wandb-summary.json"):
                try:
                    row = json.loads(self._content(path))
                except (ValueError, RecursionError) as error:
                    raise UsageError("wandb's summary must be JSON", received=f"{path.name}: {error}") from None
                if not isinstance(row, dict):
                    raise UsageError("wandb's summary must be a JSON object", received=path.name)
                yield from self._reported(row, path)

    def _found(self, pattern: str) -> list[Path]:
        return sorted(self._folder.glob(f"*run-*/{pattern}"))

    def _content(self, path: Path) -> bytes:
        file = regular_file(self._trial, path.relative_to(self._trial))
        if file is None:
            return b""
        with file:
            return file.read()

    def _reported(self, row: Mapping[str, Any], path: Path) -> Iterator[Report]:
        section = self._section if self._section.step else self._section.model_copy(update={"step": _STEP})
        # a step of wandb's own counts from 0
        shifted = {**row, _STEP: row[_STEP] + 1} if _STEP in row and not self._section.step else row
        if (report := report_of(shifted, section, self._objective, path.name)) is not None:
            self._any = self._any or report.value is not None
            yield report


# A log of LevelDB: blocks of 32 KiB with parts of records, each after a checksum (4 bytes), its length (2) and its kind
# (1); the first block begins with wandb's mark. Parts of a record lie one after the other (LevelDB, log_format.md).

_MARK, _HEADER, _BLOCK = b":W&B", 7, 32_768
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
#: fields of wandb_internal.proto: Record.history, HistoryRecord.item, HistoryItem.key, nested_key and value_json
_HISTORY, _ITEM, _KEY, _NESTED, _VALUE = 2, 1, 1, 2, 16


def _history(content: bytes, where: str) -> Iterator[dict[str, Any]]:
    """The rows of a log, as far as it is written."""
    if len(content) < _HEADER:
        return
    if not content.startswith(_MARK):
        raise UsageError("a log of wandb must begin with its mark", received=f"{where}: {content[:_HEADER]!r}")
    for record in _records(content):
        for row in _fields(record).get(_HISTORY, ()):
            items = [_fields(item) for item in _fields(row).get(_ITEM, ())]
            try:
                yield {_name(item): json.loads(item[_VALUE][0]) for item in items if _VALUE in item}
            except (ValueError, RecursionError):
                raise UsageError("values in a log of wandb must be JSON", received=where) from None


def _name(item: Mapping[int, list[bytes]]) -> str:
    key = item.get(_KEY, [b""])[0] or b".".join(item.get(_NESTED, ()))
    return key.decode("utf-8", errors="replace")


def _records(content: bytes) -> Iterator[bytes]:
    """Whole records; a part that is not written yet ends them."""
    at, parts = _HEADER, b""
    while True:
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # too short for a part: padding
            at += left
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6 : at + 7]
        part = content[at + _HEADER : at + _HEADER + length]
        if not kind or len(part) < length or not length:
            return
        at += _HEADER + length
        parts = part if kind[0] in (_WHOLE, _FIRST) else parts + part
        if kind[0] in (_WHOLE, _LAST):
            yield parts


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """The fields of a protocol buffer that are bytes, text or messages, by number; numbers are passed over."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:
            length, at = _varint(message, at)
            found.setdefault(tag >> 3, []).append(message[at : at + length])
            at += length
        elif kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise UsageError("a log of wandb must be made of protocol buffers", received=f"wire type {kind}")
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, the lowest first, and where it ends."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return value, at


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
