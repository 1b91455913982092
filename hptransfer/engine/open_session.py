"""Opening a session: the recipe is read, its run folder locked, its trials found, and workers prepared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hptransfer.cluster.queue_pool import QueuePool
from hptransfer.cluster.study import join, open_store
from hptransfer.engine.adoption import adopt_legacy_trials
from hptransfer.engine.budget import limits_of, meter_of
from hptransfer.engine.identity import identified
from hptransfer.engine.options import BudgetOptions, Launch, OnChange
from hptransfer.engine.process_launch import require_workers_here, training_workers, with_processes
from hptransfer.engine.recipe_snapshot import name_changed_rules, reconcile_recipe, remember
from hptransfer.engine.session import OpenListener, Session
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.load import load_recipe
from hptransfer.registry import look_in
from hptransfer.storage.base import Experiment
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trials.messages import ENTRY


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
        say: called with each sentence on what changed.
        entry: "module:function" that a worker runs with every message.
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
    look_in(loaded.root)
    limits, launch = limits_of(loaded.recipe.budget, options or BudgetOptions()), launch or Launch()
    with_processes(loaded, launch)  # before anything is locked or written
    require_workers_here(launch, storage)
    with RunFolder.open(runs, loaded.recipe.name) as folder, contextlib.ExitStack() as stack:
        if storage is None:
            folder.require_sound()  # before data are read and workers started
        loaded, fingerprint = reconcile_recipe(loaded, fingerprint, folder, on_change, say)
        written, loaded = loaded, with_processes(loaded, launch)
        trials = training_workers(loaded.recipe, workers) if storage is None else 1
        here = stack.enter_context(WorkerPool(entry, trials, limits.trial, loaded.recipe.training.processes))
        loaded, identity = identified(loaded, fingerprint, here, folder.readings)
        named = name_changed_rules(folder, loaded, identity, say)
        study = None if storage is None else join(storage, loaded, fingerprint)
        size = loaded.recipe.proxy_size
        experiment = Experiment(loaded.recipe.name, identity.experiment, dict(loaded.recipe.tune.space.items()), size)
        store = stack.enter_context(contextlib.closing(open_store(storage or folder.study, experiment)))
        adopt_legacy_trials(store, loaded.recipe, loaded.root, identity, say, named=named)
        remember(folder, written, identity)
        heard = [stack.enter_context(listen(folder.path, loaded.recipe.name)) for listen in listeners]
        for listener in heard:
            listener.trials(store.trials())
        meter = meter_of(limits, loaded.recipe, loaded.root, here, folder.costs)
        if study is None:
            yield Session(loaded, folder, identity, store, here, meter, heard, rehearses=entry == ENTRY)
        else:
            elsewhere = stack.enter_context(QueuePool(study, workers, limits.trial))
            yield Session(loaded, folder, identity, store, elsewhere, meter, heard, counting=here)
