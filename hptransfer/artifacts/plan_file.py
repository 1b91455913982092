"""`plan.json`: what one run of a command is to be trained with; its trainer writes it, `load_plan` reads it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import yaml
from pydantic import Field, model_validator

from hptransfer.artifacts.base import Artifact
from hptransfer.artifacts.known_values import GaugeName, Group, MuonScale, OptimizerName, require_one_optimizer
from hptransfer.artifacts.target import ModelRecord, ProvenanceRecord, TargetFile, TrainingRecord, VerdictRecord
from hptransfer.errors import UsageError
from hptransfer.files import bounded_content
from hptransfer.sizes import Size


class PlanFile(Artifact):
    """The content of `plan.json`."""

    model_config = Artifact.model_config | {"strict": True}

    FORMAT: ClassVar[int] = 1
    WRITER: ClassVar[str] = "hptransfer tune"

    parameterization: str
    """name with its exponents; of a recipe without a model the name alone"""
    gauge: GaugeName = "plain"
    """where multipliers live; `plain`: none in `forward`"""
    optimizer: OptimizerName
    options: Mapping[str, bool | float | str] = Field(default_factory=dict)
    """named choices among published rules, defaults filled in; empty of a recipe without a model"""
    model: ModelRecord | None = None
    """null: written before it was said"""
    base: Size
    """at which hyperparameters hold as they are: width, depth, examples per step, tokens over the whole run"""
    size: Size
    """of this run"""
    muon_scale: MuonScale = None
    """the factor of a matrix's shape by which Muon multiplies its rate; null: the plan has no Muon"""
    seed: int
    """of initialisation and data order"""
    hyperparameters: Mapping[str, float]
    """values at the base size"""
    optimizer_values: Mapping[str, float] = Field(default_factory=dict)
    """betas and momentum at this size"""
    searched: tuple[str, ...] | None = None
    """hyperparameters that the recipe's search decides; null: written before it was said"""
    training: TrainingRecord
    notes: tuple[str, ...] = ()
    """what a reader must know: choices among published rules, what no rule covers"""
    parameters: tuple[Group, ...] = ()
    """final values for this size, one row per group of parameters; none where the recipe has no model"""

    @model_validator(mode="after")
    def _one_optimizer(self) -> Self:
        require_one_optimizer(self.optimizer, self.parameters)
        return self

    def as_target(self) -> TargetFile:
        """The run as a target that nothing was checked for, so that it can be written for a framework.

        The program has its own schedule and clipping, as in the target's file of its recipe.
        """
        return TargetFile(
            format=TargetFile.FORMAT,
            recipe="",
            verdict=VerdictRecord(verdict=None, sentence=_ONE_RUN, forced=False, objections=(), axes=()),
            extrapolation=(),
            parameterization=self.parameterization,
            gauge=self.gauge,
            optimizer=self.optimizer,
            options=self.options,
            base=self.base,
            size=self.size,
            hyperparameters=self.hyperparameters,
            optimizer_values=self.optimizer_values,
            muon_scale=self.muon_scale,
            model=self.model,
            training=TrainingRecord(
                steps=self.training.steps,
                batch_size=self.training.batch_size,
                schedule="own",
                warmup=None,
                clip=None,
                precision=self.training.precision,
            ),
            notes=self.notes,
            parameters=self.parameters,
            provenance=ProvenanceRecord(
                written="",
                versions={},
                recipe_hash="",
                data_fingerprint=None,
                seeds={"seed": self.seed},
                tuned_at=None,
                intervals=None if self.searched is None else dict.fromkeys(self.searched, (None, None)),
                tuned_with={},
            ),
        )


#: what the verdict of one run's file says
_ONE_RUN = "the plan of one run of a search or of a check"


def read_planned(path: Path) -> TargetFile:
    """What a framework is to train: a target's file, or the `plan.json` of one run of a command.

    Args:
        path: of the YAML file, or of the JSON file.

    Raises:
        UsageError: there is no such file, or it is neither.
    """

    def missing() -> UsageError:
        hint = "`hptransfer scale` writes a target.yaml; name it: `--plan target.yaml`"
        return UsageError("the target's file must exist", received=f"no {path}", hint=hint)

    if path.suffix == ".json":
        return PlanFile.read(path, missing=missing).as_target()
    try:
        return TargetFile.read(path, missing=missing)
    except UsageError as error:
        if _is_recipe(path):
            raise UsageError(
                "a target is asked for, which `hptransfer scale` makes of a recipe",
                received=f"{path}: a recipe",
                hint=f"hptransfer scale {shlex.quote(str(path))}, then name the target.yaml that it writes",
            ) from error
        raise


def _is_recipe(path: Path) -> bool:
    """Whether a file has the sections that a recipe must have, and no number of a format."""
    try:
        content = yaml.safe_load(bounded_content(path, 1 << 20))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and "format" not in content and "sizes" in content
