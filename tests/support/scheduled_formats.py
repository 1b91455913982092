"""Formats with a schedule: their targets, the file and place of its warmup, and one that is a step longer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from hptransfer.artifacts.target import TargetFile
from tests.support import nanogpt_mup
from tests.support.exported import llama_target
from tests.support.switched import switched_target

#: of the files that have a function of their own
MODULE = "STEPS, WARMUP, FLOOR = 100, 10, 0.1"
#: format -> target, file, its warmup, and one that is a step longer
FORMATS: dict[str, tuple[Callable[[], TargetFile], str, str, str]] = {
    "torch": (llama_target, "hptransfer_groups.py", MODULE, MODULE.replace("10,", "11,")),
    "bsh": (llama_target, "hptransfer_mup.py", MODULE, MODULE.replace("10,", "11,")),
    "huggingface": (llama_target, "training_args.json", '"warmup_steps": 10', '"warmup_steps": 11'),
    "lightning": (llama_target, "hptransfer_lightning.py", MODULE, MODULE.replace("10,", "11,")),
    "olmo-core": (llama_target, "hptransfer_olmo_core.py", "WARMUP = 10 ", "WARMUP = 11 "),
    "torchtitan": (llama_target, "hptransfer_torchtitan.py", "warmup_steps=10,", "warmup_steps=11,"),
    "automodel": (llama_target, "automodel.yaml", "lr_warmup_steps: 9\n", "lr_warmup_steps: 10\n"),
    "megatron": (llama_target, "megatron_args.sh", "--lr-warmup-iters 10", "--lr-warmup-iters 11"),
    "deepspeed": (llama_target, "ds_config.json", '"warmup_num_steps": 100', '"warmup_num_steps": 101'),
    "levanter": (lambda: switched_target("standard"), "hptransfer_levanter.yaml", "warmup: 10\n", "warmup: 11\n"),
    "lm-engine": (switched_target, "hptransfer_lm_engine.yml", "num_warmup_steps: 10", "num_warmup_steps: 11"),
    "cerebras": (switched_target, "hptransfer_cerebras.yaml", "total_iters: 10\n", "total_iters: 11\n"),
    "nanogpt-mup": (nanogpt_mup.target, "hptransfer_config.py", "warmup_iters = 10", "warmup_iters = 11"),
}
_PACKAGES = {"huggingface": "accelerate", "olmo-core": "olmo_core", "lightning": "pytorch_lightning"}


def target(name: str, schedule: str = "cosine") -> TargetFile:
    """A tenth of 100 steps; of 1000 where a shorter warmup is not left to DeepSpeed's own schedule."""
    if name in ("lightning", "deepspeed", "torchtitan", "bsh", *_PACKAGES):
        package = _PACKAGES.get(name, {"bsh": "mup"}.get(name, name))
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    made = FORMATS[name][0]()
    assert made.training is not None
    steps = 1000 if name == "deepspeed" else 100
    changes = {"steps": steps, "schedule": schedule, "warmup": 0.1, "floor": 0.1}
    return made.model_copy(update={"training": made.training.model_copy(update=changes)})
