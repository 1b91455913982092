"""From a command line to a recipe: it is run once, for a limited time, and a loss is looked for in what it prints."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path, PurePath

from hptransfer.errors import HptransferError, UsageError, printable
from hptransfer.recipe.command_guess import (
    GuessedCommand,
    GuessedResults,
    RecipeDraft,
    guessed_command,
    guessed_results,
)
from hptransfer.trainers._kept_process import Ended, KeptProcess
from hptransfer.trainers._logs import BoundedLog

#: seconds that a trial run may take
TRY_LIMIT = 60.0
_OUTSIDE = (
    "The program lies outside of this recipe's folder: a change of its files trains nothing anew. "
    "Better write the recipe beside it."
)
#: bytes of what it prints, from its end, in which a loss is looked for
_KEPT = 1 << 20


def proposed_recipe(text: str, name: str, folder: Path, limit: float | None = TRY_LIMIT) -> RecipeDraft:
    """A recipe for a command, and sentences on what was found.

    Args:
        text: the command as it is typed into a shell.
        name: of the recipe, which its run folder has too.
        folder: where the recipe will lie.
        limit: seconds that the command may run; None does not run it.

    Raises:
        UsageError: it is no command.
    """
    try:
        command = guessed_command(text)
    except ValueError as error:
        raise UsageError("`--from-command` must be a command line", received=f"{text}: {error}") from None
    if not command.plain:
        raise UsageError("`--from-command` must be a command line", received=repr(text))
    cwd = Path(os.path.relpath(Path.cwd(), folder)).as_posix()
    outside = [] if not cwd.startswith("..") else [_OUTSIDE]
    if limit is None:
        return RecipeDraft(name, command, GuessedResults(), cwd, ("The command was not tried.", *outside))
    remarks, output, worked = _tried(command, limit)
    if command.value("seed") is None and worked:
        seeded = command.with_seed()
        more, _, accepted = _tried(seeded, limit)
        remarks += [f"With --seed 0 added: {more[0]}"]
        command = seeded if accepted else command
    failure = "" if worked else printable(remarks[0])
    results = guessed_results(output)
    remarks.append(
        f"The loss was found in: {results.found[:100]}" if results.found else "Nothing like `loss: 1.23` was printed."
    )
    remarks += outside
    remarks += _on_interpreter(command, failed=not worked, output=output + str(remarks))
    return RecipeDraft(name, command, results, cwd, tuple(map(printable, remarks)), failure)


def _on_interpreter(command: GuessedCommand, *, failed: bool, output: str) -> list[str]:
    """What to write for the program, where it is an interpreter that has other packages, or only this machine has."""
    first = command.words[0] if command.words and not isinstance(command.words, str) else ""
    if not re.fullmatch(r"python[\d.]*", PurePath(first).name):
        return []
    if failed and "ModuleNotFoundError" in output:
        return [f"`{first}` lacks a module; `{{python}}` in its place is the interpreter that runs hptransfer."]
    if PurePath(first).is_absolute():
        return [f"{first} is this machine's; `{{python}}` in its place is whichever interpreter runs hptransfer."]
    return []


def _tried(command: GuessedCommand, limit: float) -> tuple[list[str], str, bool]:
    """What became of one run: sentences, what it printed, and whether it ended well or was still running."""
    words = ["/bin/sh", "-c", command.plain] if isinstance(command.plain, str) else list(command.plain)
    environment = os.environ | {"PYTHONUNBUFFERED": "1", **command.environment}
    output = bytearray()
    begun = time.monotonic()

    def heard(content: bytes) -> bool:
        output.extend(content)
        del output[:-_KEPT]
        return time.monotonic() - begun > limit

    with tempfile.TemporaryDirectory(prefix="hptransfer-try-") as place:
        logs = BoundedLog(Path(place) / "stdout.txt"), BoundedLog(Path(place) / "stderr.txt")
        try:
            process = KeptProcess(words, Path.cwd(), environment, logs)
            ended = process.follow(heard, lambda: max(0.01, begun + limit - time.monotonic()))
        except HptransferError as error:
            return [f"It could not be run: {error}"], "", False
        finally:
            for log in logs:
                log.close()
        said = output.decode("utf-8", errors="replace")
        return (
            [_sentence(ended, time.monotonic() - begun, logs[1].last_lines(1) or logs[0].last_lines(1))],
            said,
            (ended.stopped or ended.code == 0),
        )


def _sentence(ended: Ended, seconds: float, last: str) -> str:
    if ended.stopped:
        return f"It was still running after {seconds:.0f} s, and was ended."
    if ended.code:
        return f"It failed with status {ended.code}: {' '.join(last.split())[:120]}"
    return f"It ran to its end in {seconds:.1f} s."
