"""Cerebras modelzoo: base values with its muP bases, as a trainer's YAML. Width alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.handover.cerebras import (
    COMMIT,
    FILE,
    GROUPS,
    MATRICES,
    MODEL_DEFAULTS,
    NAMES,
    OPTIONS,
    applied,
    names_of,
    self_applied,
)
from hptransfer.handover.counting import from_zero
from hptransfer.handover.decoder import Decoder, base_head, decoder_of
from hptransfer.handover.decoder_settings import computed
from hptransfer.handover.header import About, header
from hptransfer.handover.parts import Names, Part, places
from hptransfer.handover.planned_values import tuned_names
from hptransfer.handover.switched import (
    ATTENTION,
    LOOKED_UP,
    SwitchedFormat,
    near,
    require_claimed,
    require_keys,
    require_same,
    tidy,
    yaml_file,
)
from hptransfer.handover.trained import Trained
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.moved_multiplier import with_multiplier
from hptransfer.parameterization.notes import attention_scale

_WAYS: Mapping[str, str] = {
    "learning_rate": "a rate for each of embeddings, attention, what the MLP reads with and what it writes with, and "
    "the base's for readout and vectors",
    "weight_decay": f"one weight decay for all matrices and tables, none for vectors: `weight_decay: "
    f"{OPTIONS.weight_decay}` and `decay_vectors: false` in `parameterization`",
    "eps": "one eps for all: `eps: none` in `parameterization`, or growth in width alone",
    "init_std": "one std for tables, for query, key and value, for what the MLP reads with, and each for the rest",
    "multiplier": "a factor on logits and none on residual branches: `mup`, not `completep`, or a target that is as "
    "deep as the base",
}
_DATA = (
    "add backend, precision, checkpoint and the data_processor and data_dir of train_dataloader; start "
    "`cszoo fit hptransfer_cerebras.yaml`. Never run `convert_config_to_mup` on this file: it writes older keys.",
    "its AdamW divides by sqrt(v) + eps before the correction of beta2, so that eps counts as eps / sqrt(1 - beta2^t) "
    "of torch's: more in the first steps, the same later.",
)
_EXTERNAL = (
    "merge these keys into the configuration that the tuned runs had; what is not here stays as it was there "
    "(initializers at the base's std, embeddings_scale, attention, heads), and what was not searched is not here.",
    "filter_size is written as 4 times the width: of another MLP, write both filter sizes in the same ratio.",
    "your schedulers overwrite lr: let their peak be the lr below, and their lengths those of this run; groups' "
    "factors multiply them.",
)


class _Cerebras(SwitchedFormat):
    """`hptransfer_cerebras.yaml`: base stds and rates with `mup_base_hidden_size` and `mup_base_filter_size`."""

    about = About(
        plain=False,
        framework="Cerebras modelzoo",
        counted=from_zero,
        read_at=f"Cerebras/modelzoo, commit {COMMIT}",
        itself="divides the rates of matrices inside blocks, their init stds (by the root) and logits by the growth "
        "over the two muP bases, and draws what writes the residual stream smaller by sqrt(2 depth). Base values are "
        "written, those of such matrices times sqrt(2 depth), so that what is drawn is the plan's.",
        executed=f"modelzoo {COMMIT} on a CPU, unmodified: its configuration, model, init, forward and groups, with "
        "AdamW and schedulers of cerebras_pytorch 2.10.0; its compiler and what needs a CS system are stubs. What they "
        "returned is kept, and files are compared with that",
        by_hand=_DATA,
    )

    def trained(self, target: TargetFile, /) -> Iterable[Trained]:
        """As `FrameworkExporter.trained`."""
        return _planned(target)

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The YAML.

        Args:
            target: in the gauge `multipliers`, or without rows.

        Raises:
            UsageError: modelzoo would train something otherwise than planned, which the message names.
        """
        about, planned = self.about, _planned(target)
        if target.parameters:
            config = _config(target)
            require_same("Cerebras modelzoo", planned, tuple(applied(config)), _WAYS, target)
        else:
            config = _fragment(target)
            about = replace(about, by_hand=(*_EXTERNAL, _DATA[1]))
        return {FILE: yaml_file(header(target, "cerebras", about), config)}


