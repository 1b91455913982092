"""Results on a worker's disk until the database has them: neither an absent server nor a killed worker loses one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hptransfer.execution.outcome import Failure, Success, outcome_from_dict, outcome_to_dict
from hptransfer.files import write_atomically


@dataclass(frozen=True, slots=True)
class SpooledResult:
    """A result and the claim under which it was made.

    Attributes:
        study_id: number of the study in its database.
        task_id: the queue's number of the task.
        token: the fencing token of the claim.
        outcome: how the task ended.
    """

    study_id: int
    task_id: int
    token: int
    outcome: Success | Failure


class Spool:
    """A folder of results that were not delivered yet; any number of workers may share it.

    Args:
        folder: of the files; created when first needed.
        server: the database's address, without password; results for another one are left alone.
        study_id: number of the study in its database; results for another one are left alone.
    """

    def __init__(self, folder: Path, server: str, study_id: int) -> None:
        self._folder, self._server, self._study_id = folder, server, study_id

    def add(self, spooled: SpooledResult) -> Path:
        """Writes a result; it is on the disk on return."""
        path = self._folder / f"{spooled.study_id}-{spooled.task_id}-{spooled.token}.json"
        content = {
            "server": self._server,
            "study_id": spooled.study_id,
            "task_id": spooled.task_id,
            "token": spooled.token,
            "done": isinstance(spooled.outcome, Success),
            "result": outcome_to_dict(spooled.outcome),
        }
        write_atomically(path, json.dumps(content))
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
            if content["server"] == self._server and content["study_id"] == self._study_id:
                outcome = outcome_from_dict(str(content["task_id"]), content["done"], content["result"])
                yield path, SpooledResult(content["study_id"], content["task_id"], content["token"], outcome)
