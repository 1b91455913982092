"""The flags of a target for Megatron-LM, what of a model they cannot say, and the text of the Python file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import Decoder, base_head
from hptransfer.handover.megatron import NAMES, Flags, Python, shape_of
from hptransfer.handover.parts import Part
from hptransfer.handover.planned_values import tuned_names
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.rules import SHAPE_FACTORS

_OPTIMIZERS = {"adamw": "adam", "sgd": "sgd", "muon": "muon"}
#: the factor of the shape that a plan leaves to Muon -> Megatron's mode and factor beside it
MUON_SCALES: Mapping[str, tuple[str, float]] = {
    "original": ("shape_scaling", 1.0),
    "match_rms_adamw": ("spectral", 0.2),
    "spectral": ("unit_rms_norm", 1.0),
}
_SCHEDULES = {
    "constant": "constant", "linear": "linear", "cosine": "cosine", "wsd": "WSD",
    "inverse-sqrt": "inverse-square-root",
}  # fmt: skip
#: families of transformers that Megatron's GPT model computes alike, by the key of their norm's eps and its default
_FAMILIES = {"llama": 1e-6, "qwen2": 1e-6, "qwen3": 1e-6, "gpt2": 1e-5}
#: settings that change what `forward` computes, with the value that Megatron's model has
_PLAIN_SETTINGS = {
    "hidden_act": ("silu",), "activation_function": ("gelu_new",), "rope_scaling": (None,),
    "use_sliding_window": (False,),
    "rope_parameters.rope_type": ("default",), "partial_rotary_factor": (1.0,), "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,), "positions": ("rotary", "learned"),
}  # fmt: skip
#: hyperparameters that have a flag, or that need none at their value
_HELD = frozenset({"learning_rate", "weight_decay", "eps", "beta1", "beta2", "momentum", "warmup"})


def require_known(target: TargetFile) -> None:
    """Refuses what no way of writing can hold.

    Args:
        target: in the gauge "multipliers".

    Raises:
        UsageError: the optimizer, the schedule, the clipping or the model is none of Megatron's.
    """
    training = target.training
    if target.optimizer not in _OPTIMIZERS:
        raise UsageError(
            f"the format megatron writes the optimizers {', '.join(_OPTIMIZERS)}",
            received=target.optimizer,
            hint="Megatron-LM's lion and soap have other rules than the plan's optimizers of that name",
        )
    if target.optimizer == "muon" and (target.muon_scale or "original") not in MUON_SCALES:
        raise UsageError(f"Megatron-LM's Muon knows the scales {', '.join(MUON_SCALES)}", received=target.muon_scale)
    if training is not None and training.clip_norm == "scaled":
        raise UsageError(
            "Megatron-LM has no clipping by gradients over their expected sizes",
            received="clip_norm: scaled",
            hint="tune with `clip_norm: global`",
        )
    _require_schedule(target)
    _require_model(target)


def _require_schedule(target: TargetFile) -> None:
    training = target.training
    if training is None or training.schedule == "own":
        return
    rising = round((training.warmup or 0.0) * training.steps)
    said = f"{rising} steps of warmup in {training.steps} steps, floor {training.floor}"
    if training.schedule == "inverse-sqrt" and (training.floor or not rising):
        raise UsageError(
            "Megatron-LM's inverse-square-root is the plan's only after a warmup of a step or more and without a "
            "floor, for it counts examples and cuts at --min-lr",
            received=said,
            hint="another schedule, or one with warmup and without floor",
        )
    if rising >= training.steps:
        raise UsageError(
            "Megatron-LM's warmup must end before the run does", received=said, hint="a shorter warmup, or more steps"
        )


def _require_model(target: TargetFile) -> None:
    if not target.parameters:
        kept = {"init_scale"} if target.hyperparameters.get("init_scale", 1.0) == 1.0 else set()
        unknown = [name for name in target.hyperparameters if name not in _HELD | kept]
        if unknown or target.parameterization != "mup":
            raise UsageError(
                "without rows, Megatron-LM's own rules carry the values on: those of mup, of rate, decay, eps, betas "
                "and momentum",
                received=", ".join(unknown) or target.parameterization,
                hint="name the model in the recipe, so that rows can be written",
            )
        return
    kind, model = (None, None) if target.model is None else (target.model.kind, target.model.name)
    if kind == "huggingface" and model not in _FAMILIES:
        raise UsageError(
            "Megatron-LM's GPT model must compute what the user's computes",
            received=str(model),
            hint=f"known to be alike: {', '.join(_FAMILIES)}, hptransfer's gpt, and models with nanoGPT's names",
        )
    settings = {} if target.model is None else target.model.settings
    odd = [
        f"{key}: {settings[key]!r}"
        for key, plain in _PLAIN_SETTINGS.items()
        if settings.get(key, plain[0]) not in plain
    ]
    if odd:
        raise UsageError(
            "the format megatron has no flag for a setting of the model",
            received=", ".join(odd),
            hint="train proxies with "
            + ", ".join(f"{key}: {_PLAIN_SETTINGS[key][0]!r}" for key in (each.partition(":")[0] for each in odd))
            + ", or choose the format torch or huggingface, which take the model as it is",
        )
    norms = [group.pattern for group in target.parameters if r"\.ln_" in group.pattern]
    if norms and not any(pattern.endswith("bias") for pattern in norms):
        raise UsageError(
            "Megatron-LM's LayerNorm has a bias, and a norm without one is RMSNorm there",
            received=", ".join(norms),
            hint="train proxies whose norms have biases, or RMSNorm",
        )
    gated = any("gate_proj" in group.pattern for group in target.parameters)
    if target.optimizer == "muon" and gated:
        raise UsageError(
            "Muon must take gate and up apart, as the plan does; Megatron-LM holds both in linear_fc1 and "
            "orthogonalises them as one matrix",
            received=", ".join(group.pattern for group in target.parameters if "mlp" in group.pattern),
            hint="AdamW, or an MLP without a gate",
        )


def muon_rate(part: Part, group: ParameterGroup, target: TargetFile, decoder: Decoder) -> ParameterGroup:
    """A row that Muon trains, with the rate that Megatron's Muon must be given for the same step.

    Args:
        part: place of the row in the decoder.
        group: of the plan; the factor of its stored shape is its optimizer's.
        target: the plan that is written.
        decoder: the target's, whose width says which side of a matrix is which.
    """
    if group.optimizer != "muon":
        return group
    reads = part not in (Part.ATTENTION_OUT, Part.DOWN)
    fans = group.shape if group.shape[1 if reads else 0] == decoder.width else group.shape[::-1]
    name = target.muon_scale or "original"
    theirs = SHAPE_FACTORS[name](fans[0], fans[1])
    ratio = SHAPE_FACTORS[name](group.shape[0], group.shape[1]) / theirs
    return replace(group, learning_rate=group.learning_rate * ratio, weight_decay=group.weight_decay / ratio)


def plan_flags(target: TargetFile, decoder: Decoder | None, planned: Mapping[str, Trained], *, switch: bool) -> Flags:
    """All flags of a target.

    Args:
        target: the plan that is written.
        decoder: its model; None where the recipe names none.
        planned: what each parameter is to be trained with, in Megatron's names.
        switch: whether `--use-mup` scales from the base; else its base width is the model's own, and final values
            are written.
    """
    size, values = target.size, target.hyperparameters
    flags = Flags({"num-layers": size.depth, "hidden-size": size.width})
    if decoder is not None:
        flags |= _model(target, decoder)
        _require_shapes(flags, decoder)
    flags |= {"use-mup": True, "mup-base-hidden-size": target.base.width if switch else size.width}
    if decoder is not None and decoder.head_dim is not None:
        # sqrt(D) / head_dim: where heads keep their size, the usual 1/sqrt(head_dim)
        flags |= {"mup-base-head-dim": base_head(target, decoder.head_dim), "mup-attn-scale-power": 1.0}
        flags |= _starts(flags, planned, tied=decoder.tied)
    flags |= {"optimizer": _OPTIMIZERS[target.optimizer], "lr": values["learning_rate"]}
    flags |= {"weight-decay": _decay(target, planned)} | _optimizer(target) | _schedule(target)
    if decoder is None:
        tuned = tuned_names(target)
        for name, flag in _FLAG_OF[target.optimizer].items():
            if name not in tuned:
                flags.pop(flag, None)
    return flags


def _require_shapes(flags: Flags, decoder: Decoder) -> None:
    """Every row must have the shape that Megatron's model has by these flags, on either side."""
    wrong = []
    for (part, layer), group in decoder.rows.items():
        made = shape_of(flags, part)
        sides = [sorted(group.shape), sorted(side for side in made if side is not None)]
        # the vocabulary is the tokenizer's
        if None in made:
            sides[0] = sorted(set(group.shape) & {flags["hidden-size"]})
        if sides[0] != sides[1] and layer in (None, 0):
            wrong.append(f"{part} {tuple(group.shape)}, there {tuple(sides[1])}")
    if wrong:
        raise UsageError(
            "Megatron-LM's model must have the shapes of the plan's rows",
            received="; ".join(wrong),
            hint="say heads, `head_dim` and `num_key_value_heads` among the settings of `model`",
        )


