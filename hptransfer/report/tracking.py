"""Finished trials and results in the user's experiment tracker: each trial once, whatever is interrupted.

What was logged is remembered in the run folder (`logged-<tracker>.txt`, a key per line), so a command that continues
does not log a trial again. A tracker that fails is named once and left alone: it never ends a run.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, cast

from hptransfer.engine import options
from hptransfer.engine.open_session import open_session
from hptransfer.engine.options import TrainingOptions
from hptransfer.engine.session import Session
from hptransfer.errors import UsageError, printable
from hptransfer.registry import Registry
from hptransfer.trials.trial import Trial, TrialState


class Sink(Protocol):
    """One tracker."""

    def trial(self, trial: Trial) -> None:
        """Log a finished trial: loss curve, hyperparameters, final loss."""

    def result(self, name: str, values: Mapping[str, float | str]) -> None:
        """Log what a command found; once more when it was run again."""

    def close(self) -> None:
        """Write what is buffered."""


#: opens a sink from the run folder and the recipe's name; a module of `report/trackers`, named as the package it needs
OpenSink = Callable[[Path, str], Sink]

TRACKERS = cast("Registry[OpenSink]", options.TRACKERS)


class Tracking:
    """The trackers of one command.

    Args:
        names: names of trackers, of `TRACKERS`.
        folder: path of the run folder.
        recipe: name of the recipe.
        warn: called with a sentence when a tracker fails.

    Raises:
        UsageError: a tracker is unknown, or its package is not installed.
    """

    def __init__(
        self,
        names: Sequence[str],
        folder: Path,
        recipe: str,
        warn: Callable[[str], object] = lambda text: print(text, file=sys.stderr),
    ) -> None:
        self._folder, self._warn = folder, warn
        self._sinks = {name: _open(name, folder, recipe) for name in dict.fromkeys(names)}
        self._logged = {name: set(_lines(self._ledger(name))) for name in self._sinks}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in tuple(self._sinks):
            self._attempt(name, lambda sink: sink.close())

    def trials(self, trials: Iterable[Trial]) -> None:
        """Log those that were not logged before."""
        for trial in trials if self._sinks else ():
            for name in tuple(self._sinks):
                if trial.key not in self._logged[name] and self._attempt(name, lambda sink: sink.trial(trial)):  # noqa: B023  # called at once
                    self._logged[name].add(trial.key)
                    with self._ledger(name).open("a", encoding="utf-8") as ledger:
                        ledger.write(f"{trial.key}\n")

    def result(self, name: str, document: Mapping[str, Any]) -> None:
        """Log the numbers and words of a result document, lists left out."""
        values = dict(_flat(document))
        for sink in tuple(self._sinks):
            self._attempt(sink, lambda opened: opened.result(name, values))

    def _attempt(self, name: str, act: Callable[[Sink], object]) -> bool:
        try:
            act(self._sinks[name])
        except Exception as error:  # a tracker may raise anything: no network, a full disk, a changed interface
            self._warn(f"warning: {name} is left alone from now on: {type(error).__name__}: {error}")
            del self._sinks[name]
            return False
        return True

    def _ledger(self, name: str) -> Path:
        return self._folder / f"logged-{name}.txt"


def numbers(trial: Trial) -> dict[str, float | int | str]:
    """What determines a trial, as trackers list it; the final loss where it is finite."""
    return {**trial.hyperparameters, **asdict(trial.size), "seed": trial.seed, "state": trial.state.value}


def final(trial: Trial) -> dict[str, float]:
    """What a trial ended with."""
    loss = {"loss": trial.loss} if trial.state is TrialState.COMPLETE else {}
    return loss | {"flops": trial.flops, "seconds": trial.seconds}


def _open(name: str, folder: Path, recipe: str) -> Sink:
    try:
        open_sink = TRACKERS.look_up(name)
    except ImportError as error:
        raise UsageError(
            f"{name} must be installed to log to it", received=str(error), hint=f"pip install 'hptransfer[{name}]'"
        ) from error
    return open_sink(folder, recipe)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float | str]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str) or (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            yield f"{prefix}{name}", value


# The session of a command: its trials are logged to the user's trackers, its remarks go to stderr.


def session_of(options: TrainingOptions) -> contextlib.AbstractContextManager[Session]:
    """The session that the command line asks for; see `open_session`.

    What becomes of finished trials is said with `--quiet` too: nothing is trained again in silence.

    Args:
        options: of the command line.
    """

    def say(sentence: str) -> None:
        print(printable(sentence), file=sys.stderr)

    return open_session(
        options.recipe,
        options.runs,
        options.workers,
        options=options.budget,
        launch=options.launch,
        on_change=options.on_change,
        say=say,
        storage=options.storage,
        listeners=(partial(Tracking, options.log or ()),),
    )
