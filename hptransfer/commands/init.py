"""`hptransfer init`: a commented recipe to start from."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.engine.new_recipe import recipe_name, require_destination, write_recipe
from hptransfer.errors import UsageError, printable
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
        str | None, typer.Option(metavar="COMMAND", help="Start from a training command: 'python train.py --lr 0.01'.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Start from your function of width and depth; runs it."),
    ] = None,
    huggingface: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="Start from a model_type of transformers, or a local config.json."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="WxD", help="Of these two: the width and depth that matter, such as 4096x32.")
    ] = None,
    no_try: Annotated[bool, typer.Option("--no-try", help="With --from-command: do not run it once.")] = False,
) -> int:
    """Write a commented recipe, named after its file so that it gets a run folder of its own.

    Returns:
        0; 1 where the command of `--from-command` failed when it was tried (the recipe is written all the same).

    Raises:
        UsageError: no such template, a path that cannot be written, a model that cannot be read.
    """
    if template not in templates():
        rule = "`--template` must name a template"
        raise UsageError(rule, received=template, hint=hint(template, templates(), "templates"))
    if sum(each is not None for each in (from_command, model, huggingface)) > 1:
        raise UsageError("`--from-command`, `--model` and `--huggingface` exclude each other", received="several")
    require_destination(path, force=force)
    if from_command is not None:
        return _from_command(from_command, path, runs=not no_try)
    if model is not None or huggingface is not None:
        return _from_model(model, huggingface, path, target, force=force)
    text = template_file(template).read_text("utf-8")
    write_recipe(path, re.sub(r"^name: \S+", f"name: {recipe_name(path)}", text, count=1, flags=re.MULTILINE))
    print(path)
    return 0


def _from_command(command: str, path: Path, *, runs: bool) -> int:
    from hptransfer.engine.command_proposal import TRY_LIMIT, proposed_recipe

    if runs:
        print(f"running the command once, for at most {TRY_LIMIT:.0f} s", file=sys.stderr)
    draft = proposed_recipe(command, recipe_name(path), path.absolute().parent, TRY_LIMIT if runs else None)
    write_recipe(path, draft.text())
    taken = [f"{each.flag} is taken for {each.placeholder}" for each in draft.command.flags]
    for sentence in (*(each for each in draft.remarks if each != draft.failure), *taken):
        print(printable(sentence), file=sys.stderr)
    print(path, flush=True)
    if draft.failure:
        print(printable(f"{draft.failure} ({path} was written all the same)"), file=sys.stderr)
    return 1 if draft.failure else 0


def _from_model(model: str | None, huggingface: str | None, path: Path, target: str | None, *, force: bool) -> int:
    from hptransfer.engine.model_proposal import proposed_recipe
    from hptransfer.report.terminal import asked_at_terminal

    proposal = proposed_recipe(model, huggingface, path, target, asked_at_terminal if sys.stdin.isatty() else None)
    written = {path.parent / file: text for file, text in proposal.files.items()}
    for file in (*written, path):
        require_destination(file, force=force)
    print(*(f"{printable(sentence)}\n" for sentence in proposal.remarks), sep="", end="", file=sys.stderr)
    for file, text in written.items():
        write_atomically(file, text)
    write_recipe(path, proposal.text)
    print(*written, path, sep="\n")
    return 0
