"""`hptransfer retry`: requeues trials that failed for a cause which would repeat itself, unless it was removed."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.cli.options import Json, Reference, Runs, Storage
from hptransfer.engine.options import DEFAULT_RUNS
from hptransfer.trials.trial import BLOCKING_CAUSES

# typer takes choices as enumerations; this one is made of the causes, as one word each
if TYPE_CHECKING:
    CauseName: TypeAlias = str
else:
    CauseName = StrEnum("Cause", {cause: cause.replace(" ", "-") for cause in BLOCKING_CAUSES})


def retry_command(
    reference: Reference,
    runs: Runs = DEFAULT_RUNS,
    cause: Annotated[
        list[CauseName] | None, typer.Option(help="Only these; repeatable. Default: all.", show_default=False)
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> int:
    """Requeue failed trials; the next tune, check or run trains them.

    Returns:
        0, also where there is nothing to requeue.

    Raises:
        UsageError: nothing was run there yet.
        MachineError: a process works in the folder, or coordinates the study.
    """
    from hptransfer.cluster.study import open_store
    from hptransfer.engine.run_lookup import locate
    from hptransfer.storage.base import Experiment
    from hptransfer.storage.run_folder import RunFolder

    found = locate(reference, runs)
    recipe = found.recipe
    experiment = Experiment(recipe.name, found.experiment or "", dict(recipe.tune.space.items()), recipe.proxy_size)
    with (
        RunFolder.open(found.folder.path.parent, found.folder.path.name) as folder,
        contextlib.closing(open_store(storage or folder.study, experiment)) as store,
    ):
        requeued = store.requeue([name.replace("-", " ") for name in cause] if cause else BLOCKING_CAUSES)
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
