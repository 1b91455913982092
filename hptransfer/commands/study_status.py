"""`hptransfer study status`: what waits, who works on what, and whether somebody coordinates."""

from __future__ import annotations

import json
from dataclasses import asdict

from hptransfer.cli.options import Json, RecipeArgument, SharedStorage


def study_status_command(recipe: RecipeArgument, storage: SharedStorage = None, as_json: Json = False) -> int:
    """Show what waits, who works on what, and whether somebody coordinates.

    Anybody who may read the database can ask. Of the recipe only its name matters: versions and data may differ.

    Returns:
        0.

    Raises:
        UsageError: there is no such study.
    """
    from hptransfer.cluster.postgres import find_address
    from hptransfer.cluster.queue import TaskQueue
    from hptransfer.cluster.study import find_study, study_state
    from hptransfer.recipe.load import load_recipe

    address = find_address(storage)
    name = load_recipe(recipe).recipe.name
    study = find_study(address, name)
    state = study_state(study)
    queue = TaskQueue(address, study.study_id)
    try:
        count, leases = queue.count(), queue.leases()
    finally:
        queue.close()
    if as_json:
        document = {"study": name, "coordinated": state.coordinated, "tasks": asdict(count)}
        print(json.dumps(document | {"leases": [asdict(lease) for lease in leases]}, indent=2))
        return 0
    print(f"study {name} in {address}")
    print(f"tasks: {count.waiting} waiting, {count.leased} with workers, {count.done} done, {count.failed} failed")
    for lease in leases:
        print(f"  task {lease.task_id}: {lease.worker}, lease ends in {lease.seconds:.0f} s")
    print("a process coordinates it" if state.coordinated else "nobody coordinates it: `hptransfer run ... --storage`")
    return 0
