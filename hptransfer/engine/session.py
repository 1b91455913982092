"""A session: a recipe with its locked run folder, its finished trials, and workers to train more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptransfer.engine.budget import Meter
from hptransfer.engine.flops import Costs
from hptransfer.engine.rehearsal import require_rehearsed
from hptransfer.engine.scheduler import Listener, OnEvent, TrialEvent, run_requests
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.storage.base import TrialStore
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.identity import Identity
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial

#: (run folder, recipe's name) -> a listener for as long as the session is open
OpenListener = Callable[[Path, str], AbstractContextManager[Listener]]


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a command needs to train trials of one recipe.

    Attributes:
        loaded: the recipe with its file and hash.
        folder: its run folder, locked.
        identity: gives the trials' keys, and the digest that evidence carries.
        store: the finished trials of its experiment.
        pool: workers; none is started before it is needed.
        meter: what the budget still allows.
        listeners: hear of finished trials and of results.
        counting: workers on this machine that count FLOPs, where `pool` is elsewhere.
        rehearses: whether workers here can run the recipe's first step before any trial.
    """

    loaded: LoadedRecipe
    folder: RunFolder
    identity: Identity
    store: TrialStore
    pool: TaskPool
    meter: Meter
    listeners: Sequence[Listener] = ()
    counting: TaskPool | None = None
    rehearses: bool = False

    def rehearse(self) -> None:
        """Runs the recipe's first step once, before its first trial; not where a trial has finished before.

        Raises:
            UsageError: model, data and loss do not go together; with each place in the recipe.
        """
        if self.rehearses and not self.store.trials():
            require_rehearsed(self.loaded, self.pool, self.fingerprint)

    @property
    def root(self) -> Path:
        """Where the recipe's data patterns start."""
        return self.loaded.root

    @property
    def fingerprint(self) -> str:
        """Sha256 (hex) of the recipe's data."""
        return self.identity.fingerprint

    def key(self, spec: TrialSpec) -> str:
        """The key of a wanted trial, sha256 (hex).

        Args:
            spec: of this session's recipe.
        """
        return self.identity.key(spec)

    def announce(self, name: str, document: Mapping[str, Any]) -> None:
        """Tell the listeners what a step found.

        Args:
            name: of the step: "tune" or "check".
            document: the result as JSON-able data.
        """
        for listener in self.listeners:
            listener.result(name, document)

    @property
    def costs(self) -> Costs:
        """FLOPs by size."""
        return Costs(self.loaded.recipe, self.root, self.counting or self.pool, self.folder.costs)

    def run(self, requests: Sequence[TrialSpec], phase: Phase, on_event: OnEvent) -> list[Trial]:
        """Trains what is not finished yet, within the budget; see `run_requests`.

        Args:
            requests: wanted trials; two with one key are one trial.
            phase: recorded with new trials.
            on_event: called with every start, result and failure.
        """

        def heard(event: TrialEvent) -> None:
            on_event(event)
            if event.trial is not None:
                for listener in self.listeners:
                    listener.trials([event.trial])

        return run_requests(
            requests,
            self.store,
            self.pool,
            identity=self.identity,
            phase=phase,
            on_event=heard,
            meter=self.meter,
            folder=self.folder,
            scratch=None if self.counting is not None else self.folder.path / "checkpoints",
        )
