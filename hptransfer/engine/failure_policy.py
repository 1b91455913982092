"""Trials that fail: kept on file as they were, and when as many in a row fail alike, the run stops and says where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hptransfer.errors import HptransferError, MachineError, Place, UsageError
from hptransfer.execution.outcome import Failure, FailureStreak, Frame, user_frames
from hptransfer.files import write_atomically
from hptransfer.trials.spec import TrialSpec
from hptransfer.user_code import is_internal, is_plumbing, short_path

#: as many equal failures in a row stop the run: the next trial would fail alike
MOST_EQUAL_FAILURES = 3


class FailurePolicy:
    """Keeps failures on file, and stops the run when too many in a row are alike.

    Args:
        folder: where each failure is written whole; None writes nothing.
        recipe: the recipe's name, for the hint to `hptransfer retry`.
    """

    def __init__(self, folder: Path | None, recipe: str) -> None:
        self._folder, self._recipe = folder, recipe
        self._in_a_row = FailureStreak(MOST_EQUAL_FAILURES, alike=True)

    def reset(self) -> None:
        """A trial succeeded."""
        self._in_a_row.reset()

    def record(self, failure: Failure, request: TrialSpec) -> None:
        """Keeps a failure on file.

        Raises:
            UsageError: as many errors in a row were alike; with the last calls in the user's code.
            MachineError: as many trials in a row lacked memory or time, or were killed.
        """
        saved = None if self._folder is None else save_failure(self._folder, failure, request)
        if self._in_a_row.add(failure):
            raise _stopped_by_failures(failure, saved, self._recipe)


def save_failure(folder: Path, failure: Failure, request: TrialSpec) -> Path:
    """Writes what is known of a failed trial to a file of its own, whole or not at all; returns the path."""
    stem = f"{request.size.label}-{failure.task_id[:8]}"
    number = 1 + len(list(folder.glob(f"{stem}-*.txt")))
    path = folder / f"{stem}-{number}.txt"
    values = json.dumps(dict(request.hyperparameters))
    write_atomically(
        path,
        f"cause: {failure.cause}\nmessage: {failure.message}\nafter: {failure.seconds:.1f} s\n"
        f"trial: {request.size.label}, seed {request.seed}, key {failure.task_id}\nhyperparameters: {values}\n\n"
        f"{failure.details.rstrip()}\n",
    )
    return path


def _stopped_by_failures(failure: Failure, saved: Path | None, recipe: str) -> HptransferError:
    rule = f"trials must be able to run, but {MOST_EQUAL_FAILURES} in a row failed alike ({failure.cause})"
    whole = "" if saved is None else f"all that is known: {saved}; "
    again = f"then `hptransfer retry {recipe}` and the same command again; finished trials are kept"
    if failure.cause == "error":
        found = calls = user_frames(failure.details)
        refused = failure.message.startswith(f"{UsageError.__name__}: ")
        if calls and (is_plumbing(calls[-1].file) or (refused and is_internal(calls[-1].file))):
            calls = ()  # what was refused is named in the message; where it was noticed is nobody's mistake
        place = Place(short_path(calls[-1].file), calls[-1].line) if calls else None
        excerpt = _excerpt(calls) if found or refused else _last_lines(failure.details)
        return UsageError(
            rule, received=failure.message, hint=f"{whole}correct the cause, {again}", place=place, excerpt=excerpt
        )
    advice = {
        "out of memory": "use fewer workers or smaller sizes, or raise `budget.trial_memory`",
        "timeout": "raise `budget.trial_time`, or use smaller sizes",
    }.get(failure.cause, "see what ends processes on this machine")
    return MachineError(rule, received=failure.message, hint=f"{whole}{advice}, {again}")


def _excerpt(calls: Sequence[Frame]) -> tuple[str, ...]:
    return tuple(str(Frame(short_path(call.file), call.line, call.function, call.source)) for call in calls)


def _last_lines(details: str, most: int = 5) -> tuple[str, ...]:
    return tuple(details.rstrip().splitlines()[-most:])
