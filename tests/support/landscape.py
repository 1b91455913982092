"""A trial without training: a loss curve with an exact optimum and every misfortune, chosen by the recipe.

The recipe's `description`, which is no part of a trial's identity, carries the landscape as JSON:
`optimum` and `wall` (log2 of the learning rate), `readout` (log2 of the best `readout_learning_rate`), `cross` (how the
two interact), `trade` (how far `readout_init` can replace it), `seconds` per trial, `log` (a file that gets a line per
training), `kill`, `error`, `memory`, `hang`, `hold` (log2 learning rates at which that happens; `megabytes` are held),
`kill_once` (a folder of marks).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.trials.spec import TrialSpec, request_from_payload
from hptransfer.trials.trial import Trial, TrialState, trial_to_dict

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
    if payload.get("task") == "cost":
        return cost(payload)
    request = request_from_payload(payload)
    landscape = json.loads(request.recipe.description)
    x = math.log2(request.hyperparameters["learning_rate"])
    key = request.key(FINGERPRINT)
    _suffer(landscape, x, key)
    time.sleep(landscape.get("seconds", 0.0))
    if "log" in landscape:
        with open(landscape["log"], "a", encoding="utf-8") as log:
            log.write(f"{key}\n")
    loss = _loss(request, landscape, x)
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    trial = Trial(key, request.size, request.hyperparameters, request.seed, state, loss, flops=TRIAL_FLOPS, seconds=0.5)
    return trial_to_dict(_with_curve(trial, payload.get("rungs", ())) if landscape.get("curve") else trial)


def _with_curve(trial: Trial, rungs: Sequence[tuple[int, float]]) -> Trial:
    """The trial with training losses over ten steps, stopped at the first rung above whose limit it is."""
    curve = tuple((step, trial.loss + 0.2 * (10 - step)) for step in range(1, 11))
    for step, limit in rungs:
        if curve[step - 1][1] > limit:
            reason = {"stopped": f"after step {step} of 10: the training loss was above {limit:.4f} nats at this rung"}
            spent = trial.flops * step / 10
            return replace(
                trial, state=TrialState.STOPPED, loss=math.inf, curve=curve[:step], flops=spent, provenance=reason
            )
    return replace(trial, curve=curve)


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
