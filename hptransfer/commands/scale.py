"""`hptransfer scale`: the target's configuration, from what `tune` found and what `check` concluded."""

from __future__ import annotations

import json
from pathlib import Path

from hptransfer.recipe.load import load_recipe
from hptransfer.scaling.scale import scale
from hptransfer.storage.run_folder import RunFolder


def scale_command(
    recipe: str,
    runs: Path,
    width: int | None,
    depth: int | None,
    batch_size: int | None,
    tokens: int | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Write the configuration of the large run with the evidence for it.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders, of which `runs/<name>/` holds what `tune` and `check` wrote.
        width: default: the recipe's target, as for the three that follow.
        depth: number of repeated layers.
        batch_size: examples per step.
        tokens: predicted positions over the whole run.
        output: default: `target.yaml` in the run folder.
        force: write although the evidence does not support it; the file then says so.
        as_json: print the file's content as JSON.

    Returns:
        0 when the file was written.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: nothing was tuned, or the target is smaller than the base or cannot be built.
        RefusedError: the check failed, is missing, or is of another recipe.
        InconclusiveError: the check came to no conclusion.
    """
    loaded = load_recipe(recipe)
    size = loaded.recipe.target_size(width, depth, batch_size, tokens)
    written = scale(loaded, RunFolder(runs / loaded.recipe.name), recipe, force=force, size=size, output=output)
    print(json.dumps(written.document, indent=2, allow_nan=False) if as_json else written.summary)
    return 0
