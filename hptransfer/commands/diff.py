"""`hptransfer diff`: what changed between two versions of recipes, for the review of a pull request."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.report.compared import FORMATS

# typer takes choices as enumerations; this one is made of the registry's names
if TYPE_CHECKING:
    FormatName: TypeAlias = str
else:
    FormatName = StrEnum("DiffFormat", {name: name for name in FORMATS.names})


def diff_command(
    base: Annotated[str, typer.Argument(metavar="BASE", help="A folder, a recipe, or a revision of git.")],
    head: Annotated[str, typer.Argument(metavar="HEAD", help="The same.")] = ".",
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Folders and recipes; all.", show_default=False)
    ] = None,
    output_format: Annotated[
        FormatName, typer.Option("--format", help="How to print it; markdown suits a comment on a pull request.")
    ] = "text",
    trust: Annotated[
        bool, typer.Option("--trust", help="Code that recipes name may run, to plan their models.")
    ] = False,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append it in Markdown as well.", show_default=False)
    ] = None,
) -> int:
    """Compare recipes of two versions: their keys, their plans at the target, and what committed evidence says.

    Returns:
        0 when no verdict got worse, 1 when one did: TRANSFERS became another, a target is not covered any more, or a
        recipe with a verdict was removed.

    Raises:
        UsageError: there is no such path or revision, no recipe in either version, too much to compare, or the file
            of the summary cannot be written.
    """
    from hptransfer.errors import UsageError
    from hptransfer.linting.compared.recipes import compare
    from hptransfer.linting.compared.trees import read_tree, within_tree
    from hptransfer.report.compared.base import Compared

    inside = [within_tree(path) for path in paths or ()]
    here = Path.cwd()
    before, after = read_tree(base, inside, here), read_tree(head, inside, here)
    recipes = compare(before, after, trust=trust)
    if not recipes:
        hint = "name a folder of recipes, or the recipes' files"
        below = f" below {' and '.join(inside)}" if inside else ""
        received = f"none{below} in {base} and {head}"
        raise UsageError("there must be a recipe in either version", received=received, hint=hint)
    found = Compared(base, head, recipes)
    for line in FORMATS.look_up(output_format)(found):
        print(line)
    if summary is not None:
        from hptransfer.report.summary import append_markdown

        text = "\n".join(FORMATS.look_up("markdown")(found)) + "\n\n"
        full = "### The summary of this step is full: see the log.\n\n"
        append_markdown(summary, lambda room: next((each for each in (text, full) if len(each.encode()) <= room), ""))
    return 1 if found.regressed else 0
