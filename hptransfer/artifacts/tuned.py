"""`tuned.yaml`: what a search found. `tune` returns it and writes it; `check` and `scale` read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, field_serializer, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hptransfer.artifacts.base import CUT_OFF, Artifact, Record
from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.pasted import command
from hptransfer.artifacts.spent import Spent
from hptransfer.errors import UsageError
from hptransfer.files import write_atomically
from hptransfer.hyperparameters import NAMES, identifying, with_default_multipliers
from hptransfer.sizes import Size

_HEADER = """\
# Written by `hptransfer tune`; read by `hptransfer check` and `hptransfer scale`.
# identity: sha256 of what all trials share: rules, code, data, model and training.
# hyperparameters: base-size values of a trial; recommended: those that were searched, the minimum of a fitted mean.
# intervals: 95%, null at an end that the search leaves open; plateaus: within `plateau_fraction` of the best
# expected loss, the other values held; both in the hyperparameter's own unit.
# Losses: in the unit of the recipe's loss, on its evaluation set. power.octaves: log2 of the learning rate.
# evidence: the trials and what determined them; `hptransfer validate --level evidence` computes the rest from it.
# carried: how many trials that are; a file that was cut off has fewer, and is not read.
"""

NoiseSource = Literal["assumed", "measured"]

#: a budget with a smaller probability of reaching the goal is expected to miss it
_LIKELY = 0.5


def quadratic_terms(dimensions: int) -> int:
    """Number of coefficients of a full quadratic over this many hyperparameters."""
    return (dimensions + 1) * (dimensions + 2) // 2


class BestObserved(Record):
    """The finished search trial of lowest loss."""

    hyperparameters: dict[str, float]
    """searched values by name, own units"""
    loss: float
    """nats"""
    seed: int
    """the seed it was trained with"""
    note: str
    """why it is not the recommendation, one sentence"""


class Confirmation(Record):
    """Fresh seeds at the recommended values; none of them took part in the search."""

    mean: float | None
    """mean of the losses, nats; null: a seed is missing, because its trial failed"""
    sd: float | None
    """standard deviation of the losses, nats; null: fewer than two"""
    seeds: tuple[int, ...]
    """the seeds that were trained"""
    losses: tuple[float, ...]
    """nats, in the order of `seeds`"""


class TrialCount(Record):
    """Trials of the search."""

    finished: int
    """number of complete and diverged trials, over all interruptions"""
    diverged: int
    """number of those that diverged"""
    failed: int
    """number of attempts that ended without a result (errors, memory, signals), interruptions not counted"""


class Power(Record):
    """What a search can be expected to find."""

    trials: int
    """number of trials of the search"""
    dimensions: int
    """number of searched hyperparameters"""
    noise: float
    """standard deviation of one run, as a fraction of the loss"""
    noise_from: NoiseSource
    """where the noise comes from: "assumed" before anything is measured, and where too few trials show it"""
    octaves: float | None
    """standard deviation to expect of the recommended log2 value, octaves; null: the trials leave it open"""
    goal: float
    """what a recommendation should lose at most, as a fraction of the loss: the recipe's `check.criteria.regret`"""
    chance: float
    """probability that the recommendation loses at most `goal`"""

    @property
    def misses_goal(self) -> bool:
        """Whether the budget will more likely than not miss the goal."""
        return self.chance < _LIKELY

    @property
    def sentence(self) -> str:
        """The statement for people."""
        runs = f"{self.trials} trials over {self.dimensions} hyperparameter{'s' if self.dimensions > 1 else ''}"
        if self.trials < quadratic_terms(self.dimensions):
            return f"{runs} cannot fix a bowl: {quadratic_terms(self.dimensions)} numbers describe one"
        if self.octaves is None:
            return f"{runs} leave open where the bottom of the bowl is: too few lie near it"
        return (
            f"{runs}, noise of {self.noise:.2g} of the loss ({self.noise_from}): the recommended learning rate will be "
            f"known to about +-{self.octaves:.2g} octaves, and with probability {self.chance:.0%} it costs at most "
            f"{self.goal:.2%} of the loss"
        )


class Seeds(Record):
    """Seeds of initialisation and data order."""

    search: tuple[int, ...]
    """seeds of the search: the first explores"""
    confirmation: tuple[int, ...]
    """seeds of the confirmation"""


class Provenance(Record):
    """What made the file."""

    versions: dict[str, str]
    """version by package, and of Python and the platform"""
    data: str
    """sha256 (hex) of the data"""
    seeds: Seeds
    """all that were used"""


