"""levanter: what its optimizer makes of an exported YAML, by the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.decoder import Decoder, decoder_of
from hptransfer.handover.levanter import COMMIT, FILE, decays, factor_of, managed, optimizer_of
from hptransfer.handover.parts import places
from hptransfer.handover.switched import read_with
from hptransfer.handover.trained import Reading, Trained

_UNREAD = "the start of each weight: it comes with the checkpoint that initialize_from_hf names"


class _Levanter:
    """Of the plan only its model is taken: which parameters there are."""

    def read(self, folder: Path, target: TargetFile, /) -> Reading:
        """As `Reader.read`."""
        decoder = decoder_of(target)
        return read_with(folder / FILE, "levanter", lambda config: _read(config, decoder, target.optimizer == "muon"))


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
    keys = {"clip": "max_grad_norm", "muon_scale": "use_kimi_scaling"}
    steps = (config.get("trainer") or {}).get("num_train_steps")
    return Reading(
        rows,
        f"hptransfer's record of levanter {COMMIT}, pinned to what its own code returned (tests/data/levanter.json)",
        unread=(_UNREAD,),
        schedule=None if steps is None else (lambda step: factor_of(config, step)),
        values=values,
        defaulted=frozenset(name for name in values if keys.get(name, name) not in given),
        unsaid=frozenset(unsaid),
    )


READER = _Levanter()
