"""A record of Cerebras modelzoo's code: what it makes of a trainer's configuration, parameter by parameter.

Its GPT models apply muP's width rules by themselves. Golden values that its own code returned pin the record
(tests/data/cerebras.json).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.handover.parts import Names, Part, places
from hptransfer.handover.switched import ATTENTION, LOOKED_UP
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.rules import Options

COMMIT = "f1fd1e0"
#: what the format writes
FILE = "hptransfer_cerebras.yaml"
#: the choices among published rules that its code makes
OPTIONS = Options(weight_decay="unscaled", eps="none", decay_vectors=False)

_LAYER = "model.transformer_decoder.layers.{layer}."
#: of its GPT-2 and its Llama, which is the same code
NAMES: Names = {
    Part.EMBEDDING: "model.embedding_layer.word_embeddings.weight",
    Part.POSITIONS: "model.embedding_layer.position_embeddings.embed.weight",
    Part.ATTENTION_NORM: f"{_LAYER}norm1.weight",
    Part.ATTENTION_NORM_BIAS: f"{_LAYER}norm1.bias",
    Part.QUERY: f"{_LAYER}self_attn.proj_q_dense_layer.weight",
    Part.QUERY_BIAS: f"{_LAYER}self_attn.proj_q_dense_layer.bias",
    Part.KEY: f"{_LAYER}self_attn.proj_k_dense_layer.weight",
    Part.KEY_BIAS: f"{_LAYER}self_attn.proj_k_dense_layer.bias",
    Part.VALUE: f"{_LAYER}self_attn.proj_v_dense_layer.weight",
    Part.VALUE_BIAS: f"{_LAYER}self_attn.proj_v_dense_layer.bias",
    Part.ATTENTION_OUT: f"{_LAYER}self_attn.proj_output_dense_layer.weight",
    Part.ATTENTION_OUT_BIAS: f"{_LAYER}self_attn.proj_output_dense_layer.bias",
    Part.MLP_NORM: f"{_LAYER}norm3.weight",
    Part.MLP_NORM_BIAS: f"{_LAYER}norm3.bias",
    Part.UP: f"{_LAYER}ffn.ffn.0.linear_layer.weight",
    Part.UP_BIAS: f"{_LAYER}ffn.ffn.0.linear_layer.bias",
    Part.GATE: f"{_LAYER}ffn.ffn.0.linear_layer_for_glu.weight",
    Part.DOWN: f"{_LAYER}ffn.ffn.1.linear_layer.weight",
    Part.DOWN_BIAS: f"{_LAYER}ffn.ffn.1.linear_layer.bias",
    Part.FINAL_NORM: "model.ln_f.weight",
    Part.FINAL_NORM_BIAS: "model.ln_f.bias",
    Part.READOUT: "model.lm_head.weight",
}
_QKV = (Part.QUERY, Part.KEY, Part.VALUE)
_QKV_BIASES = (Part.QUERY_BIAS, Part.KEY_BIAS, Part.VALUE_BIAS)
_NORM_BIASES = (Part.ATTENTION_NORM_BIAS, Part.MLP_NORM_BIAS, Part.FINAL_NORM_BIAS)
_NORMS = (Part.ATTENTION_NORM, Part.MLP_NORM, Part.FINAL_NORM)
#: its groups of rates -> what is in them
GROUPS: Mapping[str, tuple[Part, ...]] = {
    "embedding": (Part.EMBEDDING, Part.POSITIONS),
    "decoder_kernel": (*_QKV, Part.ATTENTION_OUT, Part.UP, Part.GATE, Part.DOWN),
    "decoder_attention": (*_QKV, Part.ATTENTION_OUT),
    "decoder_input_ffn": (Part.UP, Part.GATE),
    "decoder_output_ffn": (Part.DOWN,),
}
MATRICES = GROUPS["decoder_kernel"]

#: of the model's configuration
MODEL_DEFAULTS: Mapping[str, Any] = {
    "num_hidden_layers": 12,
    "num_heads": 12,
    "hidden_size": 768,
    "filter_size": 3072,
    "position_embedding_type": "learned",
    "share_embedding_weights": True,
    "norm_type": "layernorm",
    "attention_type": "scaled_dot_product",
    "use_projection_bias_in_attention": True,
    "use_ffn_bias_in_attention": True,
    "use_ffn_bias": True,
    "nonlinearity": "gelu",
    "initializer_range": 0.02,
    "initializer": None,
    "embedding_initializer": None,
    "output_layer_initializer": None,
    "ffn_initializer": None,
    "ffn_output_layer_initializer": None,
    "mup_base_hidden_size": None,
    "mup_base_filter_size": None,
    "embeddings_scale": 1.0,
    "scale_qk_dot_by_d": None,
    "attention_logits_alpha": 1.0,
    "scale_output_logits_by_d": True,
    "output_logits_alpha": None,
}
#: of `cerebras.pytorch.optim.AdamW`
ADAMW: Mapping[str, Any] = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-6, "weight_decay": 0.0}


def sections(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's configuration and AdamW's, with modelzoo's defaults filled in.

    Args:
        config: content of the whole file.

    Raises:
        UsageError: modelzoo would refuse it, or trains with another optimizer.
    """
    init = config["trainer"]["init"]
    model = {**MODEL_DEFAULTS, **init["model"]}
    (name,) = init["optimizer"]
    if name != "AdamW":
        raise UsageError("the optimizer must be AdamW", received=str(name))
    given = {"lr" if key == "learning_rate" else key: value for key, value in (init["optimizer"][name] or {}).items()}
    optimizer = {**ADAMW, **given}
    bases = [key for key in ("mup_base_hidden_size", "mup_base_filter_size") if model[key]]
    if len(bases) == 1:
        raise UsageError("modelzoo asks for both mup_base_hidden_size and mup_base_filter_size", received=bases[0])
    unknown = sorted(set(optimizer.get("adjust_learning_rate") or {}) - set(GROUPS))
    if unknown:
        raise UsageError(f"`adjust_learning_rate` has the groups {', '.join(GROUPS)}", received=", ".join(unknown))
    return model, optimizer


