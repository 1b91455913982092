"""Tune on a small proxy, check that the optimum transfers, write the configuration of the large run.

The command line is the main door (`hptransfer --help`). From Python, the public names are listed in `__all__`; they are
loaded on first use, so that `import hptransfer` needs neither torch nor optuna.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hptransfer.models.api import plan
    from hptransfer.models.applied_plan import load_plan
    from hptransfer.models.audit import audit_clipping, audit_eps, audit_optimizer, audit_scheduler, eps_ratios
    from hptransfer.models.base_shapes import read_base_shapes, write_base_shapes
    from hptransfer.schedule import schedule_factor

__all__ = [
    "__version__",
    "audit_clipping",
    "audit_eps",
    "audit_optimizer",
    "audit_scheduler",
    "eps_ratios",
    "load_plan",
    "plan",
    "read_base_shapes",
    "schedule_factor",
    "write_base_shapes",
]

try:
    __version__ = version("hptransfer")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"

_PUBLIC = {
    "audit_clipping": "hptransfer.models.audit",
    "audit_eps": "hptransfer.models.audit",
    "audit_optimizer": "hptransfer.models.audit",
    "audit_scheduler": "hptransfer.models.audit",
    "eps_ratios": "hptransfer.models.audit",
    "load_plan": "hptransfer.models.applied_plan",
    "plan": "hptransfer.models.api",
    "read_base_shapes": "hptransfer.models.base_shapes",
    "schedule_factor": "hptransfer.schedule",
    "write_base_shapes": "hptransfer.models.base_shapes",
}


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hptransfer' has no attribute {name!r}")
