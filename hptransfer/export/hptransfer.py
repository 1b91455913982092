"""`target.yaml`, which `hptransfer.load_plan` reads and applies to any torch module."""

from __future__ import annotations

from collections.abc import Mapping

from hptransfer.artifacts.target import TargetFile
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import Quantity
from hptransfer.training.optimizers.base import OPTIMIZERS


class _TargetYaml:
    """`target.yaml`, which `hptransfer.load_plan` applies to any torch module."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The one file, whose header shows how to use it.

        Args:
            target: planned in the gauge `plain`.
        """
        values = {**target.hyperparameters, **target.optimizer_values}
        return {"target.yaml": target.to_yaml(OPTIMIZERS.look_up(target.optimizer).constructor(values))}


EXPORTER = _TargetYaml()
