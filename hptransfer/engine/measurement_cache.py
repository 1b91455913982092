"""Measurements by worker processes that are no trials, kept by content beside the run so that none is made twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.errors import MachineError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.files import write_atomically
from hptransfer.sizes import Size


def measure(
    payloads: Mapping[str, Mapping[str, Any]], pool: TaskPool, cache: Path, what: str
) -> dict[str, Mapping[str, Any]]:
    """What workers return for each payload, from the cache where it is there.

    Args:
        payloads: by a hash of what determines the result, small sizes first; each with "size" for messages.
        pool: whose entry is `hptransfer.trainers.tasks:work`; nothing else may be under way in it.
        cache: a JSON file of earlier results; written whole.
        what: the rule that a failure breaks ("the coordinate check must be able to ...").

    Raises:
        MachineError: a worker failed or never answered.
    """
    known = _read(cache)
    missing = [key for key in payloads if key not in known]
    for key in reversed(missing):  # largest first, so that no worker ends with a long one
        pool.submit(key, dict(payloads[key]))
    for _ in missing:
        outcome = pool.next_result()
        if outcome is None:
            raise MachineError("a worker must answer while tasks are under way", received="none is")
        if isinstance(outcome, Failure):
            size = Size(**payloads[outcome.task_id]["size"])
            raise MachineError(what, received=f"{size.label}: {outcome.cause}: {outcome.message}")
        known[outcome.task_id] = outcome.value
    if missing:
        write_atomically(cache, json.dumps(known))
    return {key: known[key] for key in payloads}


def _read(cache: Path) -> dict[str, Any]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a cache: what cannot be read is measured again
        return {}
    return known if isinstance(known, dict) else {}