def _growth(target: TargetFile) -> float:
    return target.size.width / target.base.width


def _planned(target: TargetFile) -> tuple[Trained, ...]:
    """The plan in modelzoo's names and form."""
    if target.optimizer != "adamw":
        raise UsageError(
            "the format cerebras writes the optimizer adamw, whose rules modelzoo's muP has",
            received=target.optimizer,
            hint="choose the format torch, torchtitan or megatron",
        )
    return tuple(_rows(target)) if target.parameters else tuple(_by_the_table(target))


def _rows(target: TargetFile) -> Iterator[Trained]:
    decoder = decoder_of(target)

    def form(part: Part, group: ParameterGroup) -> ParameterGroup:
        if part is Part.READOUT:
            return with_multiplier(group, _logits(group, target), target.optimizer)
        if part is Part.EMBEDDING and decoder.tied:
            return group
        # a branch's factor stays: there is no place for it, and the message says so
        return group if group.multiplier != 1 else with_multiplier(group, 1.0, target.optimizer)

    names: Names = NAMES if decoder.gated else {part: name for part, name in NAMES.items() if part is not Part.GATE}
    yield from decoder.in_names(names, form)
    if decoder.tied:
        yield Trained(LOOKED_UP, None, 0.0, 0.0, None, 1.0)
    dim = decoder.head_dim or 1
    yield Trained(ATTENTION, None, 0.0, 0.0, None, attention_scale(dim, base_head(target, dim)) * math.sqrt(dim))


def _logits(group: ParameterGroup, target: TargetFile) -> float:
    """The factor on logits with which the readout has the base's rate, which modelzoo gives it."""
    return group.multiplier * group.learning_rate / target.hyperparameters["learning_rate"]


def _by_the_table(target: TargetFile) -> Iterator[Trained]:
    """Without rows: Table 8 of Tensor Programs V, at the framework's own names."""
    if target.parameterization.partition("(")[0] != "mup":
        raise UsageError(
            "without rows, modelzoo's own rules carry the values on: those of mup, which have none for the depth",
            received=target.parameterization,
            hint="`parameterization: mup`, or name the model in the recipe",
        )
    require_claimed(target, "Cerebras modelzoo", OPTIONS)
    require_keys(target, "Cerebras modelzoo", ("learning_rate", "weight_decay", "eps", "beta1", "beta2"))
    values, growth, tuned = target.hyperparameters, _growth(target), tuned_names(target)
    decay = values["weight_decay"] if "weight_decay" in tuned else None
    for part, _, name in places(names_of(MODEL_DEFAULTS), target.size.depth):
        drawn = part in MATRICES or part in GROUPS["embedding"]
        yield Trained(
            name,
            None,
            values["learning_rate"] / (growth if part in MATRICES else 1.0),
            decay if decay is None or drawn else 0.0,
            values["eps"] if "eps" in tuned else None,
            1 / growth if part is Part.EMBEDDING else 1.0,
        )


# What is written.


def _config(target: TargetFile) -> dict[str, Any]:
    """Every value of a model that is known."""
    decoder = decoder_of(target)
    model = _model(target, decoder)
    optimizer = _optimizer(target, decoder, model)
    init: dict[str, Any] = {"model": model, "optimizer": {"AdamW": optimizer}}
    training = target.training
    if training is not None:
        if training.clip_norm == "scaled":
            raise UsageError(
                "modelzoo clips by the global norm", received="clip_norm: scaled", hint="`clip_norm: global`"
            )
        if training.schedule != "own" and training.warmup is not None:
            init["schedulers"] = [_schedule(training, float(target.hyperparameters["learning_rate"]))]
            init["precision"] = {"max_gradient_norm": training.clip}
        init["loop"] = {"max_steps": training.steps}
    if "schedulers" not in init:
        optimizer["lr"] = float(target.hyperparameters["learning_rate"])
    return {"trainer": {"init": init, "fit": {"train_dataloader": {"batch_size": target.size.batch_size}}}}


