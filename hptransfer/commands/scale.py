"""`hptransfer scale`: the target's configuration, from what `tune` found and what `check` concluded."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import DEFAULT_RUNS, Depth, Force, Json, RecipeArgument, Runs, UseChoice, Width
from hptransfer.files import write_atomically


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
    use: Annotated[
        UseChoice, typer.Option(help="`predicted`: the optimum that the ladder's path predicts there.")
    ] = UseChoice.TUNED,
    force: Force = False,
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
        UsageError: nothing was tuned, the target is smaller than the base or cannot be built, or a format is not known
            or cannot express it.
        RefusedError: the check failed, is missing, or is of another recipe.
        InconclusiveError: the check came to no conclusion.
    """
    from hptransfer.artifacts.json_data import to_document
    from hptransfer.engine.durations import with_durations
    from hptransfer.recipe.load import load_recipe
    from hptransfer.report.scaled import describe_kept, describe_scaled
    from hptransfer.scaling.registering import write_target
    from hptransfer.scaling.scale import scale
    from hptransfer.storage.run_folder import RunFolder

    loaded = load_recipe(recipe)
    folder = RunFolder(runs / loaded.recipe.name)
    shape = (width or loaded.recipe.sizes.target.width, depth or loaded.recipe.sizes.target.depth)
    loaded = with_durations(loaded, cache=folder.readings, further=[shape])
    size = loaded.recipe.target_size(width, depth, batch_size, tokens)
    names = tuple(dict.fromkeys(name.strip() for each in formats or () for name in each.split(",")))
    path = output or folder.target
    given = _given(runs, output, names, width=width, depth=depth, batch_size=batch_size, tokens=tokens)
    result = scale(loaded, folder, recipe, force=force, size=size, formats=names, use=use.value, path=path, given=given)
    kept = write_target(path, result.target, result.text)
    if kept is not None:
        print(describe_kept(path, kept), file=sys.stderr)
    exported = {name: _write(path.parent / "export" / _slug(name), files) for name, files in result.exports.items()}
    document = to_document(result.target.document)
    print(
        json.dumps(document, indent=2, allow_nan=False) if as_json else describe_scaled(path, result.target, exported)
    )
    return result.exit_status


def _given(runs: Path, output: Path | None, formats: Sequence[str], **sizes: int | None) -> list[str]:
    """The options that name this target, as a user writes them."""
    found = [("--runs", str(runs))] if runs != DEFAULT_RUNS else []
    found += [(f"--{name.replace('_', '-')}", str(size)) for name, size in sizes.items() if size is not None]
    found += [("--output", str(output))] if output is not None else []
    found += [("--format", ",".join(formats))] if formats else []
    return [word for pair in found for word in pair]


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Writes an exporter's files and returns their paths."""
    paths = []
    for relative, text in files.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
        paths.append(path)
    return paths


def _slug(name: str) -> str:
    """The name of an exporter as a folder: `module:attribute` has a colon."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
