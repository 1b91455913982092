"""`plan.json`: what one run of a command is to be trained with; its trainer writes it, `load_plan` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hptransfer.artifacts.base import Artifact
from hptransfer.artifacts.target import TrainingRecord
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.sizes import Size


class PlanFile(Artifact):
    """The content of `plan.json`."""

    model_config = Artifact.model_config | {"strict": True}

    FORMAT: ClassVar[int] = 1
    WRITER: ClassVar[str] = "hptransfer tune"

    parameterization: str
    """name with its exponents; of a recipe without a model the name alone"""
    gauge: str = "plain"
    """where multipliers live; `plain`: none in `forward`"""
    optimizer: str
    base: Size
    """at which hyperparameters hold as they are: width, depth, examples per step, tokens over the whole run"""
    size: Size
    """of this run"""
    muon_scale: str | None = None
    """the factor of a matrix's shape by which Muon multiplies its rate; null: the plan has no Muon"""
    seed: int
    """of initialisation and data order"""
    hyperparameters: Mapping[str, float]
    """values at the base size"""
    optimizer_values: Mapping[str, float] = Field(default_factory=dict)
    """betas and momentum at this size"""
    training: TrainingRecord
    notes: tuple[str, ...] = ()
    """what a reader must know: choices among published rules, what no rule covers"""
    parameters: tuple[ParameterGroup, ...] = ()
    """final values for this size, one row per group of parameters; none where the recipe has no model"""
