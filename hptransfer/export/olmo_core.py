"""OLMo-core: a Python file of its model, optimizer and scheduler configurations, which a training script imports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeGuard, TypeVar

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import Decoder, decoder_of, require_fixed_heads
from hptransfer.handover.header import About, commented, header
from hptransfer.handover.parts import WRITERS, Names, Part, places
from hptransfer.handover.planned_values import run_values
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.moved_multiplier import whole_multiplier, with_multiplier
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity
from hptransfer.schedule import DECAY_SHARE

Value = TypeVar("Value")

FILE = "hptransfer_olmo_core.py"
#: its names: olmo_core/nn/transformer/{model,block}.py; w1 is the gate, `w2(act(w1(x)) * w3(x))` in nn/feed_forward.py
NAMES: Names = {
    Part.EMBEDDING: "embeddings.weight",
    Part.ATTENTION_NORM: "blocks.{layer}.attention_norm.weight",
    Part.QUERY: "blocks.{layer}.attention.w_q.weight",
    Part.KEY: "blocks.{layer}.attention.w_k.weight",
    Part.VALUE: "blocks.{layer}.attention.w_v.weight",
    Part.QUERY_NORM: "blocks.{layer}.attention.q_norm.weight",
    Part.KEY_NORM: "blocks.{layer}.attention.k_norm.weight",
    Part.ATTENTION_OUT: "blocks.{layer}.attention.w_out.weight",
    Part.MLP_NORM: "blocks.{layer}.feed_forward_norm.weight",
    Part.GATE: "blocks.{layer}.feed_forward.w1.weight",
    Part.UP: "blocks.{layer}.feed_forward.w3.weight",
    Part.DOWN: "blocks.{layer}.feed_forward.w2.weight",
    Part.FINAL_NORM: "lm_head.norm.weight",
    Part.READOUT: "lm_head.w_out.weight",
}
#: model families of transformers that are OLMo-core's Llama-like model
_FAMILIES = ("llama", "mistral", "qwen3")
#: settings of those families that change nothing here, or that are read elsewhere
_FREE = frozenset(
    {
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
        "num_hidden_layers",
        "vocab_size",
        "head_dim",
        "max_position_embeddings",
        "initializer_range",
        "rms_norm_eps",
        "tie_word_embeddings",
        "rope_theta",
        "rope_parameters.rope_theta",
        "use_cache",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "max_window_layers",
        "dtype",
    }
)
#: settings -> the one value that OLMo-core's model has
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "attention_dropout": (0, None),
    "rope_parameters.rope_type": ("default",),
    "rope_scaling": (None,),
    "sliding_window": (None,),
    "use_sliding_window": (False,),
    "pretraining_tp": (1,),
}
#: of a normal distribution that is cut at 3 std, as OLMo-core draws: its own std over the parameter
CUT = math.sqrt(1 - 6 * math.exp(-4.5) / math.sqrt(2 * math.pi) / math.erf(3 / math.sqrt(2)))

_FACTORS = """\
# One std for all linear layers is what OLMo-core has, so these are multiplied after its own init. In the script, right
# after the train module is built (that initialises the model), and before a checkpoint is loaded:
#   init_(train_module.model)
FACTORS = {factors}
_STARTED = weakref.WeakSet()


@torch.no_grad()
def init_(model):
    if model in _STARTED:
        raise RuntimeError("hptransfer: init_ was called on this model before")
    for name, parameter in model.named_parameters():
        for glob, factor in FACTORS.items():
            if fnmatch.fnmatchcase(name, glob):
                parameter.mul_(factor)
    _STARTED.add(model)
"""
_STARTED = """
    def set_lr(self, group, trainer):  # refuses the first step where init_ was forgotten
        if not _STARTED:
            raise RuntimeError("hptransfer: call init_(train_module.model) right after the train module is built")
        return super().set_lr(group, trainer)
