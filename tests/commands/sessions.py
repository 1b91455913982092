"""Sessions over a landscape instead of real training, in this process or in one that can be killed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from hptransfer.cli.boundary import guarded
from hptransfer.commands.running import Session, run_requests
from hptransfer.commands.trial import TrialRequest
from hptransfer.commands.tune import tune
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.schema import Range
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.trials import TrialStore
from tests.commands.landscape import ENTRY, FINGERPRINT


@contextlib.contextmanager
def landscape_session(runs: Path, text: str, workers: int = 2) -> Iterator[Session]:
    """A session whose workers walk the landscape."""
    runs.mkdir(exist_ok=True)
    path = runs.parent / "landscape.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load_recipe(path)
    recipe = loaded.recipe
    proxy = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    experiment = TrialRequest(recipe, path.parent, proxy, {}, 0).experiment(FINGERPRINT)
    space: dict[str, Range] = dict(recipe.tune.space.items())
    with (
        RunFolder.open(runs, recipe.name) as folder,
        TrialStore(folder.study, experiment, space) as store,
        WorkerPool(ENTRY, workers) as pool,
    ):
        yield Session(loaded, folder, FINGERPRINT, store, pool)


def ladder(session: Session) -> list[TrialRequest]:
    """Requests as a check makes them: four widths, four learning rates, two seeds."""
    recipe = session.loaded.recipe
    return [
        TrialRequest(recipe, session.root, recipe.size(width, 2), {"learning_rate": 2.0**x}, seed)
        for width in recipe.sizes.widths
        for x in (-7.0, -6.5, -6.0, -5.5)
        for seed in (0, 1)
    ]


def main(work: str, runs: str, text: str) -> int:
    """Works on the landscape as a command does ("tune" or "check"); for tests that kill the whole process."""

    def action() -> int:
        with landscape_session(Path(runs), text) as session:
            if work == "tune":
                tune(session, quiet=True)
            else:
                run_requests(ladder(session), session.store, session.pool, fingerprint=FINGERPRINT, phase="check")
        return 0

    return guarded(action)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
