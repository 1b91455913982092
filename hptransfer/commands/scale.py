"""`hptransfer scale`: the target's configuration, from what `tune` found and what `check` concluded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hptransfer.files import write_atomically
from hptransfer.recipe.load import load_recipe
from hptransfer.report.json_documents import to_document
from hptransfer.report.scale import describe_scaled
from hptransfer.scaling.plan import wanted_size
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
    formats: Sequence[str] = (),
) -> int:
    """Writes the target's configuration, or refuses where the evidence does not support it.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders, of which `runs/<name>/` holds what `tune` and `check` wrote.
        width: of the target; None for the recipe's target, as for the three that follow.
        depth: number of repeated layers of the target.
        batch_size: examples per optimizer step.
        tokens: predicted positions over the whole run.
        output: file to write; None for `target.yaml` in the run folder.
        force: write although the evidence does not support it; the file then says so.
        as_json: print the file's content as JSON.
        formats: names of exporters, or several in one text with commas between; each writes into a folder of its own
            below `export/` beside the file.

    Returns:
        0 when the files were written.

    Raises:
        RecipeError: the recipe has faults.
        UsageError: nothing was tuned, the target is smaller than the base or cannot be built, or a format is not known
            or cannot express it.
        RefusedError: the check failed, is missing, or is of another recipe.
        InconclusiveError: the check came to no conclusion.
    """
    loaded = load_recipe(recipe)
    size = wanted_size(loaded.recipe, width, depth, batch_size, tokens)
    names = tuple(dict.fromkeys(name.strip() for each in formats for name in each.split(",")))
    folder = RunFolder(runs / loaded.recipe.name)
    result = scale(loaded, folder, recipe, force=force, size=size, formats=names)
    path = output or folder.target
    write_atomically(path, result.text)
    exported = {name: _write(path.parent / "export" / _slug(name), files) for name, files in result.exports.items()}
    document = to_document(result.target.document)
    print(
        json.dumps(document, indent=2, allow_nan=False) if as_json else describe_scaled(path, result.target, exported)
    )
    return 0


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
