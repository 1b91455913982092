"""`hptransfer validate`: everything about recipes that can be known without training or importing torch."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hptransfer.data.text import TextFiles
from hptransfer.errors import Finding, MachineError, Place, RecipeError, UsageError
from hptransfer.recipe.advice import advice
from hptransfer.recipe.load import LoadedRecipe, RecipeUnavailableError, load_recipe
from hptransfer.report.findings import as_annotation, as_document, as_text, printable

Format = Literal["text", "json", "github"]


@dataclass(frozen=True, slots=True)
class Validation:
    """What one recipe gave.

    Attributes:
        reference: as the user wrote it.
        loaded: the recipe, when it is valid.
        errors: violations of rules.
        warnings: what weakens the recipe.
        unavailable: whether its file could not be read at all.
    """

    reference: str
    loaded: LoadedRecipe | None
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    unavailable: bool = False


def validate(reference: str, trust: bool = False) -> Validation:
    """Check one recipe; with `trust` its model too, built at base and target without memory."""
    try:
        loaded = load_recipe(reference)
    except RecipeUnavailableError as error:
        return Validation(reference, None, error.findings, unavailable=True)
    except RecipeError as error:
        return Validation(reference, None, error.findings)
    faults = [*_missing_files(loaded), *(_model_faults(loaded) if trust else ())]
    return Validation(reference, loaded, tuple(faults), advice(loaded))


def _model_faults(loaded: LoadedRecipe) -> Iterator[Finding]:
    """What a plan of the target would ask for."""
    from hptransfer.recipe.defaults import defaults
    from hptransfer.scaling.plan import plan_recipe

    try:
        plan_recipe(loaded.recipe, loaded.recipe.target_size(), defaults(loaded.recipe.training))
    except (UsageError, MachineError) as error:
        place = Place(str(loaded.path), *loaded.positions[("model",)].key)
        for finding in error.findings:
            yield Finding(finding.rule, finding.received, finding.hint, place, "recipe/model")


def _missing_files(loaded: LoadedRecipe) -> Iterator[Finding]:
    """Patterns of `data.files` that match no file below the recipe's folder."""
    data = loaded.recipe.data
    for index, pattern in enumerate(data.files if isinstance(data, TextFiles) else ()):
        folder = loaded.path.parent
        names = glob.iglob(pattern, root_dir=folder, recursive=True)  # as training.data reads them
        if any((folder / name).is_file() for name in names):
            continue
        position = loaded.positions[("data", "files", index)]
        place = Place(str(loaded.path), *position.value)
        hint = f"patterns are relative to the recipe's folder, {folder.as_posix()}/"
        yield Finding("`data.files` must match files", f'"{pattern}" matches none', hint, place, "recipe/no-data")


def _text(results: Sequence[Validation]) -> Iterator[str]:
    for result in results:
        for level, findings in (("error", result.errors), ("warning", result.warnings)):
            for finding in findings:
                yield as_text(finding, level) + "\n"
        if not result.errors and result.loaded:
            yield f"{printable(str(result.loaded.path))}: valid"
    yield _count(results)


def _json(results: Sequence[Validation]) -> Iterator[str]:
    recipes = [
        {
            "recipe": result.reference,
            "valid": not result.errors,
            "hash": result.loaded.hash if result.loaded else None,
            "findings": [
                *(as_document(finding) for finding in result.errors),
                *(as_document(finding, "warning") for finding in result.warnings),
            ],
        }
        for result in results
    ]
    yield json.dumps({"recipes": recipes, "errors": _errors(results), "warnings": _warnings(results)}, indent=2)


def _github(results: Sequence[Validation]) -> Iterator[str]:
    """Annotations, then a count: of each level the runner shows only ten per step, and says nothing of the rest."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for result in results:
        yield from (as_annotation(finding, root) for finding in result.errors)
        yield from (as_annotation(finding, root, "warning") for finding in result.warnings)
    yield _count(results)


def _errors(results: Sequence[Validation]) -> int:
    return sum(len(result.errors) for result in results)


def _warnings(results: Sequence[Validation]) -> int:
    return sum(len(result.warnings) for result in results)


def _count(results: Sequence[Validation]) -> str:
    counts = ((len(results), "recipe"), (_errors(results), "error"), (_warnings(results), "warning"))
    checked, *found = (f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
    return f"{checked} checked: {', '.join(found)}"


_RENDERERS = {"text": _text, "json": _json, "github": _github}
