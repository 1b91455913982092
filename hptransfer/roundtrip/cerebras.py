"""Cerebras modelzoo: what its code makes of an exported YAML, by the record of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.cerebras import EXPORTER
from hptransfer.handover.cerebras import COMMIT, FILE, applied, factor_of, peak, sections
from hptransfer.handover.planned_values import model_facts, run_values
from hptransfer.handover.switched import (
    ATTENTION,
    LOOKED_UP,
    in_sections,
    key_of,
    leaves,
    read_with,
    require_layers,
    unlike,
    without_open,
)
from hptransfer.handover.trained import Reading

_THROUGH = (
    f"hptransfer's record of Cerebras modelzoo {COMMIT}, pinned to what its own code returned "
    "(tests/data/cerebras.json)"
)
_OPEN = (
    "initializers, embeddings_scale, attention, the MLP's width, schedule and what was not searched: they are in the "
    "configuration that the runs had"
)


class _Cerebras:
    """Of the plan only whether it has rows is asked: without, the file is merged into the user's own."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        return read_with(folder / FILE, "Cerebras modelzoo", lambda config: _read(config, target))


def _read(config: Mapping[str, Any], target: TargetFile) -> Reading:
    require_layers(sections(config)[0]["num_hidden_layers"], "num_hidden_layers")
    reading = _whole(config) if target.parameters else _merged(config)
    planned = {*run_values(target), *model_facts(target)} & {*reading.values}
    written = dict(leaves(yaml.safe_load(EXPORTER.export(target)[FILE])))
    # of a file that is merged into the user's own, what was added is the user's
    used = in_sections(config, written, _SECTIONS if target.parameters else ())
    others = unlike(used, written, lambda place: _compared(place, planned))
    return replace(reading, others=tuple(others), counted=EXPORTER.about.counted(target))


#: sections of which everything is the export's
_SECTIONS = ("trainer.init.model.", "trainer.init.optimizer.")
#: keys that rows say
_ROWS = frozenset(
    {
        "lr", "learning_rate", "betas", "eps", "weight_decay", "share_embedding_weights", "initializer_range",
        "mup_base_hidden_size", "mup_base_filter_size", "embeddings_scale", "attention_type", "scale_qk_dot_by_d",
        "attention_logits_alpha", "scale_output_logits_by_d", "output_logits_alpha",
        "use_projection_bias_in_attention", "use_ffn_bias_in_attention", "use_ffn_bias",
    }
)  # fmt: skip
#: keys that values say -> under which name
_FACTS: Mapping[str, str] = {
    "hidden_size": "width", "num_hidden_layers": "layers", "num_heads": "heads", "num_kv_groups": "key_value_heads",
    "filter_size": "feed_forward", "vocab_size": "vocabulary", "layer_norm_epsilon": "norm_eps",
    "rope_theta": "rope_theta", "max_steps": "steps", "batch_size": "batch_size", "max_gradient_norm": "clip",
}  # fmt: skip
#: what rows say of an initializer: not its mean
_DRAWN = frozenset({"name", "std", "a", "b"})


def _compared(place: str, planned: Collection[str]) -> bool:
    section, _, key = place.rpartition(".")
    if "schedulers" in place or "adjust_learning_rate" in place:
        return True
    if section.endswith("initializer"):
        return key in _DRAWN
    return key_of(place) in _ROWS or _FACTS.get(key) in planned


def _whole(config: Mapping[str, Any]) -> Reading:
    rows, given = tuple(applied(config)), _given(config)
    unsaid = {(row.name, field) for row in rows for field in ("weight_decay", "eps") if field not in given}
    values, defaulted = _values(config)
    values |= _model(config)
    scheduled = "schedulers" in config["trainer"]["init"]
    return Reading(
        rows,
        _THROUGH,
        values=values,
        defaulted=defaulted,
        unsaid=frozenset(unsaid),
        schedule=(lambda step: factor_of(config, step)) if scheduled else None,
    )


def _given(config: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = config["trainer"]["init"]["optimizer"]["AdamW"] or {}
    return found


def _model(config: Mapping[str, Any]) -> dict[str, float | str]:
    model, _ = sections(config)
    found: dict[str, float | str] = {
        "width": float(model["hidden_size"]),
        "layers": float(model["num_hidden_layers"]),
        "heads": float(model["num_heads"]),
        "key_value_heads": float(model["num_heads"]),
        "head_dim": float(model["hidden_size"] // model["num_heads"]),
        "feed_forward": float(model["filter_size"]),
        "gated": "yes" if model["nonlinearity"].endswith("glu") else "no",
    }
    if model.get("attention_module") == "multiquery_attention":
        found["key_value_heads"] = float(model["extra_attention_params"]["num_kv_groups"])
    said = {"vocabulary": model.get("vocab_size"), "norm_eps": model.get("layer_norm_epsilon")}
    if model["position_embedding_type"] == "rotary":
        said["rope_theta"] = model.get("rope_theta")
    return found | {name: float(value) for name, value in said.items() if value is not None}


def _values(config: Mapping[str, Any]) -> tuple[dict[str, float | str], frozenset[str]]:
    _, optimizer = sections(config)
    trainer = config["trainer"]
    precision = trainer["init"].get("precision") or {}
    beta1, beta2 = optimizer["betas"]
    values: dict[str, float | str] = {"beta1": float(beta1), "beta2": float(beta2)}
    values["clip"] = float(precision.get("max_gradient_norm") or 0.0)
    loop, loader = trainer["init"].get("loop") or {}, (trainer.get("fit") or {}).get("train_dataloader") or {}
    if "max_steps" in loop:
        values["steps"] = float(loop["max_steps"])
        if trainer["init"].get("schedulers"):
            values["floor"] = factor_of(config, loop["max_steps"]) if peak(config) else 0.0
    if "batch_size" in loader:
        values["batch_size"] = float(loader["batch_size"])
    defaulted = {"beta1", "beta2"} if "betas" not in _given(config) else set()
    return values, frozenset(defaulted | ({"clip"} if "max_gradient_norm" not in precision else set()))


def _merged(config: Mapping[str, Any]) -> Reading:
    """Without what the user's own configuration decides."""
    given, model = _given(config), config["trainer"]["init"]["model"]
    rows = tuple(row for row in applied(config) if row.name not in (ATTENTION, LOOKED_UP))
    drawn = any(key.endswith("initializer") or key == "initializer_range" for key in model)
    values, defaulted = _values(config)
    return Reading(
        rows if drawn else without_open(rows, "weight_decay" in given, "eps" in given),
        _THROUGH,
        values={name: value for name, value in values.items() if name not in defaulted},
        unread=(_OPEN,),
    )


READER = _Cerebras()
