"""Running trials: what is finished is reused, what is missing is trained, every result is recorded at once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.cluster.queue_pool import QueuePool
from hptransfer.cluster.stores import open_store
from hptransfer.cluster.study import join
from hptransfer.data.corpus import read_text
from hptransfer.engine.budget import Meter, limits_of
from hptransfer.engine.flops import Costs
from hptransfer.engine.options import BudgetOptions, Launch, OnChange, TrainingOptions
from hptransfer.engine.process_launch import require_workers_here, with_processes
from hptransfer.engine.recipe_snapshot import reconcile_recipe, write_snapshot
from hptransfer.engine.scheduler import OnEvent, Rungs, run_requests
from hptransfer.execution.pool import TaskPool, WorkerPool
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.recipe.schema import Range
from hptransfer.report.findings import printable
from hptransfer.report.progress import TrialEvent
from hptransfer.report.tracking import Tracking
from hptransfer.storage.base import Experiment, TrialStore
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.snapshot import count_finished
from hptransfer.trainers.tasks import ENTRY
from hptransfer.trials.identity import Identity
from hptransfer.trials.phase import Phase
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial


@dataclass(frozen=True, slots=True)
class Session:
    """Everything a command needs to train trials of one recipe.

    Attributes:
        loaded: the recipe.
        folder: its run folder, locked.
        fingerprint: of its data.
        store: finished trials.
        pool: workers; none is started before it is needed.
        meter: of the budget.
        tracking: of trials and results elsewhere.
        counting: workers on this machine that count FLOPs, where `pool` is elsewhere.
    """

    loaded: LoadedRecipe
    folder: RunFolder
    fingerprint: str
    store: TrialStore
    pool: TaskPool
    meter: Meter
    tracking: Tracking
    counting: TaskPool | None = None

    @property
    def root(self) -> Path:
        """Where the recipe's data patterns start."""
        return self.loaded.path.parent.absolute()

    def key(self, spec: TrialSpec) -> str:
        """The key of a wanted trial of this session's recipe and data, sha256 (hex)."""
        return self.identity.key(spec)

    @property
    def identity(self) -> Identity:
        """What determines this session's trials."""
        proxy = self.loaded.recipe.proxy
        size = self.loaded.recipe.size(proxy.width, proxy.depth)
        spec = TrialSpec(self.loaded.recipe, self.root, size, {}, 0)
        return Identity(spec.experiment(self.fingerprint), self.fingerprint)

    @property
    def costs(self) -> Costs:
        """FLOPs by size."""
        return Costs(self.loaded.recipe, self.root, self.counting or self.pool, self.folder.costs)

    def run(
        self, requests: Sequence[TrialSpec], phase: Phase, on_event: OnEvent, rungs: Mapping[str, Rungs] | None = None
    ) -> list[Trial]:
        """Trains what is not finished yet, within the budget; see `run_requests`."""

        def told(event: TrialEvent) -> None:
            on_event(event)
            if event.trial is not None:
                self.tracking.trials([event.trial])

        return run_requests(
            requests,
            self.store,
            self.pool,
            fingerprint=self.fingerprint,
            phase=phase,
            on_event=told,
            meter=self.meter,
            folder=self.folder,
            rungs=rungs or {},
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
    log: Sequence[str] = (),
) -> Iterator[Session]:
    """Locks the recipe's run folder, opens its trials and prepares workers.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders.
        workers: trials at a time, at least 1.
        options: what the command line says about the budget.
        launch: what it says about a trial's processes.
        on_change: what to do where the recipe is not that of the folder's finished trials; see `remembered.settle`.
        say: told what changed.
        entry: "module:function" that trains.
        fingerprint: of the data; None reads them.
        storage: address of a database where workers elsewhere meet; None to train here, trials in the folder.
        log: trackers that trials and results are logged to, those of earlier commands too.

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
    with RunFolder.open(runs, loaded.recipe.name) as folder:
        present = fingerprint or read_text(loaded.recipe.data, root).fingerprint
        loaded = reconcile_recipe(loaded, present, folder, lambda: count_finished(folder.study), on_change, say)
        fingerprint = fingerprint or read_text(loaded.recipe.data, root).fingerprint
        write_snapshot(folder.recipe, loaded, fingerprint)
        loaded = with_processes(loaded, launch)
        proxy = loaded.recipe.proxy
        size = loaded.recipe.size(proxy.width, proxy.depth)
        digest = TrialSpec(loaded.recipe, root, size, {}, 0).experiment(fingerprint)
        space: dict[str, Range] = dict(loaded.recipe.tune.space.items())
        experiment = Experiment(loaded.recipe.name, digest, space, size)
        study = None if storage is None else join(storage, loaded, fingerprint)
        with (
            Tracking(log, folder.path, loaded.recipe.name) as tracking,
            contextlib.closing(open_store(storage or folder.study, experiment)) as store,
            WorkerPool(entry, workers if study is None else 1, limits.trial) as here,
            contextlib.ExitStack() as stack,
        ):
            tracking.trials(store.trials())
            meter = Meter(limits, Costs(loaded.recipe, root, here, folder.costs))
            if study is None:
                yield Session(loaded, folder, fingerprint, store, here, meter, tracking)
            else:
                elsewhere = stack.enter_context(QueuePool(study, workers, limits.trial))
                yield Session(loaded, folder, fingerprint, store, elsewhere, meter, tracking, counting=here)


def session_of(options: TrainingOptions) -> contextlib.AbstractContextManager[Session]:
    """The session that the command line asks for; see `open_session`. What is no result it says on stderr."""

    def say(sentence: str) -> None:
        if not options.quiet:
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
        log=options.log,
    )