def _model(target: TargetFile, decoder: Decoder) -> dict[str, Any]:
    does, growth = computed(target, decoder, "Cerebras modelzoo"), _growth(target)
    filters = _filter_growth(target, decoder)
    embedding, attention, residual = does.dropouts
    if does.head_dim * does.heads != decoder.width:
        raise UsageError(
            "modelzoo's heads must fill the width",
            received=f"{does.heads} heads of {does.head_dim} in {decoder.width}",
            hint="choose the format torch or huggingface",
        )

    def std(part: Part, scale: float = 1.0) -> dict[str, Any]:
        # modelzoo's default is cut at 2 std, whose real std is 0.88 of the parameter
        return {"name": "normal", "mean": 0.0, "std": tidy((decoder.row(part, _layer(part)).init_std or 0.0) * scale)}

    deep = math.sqrt(2 * decoder.layers)
    head = decoder.rows.get((Part.READOUT, None))
    logits, start = 1.0, 0.02
    if decoder.tied:
        logits = decoder.row(Part.EMBEDDING).multiplier * growth
    elif head is not None:
        factor = _logits(head, target)
        logits, start = factor * growth, with_multiplier(head, factor, target.optimizer).init_std or 0.0
    grouped = does.key_value_heads != does.heads
    return {
        "name": "llama" if does.rms else "gpt2",
        "vocab_size": decoder.vocabulary,
        "max_position_embeddings": does.context,
        "hidden_size": decoder.width,
        "num_hidden_layers": decoder.layers,
        "num_heads": does.heads,
        "attention_module": "multiquery_attention" if grouped else "aiayn_attention",
        **({"extra_attention_params": {"num_kv_groups": does.key_value_heads}} if grouped else {}),
        "attention_type": "scaled_dot_product",
        "position_embedding_type": "learned" if does.learned_positions else "rotary",
        **({} if does.learned_positions else {"rotary_dim": does.head_dim, "rope_theta": does.theta}),
        "share_embedding_weights": decoder.tied,
        "norm_type": "rmsnorm" if does.rms else "layernorm",
        "layer_norm_epsilon": does.norm_eps,
        "use_projection_bias_in_attention": does.attention_bias,
        "use_ffn_bias_in_attention": does.attention_bias,
        "use_ffn_bias": does.mlp_bias,
        "use_bias_in_output": False,
        "filter_size": decoder.feed_forward,
        "nonlinearity": does.activation,
        "dropout_rate": residual,
        "embedding_dropout_rate": embedding,
        "attention_dropout_rate": attention,
        "mup_base_hidden_size": target.base.width,
        "mup_base_filter_size": tidy(decoder.feed_forward / filters),
        "embeddings_scale": 1.0,
        "scale_qk_dot_by_d": True,
        "attention_logits_alpha": math.sqrt(base_head(target, does.head_dim)),
        "scale_output_logits_by_d": True,
        "output_logits_alpha": tidy(logits),
        # of the readout alone, since every other initializer is given
        "initializer_range": tidy(start),
        "embedding_initializer": std(Part.EMBEDDING),
        "initializer": std(Part.QUERY, math.sqrt(growth)),
        "output_layer_initializer": std(Part.ATTENTION_OUT, math.sqrt(growth) * deep),
        "ffn_initializer": std(Part.UP, math.sqrt(growth)),
        "ffn_output_layer_initializer": std(Part.DOWN, math.sqrt(filters) * deep),
        "loss_scaling": "num_tokens",
        "loss_weight": 1.0,
    }


