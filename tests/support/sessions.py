"""Sessions over a landscape or a ladder instead of real training, in this process or in one that can be killed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from hptransfer.artifacts.tuned import Tuned
from hptransfer.checking.check import check
from hptransfer.checking.result import CheckResult
from hptransfer.cli.boundary import guarded
from hptransfer.engine.open_session import open_session
from hptransfer.engine.session import Session
from hptransfer.recipe.load import load_recipe
from hptransfer.report.check import CheckPrinter, save_check
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase
from hptransfer.tuning.tune import tune
from tests.support.landscape import FINGERPRINT, recipe_text


@contextlib.contextmanager
def recipe_session(runs: Path, text: str, workers: int = 2, **options: Any) -> Iterator[Session]:
    """A session of the recipe in `text`, whose name says which module of `tests.commands` plays its trials."""
    runs.mkdir(parents=True, exist_ok=True)
    path = runs.parent / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    entry = f"tests.support.{load_recipe(path).recipe.name}:work"
    options.setdefault("fingerprint", FINGERPRINT)
    with open_session(path, runs, workers, entry=entry, **options) as session:
        yield session


def check_and_save(session: Session, *, show: bool = False, diagnostics: Sequence[str] = ()) -> CheckResult:
    """What `hptransfer check` does with an open session.

    Args:
        session: of a recipe that was tuned.
        show: print parts to stdout as they become known.
        diagnostics: names to be made besides those of the recipe.
    """
    printer = CheckPrinter(Console(quiet=not show, highlight=False), session.loaded.recipe.name, 2, quiet=True)
    result = check(session, "ladder.yaml", diagnostics=diagnostics, listener=printer)
    save_check(result, session.folder)
    return result


def tune_and_write(session: Session) -> Tuned:
    """Tunes and writes tuned.yaml, as the command does."""
    result = tune(session)
    result.write(session.folder.tuned)
    return result


def grid(session: Session, seeds: int = 2) -> list[TrialSpec]:
    """Requests as a check makes them: four widths, four learning rates, some seeds."""
    recipe = session.loaded.recipe
    return [
        TrialSpec(recipe, session.root, recipe.size(width, 2), {"learning_rate": 2.0**x}, seed)
        for width in recipe.sizes.widths
        for x in (-7.0, -6.5, -6.0, -5.5)
        for seed in range(seeds)
    ]


def main(work: str, runs: str, text: str) -> int:
    """Works as a command does ("tune", "grid" or "grid:SEEDS", or "run"); for tests that kill the whole process."""

    def action() -> int:
        with recipe_session(Path(runs), text) as session:
            kind, _, seeds = work.partition(":")
            if kind == "grid":
                session.run(grid(session, int(seeds or 2)), Phase.CHECK, lambda event: None)
                return 0
            tune_and_write(session)
            if work == "tune":
                return 0
            return check_and_save(session).report.verdict.exit_status

    return guarded(action)


def trainings(tmp_path: Path) -> list[str]:
    """Keys of the trials that were trained to their end, in order."""
    log = tmp_path / "log"
    return log.read_text().split() if log.exists() else []


def start(tmp_path: Path, landscape: dict[str, Any], work: str = "tune", **options: Any) -> subprocess.Popen[str]:
    """Tunes or checks in another process."""
    landscape = landscape | {"log": str(tmp_path / "log")}
    command = [sys.executable, "-m", "tests.support.sessions", work, str(tmp_path / "runs")]
    return subprocess.Popen([*command, recipe_text(landscape, **options)], stderr=subprocess.PIPE, text=True)


def in_database(tmp_path: Path, state: str) -> list[str]:
    """Keys of the trials with this state in a copy of the study, read by plain Optuna."""
    database = tmp_path / "runs" / "landscape" / "study.db"
    if not database.exists():
        return []
    copies = [tmp_path / f"copy.db{suffix}" for suffix in ("", "-journal")]
    for copy, suffix in zip(copies, ("", "-journal"), strict=True):
        copy.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):  # a journal is there while something is being written
            shutil.copy(f"{database}{suffix}", copy)
    studies = optuna.get_all_study_names(f"sqlite:///{copies[0]}")
    return [
        trial.user_attrs["key"]
        for name in studies
        for trial in optuna.load_study(study_name=name, storage=f"sqlite:///{copies[0]}").trials
        if trial.state.name == state
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
