"""`hptransfer lint`: known traps in configurations of other frameworks."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.cli.options import Summary, write_summary
from hptransfer.report.findings import FORMATS

# typer takes choices as enumerations; this one is made of the registry's names
if TYPE_CHECKING:
    FormatName: TypeAlias = str
else:
    FormatName = StrEnum("Format", {name: name for name in FORMATS.names})


def lint_command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Scripts, YAML, JSON or Python; never run.", show_default=False),
    ],
    framework: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Or its format's name. Default: recognised from each file (docs/lint-foreign.md)."
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="TARGET", help="A target.yaml, to compare values with.", show_default=False),
    ] = None,
    output_format: Annotated[
        FormatName, typer.Option("--format", help="How to print findings; `--json` is `--format json`.")
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as `--format json`.")] = False,
    summary: Summary = None,
) -> int:
    """Look for known traps in configurations of other frameworks: values scaled twice, or rates made one.

    Returns:
        0 when there are no errors (warnings included), 1 when there are, 2 when a file could not be read or its
        framework is not known.

    Raises:
        UsageError: there is no such framework or format, or the target's file cannot be read.
    """
    from hptransfer.linting.foreign_files import lint_file
    from hptransfer.linting.planned import read_planned

    render = FORMATS.look_up("json" if as_json else output_format)
    planned = None if plan is None else read_planned(plan)
    results = [lint_file(path, framework, planned) for path in files]
    for line in render(results):
        print(line)
    write_summary(results, summary, output_format)
    if any(result.unavailable for result in results):
        return 2
    return 1 if any(result.errors for result in results) else 0
