"""A ladder without training: every size has a known optimum, and activation changes are exact powers of the size.

The recipe's `description`, which is no part of a trial's identity, carries it as JSON: `optimum` (log2 learning rate at
width 64), `drift` (octaves per doubling of the width), `depth_drift`, `batch_drift`, `token_drift`, `corner_drift` (of
the width where depth grows too), `noise` (nats), `wall` (log2, everything above diverges), `readout_drift` (octaves of
`readout_learning_rate` per doubling), `cross` (how the two interact), `slope` (power of the width in activation
changes), `lazy` (of the depth in distances from linearisation), `sharp` (of the width in sharpness), `curves` (whether
trials record one), `seconds` per trial, `log` (a line per training).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hptransfer.trainers._bench import run_diagnostic
from hptransfer.trials.messages import DiagnosticMessage, TrialMessage, TrialResult
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState
from tests.support.landscape import without_training

#: of its recipes: 10 steps of 64 examples of 64 positions
TOKENS = 10 * 64 * 64


def recipe_text(
    landscape: Mapping[str, Any],
    *,
    depths: str = "",
    ladders: str = "",
    seeds: int = 3,
    expect: str = "",
    check: str = "",
    space: str = "",
    trials: int = 8,
) -> str:
    """A recipe over this ladder: widths 64 to 512, learning rates from 2^-10 to 2^-2."""
    return f"""\
name: ladder
description: '{json.dumps(dict(landscape))}'
model: {{kind: gpt, head_dim: 16}}
data: {{kind: stdlib-text}}
training: {{steps: 10, learning_rate: 0.015625}}
parameterization: {{name: mup}}
sizes:
  base: {{width: 64, depth: 2}}
  widths: [64, 128, 256, 512]
  {f"depths: {depths}" if depths else ""}
  {ladders}
  target: {{width: 1024, depth: 2}}
tune:
  space: {{learning_rate: {{low: 0.0009765625, high: 0.25}}{space}}}
  trials: {trials}
check: {{seeds: {seeds}{check}}}
{f"expect: {{verdict: {expect}}}" if expect else ""}
"""


def work(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker runs instead of training or measuring."""
    if (answer := without_training(payload)) is not None:
        return answer
    task = payload["task"]
    message = (DiagnosticMessage if task == "diagnostic" else TrialMessage).parse(payload)
    request = message.spec
    landscape = json.loads(request.recipe.description)
    if task == "diagnostic":
        return measured(payload, request, landscape)
    time.sleep(landscape.get("seconds", 0.0))
    if "log" in landscape:
        with open(landscape["log"], "a", encoding="utf-8") as log:
            log.write(f"{payload['key']}\n")
    loss = _loss(request, landscape)
    state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
    # falls to the final loss, which is all that differs between sizes
    curve = tuple((step, loss + (20 / step) ** 0.5 - 1) for step in range(1, 21)) if landscape.get("curves") else ()
    values = request.hyperparameters
    trial = Trial(
        payload["key"], request.size, values, request.seed, state, loss, curve, flops=_flops(request), seconds=0.1
    )
    return TrialResult.of(trial).payload()


def measured(payload: Mapping[str, Any], request: TrialSpec, landscape: Mapping[str, Any]) -> dict[str, Any]:
    """What a diagnostic's measurement would find."""
    found: dict[str, Any] = {"size": payload["size"], "seed": request.seed}
    match payload["diagnostic"]:
        case "coordinate":
            change = (request.size.width / 64) ** landscape.get("slope", 0.0) * (1 + 0.01 * request.seed)
            found["layers"] = [
                {"layer": layer, "kind": "hidden", "step": step, "change": change, "initial": 1.0}
                for layer in ("readout", *(f"blocks.{block}" for block in range(request.size.depth)))
                for step in payload["options"]["steps"]
            ]
        case "linearization":
            found["linearisation"] = {"blocks.0": 0.01 * request.size.depth ** landscape["lazy"]}
        case "sharpness":
            value = (request.size.width / 64) ** landscape["sharp"] * (1 + 0.001 * request.seed)
            found |= {"sharpness": value, "converged": True, "products": 9}
        case "noise-scale":
            # |G|^2 = 1 and tr S = 100, with a little luck per seed
            luck = 1 + 0.01 * request.seed
            pair = {"small": 1 + 100 / 16 * luck, "big": 1 + 100 / 128 * luck}
            pair |= {f"adapted_{name}": value for name, value in pair.items()}
            found["moments"] = [{"progress": 1.0, "small_batch": 16, "big_batch": 128, "pairs": [pair]}]
        case _:
            return run_diagnostic(payload)
    return found


def _loss(request: TrialSpec, landscape: Mapping[str, Any]) -> float:
    x = math.log2(request.hyperparameters["learning_rate"])
    if x > landscape.get("wall", math.inf):
        return math.inf
    optimum = (
        landscape.get("optimum", -6.0)
        + landscape.get("drift", 0.0) * math.log2(request.size.width / 64)
        + landscape.get("depth_drift", 0.0) * math.log2(request.size.depth / 2)
        + landscape.get("batch_drift", 0.0) * math.log2(request.size.batch_size / request.recipe.training.batch_size)
        + landscape.get("token_drift", 0.0) * math.log2(request.size.tokens / TOKENS)
        + landscape.get("corner_drift", 0.0) * math.log2(request.size.width / 64) * (request.size.depth > 2)
    )
    usual = replace(request.size, batch_size=request.recipe.training.batch_size, tokens=TOKENS)
    digest = hashlib.sha256(f"{request.seed}:{x}:{request.size.label_relative_to(usual)}".encode()).digest()
    noise = (int.from_bytes(digest[:4], "big") / 2**32 - 0.5) * landscape.get("noise", 0.002)
    other = math.log2(request.hyperparameters["readout_learning_rate"])
    other -= landscape.get("readout_drift", 0.0) * math.log2(request.size.width / 64)
    other += math.log2((1 - request.hyperparameters["beta2"]) / 0.05)  # the optimum of beta2 is 0.95 at every width
    slope = 0.05 * other**2 + landscape.get("cross", 0.0) * (x - optimum) * other
    # each axis that takes compute gains by it, so that costs can be counted in doublings of compute
    grown = 1.2 / request.size.width**0.5 + 0.2 / request.size.depth**0.5 + 0.15 * (TOKENS / request.size.tokens) ** 0.5
    return float(2.0 + 0.05 * (x - optimum) ** 2 + slope + grown + noise)


def _flops(request: TrialSpec) -> float:
    """In proportion to parameters and tokens: 1e6 at width 64, depth 2."""
    size = request.size
    return 1e6 * (size.width / 64) ** 2 * size.depth / 2 * size.tokens / TOKENS
