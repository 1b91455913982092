"""Every optimizer that ships passes the suite; the registry is the only list of them."""

from __future__ import annotations

from hptransfer.testing.optimizers import OptimizerConformance
from hptransfer.training.optimizers.base import OPTIMIZERS

for _name in OPTIMIZERS.built_in:
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (OptimizerConformance,), {"name": _name})
del OptimizerConformance
