"""`hptransfer retry`: requeues trials that failed for a cause which would repeat itself, unless it was removed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hptransfer.cluster.postgres import find_address
from hptransfer.cluster.study import SharedStudy, find_study
from hptransfer.engine.run_lookup import locate
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Range, Recipe
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.trials import BLOCKING_CAUSES, TrialStore


def retry_command(reference: str, runs: Path, cause: Sequence[str], as_json: bool, storage: str | None = None) -> int:
    """Requeue failed trials; the next `tune`, `check` or `run` trains them where it still wants them.

    Args:
        reference: a recipe, or a run folder's path or name.
        runs: the folder of run folders.
        cause: "error", "out of memory", "timeout"; none for all of them.
        as_json: print JSON.
        storage: address of a database, where the trials are there and not in the folder.

    Returns:
        0, also where there is nothing to requeue.

    Raises:
        UsageError: nothing was run there yet.
        MachineError: a process works in the folder, or coordinates the study.
    """
    found = locate(reference, runs)
    recipe = found.recipe
    size = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    space: dict[str, Range] = dict(recipe.tune.space.items())
    shared = None if storage is None else _shared(recipe, storage)
    with (
        RunFolder.open(found.folder.path.parent, found.folder.path.name) as folder,
        TrialStore(shared or folder.study, found.experiment or "", space, size) as store,
    ):
        requeued = store.requeue(cause or BLOCKING_CAUSES)
    counts = Counter(failed.cause for failed in requeued)
    if as_json:
        print(json.dumps({"requeued": [{"key": failed.key, "cause": failed.cause} for failed in requeued]}, indent=2))
        return 0
    listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    if requeued:
        print(f"{len(requeued)} trials requeued ({listed}): run {found.reference} again to train them")
    else:
        print("no failed trial to requeue; trials that were killed or interrupted run again by themselves")
    return 0


def _shared(recipe: Recipe, storage: str) -> SharedStudy:
    address = find_address(storage)
    study = find_study(address, recipe.name)
    if study is None:
        raise UsageError("the study must exist", received=f"no study {recipe.name} in {address}")
    return study
