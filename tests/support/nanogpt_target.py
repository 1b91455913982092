"""The target of a nanoGPT under the rules that nanoGPT-mup has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.nanogpt_mup import MASTER, branch_named
from hptransfer.parameterization.rules import Options
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.sizes import Size
from tests.support.exported import llama_target

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
