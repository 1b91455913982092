"""`hptransfer export`: a target that was written, in the form of other frameworks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import Overwrite, format_names


def export_command(
    plan: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="A target.yaml, or the plan.json of one run of a command.", show_default=False
        ),
    ],
    formats: Annotated[
        list[str],
        typer.Option(
            "--format", metavar="NAME[,NAME]", help="Of a framework; repeatable (docs/export.md).", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Default: export/ beside the file.", show_default=False)
    ] = None,
    *,
    overwrite: Overwrite = False,
) -> int:
    """Write a target's configuration for the framework that will train it.

    Each format's files lie in a folder of its name. Evidence is not looked at again: what the file says of it, FORCED
    too, stands in each file.

    Returns:
        0 when all files were written; where one format refuses the target, none is.

    Raises:
        UsageError: the file is no target's, or a format is not known or cannot express it; or files that were edited
            would be replaced.
    """
    from hptransfer.artifacts.plan_file import read_planned
    from hptransfer.export.base import export_target, exporter_named
    from hptransfer.handover.header import plan_digest
    from hptransfer.handover.writing import write_exports
    from hptransfer.report.scaled import describe_exported
    from hptransfer.scaling.groups import in_gauge
    from hptransfer.scaling.verify_export import standing

    target = read_planned(plan)
    exports = {
        name: export_target(name, in_gauge(target, None, exporter_named(name).gauge)) for name in format_names(formats)
    }
    if said := standing(target):
        print(said, file=sys.stderr)
    written = write_exports(output or plan.parent / "export", exports, plan, plan_digest(target), overwrite=overwrite)
    for name, files in written.files.items():
        print(describe_exported(name, files))
    sys.stderr.write(written.said)
    return 0
