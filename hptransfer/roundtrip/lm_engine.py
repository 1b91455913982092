"""lm-engine: what its code makes of an exported YAML, by the record of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.lm_engine import EXPORTER
from hptransfer.handover.lm_engine import CLIPPING, COMMIT, FILE, FILLED, SCHEDULER, applied, factor_of, optimizer_of
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
    f"hptransfer's record of lm-engine {COMMIT}, pinned to what its own code returned (tests/data/lm_engine.json)"
)
_OPEN = "inits, attention, m_emb, schedule and what was not searched: they are in the configuration that the runs had"


class _LmEngine:
    """Of the plan only whether it has rows is asked: without, the file is merged into the user's own."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        return read_with(folder / FILE, "lm-engine", lambda config: _read(config, target))


def _read(config: Mapping[str, Any], target: TargetFile) -> Reading:
    require_layers(config["model_args"]["pretrained_config"]["num_layers"], "num_layers")
    reading = _whole(config) if target.parameters else _merged(config)
    planned = {*run_values(target), *model_facts(target)} & {*reading.values}
    written = dict(leaves(yaml.safe_load(EXPORTER.export(target)[FILE])))
    # of a file that is merged into the user's own, what was added is the user's
    used = in_sections(config, written, _SECTIONS if target.parameters else ())
    others = unlike(used, written, lambda place: _compared(place, planned))
    return replace(reading, others=tuple(others), counted=EXPORTER.about.counted(target))


#: sections of which everything is the export's
_SECTIONS = ("model_args.", "optimizer_args.", "lr_scheduler_args.")
#: keys that rows or the schedule say
_ROWS = frozenset(
    {
        "params_group_method", "class_name", "lr", "weight_decay", "betas", "eps", "tie_word_embeddings",
        "initializer_range", "init_method", "embedding_init_method", "use_depth_scaled_init", "m_width", "m_emb",
        "m_residual", "attention_multiplier", "attention_multiplier_method", "add_bias",
    }
    | set(SCHEDULER)
)  # fmt: skip
#: keys that values say -> under which name
_FACTS: Mapping[str, str] = {
    "hidden_size": "width", "num_layers": "layers", "num_attention_heads": "heads",
    "num_key_value_heads": "key_value_heads", "head_dim": "head_dim", "intermediate_size": "feed_forward",
    "vocab_size": "vocabulary", "layer_norm_epsilon": "norm_eps", "rope_theta": "rope_theta",
    "num_training_steps": "steps", "global_batch_size": "batch_size", "gradient_clipping": "clip",
}  # fmt: skip
#: keys that change nothing of what is trained, or that the user is told to set
_FREE = frozenset({"gradient_accumulation_steps", "eval_interval", "bos_token_id", "eos_token_id", "pad_token_id"})
#: rows are made of the first block, which every other must be like
_LATER_BLOCK = re.compile(r"_blocks\[[1-9]")


def _compared(place: str, planned: Collection[str]) -> bool:
    key = key_of(place)
    if _LATER_BLOCK.search(place):
        return False
    return key in _ROWS or key in _FREE or _FACTS.get(key) in planned


def _whole(config: Mapping[str, Any]) -> Reading:
    rows = tuple(applied(config))
    given = (config.get("optimizer_args") or {}).get("class_args") or {}
    unsaid = {
        (row.name, field)
        for row in rows
        for field, key in (("learning_rate", "lr"), ("weight_decay", "weight_decay"), ("eps", "eps"))
        if key not in given
    }
    values, defaulted = _values(config)
    # without a schedule in the file its own follows, which no plan names
    schedule = None if "training_parameters" not in config else (lambda step: factor_of(config, step))
    values |= _model(config["model_args"]["pretrained_config"])
    return Reading(rows, _THROUGH, values=values, defaulted=defaulted, unsaid=frozenset(unsaid), schedule=schedule)


def _model(model: Mapping[str, Any]) -> dict[str, float | str]:
    mixer, mlp = model["sequence_mixer_blocks"][0], model["mlp_blocks"][0]
    found: dict[str, float | str] = {
        "width": float(model["hidden_size"]),
        "layers": float(model["num_layers"]),
        "heads": float(mixer["num_attention_heads"]),
        "head_dim": float(mixer.get("head_dim") or model["hidden_size"] // mixer["num_attention_heads"]),
        "feed_forward": float(mlp["intermediate_size"]),
        "gated": "yes" if mlp["activation_function"].endswith("glu") else "no",
    }
    said = {"vocabulary": model.get("vocab_size"), "norm_eps": model.get("layer_norm_epsilon")}
    said["key_value_heads"] = mixer.get("num_key_value_heads")
    if model["position_embedding_type"] == "rope":
        said["rope_theta"] = model.get("rope_theta")
    return found | {name: float(value) for name, value in said.items() if value is not None}


def _values(config: Mapping[str, Any]) -> tuple[dict[str, float | str], frozenset[str]]:
    optimizer, training = optimizer_of(config)["class_args"], config.get("training_parameters") or {}
    given = (config.get("optimizer_args") or {}).get("class_args") or {}
    beta1, beta2 = optimizer["betas"]
    clipping = training.get("gradient_clipping", CLIPPING)
    scheduler = {**SCHEDULER, **(config.get("lr_scheduler_args") or {})}
    values: dict[str, float | str] = {"beta1": float(beta1), "beta2": float(beta2), "clip": float(clipping or 0.0)}
    values["floor"] = float(scheduler["lr_decay_factor"])
    for name, key in (("steps", "num_training_steps"), ("batch_size", "global_batch_size")):
        if key in training:
            values[name] = float(training[key])
    missing = {"beta1", "beta2"} if "betas" not in given else set()
    missing |= {"clip"} if "gradient_clipping" not in training else set()
    missing |= {"floor"} if "lr_decay_factor" not in (config.get("lr_scheduler_args") or {}) else set()
    return values, frozenset(missing)


def _merged(config: Mapping[str, Any]) -> Reading:
    """Without what the user's own configuration decides."""
    pretrained = dict(config["model_args"]["pretrained_config"])
    given = (config.get("optimizer_args") or {}).get("class_args") or {}
    model = {**FILLED, **pretrained}
    rows = applied({**config, "model_args": {"pretrained_config": model}})
    kept = without_open(rows, "weight_decay" in given, "eps" in given)
    if "initializer_range" in pretrained:
        kept = tuple(applied({**config, "model_args": {"pretrained_config": model}}))
    values, defaulted = _values(config)
    return Reading(
        tuple(row for row in kept if row.name not in (ATTENTION, LOOKED_UP)),
        _THROUGH,
        values={name: value for name, value in values.items() if name not in defaulted},
        unread=(_OPEN,),
    )


READER = _LmEngine()
