"""Records what NeMo Automodel's unmodified functions make of sections, which its record in hptransfer is pinned to.

    git -C MIRROR archive 36044ad3 nemo_automodel | tar x -C CHECKOUT
    python -m benchmarks.record_automodel CHECKOUT 36044ad3 > tests/data/automodel.json

CHECKOUT is a folder outside the repository. `components/optim/optimizer.py` and `scheduler.py` run as they are, on a
CPU; the packages that they lie in, and what asks for GPUs (Dion), are stubs.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

STEPS = 100
AT = (0, 1, 5, 9, 10, 11, 40, 80, 90, 99)
NAMES = ("embed.weight", "layers.0.q.weight", "layers.1.q.weight", "layers.10.q.weight", "norm.weight", "head.weight")
#: each with the optimizer's keys, `overrides`, and the keys of `lr_scheduler`
CASES: dict[str, dict[str, Any]] = {
    "defaults": {"overrides": [{"pattern": "head", "lr_mult": 0.5}], "scheduler": {"lr_decay_style": "cosine"}},
    "first match wins": {
        "overrides": [
            {"pattern": r"^layers\.\d+\.q\.weight$", "lr_mult": 0.25, "wd_mult": 4.0},
            {"pattern": "weight", "lr_mult": 2.0, "wd_mult": 0.0},
            {"pattern": "norm", "lr_mult": 8.0},
        ],
        "scheduler": {"lr_decay_style": "constant", "init_lr": 0.0, "min_lr": 0.0},
    },
    "matches nothing": {
        "overrides": [{"pattern": "absent", "lr_mult": 0.5}, {"pattern": r"layers\.1", "lr_mult": 3.0}],
        "scheduler": {"lr_decay_style": "linear", "init_lr": 0.001, "lr_warmup_steps": 9, "min_lr": 0.002},
    },
    **{
        f"WSD {style}": {
            "overrides": [{"pattern": "embed", "lr_mult": 3.0}],
            "scheduler": {
                "lr_decay_style": "WSD", "wsd_decay_steps": 20, "lr_wsd_decay_style": style, "lr_warmup_steps": 10,
                "init_lr": 0.0, "min_lr": 0.001,
            },
        }
        for style in ("linear", "cosine", "exponential", "minus_sqrt")
    },
    "inverse": {
        "overrides": [{"pattern": "embed", "wd_mult": 3.0}],
        "scheduler": {"lr_decay_style": "inverse-square-root", "lr_warmup_steps": 10, "init_lr": 0.0, "min_lr": 0.004},
    },
    "no warmup": {
        "overrides": [{"pattern": "embed", "wd_mult": 3.0}],
        "scheduler": {"lr_decay_style": "cosine", "lr_warmup_steps": 0, "init_lr": 0.01, "min_lr": 0.0},
    },
    **{
        # as the export writes a warmup of ten steps
        f"written {style}": {
            "overrides": [{"pattern": "embed", "lr_mult": 3.0}],
            "scheduler": {
                "lr_decay_style": style.removesuffix(" at once"), "lr_warmup_steps": rising, "lr_decay_steps": 100,
                "init_lr": first, "max_lr": 0.01, "min_lr": 0.0,
            },
        }
        for style, rising, first in (
            ("cosine", 9, 0.001), ("inverse-square-root", 10, 0.001), ("inverse-square-root at once", 0, 0.01),
        )
    },
}  # fmt: skip


def _stub(name: str, path: Path | None = None, **content: Any) -> None:
    module: Any = ModuleType(name)
    if path is not None:
        module.__path__ = [str(path)]
    vars(module).update(content)
    sys.modules[name] = module


def optimizer_module(checkout: Path) -> Any:
    """Automodel's `components.optim.optimizer`, the packages around it empty.

    Args:
        checkout: folder that has the package `nemo_automodel`.
    """
    for name in ("", ".components", ".components.optim", ".shared"):
        _stub(f"nemo_automodel{name}", checkout / "nemo_automodel" / name.strip(".").replace(".", "/"))
    _stub(
        "nemo_automodel.components.optim.dion",
        build_dion_optimizer=None,
        is_dion_optimizer=lambda *_: False,
    )
    return importlib.import_module("nemo_automodel.components.optim.optimizer")


def recorded(module: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Groups, and the rates and decays of each parameter at some steps.

    Args:
        module: Automodel's own, of optimizers.
        case: one of those in `CASES`.
    """
    model = torch.nn.ParameterDict()
    names = {}
    for name in NAMES:
        place: Any = model
        *path, leaf = name.split(".")
        for part in path:
            if part not in place._modules:
                place.add_module(part, torch.nn.Module())
            place = place._modules[part]
        place.register_parameter(leaf, torch.nn.Parameter(torch.zeros(1)))
        names[id(getattr(place, leaf))] = name
    keys = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}
    config = module.build_optimizer_config(torch.optim.AdamW, keys | {"param_group_overrides": case["overrides"]})
    (optimizer,) = config.build(model)
    steps = SimpleNamespace(epoch_len=None, max_steps=STEPS, num_epochs=1)
    (scheduler,) = module.LRSchedulerConfig(**case["scheduler"]).build(optimizer, steps)
    seen = {}
    for step in range(STEPS):
        if step in AT:
            seen[step] = {
                names[id(parameter)]: [group["lr"], group["weight_decay"]]
                for group in optimizer.param_groups
                for parameter in group["params"]
            }
        scheduler.step(1)
    order = [[names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]
    return {**case, "groups": order, "at": seen}


def main() -> None:
    """Prints the record."""
    checkout, commit = Path(sys.argv[1]), sys.argv[2]
    module = optimizer_module(checkout)
    content = {
        "from": f"NVIDIA-NeMo/Automodel {commit}: nemo_automodel/components/optim/optimizer.py, scheduler.py",
        "command": "python -m benchmarks.record_automodel CHECKOUT COMMIT",
        "names": NAMES,
        "keys": {"lr": 0.01, "weight_decay": 0.1, "steps": STEPS},
        "cases": {name: recorded(module, case) for name, case in CASES.items()},
    }
    print(json.dumps(content))


if __name__ == "__main__":
    main()
