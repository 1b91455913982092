"""A trial without training: a loss curve with an exact optimum and every misfortune, chosen by the recipe.

The recipe's `description`, which is no part of a trial's identity, carries the landscape as JSON:
`optimum` and `wall` (log2 of the learning rate), `readout` (log2 of the best `readout_learning_rate`), `cross` (how the
two interact), `trade` (how far `readout_init` can replace it), `seconds` per trial, `log` (a file that gets a line per
training), `kill`, `error`, `memory`, `hang`, `hold` (log2 learning rates at which that happens; `megabytes` are held),
`kill_once` (a folder of marks).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.trials.messages import TrialMessage, TrialResult, refusal
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState

#: of the data that nobody reads
FINGERPRINT = "f" * 64
#: FLOPs of every trial, and of the target's run
TRIAL_FLOPS, TARGET_FLOPS = 1e6, 1e9


def recipe_text(landscape: Mapping[str, Any], *, trials: int = 12, space: str = "", confirm: int = 2) -> str:
    """A recipe over this landscape; learning rates from 2^-10 to 2^-2 unless `space` says otherwise."""
    return f"""\
name: landscape
description: '{json.dumps(dict(landscape))}'
model: {{kind: mlp}}
data: {{kind: stdlib-text}}
training: {{steps: 10, learning_rate: 0.015625}}
parameterization: {{name: mup}}
sizes:
  base: {{width: 64, depth: 2}}
  widths: [64, 128, 256, 512]
  target: {{width: 1024, depth: 2}}
tune:
  space:
    {space or "learning_rate: {low: 0.0009765625, high: 0.25}"}
  trials: {trials}
  confirm_seeds: {confirm}
"""


def work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker runs instead of training."""
    if (answer := without_training(payload)) is not None:
        return answer
    message = TrialMessage.parse(payload)
    if (refused := refusal(message, FINGERPRINT)) is not None:
        return TrialResult(key=message.key, refused=refused).payload()
    landscape = json.loads(message.recipe.description)
    x = math.log2(message.hyperparameters["learning_rate"])
    _suffer(landscape, x, message.key)
    time.sleep(landscape.get("seconds", 0.0))
    if "log" in landscape:
        with open(landscape["log"], "a", encoding="utf-8") as log:
            log.write(f"{message.key}\n")
    loss = _loss(message.spec, landscape, x)
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    trial = Trial(
        message.key, message.size, message.hyperparameters, message.seed, state, loss, flops=TRIAL_FLOPS, seconds=0.5
    )
    return TrialResult.of(trial).payload()


def without_training(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a worker answers to tasks that train nothing: FLOPs and readings; None for other tasks."""
    if payload["task"] == "cost":
        return cost(payload)
    return {"readings": readings(payload)} if payload["task"] == "readings" else None


def readings(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table, one matrix per layer and a readout at every size, as the real worker would say it."""
    base, _ = payload["base"]
    return [
        {
            "reading": {
                "parameters": [
                    _parameter("embedding", "embedding", (256, width), (1, width), (1, base)),
                    *(
                        _parameter(f"layers.{layer}", "hidden weight", (width, width), (width, width), (base, base))
                        for layer in range(depth)
                    ),
                    _parameter("readout", "readout", (256, width), (width, 256), (base, 256)),
                ],
                "multiplied": [],
            }
        }
        for width, depth in payload["sizes"]
    ]


def _parameter(
    name: str, role: str, shape: tuple[int, int], fans: tuple[int, int], base_fans: tuple[int, int]
) -> dict[str, Any]:
    parameter = Parameter(name, shape, Role(role), *fans, *base_fans, False, False, "normal", "said so")
    return dataclasses.asdict(parameter)


def cost(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker answers when asked for FLOPs: those of a trial, a thousand times as many for the target."""
    return {"flops": [TARGET_FLOPS if size["width"] == 1024 else TRIAL_FLOPS for size in payload["sizes"]]}


def _loss(request: TrialSpec, landscape: Mapping[str, Any], x: float) -> float:
    if x > landscape.get("wall", math.inf):
        return math.inf
    digest = hashlib.sha256(f"{request.seed}:{x}".encode()).digest()
    noise = (int.from_bytes(digest[:4], "big") / 2**32 - 0.5) * landscape.get("noise", 0.0)
    decay = request.hyperparameters["weight_decay"]
    valley = 0.02 * math.log2(decay / 0.01) ** 2 if decay > 0 else 0.0
    away = x - landscape.get("optimum", -6.0)
    readout = math.log2(request.hyperparameters["readout_learning_rate"]) - landscape.get("readout", 0.0)
    init = math.log2(request.hyperparameters["readout_init"]) - landscape.get("readout", 0.0)
    trade = landscape["trade"] * (readout + init) ** 2 if "trade" in landscape else 0.0
    slope = 0.05 * readout**2 + landscape.get("cross", 0.0) * away * readout + trade
    return float(2.0 + 0.05 * away**2 + slope + valley + noise)


def _suffer(landscape: Mapping[str, Any], x: float, key: str) -> None:
    if landscape.get("error") == "all" or x in landscape.get("error", []):
        raise ValueError(f"no luck at 0x{key[:8]}")
    if x in landscape.get("memory", []):
        raise MemoryError
    if x in landscape.get("hang", []):
        time.sleep(120)
    if x in landscape.get("hold", []):
        block = b"x" * (landscape["megabytes"] * 10**6)
        time.sleep(60)
        del block
    mark = Path(landscape.get("kill_once", ""), key)
    if "kill_once" in landscape and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if x in landscape.get("kill", []):
        os.kill(os.getpid(), signal.SIGKILL)
