"""What `tune` found, as a value and as the file `tuned.yaml` (`tuning/tuned_file.py` reads it)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from hptransfer.engine.flops import Spent
from hptransfer.files import write_atomically
from hptransfer.hyperparameters import identifying
from hptransfer.search.power import Power
from hptransfer.sizes import Size

_HEADER = """\
# Written by `hptransfer tune`; read by `hptransfer check` and `hptransfer scale`.
# hyperparameters: base-size values of a trial; recommended: those that were searched, the minimum of a fitted mean.
# intervals: 95%, null at an end that the search leaves open; plateaus: within 0.25% of the best
# expected loss, the other values held. Losses: nats per prediction on validation data.
"""


@dataclass(frozen=True, slots=True)
class BestObserved:
    """The finished search trial of lowest loss.

    Attributes:
        hyperparameters: its searched values.
        loss: nats.
        seed: it was trained with.
        note: why it is not the recommendation.
    """

    hyperparameters: Mapping[str, float]
    loss: float
    seed: int
    note: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Fresh seeds at the recommended values; none of them took part in the search.

    Attributes:
        mean: of the losses, nats; None when a seed is missing (it failed).
        sd: their standard deviation; None with fewer than two.
        seeds: as trained.
        losses: nats, by seed.
    """

    mean: float | None
    sd: float | None
    seeds: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TrialCount:
    """Trials of the search.

    Attributes:
        finished: complete or diverged, over all interruptions.
        diverged: of those.
        failed: attempts that ended without a result (errors, memory, signals), interruptions not counted.
    """

    finished: int
    diverged: int
    failed: int


@dataclass(frozen=True, slots=True)
class TuneResult:
    """The outcome of a search.

    Attributes:
        recipe: its name.
        recipe_hash: sha256 (hex) of the validated recipe.
        size: the proxy, where the search ran.
        hyperparameters: base-size value of every hyperparameter, the recommended ones included.
        recommended: the searched ones.
        intervals: 95% interval of each searched one in its own unit; None at an open end.
        plateaus: values, the others held, whose expected loss is within 0.25% of the best, own unit.
        expected_loss: at the recommendation, by the fit, mean over the search's seeds, nats.
        best_observed: the luckiest trial.
        confirmation: fresh seeds at the recommendation.
        trials: of the search.
        flops: spent on search and confirmation.
        seconds: of training, summed over trials.
        spent: the same beside what the target's run costs.
        warnings: what a reader must know, one sentence each.
        power: what this many trials could tell, by the noise they showed.
        search: the sampler with every argument, seeds and Optuna's version.
        provenance: versions, data fingerprint, seeds.
    """

    recipe: str
    recipe_hash: str
    size: Size
    hyperparameters: Mapping[str, float]
    recommended: Mapping[str, float]
    intervals: Mapping[str, tuple[float | None, float | None]]
    plateaus: Mapping[str, tuple[float, float]]
    expected_loss: float
    best_observed: BestObserved
    confirmation: Confirmation
    trials: TrialCount
    flops: float
    seconds: float
    spent: Spent
    warnings: tuple[str, ...]
    power: Power
    search: Mapping[str, Any]
    provenance: Mapping[str, Any]


def tuned_document(result: TuneResult) -> dict[str, Any]:
    """The result as JSON-able data, in the order of the file."""
    document = asdict(result)
    document["hyperparameters"] = identifying(result.hyperparameters)
    document["intervals"] = {name: list(ends) for name, ends in result.intervals.items()}
    document["plateaus"] = {name: list(ends) for name, ends in result.plateaus.items()}
    document["power"]["octaves"] = result.power.octaves if math.isfinite(result.power.octaves) else None
    document["warnings"] = list(result.warnings)
    confirmation = result.confirmation
    document["confirmation"] |= {"seeds": list(confirmation.seeds), "losses": list(confirmation.losses)}
    return document


def write_tuned(path: Path, result: TuneResult) -> None:
    """Writes `tuned.yaml`, whole or not at all.

    Raises:
        UsageError: the path cannot be written.
        MachineError: the disk is full.
    """
    body = yaml.safe_dump(tuned_document(result), sort_keys=False, allow_unicode=True, width=120)
    write_atomically(path, _HEADER + body)