_ADAM = {"weight_decay": "weight-decay", "eps": "adam-eps", "beta1": "adam-beta1", "beta2": "adam-beta2"}
#: optimizer -> hyperparameter -> its flag, of those that a command may set by itself
_FLAG_OF = {
    "adamw": _ADAM,
    "sgd": {"weight_decay": "weight-decay", "momentum": "sgd-momentum"},
    "muon": _ADAM | {"momentum": "muon-momentum"},
}


def _decay(target: TargetFile, planned: Mapping[str, Trained]) -> float:
    """The coefficient of the base; where the base value is a decay per step, the token table's coefficient."""
    tables = [each.weight_decay or 0.0 for name, each in planned.items() if name == NAMES[Part.EMBEDDING]]
    value = target.hyperparameters.get("weight_decay", 0.0)
    largest = max((each.weight_decay or 0.0 for each in planned.values()), default=value)
    if target.options.get("weight_decay") in ("independent", "inverse"):
        return next((each for each in tables if each), largest)
    return value or largest


def _starts(flags: Flags, planned: Mapping[str, Trained], *, tied: bool) -> dict[str, Any]:
    """Base stds and the factor on logits."""
    found: dict[str, Any] = {}
    table, reader = planned.get(NAMES[Part.EMBEDDING]), planned.get(NAMES[Part.QUERY_KEY_VALUE].format(layer=0))
    if reader is not None and reader.init_std is not None:
        found["init-method-std"] = decimal(reader.init_std * math.sqrt(flags.width_mult))
    if table is not None and table.init_std is not None:
        found["embedding-init-method-std"] = table.init_std
    end = table if tied else planned.get(NAMES[Part.READOUT])
    # left out it is one over the width's growth
    if end is not None and not math.isclose(end.multiplier, 1.0 / flags.width_mult, rel_tol=1e-12):
        found["mup-output-mult"] = decimal(end.multiplier)
    return found


