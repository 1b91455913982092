"""`hptransfer check --verify`: was the registered prediction right?"""

from __future__ import annotations

import json
import math
from pathlib import Path

from hptransfer.errors import InconclusiveError
from hptransfer.scaling.registered_prediction import describe_ends
from hptransfer.scaling.verify import INSIDE, OUTSIDE, _read_prediction, _target, finished_loss
from hptransfer.transfer.prediction import registered


def verify_command(recipe: str, verify: str, runs: Path, as_json: bool) -> int:
    """Compare a finished run of the target with what was predicted.

    Args:
        recipe: path or name of a recipe, or the `target.yaml` that holds the prediction.
        verify: the run's final loss, or a file with it: a table with a loss column (the last step counts, or the mean
            of several runs), or a JSON object.
        runs: the folder of run folders.
        as_json: print JSON.

    Returns:
        0 when the loss lies inside the predicted interval, 1 outside; a run that diverged lies outside.

    Raises:
        UsageError: there is no prediction, it was edited, or the loss cannot be read.
        InconclusiveError: the prediction says nothing about the loss.
    """
    path = _target(recipe, runs)
    prediction = registered(_read_prediction(path))
    if prediction["loss"] is None:
        raise InconclusiveError(
            "a loss must have been predicted to be verified", received=" ".join(prediction["basis"])
        )
    loss = finished_loss(verify)
    low, high = prediction["loss"]["low"], prediction["loss"]["high"]
    inside = math.isfinite(loss) and (low is None or low <= loss) and (high is None or loss <= high)
    where = f"{path}, registered {prediction['written']}"
    if as_json:
        found = {"inside": inside, "loss": loss if math.isfinite(loss) else None, "prediction": prediction}
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        word = "INSIDE" if inside else "OUTSIDE"
        print(f"{word}: loss {loss:.5g}, predicted {describe_ends(prediction['loss'])} ({where})")
    return INSIDE if inside else OUTSIDE
