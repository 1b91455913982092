"""`hptransfer study init`: makes a study on a server, once, before coordinators and workers join it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import RecipeArgument, SharedStorage


def study_init_command(
    recipe: RecipeArgument,
    storage: SharedStorage = None,
    update: Annotated[
        bool, typer.Option("--update", help="Let a study that exists follow this recipe and these versions.")
    ] = False,
) -> int:
    """Make a study in a PostgreSQL database, once; workers and coordinators join it.

    Returns:
        0; also when everything was there already.

    Raises:
        RecipeError, UsageError, MachineError: it could not be made.
    """
    from hptransfer.cluster.postgres import find_address
    from hptransfer.cluster.study import create_study, terms_of
    from hptransfer.data.base import fingerprint_of
    from hptransfer.recipe.load import load_recipe

    address = find_address(storage)
    loaded = load_recipe(recipe)
    root = loaded.root
    terms = terms_of(loaded, fingerprint_of(loaded.recipe.data, root))
    new = create_study(address, loaded.recipe.name, terms, update=update)
    print(f"study {loaded.recipe.name} in {address}: {'ready' if new else 'was ready already'}")
    path = Path(recipe)
    print(f"next: `hptransfer worker {path} --storage '{address}'` on every host,")
    print(f"      `hptransfer run {path} --storage '{address}' --workers <trials at a time>` on one")
    return 0