def _layer(part: Part) -> int | None:
    return 0 if "{layer}" in NAMES[part] else None


def _filter_growth(target: TargetFile, decoder: Decoder) -> float:
    """The MLP's growth: the width's, but where its matrix says otherwise (sizes that were rounded)."""
    down = decoder.row(Part.DOWN, 0)
    rate = target.hyperparameters["learning_rate"]
    grown = rate / down.learning_rate if down.learning_rate else 1.0
    exact = _growth(target)
    return exact if near(grown, exact) else grown


def _optimizer(target: TargetFile, decoder: Decoder, model: Mapping[str, Any]) -> dict[str, Any]:
    table, rate = decoder.row(Part.EMBEDDING), target.hyperparameters["learning_rate"]
    own = self_applied({**MODEL_DEFAULTS, **model})
    adjusted = {}
    for group, parts in GROUPS.items():
        if group == "decoder_kernel":
            continue
        planned = decoder.row(parts[0], _layer(parts[0])).learning_rate / rate
        if not near(planned, own[group]):
            adjusted[group] = tidy(planned)
    return {
        "betas": [float(target.optimizer_values[name]) for name in ("beta1", "beta2")],
        "eps": float(table.eps or 0.0),
        "weight_decay": float(table.weight_decay),
        "correct_bias": True,
        **({"adjust_learning_rate": adjusted} if adjusted else {}),
    }


def _schedule(training: TrainingRecord, peak: float) -> dict[str, Any]:
    rising = round((training.warmup or 0.0) * training.steps)
    left, floor = training.steps - rising, training.floor * peak
    falling = round((training.decay_share or 0.0) * training.steps)

    def stage(name: str, first: float, last: float, steps: int) -> dict[str, Any]:
        return {name: {"initial_learning_rate": first, "end_learning_rate": last, "total_iters": steps}}

    def constant(steps: int) -> dict[str, Any]:
        return {"ConstantLR": {"learning_rate": peak, "total_iters": steps}}

    shapes = {
        "constant": [constant(left)],
        "linear": [stage("LinearLR", peak, floor, left)],
        "cosine": [stage("CosineDecayLR", peak, floor, left)],
        "wsd": [constant(left - falling), stage("LinearLR", peak, floor, falling)],
    }
    if training.schedule not in shapes:
        raise UsageError(
            "the format cerebras writes the schedules constant, linear, cosine and wsd",
            received=training.schedule,
            hint="tune with one of them",
        )
    stages = ([stage("LinearLR", 0.0, peak, rising)] if rising else []) + shapes[training.schedule]
    return stages[0] if len(stages) == 1 else {"SequentialLR": {"schedulers": stages}}


def _fragment(target: TargetFile) -> dict[str, Any]:
    """Sizes, bases and what was tuned, of a model that the user's own configuration says."""
    values, tuned = target.hyperparameters, tuned_names(target)
    optimizer: dict[str, Any] = {"lr": float(values["learning_rate"])}
    if {"beta1", "beta2"} & tuned:
        optimizer["betas"] = [float(target.optimizer_values[name]) for name in ("beta1", "beta2")]
    optimizer |= {name: float(values[name]) for name in ("eps", "weight_decay") if name in tuned}
    base, width = target.base.width, target.size.width
    model = {
        "hidden_size": width,
        "filter_size": 4 * width,
        "num_hidden_layers": target.size.depth,
        "mup_base_hidden_size": base,
        "mup_base_filter_size": 4 * base,
    }
    init: dict[str, Any] = {"model": model, "optimizer": {"AdamW": optimizer}}
    if target.training is not None:
        init["loop"] = {"max_steps": target.training.steps}
    return {"trainer": {"init": init, "fit": {"train_dataloader": {"batch_size": target.size.batch_size}}}}


EXPORTER = _Cerebras()
