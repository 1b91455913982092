"""`hptransfer init`: a commented recipe to start from."""

from __future__ import annotations

import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.errors import Place, UsageError, printable
from hptransfer.files import write_atomically
from hptransfer.recipe.shipped import template as template_file
from hptransfer.recipe.shipped import templates
from hptransfer.recipe.suggestion import hint

# typer takes choices as enumerations; this one is made of the files in the folder of templates
if TYPE_CHECKING:
    TemplateName: TypeAlias = str
else:
    TemplateName = StrEnum("Template", {name: name for name in templates()})


def init_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="File to write.")] = Path("recipe.yaml"),
    template: Annotated[TemplateName, typer.Option(help="What to start from.")] = "quickstart",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    from_command: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Start from a training command, for example 'python train.py --lr 0.01'."),
    ] = None,
    no_try: Annotated[bool, typer.Option("--no-try", help="With --from-command: do not run it once.")] = False,
) -> int:
    """Write a commented recipe.

    It is named after its file, so that it gets a run folder of its own.

    Returns:
        0; 1 where the command of `--from-command` failed when it was tried (the recipe is written all the same).

    Raises:
        UsageError: unknown template, a file that exists, or a folder that cannot be written.
    """
    if template not in templates():
        rule = "`--template` must name a template"
        raise UsageError(rule, received=template, hint=hint(template, templates(), "templates"))
    _check_destination(path, force=force)
    if from_command is not None:
        return _from_command(from_command, path, runs=not no_try)
    text = template_file(template).read_text("utf-8")
    write_atomically(path, re.sub(r"^name: \S+", f"name: {_recipe_name(path)}", text, count=1, flags=re.MULTILINE))
    print(path)
    return 0


def _from_command(command: str, path: Path, *, runs: bool) -> int:
    from hptransfer.engine.command_proposal import TRY_LIMIT, proposed_recipe

    if runs:
        print(f"running the command once, for at most {TRY_LIMIT:.0f} s", file=sys.stderr)
    draft = proposed_recipe(command, _recipe_name(path), path.absolute().parent, TRY_LIMIT if runs else None)
    write_atomically(path, draft.text())
    taken = [f"{each.flag} is taken for {each.placeholder}" for each in draft.command.flags]
    for sentence in (*(each for each in draft.remarks if each != draft.failure), *taken):
        print(printable(sentence), file=sys.stderr)
    print(path, flush=True)
    if draft.failure:
        print(printable(draft.failure), file=sys.stderr)
    return 1 if draft.failure else 0


def _check_destination(path: Path, *, force: bool) -> None:
    place = Place(str(path))
    if path.is_dir():
        rule, example = "the recipe must be written to a file", path / "recipe.yaml"
        raise UsageError(rule, received="a directory", hint=f"name a file in it, for example {example}", place=place)
    if path.exists() and not force:
        rule = "`init` does not overwrite"
        raise UsageError(rule, received="a file that exists", hint="choose another path, or say --force", place=place)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        received = str(folder) if folder.is_dir() else f"{folder}, which is not a folder"
        rule = "the recipe must be written into a folder that can be written"
        raise UsageError(rule, received=received, hint="choose another path", place=place)


def _recipe_name(path: Path) -> str:
    """The file's stem with what the schema does not allow in a name replaced."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    return slug[:80] or "recipe"
