"""Cerebras modelzoo: what its code makes of an exported YAML, by the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.cerebras import COMMIT, FILE, applied, factor_of, peak, sections
from hptransfer.handover.switched import ATTENTION, LOOKED_UP, read_with, without_open
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
        return read_with(folder / FILE, "Cerebras modelzoo", _whole if target.parameters else _merged)


def _whole(config: Mapping[str, Any]) -> Reading:
    rows, given = tuple(applied(config)), _given(config)
    unsaid = {(row.name, field) for row in rows for field in ("weight_decay", "eps") if field not in given}
    values, defaulted = _values(config)
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


def _values(config: Mapping[str, Any]) -> tuple[dict[str, float], frozenset[str]]:
    _, optimizer = sections(config)
    trainer = config["trainer"]
    precision = trainer["init"].get("precision") or {}
    beta1, beta2 = optimizer["betas"]
    values = {"beta1": float(beta1), "beta2": float(beta2), "clip": float(precision.get("max_gradient_norm") or 0.0)}
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
