"""`hptransfer validate`: recipes checked without training."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hptransfer.cli.options import Summary, write_summary
from hptransfer.report.columns import folded, terminal_width
from hptransfer.report.findings import FORMATS

# typer takes choices as enumerations; this one is made of the registry's names
if TYPE_CHECKING:
    FormatName: TypeAlias = str
else:
    FormatName = StrEnum("Format", {name: name for name in FORMATS.names})


def validate_command(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files, folders, quoted globs, `-` for standard input, or names of shipped recipes.",
            show_default=False,
        ),
    ],
    output_format: Annotated[FormatName, typer.Option("--format", help="How to print findings.")] = "text",
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="static, shapes, evidence, coordinate, full; default: static; with --trust, --max-flops also shapes.",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Levels may run the code that recipes name.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Evidence of another torch, platform or Python is an error.")
    ] = False,
    runs: Annotated[
        Path | None,
        typer.Option(help="Folder of run folders; default: `runs` here, or beside each recipe.", show_default=False),
    ] = None,
    summary: Summary = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:ATTRIBUTE",
            help="Lint rules of your own; repeatable (docs/lint.md).",
            show_default=False,
        ),
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option(min=0, help="An error beyond: trials of tune and check.", show_default=False)
    ] = None,
    max_flops: Annotated[
        float | None, typer.Option(min=0, help="An error beyond: their FLOPs, 1e18.", show_default=False)
    ] = None,
) -> int:
    """Check recipes, level by level: `static` always, of the others those that are asked.

    Of a folder, *.yaml and *.yml that look like recipes are checked; the others are named on standard error.

    Returns:
        0 when all are valid (warnings included), 1 when there are errors, 2 when a file could not be read, 3 when what
        was run gave no answer, 4 when the machine or damaged storage kept a level from being asked.

    Raises:
        UsageError: there is no such format or level, or rules of the user's own cannot be imported or fail.
    """
    from hptransfer.linting.levels.base import ValidationOptions, in_order
    from hptransfer.linting.paths import select
    from hptransfer.linting.shared_evidence import told_apart
    from hptransfer.linting.validate import Validation, validate

    render = FORMATS.look_up(output_format)
    # nothing of `static` runs code or counts FLOPs, so trust and a cap ask for more
    levels = in_order(level or (["shapes"] if trust or max_flops is not None else []))
    options = ValidationOptions(levels, trust, strict, tuple(rules or ()), runs, max_trials, max_flops)
    selected = select(recipes, trusted=trust)
    for note in selected.notes:
        print("\n".join(folded(f"note: {note}", terminal_width(sys.stderr))), file=sys.stderr)
    results = [Validation(name, None, (fault,)) for name, fault in selected.faults]
    results += told_apart([validate(reference, options) for reference in selected.recipes], runs)
    for line in render(results):
        print(line)
    write_summary(results, summary, output_format)
    if any(result.unavailable for result in results):
        return 2
    if any(result.broken_machine for result in results):
        return 4
    if any(result.errors and not result.unanswered for result in results):
        return 1
    return 3 if any(result.unanswered for result in results) else 0
