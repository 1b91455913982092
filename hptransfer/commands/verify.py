"""`hptransfer verify`: was the registered prediction right?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from hptransfer.cli.options import DEFAULT_RUNS, Json, RecipeArgument, Runs


def verify_command(
    recipe: RecipeArgument,
    finished: Annotated[
        str, typer.Argument(metavar="LOSS|FILE", help="The final loss of the target's run, or a file with it.")
    ],
    runs: Runs = DEFAULT_RUNS,
    *,
    evaluation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the loss was measured on: its name or sha256.", show_default=False),
    ] = None,
    any_evaluation: Annotated[
        bool, typer.Option("--any-evaluation", help="Compare a loss of another evaluation set all the same.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Compare the target's finished run with the prediction that scale registered.

    The recipe may also be the file that holds the prediction: a `target.yaml`, or one that `scale` kept beside it.

    Returns:
        0 when the loss lies inside the predicted interval, 1 outside; a run that diverged lies outside.

    Raises:
        UsageError: there is no prediction, it was edited, the loss cannot be read, or is of another evaluation set.
        InconclusiveError: the prediction says nothing about the loss.
    """
    from hptransfer.report.prediction import describe_ends
    from hptransfer.scaling.verify import verify

    found = verify(recipe, finished, runs, evaluation=evaluation, any_evaluation=any_evaluation)
    if as_json:
        print(json.dumps(found.document, indent=2, allow_nan=False))
    else:
        predicted, written = describe_ends(found.prediction["loss"]), found.prediction["written"]
        word = "INSIDE" if found.inside else "OUTSIDE"
        print(f"{word}: loss {found.loss:.5g}, predicted {predicted} ({found.path}, registered {written})")
        if registered := found.prediction.get("objective", {}).get("evaluation"):
            print(f"the prediction holds for {registered}, and for no other evaluation")
            if found.evaluation is None:
                print("the loss is taken to be measured there: say `--evaluation NAME` to have that compared")
    return 0 if found.inside else 1
