"""levanter: what its optimizer makes of an exported YAML, by the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hptransfer.artifacts.target import TargetFile
from hptransfer.export.levanter import EXPORTER
from hptransfer.handover.decoder import Decoder, decoder_of
from hptransfer.handover.levanter import COMMIT, FILE, decays, factor_of, managed, optimizer_of
from hptransfer.handover.parts import places
from hptransfer.handover.switched import in_sections, key_of, leaves, read_with, unlike
from hptransfer.handover.trained import Reading, Trained

_UNREAD = "the start of each weight: it comes with the checkpoint that initialize_from_hf names"


class _Levanter:
    """Of the plan only its model is taken: which parameters there are."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        decoder = decoder_of(target)
        return read_with(folder / FILE, "levanter", lambda config: _compared(config, decoder, target))


#: keys of the optimizer that rows, values or the schedule say; every other must be as it was written
_SAID = frozenset(
    {
        "type", "learning_rate", "adam_lr", "weight_decay", "min_lr_ratio", "warmup", "decay", "lr_schedule",
        "weight_decay_modules", "default_weight_decay_mask", "beta1", "beta2", "epsilon", "max_grad_norm",
        "num_train_steps", "train_batch_size",
    }
)  # fmt: skip
_OF_MUON = frozenset({"momentum", "use_kimi_scaling"})


def _compared(config: Mapping[str, Any], decoder: Decoder, target: TargetFile) -> Reading:
    """With what neither rows nor values say, where it is not as it was written."""
    muon = target.optimizer == "muon"
    said = _SAID | (_OF_MUON if muon else frozenset())
    reading = replace(_read(config, decoder, muon), counted=EXPORTER.about.counted(target))
    written = dict(leaves(yaml.safe_load(EXPORTER.export(target)[FILE])))
    used = in_sections(config, written, ("optimizer.",))
    lost = {place for place in written if place not in used and place.startswith("trainer.")}
    others = unlike(used, written, lambda place: key_of(place) in said and place not in lost)
    return replace(reading, others=tuple(others))


def _read(config: Mapping[str, Any], decoder: Decoder, planned_muon: bool) -> Reading:
    optimizer, given = optimizer_of(config), config["optimizer"]
    muon, rows, unsaid = optimizer["type"] == "muon", [], set()
    fields = {"learning_rate": "learning_rate", "weight_decay": "weight_decay", "eps": "epsilon"}
    for part, layer, name in places(decoder.names, decoder.layers):
        if (part, layer) not in decoder.rows:
            continue
        own = muon and managed(part)
        rate = "adam_lr" if muon and not own else "learning_rate"
        rows.append(
            Trained(
                name,
                None,
                float(optimizer[rate]),
                float(optimizer["weight_decay"]) if decays(part, optimizer) else 0.0,
                None if own else float(optimizer["epsilon"]),
                optimizer="muon" if own else "adamw",
            )
        )
        named = {**fields, "learning_rate": rate}
        unsaid |= {(name, field) for field, key in named.items() if key not in given}
    values: dict[str, float | str] = {"beta1": float(optimizer["beta1"]), "beta2": float(optimizer["beta2"])}
    values["clip"] = float(optimizer["max_grad_norm"] or 0.0)
    if planned_muon:
        values["momentum"] = float(optimizer["momentum"])
        values["muon_scale"] = "match_rms_adamw" if optimizer["use_kimi_scaling"] else "original"
    keys = {"clip": "max_grad_norm", "muon_scale": "use_kimi_scaling", "floor": "min_lr_ratio"}
    trainer = config.get("trainer") or {}
    steps = trainer.get("num_train_steps")
    values["floor"] = float(optimizer["min_lr_ratio"])
    values |= {
        name: float(trainer[key])
        for name, key in (("steps", "num_train_steps"), ("batch_size", "train_batch_size"))
        if key in trainer
    }
    return Reading(
        rows,
        f"hptransfer's record of levanter {COMMIT}, pinned to what its own code returned (tests/data/levanter.json)",
        unread=(_UNREAD,),
        schedule=None if steps is None else (lambda step: factor_of(config, step)),
        values=values,
        defaulted=frozenset(
            name for name in values if name not in ("steps", "batch_size") and keys.get(name, name) not in given
        ),
        unsaid=frozenset(unsaid),
    )


READER = _Levanter()
