"""lm-engine: base values with its muP switches, as its YAML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.handover.counting import from_zero
from hptransfer.handover.decoder import Decoder, base_head, decoder_of
from hptransfer.handover.decoder_settings import computed
from hptransfer.handover.header import About, header
from hptransfer.handover.lm_engine import COMMIT, FILE, FILLED, MATRICES, NAMES, OPTIONS, applied, names_of
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

_CLASSES = {"adamw": "TorchAdamW", "adam": "TorchAdam"}
#: what m_residual multiplies
_BRANCHES = (Part.ATTENTION_OUT, Part.ATTENTION_OUT_BIAS, Part.DOWN, Part.DOWN_BIAS)
#: as `computed` names activations -> as lm-engine does
_ACTIVATIONS = {"swiglu": "swiglu", "geglu": "geglu", "gelu": "gelu", "gelu_new": "gelu_pytorch_tanh", "relu": "relu"}
_WAYS: Mapping[str, str] = {
    "learning_rate": "one rate for the matrices inside blocks, the base's over the width's growth, and the base's for "
    "all else",
    "weight_decay": f"one weight decay for all matrices and tables, none for vectors: `weight_decay: "
    f"{OPTIONS.weight_decay}` and `decay_vectors: false` in `parameterization`",
    "eps": "one eps for all: `eps: none` in `parameterization`, or growth in width alone",
    "init_std": "one init std at the base for matrices, tables and readout, smaller by sqrt(2 depth) for what writes "
    "the residual stream if both such matrices are",
    "multiplier": "one factor on both residual branches, and 1 / the width's growth on logits",
}
_DATA = (
    "add your own datasets, tokenizer_args, save_args and distributed_args, and set the three token ids to those of "
    "your tokenizer; start `torchrun -m lm_engine.train --config hptransfer_lm_engine.yml`.",
    "global_batch_size is sequences per step; raise gradient_accumulation_steps until one micro batch fits a device.",
)
_EXTERNAL = (
    "merge these keys into the configuration that the tuned runs had; what is not here stays as it was there "
    "(initializer_range, m_emb, attention, vocabulary), and what was not searched is not here.",
    "let the schedule end at num_training_steps: lr_scheduler_args as in the tuned runs, in steps of this run.",
)


class _LmEngine(SwitchedFormat):
    """`hptransfer_lm_engine.yml`: base values, `m_width` and `m_residual`, with muP's groups and init switched on."""

    about = About(
        plain=False,
        framework="lm-engine",
        counted=from_zero,
        read_at=f"open-lm-engine/lm-engine, commit {COMMIT}",
        itself="divides hidden rates and logits by m_width and hidden init stds by its root, and multiplies residual "
        "branches by m_residual; base values are written. eps and weight decay are one value for all.",
        executed=f"lm-engine {COMMIT} on a CPU, unmodified: its argument classes, model, init, forward, groups, "
        "optimizer and schedule on files of this format; what it returned is kept, and files are compared with that",
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
            UsageError: lm-engine would train something otherwise than planned, which the message names.
        """
        about = self.about
        planned = _planned(target)
        if target.parameters:
            config = _config(target)
            require_same("lm-engine", planned, tuple(applied(config)), _WAYS, target)
        else:
            config = _fragment(target)
            about = replace(about, by_hand=_EXTERNAL)
        return {FILE: yaml_file(header(target, "lm-engine", about), config)}


def _growth(target: TargetFile) -> float:
    return target.size.width / target.base.width


def _planned(target: TargetFile) -> tuple[Trained, ...]:
    """The plan in lm-engine's names and form."""
    if target.optimizer not in _CLASSES:
        raise UsageError(
            f"the format lm-engine writes the optimizers {', '.join(_CLASSES)}",
            received=target.optimizer,
            hint="it builds torch's optimizers with one group for hidden matrices: for muon choose the format torch, "
            "torchtitan or megatron",
        )
    return tuple(_rows(target)) if target.parameters else tuple(_by_the_table(target))


def _rows(target: TargetFile) -> Iterator[Trained]:
    decoder = decoder_of(target)
    lookup, branch = _factors(target, decoder)

    def form(part: Part, group: ParameterGroup) -> ParameterGroup:
        if part is Part.READOUT:
            return with_multiplier(group, 1 / _growth(target), target.optimizer)
        if part is Part.POSITIONS or (part is Part.EMBEDDING and not decoder.tied):
            return with_multiplier(group, lookup, target.optimizer)
        if part in _BRANCHES:
            return with_multiplier(group, branch, target.optimizer)
        return group if part is Part.EMBEDDING else with_multiplier(group, 1.0, target.optimizer)

    names: Names = {
        part: name for part, name in NAMES.items() if part is not (Part.UP if decoder.gated else Part.GATE_UP)
    }
    yield from decoder.in_names(names, form)
    if decoder.tied:
        yield Trained(LOOKED_UP, None, 0.0, 0.0, None, lookup)
    dim = decoder.head_dim or 1
    yield Trained(ATTENTION, None, 0.0, 0.0, None, attention_scale(dim, base_head(target, dim)) * math.sqrt(dim))


def _factors(target: TargetFile, decoder: Decoder) -> tuple[float, float]:
    """`m_emb` and `m_residual`: the table's rate is the base's in a form with a factor; a branch's is the plan's."""
    rate = target.hyperparameters["learning_rate"]
    table = decoder.row(Part.EMBEDDING)
    moved = not decoder.tied and not near(table.learning_rate, rate) and table.learning_rate > 0
    return (table.learning_rate / rate if moved else 1.0), decoder.row(Part.ATTENTION_OUT, 0).multiplier


def _by_the_table(target: TargetFile) -> Iterator[Trained]:
    """Without rows: Table 8 of Tensor Programs V, and CompleteP's factor on branches, at the framework's own names."""
    name = target.parameterization.partition("(")[0]
    depth = target.size.depth / target.base.depth
    if name not in ("mup", "completep") or (name == "completep" and depth != 1 and "alpha=1)" not in _dense(target)):
        raise UsageError(
            "without rows, lm-engine's own rules carry the values on: those of mup, or of completep with alpha 1",
            received=target.parameterization,
            hint="lm-engine has no rate that follows the depth; name the model in the recipe, or choose another format",
        )
    require_claimed(target, "lm-engine", OPTIONS)
    require_keys(target, "lm-engine", ("learning_rate", "weight_decay", "eps", "beta1", "beta2"))
    values, growth, tuned = target.hyperparameters, _growth(target), tuned_names(target)
    rate, branch = values["learning_rate"], 1 / depth if name == "completep" else 1.0
    decay = values["weight_decay"] if "weight_decay" in tuned else None
    factors = {Part.READOUT: 1 / growth, Part.ATTENTION_OUT: branch, Part.DOWN: branch}
    for part, _, full in places(names_of(FILLED), target.size.depth):
        vector = part.value.endswith("norm")
        yield Trained(
            full,
            None,
            rate / growth if part in MATRICES else rate,
            decay if decay is None or not vector else 0.0,
            values["eps"] if "eps" in tuned else None,
            factors.get(part, 1.0),
        )


def _dense(target: TargetFile) -> str:
    return target.parameterization.replace(" ", "").replace("1.0)", "1)")


# What is written.


def _optimizer(target: TargetFile, eps: float | None, decay: float | None, betas: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"lr": float(target.hyperparameters["learning_rate"])}
    if decay is not None:
        values["weight_decay"] = float(decay)
    if betas:
        values["betas"] = [float(target.optimizer_values[name]) for name in ("beta1", "beta2")]
    if eps is not None:
        values["eps"] = float(eps)
    return {"params_group_method": "mup", "class_name": _CLASSES[target.optimizer], "class_args": values}


def _config(target: TargetFile) -> dict[str, Any]:
    """Every value of a model that is known."""
    decoder = decoder_of(target)
    model = computed(target, decoder, "lm-engine")
    width, growth = target.size.width, _growth(target)
    lookup, branch = _factors(target, decoder)
    into, out = decoder.row(Part.QUERY_KEY_VALUE, 0).init_std, decoder.row(Part.ATTENTION_OUT, 0).init_std
    smaller = into is not None and out is not None and near(into, out * math.sqrt(2 * decoder.layers))
    embedding, attention, residual = model.dropouts
    settings = decoder.settings
    end = int(settings.get("eos_token_id") or 0)
    mixer = {
        "sequence_mixer_type": "softmax_attention",
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.key_value_heads,
        "head_dim": model.head_dim,
        "softmax_dropout": attention,
        "dropout": residual,
        "add_bias": model.attention_bias,
        "attention_multiplier": attention_scale(model.head_dim, base_head(target, model.head_dim)),
        "attention_multiplier_method": None,
    }
    mlp = {
        "mlp_type": "MLP",
        "intermediate_size": decoder.feed_forward,
        "activation_function": _ACTIVATIONS[model.activation],
        "dropout": residual,
        "add_bias": model.mlp_bias,
    }
    pretrained = {
        "model_type": "gpt_base",
        "vocab_size": decoder.vocabulary,
        "max_position_embeddings": model.context,
        "hidden_size": width,
        "num_layers": decoder.layers,
        "embedding_dropout": embedding,
        "normalization_function": "rmsnorm" if model.rms else "layernorm",
        "layer_norm_epsilon": model.norm_eps,
        "position_embedding_type": "learned_absolute" if model.learned_positions else "rope",
        "rope_theta": _whole_theta(model.theta),
        "rope_scaling": None,
        "tie_word_embeddings": decoder.tied,
        "bos_token_id": int(settings.get("bos_token_id") or 0),
        "eos_token_id": end,
        "pad_token_id": int(settings.get("pad_token_id") or end),
        "initializer_range": tidy((into or 0.0) * math.sqrt(growth)),
        "init_method": "mup",
        "embedding_init_method": "normal",
        "use_depth_scaled_init": smaller,
        "m_width": growth,
        "m_emb": lookup,
        "m_residual": branch,
        # one mapping for each block: PyYAML would write aliases of one
        "sequence_mixer_blocks": [dict(mixer) for _ in range(decoder.layers)],
        "mlp_blocks": [dict(mlp) for _ in range(decoder.layers)],
    }
    table = decoder.row(Part.EMBEDDING)
    optimizer = _optimizer(target, table.eps, table.weight_decay, betas=True)
    return {
        "model_args": {"pretrained_config": pretrained},
        "tuning_args": {"tuning_method": "pretraining"},
        "optimizer_args": optimizer,
        **_schedule(target),
    }


def _whole_theta(theta: float) -> int:
    if theta != int(theta):
        raise UsageError(
            "lm-engine's rope_theta is a whole number",
            received=f"rope_theta: {theta!r}",
            hint="a whole `rope_theta`, or the format torch or huggingface",
        )
    return int(theta)


def _fragment_model(target: TargetFile) -> dict[str, Any]:
    """Sizes and switches, of a model that the user's own configuration says."""
    completep = target.parameterization.startswith("completep")
    return {
        "hidden_size": target.size.width,
        "num_layers": target.size.depth,
        "init_method": "mup",
        "m_width": _growth(target),
        **({"m_residual": target.base.depth / target.size.depth} if completep else {}),
    }


def _fragment(target: TargetFile) -> dict[str, Any]:
    values, tuned = target.hyperparameters, tuned_names(target)
    optimizer = _optimizer(
        target,
        values["eps"] if "eps" in tuned else None,
        values["weight_decay"] if "weight_decay" in tuned else None,
        betas=bool({"beta1", "beta2"} & tuned),
    )
    training: dict[str, Any] = {"global_batch_size": target.size.batch_size}
    if target.training is not None:
        training = {"num_training_steps": target.training.steps} | training
    return {
        "model_args": {"pretrained_config": _fragment_model(target)},
        "optimizer_args": optimizer,
        "training_parameters": training,
    }


def _schedule(target: TargetFile) -> dict[str, Any]:
    training = target.training
    if training is None:
        return {}
    if training.clip_norm == "scaled":
        raise UsageError("lm-engine clips by the global norm", received="clip_norm: scaled", hint="clip_norm: global")
    parameters: dict[str, Any] = {
        "num_training_steps": training.steps,
        "global_batch_size": target.size.batch_size,
        "gradient_accumulation_steps": 1,
        "eval_interval": training.steps,
    }
    if training.schedule == "own" or training.warmup is None:
        return {"training_parameters": parameters}
    rising = round(training.warmup * training.steps)
    falling = {
        "constant": 0,
        "linear": training.steps - rising,
        "cosine": training.steps - rising,
        "wsd": round((training.decay_share or 0.0) * training.steps),
    }.get(training.schedule)
    if falling is None:
        raise UsageError(
            "lm-engine's schedules are constant, linear and cosine, with a stretch of the peak before",
            received=training.schedule,
            hint="tune with one of constant, linear, cosine and wsd",
        )
    style = {"wsd": "linear"}.get(training.schedule, training.schedule)
    scheduler = {
        "lr_decay_style": style,
        "num_warmup_steps": rising,
        "num_constant_steps": training.steps - rising - falling if falling else 0,
        "num_decay_steps": falling,
        "lr_decay_factor": training.floor,
    }
    clipping = None if training.clip is None else float(training.clip)
    return {
        "lr_scheduler_args": scheduler,
        "training_parameters": parameters | {"gradient_clipping": clipping},
    }


EXPORTER = _LmEngine()
