"""`target.yaml`, which `hptransfer.load_plan` reads and applies to any torch module."""

from __future__ import annotations

from collections.abc import Mapping

from hptransfer.artifacts.target import TargetFile
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import Quantity

#: optimizer -> expression that makes it from the plan's groups
_OPTIMIZERS = {
    "adamw": "torch.optim.AdamW(plan.param_groups(model), betas=({beta1!r}, {beta2!r}))",
    "sgd": "torch.optim.SGD(plan.param_groups(model), momentum={momentum!r})",
}


class _TargetYaml:
    """The exporter of target.yaml: every group of parameters has all its values."""

    gauge: Gauge = "plain"
    applies: frozenset[Quantity] = frozenset()
    holds: frozenset[Quantity] = frozenset(Quantity)

    def export(self, target: TargetFile, /) -> Mapping[str, str]:
        """The one file, whose header shows how to use it.

        Args:
            target: planned in the gauge `plain`.
        """
        values = {**target.hyperparameters, **target.optimizer_values}
        return {"target.yaml": target.to_yaml(_OPTIMIZERS[target.optimizer].format_map(values))}


EXPORTER = _TargetYaml()