def decimal(value: float) -> float:
    """A product without its last digit's error.

    Args:
        value: any number; 15 digits of it are kept.
    """
    return float(f"{value:.15g}")


def _model(target: TargetFile, decoder: Decoder) -> dict[str, Any]:
    """Flags of the model, as the user's computes."""
    settings, family = decoder.settings, None if target.model is None else target.model.name
    ours = target.model is not None and target.model.kind == "gpt"
    norm = "LayerNorm" if decoder.has(Part.FINAL_NORM_BIAS) else "RMSNorm"
    learned = decoder.has(Part.POSITIONS)
    eps = _number(settings, ("rms_norm_eps", "layer_norm_epsilon"), _FAMILIES.get(family or "", 1e-5))
    all_biases, query_bias = decoder.has(Part.DOWN_BIAS), decoder.has(Part.QUERY_BIAS)
    exact_gelu = not decoder.gated and (ours or family != "gpt2")
    return {
        "ffn-hidden-size": decoder.feed_forward,
        "num-attention-heads": decoder.heads,
        "kv-channels": decoder.head_dim,
        "group-query-attention": decoder.key_value_heads != decoder.heads,
        "num-query-groups": decoder.key_value_heads if decoder.key_value_heads != decoder.heads else None,
        "seq-length": _length(target, decoder),
        "max-position-embeddings": decoder.context,
        "swiglu": decoder.gated,
        "normalization": norm,
        "norm-epsilon": eps,
        "qk-layernorm": decoder.has(Part.QUERY_NORM),
        "untie-embeddings-and-output-weights": not decoder.tied,
        "disable-bias-linear": not all_biases,
        "add-qkv-bias": query_bias and not all_biases,
        "no-bias-gelu-fusion": exact_gelu,
        "position-embedding-type": "learned_absolute" if learned else "rope",
        "rotary-base": None if learned else _theta(settings),
        # Megatron's own default is 0.1
        "attention-dropout": _number(settings, ("attention_dropout", "attn_pdrop"), _dropout(family)),
        "hidden-dropout": _hidden_dropout(settings, family),
    }  # fmt: skip