"""
#: schedule -> its share of the peak after the warmup, without the floor, at `step` from 0
_SHAPES: Mapping[str, str] = {
    "constant": "1.0",
    "linear": "1.0 - (step - WARMUP) / (STEPS - WARMUP)",
    "cosine": "0.5 * (1.0 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))",
    "wsd": "1.0 - max(step - DECAY_BEGIN, 0) / (STEPS - DECAY_BEGIN)",
    # without a warmup the first step is the unit of time
    "inverse-sqrt": "math.sqrt(max(WARMUP, 1) / (step + max(WARMUP, 1) - WARMUP))",
}
_SCHEDULE = """\
class Planned(Scheduler):
    # {schedule}, a share of each group's own peak, so that the groups keep their ratios; its values are those of the
    # runs that were tuned, step by step. OLMo-core counts a step before it takes it.
    def get_lr(self, initial_lr, current, t_max):
        step = min(max(current, 1), STEPS) - 1
        if step < WARMUP:
            return initial_lr * ((step + 1) / WARMUP)
        shape = {shape}
        return initial_lr * (FLOOR + (1.0 - FLOOR) * shape)
{started}

def scheduler():
    return Planned()
"""
_OWN_SCHEDULE = """\
def scheduler():
    raise NotImplementedError("the schedule was the trainer's own: put an OLMo-core scheduler here")
