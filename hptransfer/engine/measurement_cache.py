"""What workers measured or counted besides trials, kept by content in the run folder so that none is done twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hptransfer.errors import MachineError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.files import bounded_content, write_atomically
from hptransfer.sizes import Size

#: bytes of the file
_MOST = 256 * 2**20


class MeasurementCache:
    """Results in a JSON file, each under a hash of what determines it.

    Args:
        path: of the file, written whole; None remembers nothing.
        writable: whether new results are kept; onlookers keep none.
    """

    def __init__(self, path: Path | None, *, writable: bool = True) -> None:
        self._path, self._writable = path, writable

    def fill(
        self,
        keys: Iterable[str],
        measure: Callable[[Sequence[str]], Mapping[str, Any]],
        valid: Callable[[str, Any], bool],
    ) -> dict[str, Any]:
        """The results of all keys.

        Args:
            keys: hashes of what is wanted.
            measure: gives the results of those that are not in the file; it is not called where all are.
            valid: whether what the file holds under a key may be a result of it; else it is measured again.
        """
        wanted = tuple(dict.fromkeys(keys))
        known = self._read()
        known = {key: value for key, value in known.items() if key not in wanted or valid(key, value)}
        missing = [key for key in wanted if key not in known]
        if missing:
            found = measure(missing)
            known |= found
            if found and self._path is not None and self._writable:
                write_atomically(self._path, json.dumps(known))
        return {key: known[key] for key in wanted if key in known}

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            known = json.loads(bounded_content(self._path, _MOST, follow=False).decode())
        except (OSError, ValueError, RecursionError):  # a cache: what cannot be read is measured again
            return {}
        return known if isinstance(known, dict) else {}


def measure(
    payloads: Mapping[str, Mapping[str, Any]], pool: TaskPool, cache: Path, what: str
) -> dict[str, Mapping[str, Any]]:
    """What workers return for each payload, from the cache where it is there.

    Args:
        payloads: by a hash of what determines the result, small sizes first; each with the "size" and "seed" that
            the result names too.
        pool: of idle workers, whose entry is `messages.ENTRY`.
        cache: a JSON file of earlier results; written whole.
        what: the rule that a failure breaks ("the coordinate check must be able to ...").

    Raises:
        MachineError: a worker failed or never answered.
    """

    def missing(keys: Sequence[str]) -> dict[str, Any]:
        for key in reversed(keys):  # largest first, so that no worker ends with a long one
            pool.submit(key, dict(payloads[key]))
        found = {}
        for _ in keys:
            outcome = pool.next_result()
            if outcome is None:
                raise MachineError("a worker must answer while tasks are under way", received="none is")
            if isinstance(outcome, Failure):
                size = Size(**payloads[outcome.task_id]["size"])
                raise MachineError(what, received=f"{size.label}: {outcome.cause}: {outcome.message}")
            found[outcome.task_id] = outcome.value
        return found

    def valid(key: str, value: Any) -> bool:
        return isinstance(value, dict) and all(value.get(name) == payloads[key][name] for name in ("size", "seed"))

    return MeasurementCache(cache).fill(payloads, missing, valid)
