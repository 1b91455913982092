"""`hptransfer retry`: requeues trials that failed for a cause which would repeat itself, unless it was removed."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hptransfer.cluster.stores import open_store
from hptransfer.engine.run_lookup import locate
from hptransfer.storage.base import BLOCKING_CAUSES, Experiment
from hptransfer.storage.run_folder import RunFolder


def retry_command(reference: str, runs: Path, cause: Sequence[str], as_json: bool, storage: str | None = None) -> int:
    """Requeue failed trials; the next `tune`, `check` or `run` trains them where it still wants them.

    Args:
        reference: a recipe, or a run folder's path or name.
        runs: the folder of run folders.
        cause: "error", "out of memory", "timeout"; none for all of them.
        as_json: print JSON instead of a sentence.
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
    experiment = Experiment(recipe.name, found.experiment or "", dict(recipe.tune.space.items()), size)
    with (
        RunFolder.open(found.folder.path.parent, found.folder.path.name) as folder,
        contextlib.closing(open_store(storage or folder.study, experiment)) as store,
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
