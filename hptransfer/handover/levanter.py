"""A record of levanter's optimizer configuration: which rate, decay and eps each parameter of its Llama gets.

Golden values that its own code returned (stanford-crfm/levanter, commit 9263f81e) pin the record
(tests/data/levanter.json).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.handover.parts import Names, Part

COMMIT = "9263f81e"
#: what the format writes
FILE = "hptransfer_levanter.yaml"

_LAYER = "transformer.layers.stacked."
#: key paths of its Llama, which the mask of the decay looks at; blocks are stacked
PATHS: Names = {
    Part.EMBEDDING: "embeddings.token_embeddings.weight",
    Part.ATTENTION_NORM: f"{_LAYER}input_layernorm.weight",
    Part.QUERY: f"{_LAYER}self_attn.q_proj.weight",
    Part.KEY: f"{_LAYER}self_attn.k_proj.weight",
    Part.VALUE: f"{_LAYER}self_attn.v_proj.weight",
    Part.ATTENTION_OUT: f"{_LAYER}self_attn.o_proj.weight",
    Part.MLP_NORM: f"{_LAYER}post_attention_layernorm.weight",
    Part.GATE: f"{_LAYER}mlp.gate_proj.weight",
    Part.UP: f"{_LAYER}mlp.up_proj.weight",
    Part.DOWN: f"{_LAYER}mlp.down_proj.weight",
    Part.FINAL_NORM: "transformer.norm.weight",
    Part.READOUT: "lm_head.weight",
}
_NORMS = (Part.ATTENTION_NORM, Part.MLP_NORM, Part.FINAL_NORM)
_ENDS = (Part.EMBEDDING, Part.READOUT)

#: of `OptimizerConfig`, `AdamConfig` and `MuonConfig`
DEFAULTS: Mapping[str, Any] = {
    "type": "adam",
    "learning_rate": 6e-4,
    "adam_lr": 6e-4,
    "weight_decay": 0.1,
    "min_lr_ratio": 0.1,
    "warmup": 0.01,
    "decay": None,
    "lr_schedule": "cosine",
    "weight_decay_modules": None,
    "default_weight_decay_mask": None,
    "beta1": 0.9,
    "beta2": 0.95,
    "epsilon": 1e-8,
    "momentum": 0.95,
    "max_grad_norm": 1.0,
    "use_kimi_scaling": False,
}
#: what `MuonConfig` has otherwise
MUON: Mapping[str, Any] = {"weight_decay": 0.0}


def optimizer_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section `optimizer` with levanter's defaults filled in.

    Args:
        config: content of the whole file.

    Raises:
        UsageError: it is neither Adam nor Muon.
    """
    given = config["optimizer"]
    kind = given.get("type", "adam")
    if kind not in ("adam", "muon"):
        raise UsageError("the optimizer must be adam or muon", received=str(kind))
    return {**DEFAULTS, **(MUON if kind == "muon" else {}), **given}


def decays(part: Part, optimizer: Mapping[str, Any]) -> bool:
    """Whether the mask lets a parameter decay.

    Args:
        part: which parameter of the Llama.
        optimizer: with defaults filled in.
    """
    modules, default = optimizer["weight_decay_modules"], optimizer["default_weight_decay_mask"]
    if modules is None and default is False:
        return True
    named = False
    if isinstance(modules, str):
        named = re.match(modules, PATHS[part]) is not None
    elif modules is not None:
        named = any(each in PATHS[part] for each in modules)
    if named or not (default is True or (default is None and modules is None)):
        return named
    # its default mask leaves out what is in a norm or an embedding
    return part not in _NORMS and part is not Part.EMBEDDING


def managed(part: Part) -> bool:
    """Whether Muon trains a parameter: linear layers but the readout.

    Args:
        part: which parameter of the Llama.
    """
    return part not in _NORMS and part not in _ENDS


def factor_of(config: Mapping[str, Any], step: int) -> float:
    """Its schedule as a share of the peak.

    Args:
        config: the whole file, with `trainer.num_train_steps`.
        step: optimizer steps taken before, from 0.

    Raises:
        UsageError: the schedule is none that the format writes.
    """
    optimizer, steps = optimizer_of(config), config["trainer"]["num_train_steps"]
    rising = _steps(optimizer["warmup"], steps)
    falling = steps - rising if optimizer["decay"] is None else _steps(optimizer["decay"], steps)
    floor, kind = float(optimizer["min_lr_ratio"]), optimizer["lr_schedule"]
    if step < rising:
        return step / rising
    progress = min(max(step - (steps - falling), 0) / falling, 1.0) if falling else 0.0
    shapes = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
    if kind not in shapes:
        raise UsageError("the schedule must be constant, linear or cosine", received=str(kind))
    return 1.0 if kind == "constant" else floor + (1 - floor) * shapes[kind]


def _steps(given: float, steps: int) -> int:
    """A number of up to 1 is a share, so that one step cannot be said as 1."""
    return int(given * steps) if given <= 1.0 else int(given)
