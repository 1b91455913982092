"""`hptransfer retry`: requeues trials that failed for a cause which would repeat itself, unless it was removed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hptransfer.commands.located import locate
from hptransfer.commands.trial import TrialRequest
from hptransfer.recipe.schema import Range
from hptransfer.storage.run_folder import RunFolder
from hptransfer.storage.trials import STANDING, TrialStore


def retry_command(reference: str, runs: Path, cause: Sequence[str], as_json: bool) -> int:
    """Requeue failed trials; the next `tune`, `check` or `run` trains them where it still wants them.

    Args:
        reference: a recipe, or a run folder's path or name.
        runs: the folder of run folders.
        cause: "error", "out of memory", "timeout"; none for all of them.
        as_json: print JSON.

    Returns:
        0, also where there is nothing to requeue.

    Raises:
        UsageError: nothing was run there yet.
        MachineError: a process works in the folder.
    """
    found = locate(reference, runs)
    recipe = found.recipe
    size = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    experiment = TrialRequest(recipe, Path(), size, {}, 0).experiment(found.fingerprint)
    space: dict[str, Range] = dict(recipe.tune.space.items())
    with (
        RunFolder.open(found.folder.path.parent, found.folder.path.name) as folder,
        TrialStore(folder.study, experiment, space) as store,
    ):
        requeued = store.requeue(cause or STANDING)
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