class Tuned(Artifact):
    """The outcome of a search, and the content of `tuned.yaml`."""

    model_config = Artifact.model_config | {"strict": True}

    FORMAT: ClassVar[int] = 2
    WRITER: ClassVar[str] = "hptransfer tune"

    format: int = FORMAT
    """number of this file's format"""
    recipe: str
    """the recipe's name"""
    recipe_hash: str
    """sha256 (hex) of the validated recipe"""
    identity: str
    """sha256 (hex) of what all trials share: rules, code, data, model and training"""
    size: Size
    """the proxy, where the search ran: width, depth, examples per step, predicted positions"""
    hyperparameters: Annotated[dict[str, float], Field(min_length=1)]
    """base-size value of every hyperparameter, the recommended ones included; multipliers of 1 are not written"""
    recommended: dict[str, float]
    """the searched hyperparameters, own units"""
    intervals: dict[str, tuple[float | None, float | None]]
    """95% interval of each searched hyperparameter, own unit; null: an open end"""
    plateaus: dict[str, tuple[float, float]]
    """values, the others held, whose expected loss is within `plateau_fraction` of the best, own unit"""
    plateau_fraction: float
    """width of the plateaus, as a fraction of the best expected loss: the recipe's `check.criteria.regret`"""
    expected_loss: float
    """loss at the recommendation by the fit, mean over the search's seeds, nats"""
    best_observed: BestObserved
    """the single trial of lowest loss"""
    confirmation: Confirmation
    """fresh seeds at the recommendation"""
    trials: TrialCount
    """trials of the search"""
    flops: float
    """floating point operations of search and confirmation"""
    seconds: float
    """wall time of training, summed over trials"""
    spent: Spent
    """the same, and what the target's run costs"""
    warnings: tuple[str, ...]
    """what a reader must know, one sentence each"""
    power: Power
    """what this many trials could tell, by the noise they showed"""
    search: dict[str, Any]
    """the sampler with every argument, seeds and Optuna's version"""
    provenance: Provenance
    """versions, data and seeds"""
    carried: Annotated[int, Field(ge=0)]
    """number of trials in `evidence`: YAML that is cut between two lines is YAML, so the file says how long it is"""
    evidence: Carried | None
    """the trials, from which all of this can be computed; null: none are known"""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        found = 0 if self.evidence is None else len(self.evidence.trials)
        if found != self.carried:
            said = {"found": found, "carried": self.carried}
            raise PydanticCustomError(CUT_OFF, "`evidence` has {found} of {carried} trials: the file is cut off", said)
        return self

    @field_validator("hyperparameters")
    @classmethod
    def _completed(cls, values: dict[str, float]) -> dict[str, float]:
        for name in values:
            if name not in NAMES:
                raise PydanticCustomError("unknown_name", "`{name}` is not a known hyperparameter", {"name": name})
        return with_default_multipliers(values)

    @field_serializer("hyperparameters")
    def _written(self, values: Mapping[str, float]) -> dict[str, float]:
        return identifying(values)

    def write(self, path: Path) -> None:
        """Writes `tuned.yaml`, whole or not at all.

        Args:
            path: the file in the run folder.

        Raises:
            UsageError: the path cannot be written.
            MachineError: the disk is full.
        """
        content = self.model_dump(mode="json")
        evidence = content.pop("evidence")
        body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        write_atomically(path, _HEADER + body + _evidence_text(evidence))


def _evidence_text(evidence: dict[str, Any] | None) -> str:
    """The section `evidence`, a line for each of its parts and for each trial."""
    if evidence is None:
        return "evidence: null\n"

    def line(value: Any) -> str:
        text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
        return text

    trials = evidence.pop("trials")
    identity = "".join(f"    {line({name: part})[1:-2]}\n" for name, part in evidence.pop("identity").items())
    parts = "".join(f"  {line({name: part})[1:-2]}\n" for name, part in evidence.items())
    return f"evidence:\n  identity:\n{identity}{parts}  trials:\n" + "".join(f"  - {line(each)}" for each in trials)


def read_tuned(path: Path, recipe: str) -> Tuned:
    """The content of `tuned.yaml`.

    Args:
        path: the file in the run folder.
        recipe: what the user called the recipe, for the hint.

    Raises:
        UsageError: nothing was tuned yet, or the file is not what `tune` wrote.
    """
    return Tuned.read(
        path,
        missing=lambda: UsageError(
            "hyperparameters must be tuned first",
            received=f"no {path}",
            hint=f"run {command('tune', recipe, path.parent.parent)}",
        ),
    )