"""
#: name of the optimizer -> OLMo-core's configuration, and whether it has eps
_OPTIMIZERS: Mapping[str, tuple[str, bool]] = {
    "adamw": ("AdamWConfig", True),
    "adam": ("AdamConfig", True),
    "lion": ("LionConfig", False),
}


class _OlmoCore:
    """Configurations of model, optimizer and scheduler in a Python file that a training script imports as it is."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    about = About(
        plain=False,
        framework="OLMo-core",
        read_at="ai2-olmo-core 3.0.0",
        itself="scales nothing; final values of this size are written. Its blocks multiply what enters the residual "
        "stream by *_residual_alpha, which is the plan's residual factor (1 where it has none), so the matrices that "
        "write the stream keep the rates of that form; the readout's factor is in its init, rate, decay and eps. "
        "Its draws are cut at 3 std, so init_std is the plan's over 0.98658.",
        executed="ai2-olmo-core 3.0.0: its model, init_weights, AdamWConfig and scheduler, in this project's tests",
        by_hand=(
            "in the training script: model_config().build(...), optim_config(), scheduler() and MAX_GRAD_NORM in "
            "TransformerTrainModuleConfig, STEPS as the trainer's max_duration, BATCH_SIZE sequences of "
            "SEQUENCE_LENGTH tokens per step; "
            "init_(train_module.model) where this file has init_.",
            "data, precision, FSDP, compilation and checkpoints; a vocabulary that is padded is another model.",
            "another scheduler of OLMo-core's must have minimum rates (warmup_min_lr, decay_min_lr) of 0: they are "
            "absolute, one for all groups.",
        ),
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        decoder = required_decoder(target)
        return decoder.in_names(NAMES, lambda part, group: _in_form(part, group, target.optimizer))

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The file.

        Args:
            target: in the gauge of the user's model.

        Raises:
            UsageError: OLMo-core's model cannot be the user's, or it cannot train it as planned.
        """
        _require_trainable(target)
        decoder = required_decoder(target)
        named = {each.name: each for each in self.trained(target)}
        linear, embedding, factors = _stds(decoder, named)
        sections = [
            commented(header(target, "olmo-core", self.about))
            + _imports(target, bool(factors))
            + _constants(target, decoder),
            _model(decoder, named, linear, embedding),
            _optimizer(target, decoder, named),
            *([_FACTORS.format(factors=_lines(factors))] if factors else []),
            _schedule(target.training, _STARTED if factors else ""),
        ]
        return {FILE: "\n\n\n".join(section.rstrip("\n") for section in sections) + "\n"}


def required_decoder(target: TargetFile) -> Decoder:
    """The user's model, which OLMo-core's Llama-like model must be able to be.

    Args:
        target: in any gauge, of a model that transformers has.

    Raises:
        UsageError: it is another model; the message names what differs.
    """
    decoder = decoder_of(target)
    require_fixed_heads(target, "OLMo-core")
    faults = list(_other_model(target, decoder))
    if faults:
        raise UsageError(
            f"OLMo-core's Llama-like model must be the user's, of the family {', '.join(_FAMILIES)}",
            received="; ".join(faults),
            hint="the formats torch and huggingface take a model of one's own as it is",
        )
    return decoder


def _other_model(target: TargetFile, decoder: Decoder) -> Iterator[str]:
    """What of the user's model OLMo-core's lacks or has otherwise, a clause each."""
    lost = dict.fromkeys(part.value for part, _ in decoder.rows if part not in NAMES)
    if lost:
        yield f"parts that it lacks: {', '.join(lost)}"
    if not decoder.gated:
        yield "an MLP without a gate"
    model = target.model
    if model is None or model.kind != "huggingface" or model.name not in _FAMILIES:
        yield f"the model {'that was planned in Python' if model is None else model.name or model.kind}"
        return
    if decoder.heads is None:
        yield "no `num_attention_heads` among the model's settings"
    if model.name == "mistral" and "sliding_window" not in model.settings:
        yield "a sliding window of 4096, mistral's default; `sliding_window: null` is none"
    for key, value in model.settings.items():
        if key not in _FREE and value not in _FIXED.get(key, ()):
            yield f"{key} {value!r}"
    for group in target.parameters:
        if group.role == Role.FROZEN:
            yield f"{group.pattern} frozen"
        elif (group.init in ("kept", "constant") and group.init_value != 1) or (group.init, len(group.shape)) == (
            "zeros",
            1,
        ):
            yield f"{group.pattern} started by the model's own code"


def model_settings(decoder: Decoder) -> dict[str, int | float | bool]:
    """What OLMo-core's `llama_like` is called with.

    Args:
        decoder: that was required by `required_decoder`.
    """
    theta = decoder.theta
    return {
        "d_model": decoder.width,
        "vocab_size": decoder.vocabulary,
        "n_layers": decoder.layers,
        "n_heads": decoder.heads or 0,
        "n_kv_heads": decoder.key_value_heads or 0,
        "head_dim": decoder.head_dim or 0,
        "hidden_size": decoder.feed_forward,
        "rope_theta": int(theta) if theta == int(theta) else theta,
        "layer_norm_eps": decoder.norm_eps(1e-6),
        "tie_word_embeddings": decoder.tied,
        "qk_norm": decoder.has(Part.QUERY_NORM),
    }


def _in_form(part: Part, group: ParameterGroup, optimizer: str) -> ParameterGroup:
    """The group as OLMo-core trains it: the residual factor in `forward`, no factor at the logits.

    A tied table reads out without a factor too, so it takes the factor in, and `embed_scale` takes it out again where
    the table is looked up.
    """
    if part in WRITERS:
        return with_multiplier(group, whole_multiplier(group), optimizer)
    if group.role == Role.TIED_EMBEDDING:
        table = with_multiplier(replace(group, role=Role.READOUT.value), 1.0, optimizer)
        return replace(table, role=group.role, multiplier=1 / group.multiplier)
    return with_multiplier(group, 1.0, optimizer)


def _require_trainable(target: TargetFile) -> None:
    others = {group.optimizer for group in target.parameters} - {None, target.optimizer}
    if target.optimizer not in _OPTIMIZERS or others:
        raise UsageError(
            f"OLMo-core has groups of parameters with the optimizers {', '.join(_OPTIMIZERS)}",
            received=target.optimizer,
            hint="its MuonConfig, NorMuonConfig and DionConfig refuse group_overrides, so one rate would train all "
            "matrices: tune under adamw, or take the format torch, whose groups any training script can use",
        )
    if target.training is not None and target.training.clip_norm == "scaled":
        raise UsageError(
            "OLMo-core clips by the norm of all gradients, not by gradients over their expected sizes",
            received="clip_norm: scaled",
            hint="`clip_norm: global`, or the format torch with `hptransfer.load_plan(...).clip_grad_norm_`",
        )


def _stds(decoder: Decoder, named: Mapping[str, Trained]) -> tuple[float, float, dict[str, float]]:
    """Std of linear layers, that of the table, and glob -> factor for what has another."""
    table = NAMES[Part.EMBEDDING]
    matrices = {NAMES[part].replace("{layer}", str(layer)) for part, layer in decoder.rows if "norm" not in part.value}
    drawn = {name: named[name].init_std or 0.0 for name in named if name in matrices and name != table}
    linear = max(dict.fromkeys(drawn.values()), key=list(drawn.values()).count)
    embedding = named[table].init_std or 0.0
    factors = {glob: std / linear for glob, std in _globs(decoder, drawn) if std != linear}
    return linear, embedding, factors


def _globs(decoder: Decoder, values: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """Values by glob: one for all layers where they agree, else one for each."""
    for part, template in NAMES.items():
        found = {name: values[name] for of, _, name in places(NAMES, decoder.layers) if of is part and name in values}
        if len(set(found.values())) == 1:
            yield template.replace("{layer}", "*"), next(iter(found.values()))
        else:
            yield from found.items()


def _imports(target: TargetFile, factors: bool) -> str:
    names = {_OPTIMIZERS[target.optimizer][0], "OptimGroupOverride"}
    shape = _SHAPES[target.training.schedule] if _is_scheduled(target.training) else None
    own = [*(["fnmatch"] if factors else []), *(["math"] if shape and "math." in shape else [])]
    own += ["weakref"] if factors else []
    lines = [*(f"import {each}" for each in own), *([""] if own else []), *(["import torch"] if factors else [])]
    lines += [
        "from olmo_core.nn.feed_forward import FeedForwardConfig",
        "from olmo_core.nn.transformer import InitMethod, TransformerConfig",
        f"from olmo_core.optim import {', '.join(sorted(names))}",
        *(["from olmo_core.optim.scheduler import Scheduler"] if shape else []),
    ]
    return "\n".join(lines) + "\n\n"


def _lines(values: Mapping[str, float]) -> str:
    """A dictionary as Python text, an entry a line."""
    return "{\n" + "".join(f"    {name!r}: {value!r},\n" for name, value in values.items()) + "}"


def _constants(target: TargetFile, decoder: Decoder) -> str:
    training, length = target.training, run_values(target).get("sequence_length", decoder.context)
    if training is None:
        return "MAX_GRAD_NORM = None  # nothing was said of clipping, duration and batch\n"
    # a weight behind a residual factor has a gradient that is that factor times the user's model's
    clip = "" if training.clip is None else "  # over the gradients of weights as this model holds them"
    text = (
        f"STEPS = {training.steps!r}\n"
        f"BATCH_SIZE = {training.batch_size!r}  # sequences per optimizer step, of all ranks together\n"
        f"SEQUENCE_LENGTH = {length!r}  # {'tokens; neither run nor model says it' if length is None else 'tokens'}\n"
        f"MAX_GRAD_NORM = {training.clip!r}{clip}\n"
    )
    if not _is_scheduled(training):
        return text
    rising, steps = round((training.warmup or 0.0) * training.steps), training.steps
    text += f"WARMUP = {rising!r}  # steps; the first has a rate above zero\n"
    if training.schedule == "wsd":
        falling = round((DECAY_SHARE if training.decay_share is None else training.decay_share) * steps)
        begin = min(max(rising, steps - falling), steps - 1)
        text += f"DECAY_BEGIN = {begin!r}  # the last step with the peak, from 0\n"
    return text + f"FLOOR = {training.floor!r}  # share of the peak\n"


def _is_scheduled(training: TrainingRecord | None) -> TypeGuard[TrainingRecord]:
    return training is not None and training.schedule != "own"


def _model(decoder: Decoder, named: Mapping[str, Trained], linear: float, embedding: float) -> str:
    """The function that returns the model's configuration."""
    settings = model_settings(decoder)
    hidden, normed = settings.pop("hidden_size"), settings.pop("qk_norm")
    if normed:
        settings |= {"qk_norm": True, "use_head_qk_norm": True}
    arguments = "".join(f"        {name}={value!r},\n" for name, value in settings.items())
    scale = named[NAMES[Part.EMBEDDING]].multiplier
    if scale != 1:
        arguments += f"        embed_scale={scale!r},  # the table holds the logits' factor; this takes it out again\n"
    attention, mlp = (_residual(named, NAMES[part], decoder.layers) for part in (Part.ATTENTION_OUT, Part.DOWN))
    return f"""\
def model_config(**others):  # others: what changes no value here, such as dtype and attn_backend
    config = TransformerConfig.llama_like(
{arguments}\
        feed_forward=FeedForwardConfig(hidden_size={hidden!r}, bias=False),
        init_method=InitMethod.normal,
        # both are of a normal distribution that is cut at 3 std; its own std is {CUT:.5f} of what is written
        init_std={linear / CUT!r},  # for {linear!r}
        embedding_init_std={embedding / CUT!r},  # for {embedding!r}
        **others,
    )
    config.block.attention_residual_alpha = {attention!r}
    config.block.feed_forward_residual_alpha = {mlp!r}
    return config
"""


