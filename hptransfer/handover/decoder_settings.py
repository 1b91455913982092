"""What a decoder of transformers computes, for frameworks that build it from a configuration of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import Decoder
from hptransfer.handover.parts import Part

#: model types whose function is known here
KINDS = ("llama", "mistral", "gpt2")
#: keys that change the function -> the values under which it is what is written
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "sliding_window": (None,),
    "rope_scaling": (None,),
    "rope_scaling.rope_type": ("default",),
    "rope_parameters.rope_type": ("default",),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "n_inner": (None,),
}
#: activation as transformers names it -> the gated form, the plain form; None: there is none here
_ACTIVATIONS: Mapping[str, tuple[str | None, str | None]] = {
    "silu": ("swiglu", None),
    "gelu": ("geglu", "gelu"),
    "gelu_new": (None, "gelu_new"),
    "gelu_pytorch_tanh": (None, "gelu_new"),
    "relu": (None, "relu"),
}


@dataclass(frozen=True, slots=True)
class Computed:
    """What a decoder computes besides its sizes.

    Attributes:
        heads: query heads per block.
        key_value_heads: as many as `heads` without grouped queries.
        head_dim: numbers per head, whatever the width.
        context: tokens per sequence, at most.
        activation: swiglu, geglu, gelu, gelu_new (tanh form) or relu.
        rms: whether norms are RMSNorm, without biases; else LayerNorm.
        learned_positions: whether a table of positions is added; else keys and queries are rotated.
        theta: base of the rotations.
        norm_eps: the eps of all norms.
        attention_bias: whether attention's matrices have biases.
        mlp_bias: whether the MLP's have.
        dropouts: of what is looked up, of attention's weights, of what enters the residual stream.
    """

    heads: int
    key_value_heads: int
    head_dim: int
    context: int
    activation: str
    rms: bool
    learned_positions: bool
    theta: float
    norm_eps: float
    attention_bias: bool
    mlp_bias: bool
    dropouts: tuple[float, float, float]


def computed(target: TargetFile, decoder: Decoder, framework: str) -> Computed:
    """What a target's model computes, from the settings of its recipe and the defaults of transformers.

    Args:
        target: whose recipe names a model of transformers.
        decoder: of the same target.
        framework: its name, for people.

    Raises:
        UsageError: the model's function is not known, or none that this can say.
    """
    model = target.model
    if model is None or model.kind != "huggingface" or model.name not in KINDS:
        raise UsageError(
            f"to write {framework}'s model, the recipe's must be one of transformers: {', '.join(KINDS)}",
            received="a target that says nothing of its model: an earlier version wrote it, or Python without a recipe"
            if model is None
            else " ".join(filter(None, (model.kind, model.name))),
            hint="`hptransfer scale` writes the target again, with the recipe's model"
            if model is None
            else "name it under `model` of the recipe, or choose the format torch, which takes any model",
        )
    gpt2 = model.name == "gpt2"
    settings = {"sliding_window": 4096} | dict(model.settings) if model.name == "mistral" else dict(model.settings)
    odd = [f"{key}: {settings[key]!r}" for key, plain in _PLAIN.items() if settings.get(key, plain[0]) not in plain]
    said = str(settings.get("activation_function" if gpt2 else "hidden_act", "gelu_new" if gpt2 else "silu"))
    activation = _ACTIVATIONS.get(said, (None, None))[0 if decoder.gated else 1]
    if activation is None:
        odd.append(f"the activation {said}")
    extra = [part.value for part in (Part.QUERY_NORM, Part.KEY_NORM) if decoder.has(part)]
    unknown = [] if decoder.heads and decoder.head_dim else ["the number of heads is not said"]
    heads, head_dim = decoder.heads, decoder.head_dim
    if odd or extra or activation is None or heads is None or head_dim is None:
        raise UsageError(
            f"{framework}'s model must compute what the recipe's does",
            received=", ".join(odd + extra + unknown),
            hint="leave that out of the model, or choose the format torch or huggingface",
        )
    return Computed(
        heads,
        decoder.key_value_heads or heads,
        head_dim,
        decoder.context or (1024 if gpt2 else 2048),
        activation,
        not gpt2,
        decoder.has(Part.POSITIONS),
        decoder.theta,
        decoder.norm_eps(1e-5 if gpt2 else 1e-6),
        _biases(decoder, (Part.QUERY_BIAS, Part.QUERY_KEY_VALUE_BIAS), Part.ATTENTION_OUT_BIAS, framework),
        _biases(decoder, (Part.UP_BIAS,), Part.DOWN_BIAS, framework),
        _dropouts(settings, gpt2),
    )


def _biases(decoder: Decoder, into: tuple[Part, ...], out: Part, framework: str) -> bool:
    first = any((part, 0) in decoder.rows for part in into)
    if first != ((out, 0) in decoder.rows):
        raise UsageError(
            f"the matrices of one of {framework}'s layers have biases, or none has",
            received=f"{into[0]} and {out}: one of them alone",
            hint="give both biases, or none; or choose the format torch",
        )
    return first


def _dropouts(settings: Mapping[str, Any], gpt2: bool) -> tuple[float, float, float]:
    if gpt2:
        keys = ("embd_pdrop", "attn_pdrop", "resid_pdrop")
        return tuple(float(settings.get(key, 0.1)) for key in keys)  # type: ignore[return-value]  # of three
    return 0.0, float(settings.get("attention_dropout", 0.0)), 0.0
