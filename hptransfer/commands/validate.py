"""`hptransfer validate`: recipes checked without training."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.report.findings import FORMATS

# typer takes choices as enumerations; this one is made of the registry's names
if TYPE_CHECKING:
    FormatName: TypeAlias = str
else:
    FormatName = StrEnum("Format", {name: name for name in FORMATS.names})


def validate_command(
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Files, or names of shipped recipes.", show_default=False)
    ],
    output_format: Annotated[FormatName, typer.Option("--format", help="How to print findings.")] = "text",
    trust: Annotated[
        bool, typer.Option("--trust", help="Build the models and run one step; runs the code of recipes.")
    ] = False,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:ATTRIBUTE",
            help="Lint rules of your own; repeatable (docs/lint.md).",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Check recipes without training.

    Returns:
        0 when all are valid (warnings included), 1 when there are errors, 2 when a file could not be read.

    Raises:
        UsageError: there is no such format, or rules of the user's own cannot be imported or fail.
    """
    from hptransfer.linting.validate import validate

    render = FORMATS.look_up(output_format)
    results = [validate(reference, trust=trust, rules=rules or ()) for reference in recipes]
    for line in render(results):
        print(line)
    if any(result.unavailable for result in results):
        return 2
    return 1 if any(result.errors for result in results) else 0
