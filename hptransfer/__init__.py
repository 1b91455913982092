"""Tune on a small proxy, check that the optimum transfers, write the configuration of the large run.

The command line is the main door (`hptransfer --help`). From Python, the public names are listed in `__all__`; they are
loaded on first use, so that `import hptransfer` needs neither torch nor optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from hptransfer.models.api import plan
    from hptransfer.models.applied_plan import load_plan
    from hptransfer.models.audit import audit_clipping, audit_eps, audit_optimizer, audit_scheduler, eps_ratios
    from hptransfer.models.base_shapes import read_base_shapes, write_base_shapes
    from hptransfer.models.logit_scale import scale_logits
    from hptransfer.schedule import schedule_factor
    from hptransfer.sizes import Size
    from hptransfer.statistics.interval import Interval
    from hptransfer.statistics.optimum import Optimum
    from hptransfer.trainers._trial_run import TrialRun
    from hptransfer.training.optim import AdamH, Lion, Muon, MuonH
    from hptransfer.training.watch import Watcher, watch
    from hptransfer.transfer.criteria import SizeEvidence, TransferCriteria
    from hptransfer.transfer.judge import AxisReport, TransferReport, judge
    from hptransfer.trials.trial import Trial, TrialState
    from hptransfer.verdict import Verdict

__all__ = [
    "AdamH",
    "AxisReport",
    "Interval",
    "Lion",
    "Muon",
    "MuonH",
    "Optimum",
    "Size",
    "SizeEvidence",
    "TransferCriteria",
    "TransferReport",
    "Trial",
    "TrialRun",
    "TrialState",
    "Verdict",
    "Watcher",
    "__version__",
    "audit_clipping",
    "audit_eps",
    "audit_optimizer",
    "audit_scheduler",
    "eps_ratios",
    "judge",
    "load_plan",
    "plan",
    "read_base_shapes",
    "scale_logits",
    "schedule_factor",
    "watch",
    "write_base_shapes",
]

_PUBLIC = {
    "AdamH": "hptransfer.training.optim",
    "AxisReport": "hptransfer.transfer.judge",
    "Interval": "hptransfer.statistics.interval",
    "Lion": "hptransfer.training.optim",
    "Muon": "hptransfer.training.optim",
    "MuonH": "hptransfer.training.optim",
    "Optimum": "hptransfer.statistics.optimum",
    "Size": "hptransfer.sizes",
    "SizeEvidence": "hptransfer.transfer.criteria",
    "TransferCriteria": "hptransfer.transfer.criteria",
    "TransferReport": "hptransfer.transfer.judge",
    "Trial": "hptransfer.trials.trial",
    "TrialRun": "hptransfer.trainers._trial_run",
    "TrialState": "hptransfer.trials.trial",
    "Verdict": "hptransfer.verdict",
    "Watcher": "hptransfer.training.watch",
    "audit_clipping": "hptransfer.models.audit",
    "audit_eps": "hptransfer.models.audit",
    "audit_optimizer": "hptransfer.models.audit",
    "audit_scheduler": "hptransfer.models.audit",
    "eps_ratios": "hptransfer.models.audit",
    "judge": "hptransfer.transfer.judge",
    "load_plan": "hptransfer.models.applied_plan",
    "plan": "hptransfer.models.api",
    "read_base_shapes": "hptransfer.models.base_shapes",
    "scale_logits": "hptransfer.models.logit_scale",
    "schedule_factor": "hptransfer.schedule",
    "watch": "hptransfer.training.watch",
    "write_base_shapes": "hptransfer.models.base_shapes",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from hptransfer.provenance import tool_version

        return tool_version()
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hptransfer' has no attribute {name!r}")