def _residual(named: Mapping[str, Trained], template: str, layers: int) -> float:
    """The factor of a branch, which is one for all blocks."""
    factors = {named[template.replace("{layer}", str(layer))].multiplier for layer in range(layers)}
    if len(factors) > 1:
        raise UsageError("all blocks must have the same residual factor", received=f"{template}: {sorted(factors)}")
    return factors.pop()


def _optimizer(target: TargetFile, decoder: Decoder, named: Mapping[str, Trained]) -> str:
    """The function that returns the optimizer's configuration: every parameter is in one of its groups."""
    name, has_eps = _OPTIMIZERS[target.optimizer]
    values = target.hyperparameters
    groups: dict[str, list[str]] = {}
    options = {each: _options(parameter, has_eps) for each, parameter in named.items()}
    for glob, said in _globs(decoder, options):
        groups.setdefault(said, []).append(glob)
    overrides = "".join(
        "            OptimGroupOverride(\n                params=[\n"
        + "".join(f"                    {glob!r},\n" for glob in globs)
        + f"                ],\n                opts=dict({said}),\n            ),\n"
        for said, globs in groups.items()
    )
    betas = f"({target.optimizer_values['beta1']!r}, {target.optimizer_values['beta2']!r})"
    base = {
        "lr": values["learning_rate"],
        "weight_decay": values.get("weight_decay", 0.0),
        "eps": values.get("eps", 1e-8),
    }
    taken = [key for key in base if key not in {"adam": ("weight_decay",), "lion": ("eps",)}.get(target.optimizer, ())]
    return f"""\
def optim_config():
    return {name}(
        # of the base; unused, since every parameter is in a group
        {", ".join(f"{key}={base[key]!r}" for key in taken)},
        betas={betas},
        group_overrides=[
{overrides}        ],
    )
"""


def _options(parameter: Trained, has_eps: bool) -> str:
    said = f"lr={parameter.learning_rate!r}, weight_decay={parameter.weight_decay!r}"
    return said + (f", eps={parameter.eps!r}" if has_eps else "")


def _schedule(training: TrainingRecord | None, started: str) -> str:
    if not _is_scheduled(training):
        return _OWN_SCHEDULE
    return _SCHEDULE.format(schedule=training.schedule, shape=_SHAPES[training.schedule], started=started)


EXPORTER = _OlmoCore()
