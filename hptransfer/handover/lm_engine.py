"""A record of lm-engine's code: what it makes of a configuration, parameter by parameter.

open-lm-engine/lm-engine applies muP by itself. Golden values that its own code returned pin the record
(tests/data/lm_engine.json).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.handover.parts import WRITERS, Names, Part, places
from hptransfer.handover.switched import ATTENTION, LOOKED_UP
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.rules import Options

COMMIT = "36bad91e"
#: what the format writes
FILE = "hptransfer_lm_engine.yml"
#: the choices among published rules that its code makes
OPTIONS = Options(weight_decay="unscaled", eps="none", decay_vectors=False)

_LAYER = "transformer.h.{layer}."
#: of `gpt_base`
NAMES: Names = {
    Part.EMBEDDING: "transformer.wte.weight",
    Part.POSITIONS: "transformer.wpe.weight",
    Part.ATTENTION_NORM: f"{_LAYER}ln_1.weight",
    Part.ATTENTION_NORM_BIAS: f"{_LAYER}ln_1.bias",
    Part.QUERY_KEY_VALUE: f"{_LAYER}sequence_mixer.c_attn.weight",
    Part.QUERY_KEY_VALUE_BIAS: f"{_LAYER}sequence_mixer.c_attn.bias",
    Part.ATTENTION_OUT: f"{_LAYER}sequence_mixer.c_proj.weight",
    Part.ATTENTION_OUT_BIAS: f"{_LAYER}sequence_mixer.c_proj.bias",
    Part.MLP_NORM: f"{_LAYER}ln_2.weight",
    Part.MLP_NORM_BIAS: f"{_LAYER}ln_2.bias",
    Part.UP: f"{_LAYER}mlp_block.c_fc.weight",
    Part.GATE_UP: f"{_LAYER}mlp_block.c_fc.weight",
    Part.UP_BIAS: f"{_LAYER}mlp_block.c_fc.bias",
    Part.DOWN: f"{_LAYER}mlp_block.c_proj.weight",
    Part.DOWN_BIAS: f"{_LAYER}mlp_block.c_proj.bias",
    Part.FINAL_NORM: "transformer.ln_f.weight",
    Part.FINAL_NORM_BIAS: "transformer.ln_f.bias",
    Part.READOUT: "lm_head.weight",
}
MATRICES = (Part.QUERY_KEY_VALUE, Part.ATTENTION_OUT, Part.UP, Part.GATE_UP, Part.DOWN)
_MIXER_BIASES = (Part.QUERY_KEY_VALUE_BIAS, Part.ATTENTION_OUT_BIAS)
_MLP_BIASES = (Part.UP_BIAS, Part.DOWN_BIAS)
_NORM_BIASES = (Part.ATTENTION_NORM_BIAS, Part.MLP_NORM_BIAS, Part.FINAL_NORM_BIAS)
_VECTORS = (*_MIXER_BIASES, *_MLP_BIASES, *_NORM_BIASES, Part.ATTENTION_NORM, Part.MLP_NORM, Part.FINAL_NORM)

#: torch's, which `class_args` replaces key by key; lm-engine's own defaults hold only where it has no `class_args`
TORCH_DEFAULTS: Mapping[str, Any] = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 1e-2}
#: `OptimizerArgs.class_args`, where a file has none
CLASS_ARGS: Mapping[str, Any] = {"lr": 1e-5, "weight_decay": 0.1, "betas": [0.9, 0.95], "eps": 1e-10}
#: `LRSchedulerArgs`
SCHEDULER: Mapping[str, Any] = {
    "num_warmup_steps": 200,
    "num_constant_steps": 0,
    "num_decay_steps": None,
    "lr_decay_style": "cosine",
    "lr_decay_factor": 0.1,
}
#: `TrainingParameters.gradient_clipping`
CLIPPING = 1.0
#: for files that are merged into a configuration of the user's own: a decoder without biases, where a key is missing
FILLED: Mapping[str, Any] = {
    "num_layers": 1,
    "hidden_size": 1,
    "tie_word_embeddings": False,
    "m_emb": None,
    "m_width": None,
    "m_residual": None,
    "init_method": "normal",
    "embedding_init_method": "normal",
    "initializer_range": 1.0,
    "use_depth_scaled_init": False,
    "position_embedding_type": "rope",
    "normalization_function": "rmsnorm",
    "sequence_mixer_blocks": [{"num_attention_heads": 1}],
    "mlp_blocks": [{"activation_function": "gelu", "intermediate_size": 1}],
}


def optimizer_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """`optimizer_args` with the defaults of lm-engine and torch filled in.

    Args:
        config: content of the whole file.

    Raises:
        UsageError: lm-engine would refuse it.
    """
    given = dict(config.get("optimizer_args") or {})
    optimizer: dict[str, Any] = {"class_name": "TorchAdamW", "params_group_method": None, **given}
    if optimizer["class_name"] not in ("TorchAdamW", "TorchAdam"):
        raise UsageError("the optimizer must be TorchAdamW or TorchAdam", received=str(optimizer["class_name"]))
    decay = {"weight_decay": 0.0} if optimizer["class_name"] == "TorchAdam" else {}
    classed: Mapping[str, Any] = given.get("class_args", CLASS_ARGS)
    optimizer["class_args"] = {**TORCH_DEFAULTS, **decay, **classed}
    if optimizer["params_group_method"] not in (None, "mup"):
        raise UsageError("`params_group_method` must be mup", received=str(optimizer["params_group_method"]))
    return optimizer


def applied(config: Mapping[str, Any]) -> Iterator[Trained]:
    """What the framework makes of a configuration, in its own words.

    Args:
        config: the file's content, with every key of `pretrained_config` that says something of a value.

    Raises:
        UsageError: lm-engine would refuse it.
    """
    model, optimizer = config["model_args"]["pretrained_config"], optimizer_of(config)
    values = optimizer["class_args"]
    grouped = optimizer["params_group_method"] == "mup"
    if grouped and model["init_method"] not in ("mup", "fan_in"):
        raise UsageError(
            "lm-engine asserts `init_method: mup` beside `params_group_method: mup`",
            received=f"init_method: {model['init_method']}",
        )
    growth = model["m_width"]
    if growth is None and (grouped or model["init_method"] == "mup"):
        raise UsageError("lm-engine divides by `m_width` with muP's switches", received="m_width: null")
    logits = 1.0 if growth is None else 1 / growth
    looked_up = 1.0 if model["m_emb"] is None else float(model["m_emb"])
    branch = 1.0 if model["m_residual"] is None else float(model["m_residual"])
    tied = model["tie_word_embeddings"]
    factors: dict[Part, float] = {
        Part.EMBEDDING: logits if tied else looked_up,
        Part.POSITIONS: looked_up,
        Part.READOUT: logits,
        **dict.fromkeys((*WRITERS, Part.ATTENTION_OUT_BIAS, Part.DOWN_BIAS), branch),
    }
    for part, _, name in places(names_of(model), model["num_layers"]):
        yield Trained(
            name,
            _std(part, model),
            values["lr"] / growth if grouped and part in MATRICES else values["lr"],
            0.0 if part in _VECTORS else values["weight_decay"],
            values["eps"],
            factors.get(part, 1.0),
        )
    if tied:
        yield Trained(LOOKED_UP, None, 0.0, 0.0, None, looked_up)
    yield Trained(ATTENTION, None, 0.0, 0.0, None, _attention(model))


def names_of(model: Mapping[str, Any]) -> Names:
    """What the model's parameters are called.

    Args:
        model: `pretrained_config`, every key of `FILLED` in it.
    """
    mixer, mlp = model["sequence_mixer_blocks"][0], model["mlp_blocks"][0]
    gated = mlp["activation_function"].endswith("glu")
    missing = {Part.UP if gated else Part.GATE_UP}
    if not mixer.get("add_bias", False):
        missing |= set(_MIXER_BIASES)
    if not mlp.get("add_bias", False):
        missing |= set(_MLP_BIASES)
    if model["normalization_function"] == "rmsnorm":
        missing |= set(_NORM_BIASES)
    if model["position_embedding_type"] != "learned_absolute":
        missing.add(Part.POSITIONS)
    if model["tie_word_embeddings"]:
        missing.add(Part.READOUT)
    return {part: name for part, name in NAMES.items() if part not in missing}


def _std(part: Part, model: Mapping[str, Any]) -> float | None:
    if part in _VECTORS:
        return None
    std, width = float(model["initializer_range"]), model["hidden_size"]
    if part not in MATRICES:
        by_width = part is Part.EMBEDDING and model["embedding_init_method"] == "fan_in"
        return 1 / math.sqrt(width) if by_width else std
    fan_in = width
    if part is Part.DOWN:
        fan_in = model["mlp_blocks"][0]["intermediate_size"]
    elif part is Part.ATTENTION_OUT:
        fan_in = model["sequence_mixer_blocks"][0]["num_attention_heads"] * _head_dim(model)
    if model["init_method"] == "fan_in":
        std = 1 / math.sqrt(fan_in)
    elif model["init_method"] == "mup":
        std /= math.sqrt(model["m_width"])
    smaller = part in WRITERS and model["use_depth_scaled_init"]
    return std / math.sqrt(2 * model["num_layers"]) if smaller else std


def _head_dim(model: Mapping[str, Any]) -> int:
    mixer = model["sequence_mixer_blocks"][0]
    found: int = mixer.get("head_dim") or model["hidden_size"] // mixer["num_attention_heads"]
    return found


def _attention(model: Mapping[str, Any]) -> float:
    """Attention's factor over 1/sqrt(head_dim)."""
    mixer, dim = model["sequence_mixer_blocks"][0], _head_dim(model)
    method = mixer.get("attention_multiplier_method", "1 / sqrt(head_dim)")
    given = mixer.get("attention_multiplier")
    if (method is None) == (given is None):
        raise UsageError(
            "lm-engine takes one of `attention_multiplier` and `attention_multiplier_method`",
            received=f"{given} and {method}",
        )
    factor = {"1 / sqrt(head_dim)": dim**-0.5, "1 / head_dim": 1 / dim}.get(method, given)
    return float(factor) * math.sqrt(dim)


def factor_of(config: Mapping[str, Any], step: int) -> float:
    """Its schedule as a share of the peak.

    Args:
        config: the file's content, with `training_parameters`.
        step: optimizer steps taken before, from 0.
    """
    given = {**SCHEDULER, **(config.get("lr_scheduler_args") or {})}
    rising, style, floor = given["num_warmup_steps"], given["lr_decay_style"], given["lr_decay_factor"]
    if rising > 0 and step <= rising:
        return float(step / rising)
    flat = rising + given["num_constant_steps"]
    falling = given["num_decay_steps"]
    end = config["training_parameters"]["num_training_steps"] if falling is None else flat + falling
    if style == "constant" or step <= flat:
        return 1.0
    if step > end:
        return float(floor)
    progress = (step - flat) / (end - flat)
    shape = (1 + math.cos(math.pi * progress)) / 2 if style == "cosine" else 1 - progress
    return float(floor + (1 - floor) * shape)
