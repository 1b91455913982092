"""lm-engine: what its code makes of an exported YAML, by the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.lm_engine import CLIPPING, COMMIT, FILE, FILLED, SCHEDULER, applied, factor_of, optimizer_of
from hptransfer.handover.switched import ATTENTION, LOOKED_UP, read_with, without_open
from hptransfer.handover.trained import Reading

_THROUGH = (
    f"hptransfer's record of lm-engine {COMMIT}, pinned to what its own code returned (tests/data/lm_engine.json)"
)
_OPEN = "inits, attention, m_emb, schedule and what was not searched: they are in the configuration that the runs had"


class _LmEngine:
    """Of the plan only whether it has rows is asked: without, the file is merged into the user's own."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        return read_with(folder / FILE, "lm-engine", _whole if target.parameters else _merged)


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
    return Reading(rows, _THROUGH, values=values, defaulted=defaulted, unsaid=frozenset(unsaid), schedule=schedule)


def _values(config: Mapping[str, Any]) -> tuple[dict[str, float], frozenset[str]]:
    optimizer, training = optimizer_of(config)["class_args"], config.get("training_parameters") or {}
    given = (config.get("optimizer_args") or {}).get("class_args") or {}
    beta1, beta2 = optimizer["betas"]
    clipping = training.get("gradient_clipping", CLIPPING)
    scheduler = {**SCHEDULER, **(config.get("lr_scheduler_args") or {})}
    values = {"beta1": float(beta1), "beta2": float(beta2), "clip": float(clipping or 0.0)}
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
