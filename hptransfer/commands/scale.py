"""`hptransfer scale`: the target's configuration, from what `tune` found and what `check` concluded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import (
    DEFAULT_RUNS,
    Depth,
    Force,
    Json,
    Overwrite,
    RecipeArgument,
    Runs,
    Use,
    UseChoice,
    Width,
    format_names,
    target_options,
)


def scale_command(
    recipe: RecipeArgument,
    runs: Runs = DEFAULT_RUNS,
    *,
    width: Width = None,
    depth: Depth = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples per step.", show_default=False)] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Predicted positions over the whole run.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: target.yaml in the run folder.", show_default=False)
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME[,NAME]",
            help="Write it for other frameworks too, under export/; repeatable (docs/export.md).",
            show_default=False,
        ),
    ] = None,
    use: Use = UseChoice.TUNED,
    force: Force = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Write the configuration of the large run.

    The file is written with `--json` too, which prints its content. A prediction that it registers already keeps its
    date; a file with another one is kept beside it. Each format's files lie below `export/`, in the file's folder.

    Returns:
        0 when the files were written; 3 where they were, and the check does not reach the target, which the recipe does
        not accept.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: nothing was tuned, the target is smaller than the base or cannot be built, a format is not known or
            cannot express it, or files that were edited would be replaced.
        RefusedError: the check failed, is missing, or is of another recipe.
        InconclusiveError: the check came to no conclusion.
    """
    from rich.console import Console

    from hptransfer.artifacts.json_data import to_document
    from hptransfer.engine.durations import with_durations
    from hptransfer.handover.header import plan_digest
    from hptransfer.handover.writing import require_own, write_exports
    from hptransfer.recipe.load import load_recipe
    from hptransfer.report.scaled import describe_kept, print_scaled
    from hptransfer.scaling.registering import write_target
    from hptransfer.scaling.scale import scale
    from hptransfer.storage.run_folder import RunFolder

    loaded, names = load_recipe(recipe), format_names(formats)
    folder = RunFolder(runs / loaded.recipe.name)
    shape = (width or loaded.recipe.sizes.target.width, depth or loaded.recipe.sizes.target.depth)
    loaded = with_durations(loaded, cache=folder.readings, further=[shape])
    size = loaded.recipe.target_size(width, depth, batch_size, tokens)
    exports = (path := output or folder.target).parent / "export"
    given = target_options(runs, output, names, width=width, depth=depth, batch_size=batch_size, tokens=tokens)
    result = scale(loaded, folder, recipe, force=force, size=size, formats=names, use=use.value, path=path, given=given)
    require_own(exports, result.exports, overwrite=overwrite)  # before anything is written
    if (kept := write_target(path, result.target, result.text)) is not None:
        print(describe_kept(path, kept), file=sys.stderr)
    written = write_exports(exports, result.exports, path, plan_digest(result.target), overwrite=overwrite)
    sys.stderr.write(written.said)
    if as_json:
        print(json.dumps(to_document(result.target.document), indent=2, allow_nan=False))
    else:
        print_scaled(path, result.target, Console(highlight=False), written.files)
    return result.exit_status