def self_applied(model: Mapping[str, Any]) -> dict[str, float]:
    """Factor of each group's rate that a model with muP's bases has by itself.

    Args:
        model: with defaults filled in.
    """
    if not model["mup_base_hidden_size"]:
        return dict.fromkeys(GROUPS, 1.0)
    wide = model["mup_base_hidden_size"] / model["hidden_size"]
    filters = model["mup_base_filter_size"] / model["filter_size"]
    return {
        "embedding": 1.0,
        "decoder_kernel": 1.0,
        "decoder_attention": wide,
        "decoder_input_ffn": wide,
        "decoder_output_ffn": filters,
    }


def applied(config: Mapping[str, Any]) -> Iterator[Trained]:
    """What the framework makes of a configuration, in its own words.

    Args:
        config: content of the whole file.

    Raises:
        UsageError: modelzoo would refuse it, or puts one parameter into two groups.
    """
    model, optimizer = sections(config)
    rate, scales = peak(config), self_applied(model) | dict(optimizer.get("adjust_learning_rate") or {})
    stds, growth = _stds(model), _growth(model)
    logits = 1.0
    if growth is not None:
        by_d = model["scale_output_logits_by_d"]
        logits = (model["output_logits_alpha"] or 1.0) / (growth if by_d else math.sqrt(growth))
    looked_up, tied = float(model["embeddings_scale"]), model["share_embedding_weights"]
    factors = {
        Part.EMBEDDING: logits if tied else looked_up,
        Part.POSITIONS: looked_up,
        Part.READOUT: logits,
    }
    for part, _, name in places(names_of(model), model["num_hidden_layers"]):
        scaled = {scales[group] for group, parts in GROUPS.items() if part in parts} - {1.0}
        if len(scaled) > 1:
            raise UsageError(
                "modelzoo puts a parameter that two groups of different factors match into both, which torch refuses",
                received=f"{name}: {sorted(scaled)}",
            )
        drawn = part in stds
        yield Trained(
            name,
            stds.get(part),
            rate * next(iter(scaled), 1.0),
            float(optimizer["weight_decay"]) if drawn else 0.0,
            float(optimizer["eps"]),
            factors.get(part, 1.0),
        )
    if tied:
        yield Trained(LOOKED_UP, None, 0.0, 0.0, None, looked_up)
    yield Trained(ATTENTION, None, 0.0, 0.0, None, _attention(model))


def _growth(model: Mapping[str, Any]) -> float | None:
    base = model["mup_base_hidden_size"]
    return model["hidden_size"] / base if base else None


def names_of(model: Mapping[str, Any]) -> Names:
    """What the model's parameters are called.

    Args:
        model: with defaults filled in.
    """
    missing: set[Part] = set()
    if not model["use_projection_bias_in_attention"]:
        missing |= set(_QKV_BIASES)
    if not model["use_ffn_bias_in_attention"]:
        missing.add(Part.ATTENTION_OUT_BIAS)
    if not model["use_ffn_bias"]:
        missing |= {Part.UP_BIAS, Part.DOWN_BIAS}
    if not model["nonlinearity"].endswith("glu"):
        missing.add(Part.GATE)
    if model["norm_type"] == "rmsnorm":
        missing |= set(_NORM_BIASES)
    if model["position_embedding_type"] != "learned":
        missing.add(Part.POSITIONS)
    if model["share_embedding_weights"]:
        missing.add(Part.READOUT)
    return {part: name for part, name in NAMES.items() if part not in missing}


