"""An exporter of somebody else's framework, which scales learning rates by itself and has multipliers in its models."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hptransfer.artifacts.target import TargetFile
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import Quantity


class _Own:
    """Writes one JSON file, with base learning rate and the rest per group."""

    gauge: Gauge = "multipliers"
    applies = frozenset({Quantity.LEARNING_RATE})
    holds = frozenset(Quantity) - {Quantity.LEARNING_RATE}

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """One file in a folder."""
        content = {
            "gauge": target.gauge,
            "learning_rate": target.hyperparameters["learning_rate"],
            "multipliers": {group.pattern: group.multiplier for group in target.parameters},
            "decay": {group.pattern: group.weight_decay for group in target.parameters},
        }
        return {"conf/run.json": json.dumps(content, indent=2) + "\n"}


EXPORTER = _Own()