def _dropout(family: str | None) -> float:
    return 0.1 if family == "gpt2" else 0.0


def _hidden_dropout(settings: Mapping[str, Any], family: str | None) -> float:
    """Of what is looked up and of what enters the residual stream, for which Megatron has one flag."""
    looked_up, entering = (_number(settings, (key,), _dropout(family)) for key in ("embd_pdrop", "resid_pdrop"))
    if looked_up != entering:
        raise UsageError(
            "Megatron-LM has one --hidden-dropout for what is looked up and for what enters the residual stream",
            received=f"embd_pdrop: {looked_up}, resid_pdrop: {entering}",
            hint="train proxies with both alike, or choose the format torch or huggingface",
        )
    return entering


def _theta(settings: Mapping[str, Any]) -> int:
    theta = _number(settings, ("rope_theta", "rope_parameters.rope_theta"), 10000)
    if theta != int(theta) or theta < 1:
        raise UsageError(
            "Megatron-LM's --rotary-base is a whole number",
            received=f"rope_theta: {theta!r}",
            hint="a whole `rope_theta`, or the format torch or huggingface",
        )
    return int(theta)


def _number(settings: Mapping[str, Any], keys: tuple[str, ...], default: float) -> float:
    """The first of some settings that is given."""
    key = next((each for each in keys if each in settings), None)
    value = default if key is None else settings[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError("a setting of the model must be a number", received=f"{key}: {value!r}")
    return float(value)


def _length(target: TargetFile, decoder: Decoder) -> int | None:
    """Positions per example where the run's tokens say so, else the model's context."""
    steps = None if target.training is None else target.training.steps * target.size.batch_size
    if steps and target.size.tokens % steps == 0 and target.size.tokens // steps <= (decoder.context or math.inf):
        return target.size.tokens // steps
    return decoder.context


def _optimizer(target: TargetFile) -> dict[str, Any]:
    """Every value whose default differs between frameworks; Megatron's are beta2 0.999 and Muon's spectral scale."""
    values = {**target.hyperparameters, **target.optimizer_values}
    if target.optimizer == "sgd":
        return {"sgd-momentum": values.get("momentum", 0.0)}
    found: dict[str, Any] = {
        "adam-beta1": values.get("beta1", 0.9),
        "adam-beta2": values.get("beta2", 0.999),
        "adam-eps": target.hyperparameters.get("eps", 1e-8),
    }
    if target.optimizer == "muon":
        mode, factor = MUON_SCALES[target.muon_scale or "original"]
        fused = any("attn" in group.pattern and "c_attn" in group.pattern for group in target.parameters)
        found |= {
            "muon-momentum": values.get("momentum", 0.95),
            # torch.optim.Muon: Nesterov's momentum, and one polynomial five times
            "muon-nesterov": True,
            "muon-coefficient-type": "simple",
            "muon-num-ns-steps": 5,
            "muon-scale-mode": mode,
            "muon-extra-scale-factor": factor,
            "muon-no-split-qkv": fused,
            "muon-scalar-optimizer": "adam",
        }
    return found


def _schedule(target: TargetFile) -> dict[str, Any]:
    training = target.training
    if training is None:
        return {}
    found: dict[str, Any] = {"global-batch-size": training.batch_size, "train-iters": training.steps}
    if training.schedule == "own":
        warmup = target.hyperparameters.get("warmup", 0.0) if "warmup" in (target.provenance.intervals or ()) else None
        return found | ({} if warmup is None else {"lr-warmup-iters": round(warmup * training.steps)})
    rising = round((training.warmup or 0.0) * training.steps)
    found |= {
        "min-lr": target.hyperparameters["learning_rate"] * training.floor,
        "clip-grad": training.clip or 0.0,
        "lr-decay-style": _SCHEDULES[training.schedule],
        "lr-decay-iters": training.steps,
        "lr-warmup-iters": rising,
    }
    if training.schedule == "wsd":
        falling = min(round((training.decay_share or 0.0) * training.steps), training.steps - rising)
        found |= {"lr-wsd-decay-style": "linear", "lr-wsd-decay-iters": falling}
    return found


_TEXT = '''\
# (patterns of parameters' names, their values); Megatron's own exclusion of vectors from decay is replaced
OVERRIDES = [
{overrides}]
# inputs of a weight that writes the residual stream -> its std, without Megatron's 1/sqrt(2 layers); empty leaves that
OUTPUT_STD = {stds}


def overrides():
    from megatron.core.optimizer.optimizer_config import ParamKey

    return {{ParamKey(name=names): dict(values) for names, values in OVERRIDES}}


class Output:
    """Draws a weight that writes the residual stream: each device of tensor parallelism its part of the inputs."""

    def __init__(self, config):  # on a CPU the whole weight is drawn first
        self.parts = 1 if config.use_cpu_initialization else config.tensor_model_parallel_size

    def __call__(self, weight):
        return weight.data.normal_(mean=0.0, std=OUTPUT_STD[weight.shape[1] * self.parts])

    def to_cfg_dict(self):  # Megatron-Bridge reads a checkpoint's model without this file
        return None


class Provider:
    """Megatron-Bridge's OptimizerConfigOverrideProvider."""

    def build_config_overrides(self, context):
        return overrides()


def apply(args):  # Megatron-LM
    from megatron.training import argument_utils, arguments, training

    optimizer, model = training.get_megatron_optimizer_config, argument_utils.core_transformer_config_from_args

    def config_of(*given, **named):
        config = model(*given, **named)
        if OUTPUT_STD:
            config.output_layer_init_method = Output(config)
        return config

    training.get_megatron_optimizer_config = lambda given: (optimizer(given)[0], overrides())
    # args itself stays as it is, for checkpoints keep it
    argument_utils.core_transformer_config_from_args = arguments.core_transformer_config_from_args = config_of


def bridge(config):  # Megatron-Bridge; call it when the flags' values are in config.model, .optimizer and .scheduler
    if OUTPUT_STD:
        config.model.output_layer_init_method = Output(config.model)
    config.optimizer_config_override_provider = Provider()
    # its scheduler sets the decay, of which its recipes have one of their own
    config.scheduler.start_weight_decay = config.scheduler.end_weight_decay = config.optimizer.weight_decay
    config.scheduler.weight_decay_incr_style = "constant"
'''


def python_text(python: Python) -> str:
    """The Python file's text below its header; importing it needs no Megatron.

    Args:
        python: what the file is to add to the flags.
    """
    rows = ""
    for patterns, values in python.overrides:
        names = "".join(f"            {pattern!r},\n" for pattern in patterns)
        rows += f"    (\n        (\n{names}        ),\n        {dict(values)!r},\n    ),\n"
    return "\n" + _TEXT.format(overrides=rows, stds=repr(dict(python.output_std)))
