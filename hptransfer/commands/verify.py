"""`hptransfer verify`: was the registered prediction right?"""

from __future__ import annotations

import json
from pathlib import Path

from hptransfer.report.prediction import describe_ends
from hptransfer.scaling.verify import verify


def verify_command(recipe: str, finished: str, runs: Path, as_json: bool) -> int:
    """Compare a finished run of the target with what was predicted.

    Args:
        recipe: path or name of a recipe, or the `target.yaml` that holds the prediction.
        finished: the run's final loss in nats, or a file with it.
        runs: the folder of run folders.
        as_json: print JSON instead of a sentence.

    Returns:
        0 when the loss lies inside the predicted interval, 1 outside; a run that diverged lies outside.

    Raises:
        UsageError: there is no prediction, it was edited, or the loss cannot be read.
        InconclusiveError: the prediction says nothing about the loss.
    """
    found = verify(recipe, finished, runs)
    if as_json:
        print(json.dumps(found.document, indent=2, allow_nan=False))
    else:
        predicted, written = describe_ends(found.prediction["loss"]), found.prediction["written"]
        word = "INSIDE" if found.inside else "OUTSIDE"
        print(f"{word}: loss {found.loss:.5g}, predicted {predicted} ({found.path}, registered {written})")
    return 0 if found.inside else 1
