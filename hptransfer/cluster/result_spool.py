"""Results on a worker's disk until the database has them: neither an absent server nor a killed worker loses one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hptransfer.files import write_atomically


@dataclass(frozen=True, slots=True)
class SpooledResult:
    """A result and the claim under which it was made.

    Attributes:
        study_id: number of the study in its database.
        task_id: the queue's number.
        token: the fencing token.
        done: whether there is a value; else it failed.
        result: as the queue records it.
    """

    study_id: int
    task_id: int
    token: int
    done: bool
    result: dict[str, Any]


class Spool:
    """A folder of results that were not delivered yet; any number of workers may share it.

    Args:
        folder: created when first needed.
        server: the database's address, without password; results for another one are left alone.
        study_id: of the study; likewise.
    """

    def __init__(self, folder: Path, server: str, study_id: int) -> None:
        self._folder, self._server, self._study_id = folder, server, study_id

    def add(self, spooled: SpooledResult) -> Path:
        """Writes a result; it is on the disk on return."""
        path = self._folder / f"{spooled.study_id}-{spooled.task_id}-{spooled.token}.json"
        write_atomically(path, json.dumps({"server": self._server, **asdict(spooled)}))
        return path

    def deliver(self, record: Callable[[SpooledResult], None]) -> None:
        """Hands every result of this study to `record` and removes it afterwards.

        A file that two workers deliver at once is recorded once: the queue knows its token.
        """
        for path, spooled in tuple(self._entries()):
            record(spooled)
            path.unlink(missing_ok=True)

    def _entries(self) -> Iterator[tuple[Path, SpooledResult]]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:  # another worker delivered it just now
                continue
            if content.pop("server") == self._server and content["study_id"] == self._study_id:
                yield path, SpooledResult(**content)
