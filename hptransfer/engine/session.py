"""A session: a recipe with its locked run folder, its finished trials, and workers to train more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptransfer.cluster.queue_pool import QueuePool
from hptransfer.cluster.stores import open_store
from hptransfer.cluster.study import join
from hptransfer.data.base import read_text
from hptransfer.engine.adoption import adopt_legacy_trials
from hptransfer.engine.budget import Meter, limits_of
from hptransfer.engine.events import Listener, OnEvent, OpenListener, TrialEvent
from hptransfer.engine.flops import Costs
from hptransfer.engine.identity import identity_of
from hptransfer.engine.options import BudgetOptions, Launch, OnChange
from hptransfer.engine.process_launch import require_workers_here, with_processes
from hptransfer.engine.recipe_snapshot import name_changed_rules, reconcile_recipe, remember
from hptransfer.engine.scheduler import run_requests
from hptransfer.execution.pool import TaskPool, WorkerPool
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.schema import Range
from hptransfer.storage.base import Experiment, TrialStore
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.snapshot import count_finished
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import ENTRY
from hptransfer.trials.phase import Phase
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a command needs to train trials of one recipe.

    Attributes:
        loaded: the recipe.
        folder: its run folder, locked.
        identity: gives the trials' keys, and the digest that evidence carries.
        store: finished trials.
        pool: workers; none is started before it is needed.
        meter: of the budget.
        listeners: hear of finished trials and of results.
        counting: workers on this machine that count FLOPs, where `pool` is elsewhere.
    """

    loaded: LoadedRecipe
    folder: RunFolder
    identity: Identity
    store: TrialStore
    pool: TaskPool
    meter: Meter
    listeners: Sequence[Listener] = ()
    counting: TaskPool | None = None

    @property
    def root(self) -> Path:
        """Where the recipe's data patterns start."""
        return self.loaded.path.parent.absolute()

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
            on_event: told of every start, result and failure.
        """

        def told(event: TrialEvent) -> None:
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
            on_event=told,
            meter=self.meter,
            folder=self.folder,
        )


@contextlib.contextmanager
def open_session(
    recipe: str | Path,
    runs: Path,
    workers: int,
    *,
    options: BudgetOptions | None = None,
    launch: Launch | None = None,
    on_change: OnChange | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    entry: str = ENTRY,
    fingerprint: str | None = None,
    storage: str | None = None,
    listeners: Sequence[OpenListener] = (),
) -> Iterator[Session]:
    """Locks the recipe's run folder, opens its trials and prepares workers.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time, at least 1.
        options: what the command line says about the budget.
        launch: what it says about a trial's processes.
        on_change: what to do where the recipe is not that of the folder's finished trials; see `reconcile_recipe`.
        say: told what changed.
        entry: "module:function" that trains.
        fingerprint: of the data; None reads them.
        storage: address of a database where workers elsewhere meet; None to train here, trials in the folder.
        listeners: opened with the run folder; they hear of all trials, those of earlier commands too.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: the run folder cannot be written, the data cannot be read, an option is no amount or cannot be
            combined with the recipe, or the recipe changed in what finished trials depend on.
        MachineError: another process works in the folder, or its database is unusable.
    """
    loaded = load_recipe(recipe)
    root = loaded.path.parent.absolute()
    limits, launch = limits_of(loaded.recipe.budget, options or BudgetOptions()), launch or Launch()
    with_processes(loaded, launch)  # before anything is locked or written
    require_workers_here(launch, storage)
    with RunFolder.open(runs, loaded.recipe.name) as folder, contextlib.ExitStack() as stack:
        present = fingerprint or read_text(loaded.recipe.data, root).fingerprint
        loaded = reconcile_recipe(loaded, present, folder, lambda: count_finished(folder.study), on_change, say)
        fingerprint = fingerprint or read_text(loaded.recipe.data, root).fingerprint
        written, loaded = loaded, with_processes(loaded, launch)
        here = stack.enter_context(WorkerPool(entry, workers if storage is None else 1, limits.trial))
        identity = identity_of(loaded.recipe, root, fingerprint, here, folder.readings)
        name_changed_rules(folder, loaded, identity, say)
        proxy = loaded.recipe.proxy
        size = loaded.recipe.size(proxy.width, proxy.depth)
        space: dict[str, Range] = dict(loaded.recipe.tune.space.items())
        study = None if storage is None else join(storage, loaded, fingerprint)
        experiment = Experiment(loaded.recipe.name, identity.experiment, space, size)
        store = stack.enter_context(contextlib.closing(open_store(storage or folder.study, experiment)))
        adopt_legacy_trials(store, loaded.recipe, root, identity, say)
        remember(folder, written, identity)
        heard = [stack.enter_context(listen(folder.path, loaded.recipe.name)) for listen in listeners]
        for listener in heard:
            listener.trials(store.trials())
        meter = Meter(limits, Costs(loaded.recipe, root, here, folder.costs))
        if study is None:
            yield Session(loaded, folder, identity, store, here, meter, heard)
        else:
            elsewhere = stack.enter_context(QueuePool(study, workers, limits.trial))
            yield Session(loaded, folder, identity, store, elsewhere, meter, heard, counting=here)
