"""Megatron-LM's own rules as a record: what flags and overrides make of each parameter. No code of it is here.

Read at commit d98e8a64 and pinned by tests/data/megatron_mup.json, which holds what its unmodified code returned. Names
are those of `--transformer-impl local`; Transformer Engine keeps the norms inside the linear layers.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hptransfer.errors import UsageError
from hptransfer.handover.parts import Names, Part
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.rules import SHAPE_FACTORS

COMMIT = "d98e8a64"
#: a row beside the parameters: what multiplies attention logits, over 1/sqrt(head_dim)
ATTENTION = "attention logits (--mup-base-head-dim, --mup-attn-scale-power)"

_LAYER = "decoder.layers.{layer}."
NAMES: Names = {
    Part.EMBEDDING: "embedding.word_embeddings.weight",
    Part.POSITIONS: "embedding.position_embeddings.weight",
    Part.ATTENTION_NORM: f"{_LAYER}input_layernorm.weight",
    Part.ATTENTION_NORM_BIAS: f"{_LAYER}input_layernorm.bias",
    Part.QUERY_KEY_VALUE: f"{_LAYER}self_attention.linear_qkv.weight",
    Part.QUERY_KEY_VALUE_BIAS: f"{_LAYER}self_attention.linear_qkv.bias",
    Part.QUERY_NORM: f"{_LAYER}self_attention.q_layernorm.weight",
    Part.KEY_NORM: f"{_LAYER}self_attention.k_layernorm.weight",
    Part.ATTENTION_OUT: f"{_LAYER}self_attention.linear_proj.weight",
    Part.ATTENTION_OUT_BIAS: f"{_LAYER}self_attention.linear_proj.bias",
    Part.MLP_NORM: f"{_LAYER}pre_mlp_layernorm.weight",
    Part.MLP_NORM_BIAS: f"{_LAYER}pre_mlp_layernorm.bias",
    Part.GATE_UP: f"{_LAYER}mlp.linear_fc1.weight",
    Part.UP: f"{_LAYER}mlp.linear_fc1.weight",
    Part.UP_BIAS: f"{_LAYER}mlp.linear_fc1.bias",
    Part.DOWN: f"{_LAYER}mlp.linear_fc2.weight",
    Part.DOWN_BIAS: f"{_LAYER}mlp.linear_fc2.bias",
    Part.FINAL_NORM: "decoder.final_layernorm.weight",
    Part.FINAL_NORM_BIAS: "decoder.final_layernorm.bias",
    Part.READOUT: "output_layer.weight",
}
#: what Transformer Engine calls norms that it keeps inside a linear layer
ENGINE_NAMES: Mapping[str, str] = {
    "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
    "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
}
#: flags that are read -> Megatron's default; True and False stand for a flag without a value
DEFAULTS: Mapping[str, Any] = {
    "num-layers": None, "hidden-size": None, "ffn-hidden-size": None, "num-attention-heads": None,
    "kv-channels": None, "group-query-attention": False, "num-query-groups": 1, "seq-length": None,
    "max-position-embeddings": None, "swiglu": False, "normalization": "LayerNorm", "norm-epsilon": 1e-5,
    "qk-layernorm": False, "untie-embeddings-and-output-weights": False, "disable-bias-linear": False,
    "add-qkv-bias": False, "no-bias-gelu-fusion": False, "position-embedding-type": "learned_absolute",
    "rotary-base": 10000, "attention-dropout": 0.1, "hidden-dropout": 0.1, "global-batch-size": None,
    "use-mup": False, "mup-base-hidden-size": None, "mup-base-head-dim": None, "mup-attn-scale-power": 1.0,
    "mup-output-mult": 1.0, "mup-embedding-mult": 1.0, "init-method-std": 0.02, "embedding-init-method-std": None,
    "optimizer": "adam", "lr": None, "min-lr": 0.0, "weight-decay": 0.01, "adam-beta1": 0.9, "adam-beta2": 0.999,
    "adam-eps": 1e-8, "sgd-momentum": 0.9, "muon-momentum": 0.9, "muon-nesterov": False, "muon-no-split-qkv": False,
    "muon-scale-mode": "spectral", "muon-extra-scale-factor": 1.0, "muon-coefficient-type": "quintic",
    "muon-num-ns-steps": 5, "muon-scalar-optimizer": "adam", "clip-grad": 1.0, "lr-decay-style": "linear",
    "lr-warmup-iters": 0, "lr-warmup-init": 0.0, "train-iters": None, "lr-decay-iters": None,
    "lr-wsd-decay-style": "exponential", "lr-wsd-decay-iters": None,
}  # fmt: skip
#: flags that take whole numbers
WHOLE = frozenset(
    name
    for name in DEFAULTS
    if name.endswith(("-iters", "-size", "-layers", "-heads", "-groups", "-length", "-embeddings", "-channels"))
    or name in ("rotary-base", "muon-num-ns-steps")
)
_TEXT = frozenset(name for name, default in DEFAULTS.items() if isinstance(default, str))
_ENDS = frozenset({Part.EMBEDDING, Part.POSITIONS, Part.READOUT})


@dataclass(frozen=True, slots=True)
class Python:
    """What a Python file adds to the flags.

    Attributes:
        overrides: (patterns of names, keys of `ParamGroupOverride`); they take the place of Megatron's own exclusion of
            vectors from decay.
        output_std: fan-in -> std of the weights that write the residual stream; empty leaves Megatron's own.
    """

    overrides: Sequence[tuple[Sequence[str], Mapping[str, float]]]
    output_std: Mapping[int, float]


class Flags(dict[str, Any]):
    """Values by name without dashes in front; what is missing has Megatron's default."""

    def __missing__(self, name: str) -> Any:
        """Megatron's own default."""
        return DEFAULTS[name]

    @property
    def head_dim(self) -> int:
        """Numbers per head, `kv_channels`."""
        return int(self["kv-channels"] or self["hidden-size"] // self["num-attention-heads"])

    @property
    def width_mult(self) -> float:
        """How many times wider than the base the switch takes the model to be; 1 without a base width."""
        base = self["mup-base-hidden-size"]
        return self["hidden-size"] / base if self["use-mup"] and base else 1.0

    @property
    def logits(self) -> float:
        """What `forward` multiplies the logits by: left at exactly 1 it becomes one over the width's growth."""
        if not self["use-mup"]:
            return 1.0
        own = float(self["mup-output-mult"])
        return 1.0 / self.width_mult if own == 1.0 and self.width_mult != 1.0 else own

    @property
    def softmax_scale(self) -> float:
        """What attention logits are multiplied by."""
        if not self["use-mup"]:
            return float(self.head_dim**-0.5)
        base = self["mup-base-head-dim"]
        return float((1.0 if base is None else base**0.5) / self.head_dim ** self["mup-attn-scale-power"])


def read_flags(text: str | Sequence[str]) -> tuple[Flags, tuple[str, ...]]:
    """Flags of a list of arguments as argparse takes them, and what is none of `DEFAULTS`; no shell is run.

    Of two equal flags the last counts, and `--flag=value` is a flag with its value.

    Args:
        text: arguments as a shell takes them, perhaps over several lines, with comments; or their words.

    Raises:
        UsageError: a value is missing, is no number, or stands behind a flag that takes none.
    """
    words = shlex.split(text, comments=True) if isinstance(text, str) else list(text)
    flags, unknown, at = Flags(), [], 0
    while at < len(words):
        word, at = words[at], at + 1
        name, equals, said = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in DEFAULTS:
            unknown.append(word)
        elif isinstance(DEFAULTS[name], bool):
            if equals:
                raise UsageError(f"`--{name}` must stand without a value", received=word)
            flags[name] = True
        else:
            if not equals:
                said, at = words[at] if at < len(words) else "", at + 1
            flags[name] = _value(name, said)
    return flags, tuple(unknown)


def _value(name: str, said: str) -> Any:
    """A value of a flag, of its kind; a word that begins with a dash is one only as a number."""
    try:
        if name in _TEXT:
            if not said or said.startswith("-"):
                raise ValueError(said or "nothing")
            return said
        return int(said) if name in WHOLE else float(said)
    except ValueError as error:
        raise UsageError(f"`--{name}` must have a value of its kind", received=str(error)) from None


def flags_text(flags: Mapping[str, Any]) -> str:
    """The flags as lines of a shell's array, each value quoted.

    Args:
        flags: without dashes; True is a flag without a value, False and None are left out.
    """
    lines = []
    for name, value in flags.items():
        if value is True:
            lines.append(f"  --{name}")
        elif value is not None and value is not False:
            lines.append(f"  --{name} {shlex.quote(value if isinstance(value, str) else repr(value))}")
    return "\n".join(lines) + "\n"


def parameters(flags: Flags) -> Iterator[tuple[Part, str]]:
    """Part and name of every parameter of Megatron's GPT model."""
    biases, norm_biases = not flags["disable-bias-linear"], flags["normalization"] == "LayerNorm"
    there = {
        Part.POSITIONS: flags["position-embedding-type"] == "learned_absolute",
        Part.READOUT: flags["untie-embeddings-and-output-weights"],
        Part.QUERY_KEY_VALUE_BIAS: biases or flags["add-qkv-bias"],
        Part.QUERY_NORM: flags["qk-layernorm"],
        Part.KEY_NORM: flags["qk-layernorm"],
        Part.GATE_UP: flags["swiglu"],
        Part.UP: not flags["swiglu"],
        **dict.fromkeys((Part.ATTENTION_OUT_BIAS, Part.UP_BIAS, Part.DOWN_BIAS), biases),
        **dict.fromkeys((Part.ATTENTION_NORM_BIAS, Part.MLP_NORM_BIAS, Part.FINAL_NORM_BIAS), norm_biases),
    }
    for part, template in NAMES.items():
        if there.get(part, True):
            layers = range(flags["num-layers"]) if "{layer}" in template else range(1)
            yield from ((part, template.replace("{layer}", str(layer))) for layer in layers)


def trained_by(flags: Flags, python: Python | None) -> Iterator[Trained]:
    """What Megatron trains each parameter with.

    Args:
        flags: all flags of the command.
        python: what a Python file adds; None: none is used.

    Raises:
        UsageError: two overrides of a parameter disagree, which Megatron refuses too.
    """
    for part, name in parameters(flags):
        group = _override(flags, python, part, name)
        managed = _by_muon(flags, part)
        plain = {"adam": "adamw"}.get(flags["muon-scalar-optimizer"] if _muon(flags) else flags["optimizer"])
        adam = plain == "adamw" and not managed
        yield Trained(
            name,
            _std(flags, python, part),
            group.get("max_lr", flags["lr"]),
            flags["weight-decay"] * group.get("wd_mult", 1.0),
            group.get("eps", flags["adam-eps"]) if adam else None,
            _multiplier(flags, part),
            "muon" if managed else plain or flags["optimizer"],
        )
    if flags["num-attention-heads"] is not None:
        yield Trained(ATTENTION, None, 0.0, 0.0, None, flags.softmax_scale * flags.head_dim**0.5)


def _override(flags: Flags, python: Python | None, part: Part, name: str) -> dict[str, float]:
    """All overrides of a parameter together: Megatron's own, a file's and the switch's."""
    vector = _is_vector(part)
    found: list[Mapping[str, float]] = [_switch(flags, part, vector=vector)]
    if python is None:
        found.append({"wd_mult": 0.0} if vector else {})
    else:
        engine = next((name.replace(ours, theirs) for ours, theirs in ENGINE_NAMES.items() if ours in name), name)
        local, other = (_matching(python, each) for each in (name, engine))
        if local != other:
            raise UsageError(
                "overrides must match a norm by both of its names", received=f"{name}: {local}, {engine}: {other}"
            )
        found += local
    together: dict[str, float] = {}
    for each in found:
        for key, value in each.items():
            if together.setdefault(key, value) != value:
                raise UsageError(
                    "overrides of one parameter must agree, or Megatron stops with `Conflicting overrides`",
                    received=f"{name}: {key} {together[key]!r} and {value!r}",
                    hint="`--use-mup` sets the rates of hidden matrices by itself",
                )
    return together


def _matching(python: Python, name: str) -> list[Mapping[str, float]]:
    # the wrapper for data parallelism puts `module.` in front of every name
    return [
        values
        for patterns, values in python.overrides
        if any(fnmatchcase(f"module.{name}", pattern) for pattern in patterns)
    ]


def _switch(flags: Flags, part: Part, *, vector: bool) -> dict[str, float]:
    """What `--use-mup` overrides: Adam's hidden matrices, SGD's vectors and ends; nothing at the base width."""
    grown = flags.width_mult
    like_vector = vector or part in _ENDS
    if grown == 1.0:
        return {}
    if flags["optimizer"] == "sgd":
        scale = grown if like_vector else None
    else:
        scale = None if like_vector or _by_muon(flags, part) else 1.0 / grown
    if scale is None:
        return {}
    values = {"max_lr": flags["lr"] * scale, "min_lr": flags["min-lr"] * scale}
    return values | ({"eps": flags["adam-eps"] * scale} if "adam" in flags["optimizer"] else {})


def _is_vector(part: Part) -> bool:
    return part.name.endswith(("_BIAS", "_NORM"))


def _muon(flags: Flags) -> bool:
    return bool(flags["optimizer"] == "muon")


def _by_muon(flags: Flags, part: Part) -> bool:
    """Every matrix but the token table and the readout; learned positions are one of them."""
    return _muon(flags) and not _is_vector(part) and part not in (Part.EMBEDDING, Part.READOUT)


def _std(flags: Flags, python: Python | None, part: Part) -> float | None:
    base = flags["init-method-std"]
    if _is_vector(part):
        return None
    if part in (Part.EMBEDDING, Part.POSITIONS) or (part is Part.READOUT and flags["use-mup"]):
        return float(base if flags["embedding-init-method-std"] is None else flags["embedding-init-method-std"])
    hidden = base / math.sqrt(flags.width_mult)
    if part not in (Part.ATTENTION_OUT, Part.DOWN):
        return float(hidden)
    if python is None or not python.output_std:
        return float(hidden / math.sqrt(2.0 * flags["num-layers"]))
    inputs = fan_in(flags, part)
    if inputs not in python.output_std:
        raise UsageError(
            "OUTPUT_STD must hold every weight that writes the residual stream, by its inputs", received=str(inputs)
        )
    return python.output_std[inputs]


def _multiplier(flags: Flags, part: Part) -> float:
    tied = not flags["untie-embeddings-and-output-weights"]
    embedding = float(flags["mup-embedding-mult"]) if flags["use-mup"] and part is Part.EMBEDDING else 1.0
    return embedding * (flags.logits if part is Part.READOUT or (tied and part is Part.EMBEDDING) else 1.0)


def fan_in(flags: Flags, part: Part) -> int:
    """Inputs of a matrix that writes the residual stream, on all devices together.

    Args:
        flags: all flags of the command.
        part: the attention's output or the MLP's.
    """
    width, own = flags["hidden-size"], flags["ffn-hidden-size"]
    if own is None:
        own = int(4 * width * 2 / 3 / 64) * 64 if flags["swiglu"] else 4 * width
    return int(own if part is Part.DOWN else flags.head_dim * flags["num-attention-heads"])


def shape_of(flags: Flags, part: Part) -> tuple[int | None, ...]:
    """The shape of a parameter of Megatron's model; None for a side that the flags do not say.

    Args:
        flags: all flags of the command.
        part: of the decoder, alone or in a matrix with others.
    """
    width, inner, dim = flags["hidden-size"], fan_in(flags, Part.DOWN), flags.head_dim
    heads = flags["num-attention-heads"]
    queries, keys = heads * dim, (flags["num-query-groups"] if flags["group-query-attention"] else heads) * dim
    rows = {
        Part.QUERY: queries, Part.KEY: keys, Part.VALUE: keys, Part.QUERY_KEY_VALUE: queries + 2 * keys,
        Part.GATE: inner, Part.UP: inner, Part.GATE_UP: 2 * inner,
    }  # fmt: skip
    biases = {
        Part.QUERY_BIAS: queries, Part.KEY_BIAS: keys, Part.VALUE_BIAS: keys,
        Part.QUERY_KEY_VALUE_BIAS: queries + 2 * keys, Part.UP_BIAS: inner, Part.QUERY_NORM: dim, Part.KEY_NORM: dim,
    }  # fmt: skip
    if part in rows:
        return rows[part], width
    whole: Mapping[Part, tuple[int | None, ...]] = {
        Part.EMBEDDING: (None, width),
        Part.READOUT: (None, width),
        Part.POSITIONS: (flags["max-position-embeddings"], width),
        Part.ATTENTION_OUT: (width, queries),
        Part.DOWN: (width, inner),
    }
    return whole.get(part, (biases.get(part, width),))


def fans(flags: Flags, part: Part) -> tuple[int, int]:
    """(outputs, inputs) of a matrix that Muon takes; of query, key and value, which it takes apart, the query's.

    Args:
        flags: all flags of the command.
        part: a matrix between the ends, or learned positions.
    """
    width, heads = flags["hidden-size"], flags.head_dim * flags["num-attention-heads"]
    inner = fan_in(flags, Part.DOWN)
    if part is Part.QUERY_KEY_VALUE:
        groups = flags["num-query-groups"] if flags["group-query-attention"] else flags["num-attention-heads"]
        return (heads + 2 * groups * flags.head_dim if flags["muon-no-split-qkv"] else heads), width
    return {
        Part.ATTENTION_OUT: (width, heads),
        Part.GATE_UP: (2 * inner, width),
        Part.UP: (inner, width),
        Part.DOWN: (width, inner),
    }.get(part, (flags["max-position-embeddings"] or width, width))


#: `--muon-scale-mode` -> the factor of (outputs, inputs)
_MUON: Mapping[str, Callable[[int, int], float]] = {
    "shape_scaling": SHAPE_FACTORS["original"],
    "unit_rms_norm": SHAPE_FACTORS["spectral"],
    "spectral": lambda fan_out, fan_in: math.sqrt(max(fan_out, fan_in)),
}


def muon_factor(flags: Flags, fan_out: int, fan_in: int) -> float:
    """What Megatron's Muon multiplies a matrix's rate with.

    Args:
        flags: all flags of the command.
        fan_out: outputs of the matrix.
        fan_in: inputs of the matrix.
    """
    return float(_MUON[flags["muon-scale-mode"]](fan_out, fan_in) * flags["muon-extra-scale-factor"])


def rate(flags: Flags, max_lr: float, min_lr: float, iteration: int) -> float:
    """The rate of a group in an iteration, counted from 0.

    Args:
        flags: all flags of the command.
        max_lr: the group's largest rate.
        min_lr: the group's smallest rate.
        iteration: optimizer steps taken before.
    """
    rising, style = flags["lr-warmup-iters"], flags["lr-decay-style"]
    whole = flags["lr-decay-iters"] or flags["train-iters"]
    start = flags["lr-warmup-init"]
    if rising > 0 and iteration <= rising:
        return float(start + (max_lr - start) * iteration / rising)
    if style == "constant":
        return max_lr
    if iteration > whole:
        return min_lr
    if style == "inverse-square-root":
        # Megatron counts examples
        batch = flags["global-batch-size"]
        return max(min_lr, max_lr * math.sqrt(max(rising * batch, 1) / max(iteration * batch, 1)))
    return min_lr + (max_lr - min_lr) * _shape(flags, iteration, rising, whole)


def _shape(flags: Flags, iteration: int, rising: int, whole: int) -> float:
    progress = (iteration - rising) / (whole - rising)
    match flags["lr-decay-style"]:
        case "linear":
            return 1.0 - progress
        case "cosine":
            return 0.5 * (math.cos(math.pi * progress) + 1.0)
        case _:
            falling = flags["lr-wsd-decay-iters"]
            begin = whole - falling
            share = 0.0 if iteration <= begin else (iteration - begin) / falling
            shapes = {
                "linear": 1.0 - share,
                "cosine": 0.5 * (math.cos(math.pi * share) + 1.0),
                "exponential": 2.0 * 0.5**share - 1.0,
                "minus_sqrt": 1.0 - math.sqrt(share),
            }
            return float(shapes[flags["lr-wsd-decay-style"]])


def floors(flags: Flags, python: Python | None) -> list[tuple[float, float]]:
    """(largest, smallest) rate of every group, once each.

    Args:
        flags: all flags of the command.
        python: what a Python file adds; None: none is used.
    """
    return list(dict.fromkeys(floors_by_name(flags, python).values()))


def floors_by_name(flags: Flags, python: Python | None) -> dict[str, tuple[float, float]]:
    """(largest, smallest) rate of every parameter by its name.

    Args:
        flags: all flags of the command.
        python: what a Python file adds; None: none is used.
    """
    found = {}
    for part, name in parameters(flags):
        group = _override(flags, python, part, name)
        found[name] = (float(group.get("max_lr", flags["lr"])), float(group.get("min_lr", flags["min-lr"])))
    return found
