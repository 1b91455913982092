"""`hptransfer verify`: was the registered prediction right?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import DEFAULT_RUNS, Json, Runs
from hptransfer.errors import UsageError


def verify_command(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Path of a recipe, or name of a shipped one.")
    ] = None,
    finished: Annotated[
        str | None,
        typer.Argument(metavar="[LOSS|FILE]", help="The final loss of the target's run, or a file with it."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    *,
    evaluation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the loss was measured on: its name or sha256.", show_default=False),
    ] = None,
    any_evaluation: Annotated[
        bool, typer.Option("--any-evaluation", help="Compare a loss of another evaluation set all the same.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead: an exported file, whose Python is run.", show_default=False),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="TARGET", help="The target.yaml of --export, where it was moved.", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare even when the evidence was edited, or is of another recipe.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Compare the target's finished run with its prediction, or an exported file with its plan.

    The recipe may also be a file with a prediction, `target.yaml` or one kept beside it: its sha256 alone is compared.
    Of a recipe, the evidence beside its target is computed again, as `scale` does.
    With `--export` the framework's own code says what it would train each parameter with.

    Returns:
        0 when the loss lies inside the predicted interval, 1 outside; a run that diverged lies outside. With `--export`
        0 when the framework trains what was planned, 1 when it does not.

    Raises:
        UsageError: there is no prediction, it was edited, the loss cannot be read, or is of another evaluation set; or
            the exported file, or its plan, cannot be read.
        RefusedError: the evidence beside the prediction was edited, or is of another recipe, other rules, code or data.
        InconclusiveError: the prediction says nothing about the loss.
        MachineError: the framework of an exported file is not installed.
    """
    if export is not None:
        if recipe is not None:
            raise UsageError("`--export` is verified alone", received=f"{recipe} as well")
        return _verify_export(export, plan, as_json=as_json)
    if recipe is None or finished is None:
        raise UsageError(
            "`verify` takes a recipe and the loss of its target's run, or `--export FILE`",
            received="neither" if recipe is None else f"{recipe} alone",
            hint="hptransfer verify RECIPE LOSS",
        )
    if plan is not None:
        raise UsageError("`--plan` goes with `--export FILE`", received=f"--plan {plan}")
    from hptransfer.report.verified import describe_comparison
    from hptransfer.scaling.verify import verify

    found = verify(recipe, finished, runs, evaluation=evaluation, any_evaluation=any_evaluation, force=force)
    if as_json:
        print(json.dumps(found.document, indent=2, allow_nan=False))
    else:
        print(describe_comparison(found))
    return 0 if found.inside else 1


def _verify_export(export: Path, plan: Path | None, *, as_json: bool) -> int:
    """The comparison of an exported file, printed."""
    from hptransfer.report.exported import describe_verification
    from hptransfer.scaling.verify_export import verify_export

    found = verify_export(export, plan)
    print(json.dumps(found.document, indent=2, allow_nan=False) if as_json else describe_verification(found))
    return 0 if found.holds else 1