def _stds(model: Mapping[str, Any]) -> dict[Part, float]:
    """Real stds: a normal distribution that is cut has a smaller one than its parameter."""
    start = float(model["initializer_range"])
    default = {"name": "truncated_normal", "std": start}
    own = model["initializer"]
    attention = own or default
    into, out = model["ffn_initializer"] or attention, model["output_layer_initializer"]
    down = model["ffn_output_layer_initializer"]
    stds = {"table": real_std(model["embedding_initializer"] or default)}
    stds |= {"attention": real_std(attention), "into": real_std(into)}
    deep, growth = (2 * model["num_hidden_layers"]) ** -0.5, _growth(model)
    if growth is not None:
        filters = model["filter_size"] / model["mup_base_filter_size"]
        stds = {key: std * (growth**-0.5 if key != "table" else 1.0) for key, std in stds.items()}
        stds |= {"out": real_std(out or default) * growth**-0.5 * deep}
        stds |= {"down": real_std(down or default) * filters**-0.5 * deep}
    else:
        # without muP, what is given is drawn as it is, and what is not follows another
        unsaid = real_std(default) * deep if own is None else None
        found = real_std(out) if out else unsaid
        stds["out"] = stds["attention"] if found is None else found
        stds["down"] = real_std(down) if down else (stds["into"] if found is None else found)
    return {
        **dict.fromkeys((Part.EMBEDDING, Part.POSITIONS), stds["table"]),
        **dict.fromkeys(_QKV, stds["attention"]),
        **dict.fromkeys((Part.UP, Part.GATE), stds["into"]),
        Part.ATTENTION_OUT: stds["out"],
        Part.DOWN: stds["down"],
        Part.READOUT: start,
    }


def real_std(initializer: Mapping[str, Any]) -> float:
    """Std of what an initializer draws.

    Args:
        initializer: `normal` or `truncated_normal`, the ones that muP there can scale.

    Raises:
        UsageError: it is another, or cut at points that are not symmetrical.
    """
    std = float(initializer.get("std", 0.05))
    if initializer["name"] == "normal":
        return std
    low, high = initializer.get("a", -2 * std), initializer.get("b", 2 * std)
    if initializer["name"] != "truncated_normal" or not math.isclose(-low, high):
        raise UsageError("the initializer must be normal, or truncated_normal around 0", received=str(initializer))
    cut = high / std
    inside = math.erf(cut / math.sqrt(2))
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return std * math.sqrt(1 - 2 * cut * density / inside)


def _attention(model: Mapping[str, Any]) -> float:
    """Attention's factor over 1/sqrt(head_dim)."""
    dim = model["hidden_size"] / model["num_heads"]
    by_d = model["scale_qk_dot_by_d"]
    if by_d is None:
        by_d = bool(model["mup_base_hidden_size"])
    scaled = model["attention_type"] == "scaled_dot_product"
    factor = float(model["attention_logits_alpha"])
    if not scaled:
        return factor * math.sqrt(dim)
    return factor / math.sqrt(dim) if by_d else factor


# Its schedules, whose numbers are rates: of groups that have a factor, every one of them is multiplied.


def peak(config: Mapping[str, Any]) -> float:
    """Largest rate of the schedule; without one, the optimizer's.

    Args:
        config: content of the whole file.
    """
    stages = _stages(config)
    if not stages:
        return float(sections(config)[1]["lr"])
    rates = [
        stage[key]
        for _, stage in stages
        for key in ("learning_rate", "initial_learning_rate", "end_learning_rate")
        if key in stage
    ]
    return float(max(rates))


def _stages(config: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    found = config["trainer"]["init"].get("schedulers")
    if not found:
        return ()
    ((name, given),) = found[0].items()
    return (
        tuple(next(iter(each.items())) for each in given["schedulers"]) if name == "SequentialLR" else ((name, given),)
    )


def factor_of(config: Mapping[str, Any], step: int) -> float:
    """Its schedule as a share of the peak.

    Args:
        config: the whole file, with `schedulers`.
        step: optimizer steps taken before, from 0.

    Raises:
        UsageError: a scheduler is none of those that the format writes.
    """
    stages = _stages(config)
    for at, (name, stage) in enumerate(stages):
        length = int(stage.get("total_iters") or 1)
        if at + 1 < len(stages) and step >= length:
            step -= length
            continue
        if name == "ConstantLR":
            return float(stage["learning_rate"] / peak(config))
        if name not in ("LinearLR", "CosineDecayLR"):
            raise UsageError("a scheduler must be ConstantLR, LinearLR or CosineDecayLR", received=name)
        first, last = stage["initial_learning_rate"], stage["end_learning_rate"]
        progress = min(step / length, 1.0)
        share = (1 + math.cos(math.pi * progress)) / 2 if name == "CosineDecayLR" else 1 - progress
        return float((last + (first - last) * share) / peak(config))
    raise UsageError("the configuration must have a schedule", received="no schedulers")
