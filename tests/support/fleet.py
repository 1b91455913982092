"""Coordinators and workers over the landscape as processes of their own, through the commands' own code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hptransfer.cli.boundary import guarded
from hptransfer.cluster.postgres import find_address
from hptransfer.cluster.queue_pool import run_through_restarts
from hptransfer.cluster.study import create_study, join, terms_of
from hptransfer.cluster.worker import WorkerLimits, work
from hptransfer.engine.open_session import open_session
from hptransfer.engine.options import BudgetOptions
from hptransfer.engine.session import Session
from hptransfer.recipe.load import LoadedRecipe, load_recipe
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase
from tests.support.landscape import FINGERPRINT, recipe_text
from tests.support.postgres import with_password


def many(session: Session, count: int) -> list[TrialSpec]:
    """Requests for as many different trials."""
    recipe = session.loaded.recipe
    return [
        TrialSpec(recipe, session.root, recipe.size(64, 2), {"learning_rate": 2.0 ** (-10 + x / 32)}, seed)
        for x in range(count // 2)
        for seed in (0, 1)
    ]


#: "module:function" that trains
ENTRY = "tests.support.landscape:work"


@dataclass
class Fleet:
    """Processes over one shared study.

    Attributes:
        folder: for the recipe, run folders and spools.
        url: of the database that all workers share.
        landscape: settings of what trials return, see `tests.support.landscape`.
    """

    folder: Path
    url: str
    landscape: dict[str, Any]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    errors: dict[int, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log = self.folder / "log"
        self.recipe = self.folder / "landscape.yaml"
        self.recipe.write_text(recipe_text(self.landscape | {"log": str(self.log)}))

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    @property
    def loaded(self) -> LoadedRecipe:
        """The recipe."""
        return load_recipe(self.recipe)

    def init(self) -> None:
        """What `study init` does."""
        address = find_address(self.url)
        terms = terms_of(self.loaded, FINGERPRINT)
        create_study(address, "landscape", terms, update=False)

    def start(self, role: str, name: str = "", **options: Any) -> subprocess.Popen[str]:
        """A process: "coordinator" (options: count, workers) or "worker" (options of `WorkerLimits`)."""
        errors = self.folder / f"errors{len(self.processes)}"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fleet", role, str(self.recipe),
                 str(self.folder / f"runs{name}"), self.url, json.dumps(options)],
                stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        self.errors[process.pid] = errors
        self.processes.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """What a process wrote to stderr so far."""
        return self.errors[process.pid].read_text()

    def finish(self, process: subprocess.Popen[str], status: int = 0, seconds: float = 300.0) -> str:
        """Waits for a process that must end with a status; its stdout."""
        out, _ = process.communicate(timeout=seconds)
        if process.returncode != status:
            raise AssertionError(f"{process.returncode=} instead of {status}: {self.said(process)}")
        return out

    def stop(self, *workers: subprocess.Popen[str]) -> None:
        """Ends workers that must still be there, as a scheduler does."""
        for worker in workers:
            if worker.poll() is not None:
                raise AssertionError(f"a worker ended by itself: {self.said(worker)}")
            worker.terminate()
        for worker in workers:
            self.finish(worker, 143)

    @property
    def trained(self) -> int:
        """How many trainings ended."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def await_trained(self, count: int, seconds: float = 300.0) -> None:
        """Waits until so many trainings ended."""
        until(lambda: self.trained >= count, seconds)


def until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(0.05)


def signal_with(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Sends a signal to the process alone, not to its children."""
    os.kill(process.pid, number)


def main(role: str, recipe: str, runs: str, url: str, options: dict[str, Any]) -> int:
    """What a process does."""

    def coordinate() -> int:
        budget = BudgetOptions(trial_time=options.get("trial_time"))
        with open_session(
            recipe, Path(runs), options["workers"], options=budget, entry=ENTRY, fingerprint=FINGERPRINT, storage=url
        ) as session:
            trials = session.run(many(session, options["count"]), Phase.CHECK, lambda event: None)
        print(len({trial.key for trial in trials}))
        return 0

    def pull() -> int:
        loaded = load_recipe(recipe)
        study = join(url, loaded, FINGERPRINT)
        return work(
            study, loaded, Path(runs) / "spool", WorkerLimits(**options), entry=ENTRY,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )  # fmt: skip

    return guarded((lambda: run_through_restarts(coordinate)) if role == "coordinator" else pull)


def trials_of(url: str) -> list[FrozenTrial]:
    """All finished trials in a database, read as any Optuna user would."""
    address = with_password(url).replace("postgresql://", "postgresql+psycopg://")
    storage = optuna.storages.RDBStorage(address)
    found = [
        trial
        for study in storage.get_all_studies()
        for trial in storage.get_all_trials(study._study_id)
        if trial.state == OptunaState.COMPLETE
    ]
    storage.remove_session()
    storage.engine.dispose()
    return found


if __name__ == "__main__":
    _, _role, _recipe, _runs, _url, _options = sys.argv
    sys.exit(main(_role, _recipe, _runs, _url, json.loads(_options)))
