"""Targets that nanoGPT-mup holds, and its own model and optimizer of an exported file."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.nanogpt_mup import MASTER, branch_named
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.roundtrip.nanogpt_mup import defaults_of
from hptransfer.sizes import Size
from tests.support.exported import llama_target
from tests.support.nanogpt import CONTEXT, VOCABULARY

if TYPE_CHECKING:
    import torch
    from torch import nn

BASE = Size(64, 2, 8, 8192)
WIDER = Size(192, 2, 8, 8192)


def target(
    parameterization: str = "mup", size: Size = WIDER, options: Options | None = None, schedule: str = "cosine",
    objections: tuple[str, ...] = (), model: Mapping[str, Any] | None = None, floor: float = 0.1,
    same_depth: bool = True, **values: Any,
) -> TargetFile:  # fmt: skip
    """A nanoGPT's target under the rules that a branch has."""
    branch = branch_named(parameterization)
    arguments = {"head_dim": 16, "smaller_writers": branch is MASTER, **(model or {})}
    section = FactoryModel.model_validate(
        {
            "kind": "factory",
            "factory": "tests.support.nanogpt:nanogpt",
            "preset": "nanogpt",
            "context": 32,
            "arguments": arguments,
        }
    )
    # muP has no rule for the depth, so its base is as deep
    base = replace(BASE, depth=size.depth) if branch is MASTER and same_depth else BASE
    made = llama_target(
        parameterization, base=base, size=size, model=section, options=options or branch.options, objections=objections,
        **values,
    )  # fmt: skip
    assert made.training is not None
    training = made.training.model_copy(update={"schedule": schedule, "steps": 100, "clip": 0.5, "floor": floor})
    return made.model_copy(update={"training": training})


def module_of(folder: Path) -> ModuleType:
    """A checkout's model.py."""
    spec = importlib.util.spec_from_file_location("nanogpt_mup_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def framework(folder: Path, export: Path, **changes: Any) -> tuple[nn.Module, torch.optim.Optimizer, dict[str, Any]]:
    """The framework's model and optimizer, as `train.py` makes them of an exported file."""
    config = defaults_of(folder)
    exec(export.read_text(), config)  # noqa: S102  # as its configurator does
    config |= changes | {"block_size": CONTEXT, "vocab_size": VOCABULARY, "device_type": "cpu"}
    module = module_of(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        names = {field.name for field in fields(module.GPTConfig)}
        model = module.GPT(module.GPTConfig(**{name: config[name] for name in names}))
        arguments = [config["weight_decay"], config["learning_rate"], (config["beta1"], config["beta2"])]
        arguments += [config["adam_eps"]] if "adam_eps" in config else []
        optimizer = model.configure_optimizers(*arguments, "cpu")
    for group in optimizer.param_groups:
        group["lr"] = config["learning_rate"] * group.get("lr_scale", 1.0)
    return model, optimizer, config
