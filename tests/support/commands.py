"""Recipes whose trainer is a command, and single runs of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hptransfer.recipe.schema import Recipe
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import OnLoss, Trial, ignore

#: of a line such as "step 3 loss 2.5", or "loss 2.5"
PRINTED = {"stdout": r"(?:step (?P<step>\d+) )?loss (?P<value>\S+)"}


def command_recipe(trainer: dict[str, Any], **sections: Any) -> Recipe:
    """A recipe without a model; a section given replaces the usual one."""
    document: dict[str, Any] = {
        "name": "told",
        "trainer": trainer,
        "training": {"steps": 5, "batch_size": 8},
        "parameterization": {"name": "measured"},
        "sizes": {"base": {"width": 16, "depth": 2}, "widths": [16], "target": {"width": 64, "depth": 2}},
        "tune": {"space": {"learning_rate": {"low": 1e-4, "high": 1.0}}},
    }
    return Recipe.model_validate_json(json.dumps(document | sections))


def shell(script: str, **more: Any) -> dict[str, Any]:
    """A `trainer` section that runs a script of sh; $1 is the width, $2 the learning rate, $3 the seed."""
    words = ["/bin/sh", "-c", script, "script", "{width}", "{learning_rate}", "{seed}"]
    return {"command": words, "results": PRINTED} | more


def python(script: str, **more: Any) -> dict[str, Any]:
    """The same in Python, the arguments from sys.argv[1] on."""
    words = [sys.executable, "-c", script, "{width}", "{learning_rate}", "{seed}"]
    return {"command": words, "results": PRINTED} | more


def asked(recipe: Recipe, root: Path, width: int = 16, folder: Path | None = None, **values: float) -> TrialMessage:
    """A run at depth 2 with seed 1."""
    spec = TrialSpec(recipe, root, recipe.size(width, 2), {"learning_rate": 2.0**-7} | values, 1)
    return TrialMessage.of(spec, "ab12cd34ef567890", folder=folder)


def trained(recipe: Recipe, root: Path, on_loss: OnLoss = ignore, **how: Any) -> Trial:
    """The record of such a run, whose logs are below the recipe's folder."""
    message = asked(recipe, root, **({"folder": root / "runs"} | how))
    return TRAINERS.look_up("command").run(message, on_loss).finished()


def logs(root: Path) -> Path:
    """The folder of the only run there was."""
    (folder,) = (root / "runs" / "logs").iterdir()
    return folder


def processes_of(root: Path) -> list[int]:
    """Living processes that were told of a folder below this one in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"TRIAL_DIR={root}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found
