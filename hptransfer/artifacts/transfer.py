"""`transfer.json`: what a check found. `check` writes it; `scale`, `status` and the registered prediction read it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from hptransfer.artifacts.base import Artifact, Record
from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.scope import IntervalRecord, ScopeRecord, with_standings
from hptransfer.artifacts.spent import Spent
from hptransfer.sizes import AXES, LADDERS
from hptransfer.transfer.coverage import TargetReport
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.mechanics import fixed_values_documents
from hptransfer.transfer.speed import Speed
from hptransfer.verdict import Verdict


class OptimumRecord(Record):
    """The best value of the hyperparameter at one size."""

    log2_value: float
    """log2 of the hyperparameter"""
    low: float | None
    """log2; null: open"""
    high: float | None
    """log2; null: open"""
    standard_error: float | None
    """octaves; null: open on a side"""
    edge: Literal["low", "high"] | None
    """the end of the sampled region on which the lowest mean lies"""
    loss: IntervalRecord
    """at the optimum, nats"""
    best_point: tuple[float, float | None]
    """(log2 value, mean loss in nats) of the lowest seed mean"""
    noise: float | None
    """standard deviation of one run, nats"""
    noise_from: Literal["seeds", "scatter", "given"]
    curvature: float | None
    """half the second derivative, nats per octave squared; null: no curve"""
    cliff_distance: float | None
    """octaves from the optimum up to the smallest value that diverged or blew up; null: none did"""
    plateau: tuple[float | None, float | None]
    """log2 ends between which the loss stays within the allowed regret of the best"""
    n_points: int
    """runs, diverged ones included"""
    n_seeds: int
    seed_error: float | None = None
    """standard error of the loss by what seeds do to all values alike, nats; null: no curve, or an older file"""
    value: float | None
    """the optimum in the hyperparameter's own unit"""


class RunRecord(Record):
    """One finished run."""

    x: float
    """log2 of the hyperparameter"""
    seed: int
    loss: float | None
    """nats; null: diverged"""
    diverged: bool
    flops: float
    """of the run; 0: not known"""


class SizeRecord(Record):
    """One size of a ladder."""

    value: float
    """of the axis: a width, a depth, examples per batch, or predicted positions"""
    optimum: OptimumRecord
    best_loss: float | None
    """lowest seed mean, nats"""
    transferred_loss: IntervalRecord
    """at the transferred value, nats"""
    regret: IntervalRecord
    """nats"""
    sampled_regret: float | None
    """upper end of the regret against the best loss within the sampled region; null: nothing is known"""
    relative_regret: IntervalRecord
    """fraction of the loss at the optimum"""
    cost: IntervalRecord
    """what the transferred value costs in the axis's unit"""
    doublings: IntervalRecord | None
    """that loss as doublings that would buy it back; null: no rate is known"""
    deviations: IntervalRecord
    """that loss in standard deviations of one run between seeds"""
    octave_off: IntervalRecord
    """what the worse of half and twice the optimum costs, nats"""
    spiked: tuple[float, ...]
    """log2 values whose runs scatter far more than the others, or whose only run lies far off what others lead to"""
    blown: tuple[float, ...]
    """log2 values whose losses are finite and no part of a curve, because training blew up there"""
    measured: bool
    """whether runs exist at the transferred value itself"""
    points: tuple[RunRecord, ...]


class CriteriaRecord(Record):
    """What was asked; null: no such bound."""

    cost: float | None
    """doublings"""
    deviations: float | None
    """standard deviations of one run between seeds"""
    drift: float | None
    """octaves per doubling"""
    regret: float | None
    """fraction of the loss"""
    noise: float | None
    """known standard deviation of one run, in the unit of the loss; null: from the runs"""


class UnitRecord(Record):
    """What costs are counted in along one axis."""

    of: str
    """what a doubling doubles: compute, or the axis"""
    name: str
    """of the unit, in the plural: "doublings of compute", or "deviations between seeds" """
    known: bool
    """whether growing clearly gains, so that the unit is doublings"""
    gain: IntervalRecord | None
    """loss that a doubling gains at the largest size; null: no rate is known"""
    exponent: IntervalRecord | None
    """power by which a doubling gains less than the one before it"""
    deviation: IntervalRecord
    """standard deviation of one run's loss between seeds, pooled over sizes"""
    borrowed: str | None
    """the axis that the gain was measured over, at the proxy; null: this one"""


class StepRecord(Record):
    """The optimum between two neighbouring sizes."""

    low: float
    """the smaller size"""
    high: float
    """the larger size"""
    slope: IntervalRecord
    """octaves per doubling"""


class PathRecord(Record):
    """The optima of a ladder in order."""

    steps: tuple[StepRecord, ...]
    """between neighbouring sizes"""
    scatter: float
    """octaves by which optima lie off a line"""
    shape: Literal["straight", "bent", "turns", "open"]
    """open: too noisy to say"""


class AxisRecord(Record):
    """The judgement along one axis of size for one hyperparameter."""

    axis: str
    """width, depth, batch_size, tokens, or "width x depth" for the corner"""
    hyperparameter: str
    """the name that octaves are counted of: 1/(1 - beta2) for beta2"""
    transferred: Annotated[float, Field(gt=0)]
    """the value tuned at the proxy, own unit"""
    reference: float
    """the proxy's value on the axis"""
    criteria: CriteriaRecord
    sizes: tuple[SizeRecord, ...]
    """increasing"""
    unit: UnitRecord
    cost: IntervalRecord
    """of the transferred value at the size where it may cost most, in that unit"""
    dearest: float
    """that size"""
    drift: IntervalRecord
    """octaves per doubling"""
    path: PathRecord
    """how the optimum moves from size to size"""
    regret: IntervalRecord
    """at the largest size, fraction of the loss"""
    rho: IntervalRecord | None
    """regret over the loss gained from the proxy to the largest size; null: no gain was seen"""
    wider_is_not_worse: bool | None
    """null: undecided"""
    sensitivity_growth: IntervalRecord | None
    """growth of `octave_off` per doubling: 0.2 is 20%"""
    verdict: Verdict
    sentence: str
    limits: tuple[str, ...]
    """what the evidence cannot show"""
    would_decide: str | None
    """what would decide an INCONCLUSIVE, one sentence; null otherwise"""
    speed: Speed | None
    """what `rho` says"""


class HyperparameterRecord(Record):
    """One checked hyperparameter over all axes of size."""

    hyperparameter: str
    transferred: Annotated[float, Field(gt=0)]
    """own unit"""
    verdict: Verdict
    sentence: str


class SnapshotRecord(Record):
    """One axis after a round of trials."""

    axis: str
    drift: IntervalRecord
    """octaves per doubling"""
    cost: IntervalRecord
    """of the transferred value at the size where it may cost most"""
    unit: str
    """of the cost, in the plural"""
    verdict: Verdict


class RoundRecord(Record):
    """What a round of an adaptive check was spent on, and what was known after it."""

    trials: int
    """finished so far"""
    spent: int
    """of them in this round"""
    spent_on: tuple[str, ...]
    """what the trials of the round were for, a phrase each"""
    axes: tuple[SnapshotRecord, ...]
    """per axis, after the round"""
    verdict: Verdict


class AdaptiveRecord(Record):
    """The way to the trials of one hyperparameter."""

    ended: str
    """why no more trials were spent"""
    rounds: tuple[RoundRecord, ...]
    """none where the grid was fixed"""
    others: Mapping[str, AdaptiveRecord] = {}
    """of the further hyperparameters, by name"""


class CheckProvenance(Record):
    """Where the evidence comes from."""

    hptransfer: str
    """version"""
    python: str
    """version"""
    torch: tuple[str, ...]
    """versions that trained"""
    data: str
    """sha256 of the data"""
    evaluation: str = ""
    """what losses were measured on, in words; empty in files of before it was kept"""
    evaluation_error: float | None = None
    """standard error of one trial's loss over the evaluation set at the largest size; null where it is not known"""
    unit: str = ""
    """in which losses are; empty in files of before it was kept"""
    seeds: int
    """per value, to begin with"""
    trials: int
    diverged: int
    flops: float
    """of all trials of the check"""
    seconds: float
    """of training, summed over trials"""


class TransferFile(Artifact):
    """The content of `transfer.json`."""

    FORMAT: ClassVar[int] = 3
    WRITER: ClassVar[str] = "hptransfer check"

    recipe: str
    """its name"""
    recipe_hash: str
    """sha256 of what evidence rests on in the recipe"""
    identity: str
    """sha256 of what all trials of the recipe share: model, data, training, rules; empty where it is not known"""
    verdict: Verdict
    sentence: str
    hyperparameter: str
    """the first that was checked"""
    transferred: Annotated[float, Field(gt=0)]
    """its value tuned at the proxy, own unit"""
    hyperparameters: Annotated[tuple[HyperparameterRecord, ...], Field(min_length=1)]
    criteria: CriteriaRecord
    checked: dict[str, tuple[int, ...]]
    """key of a ladder in the recipe's `sizes` -> its values, increasing; empty where the ladder was not checked"""
    axes: Annotated[tuple[AxisRecord, ...], Field(min_length=1)]
    target: ScopeRecord | None = None
    """what all this says of the recipe's target; null: no rule is claimed, or the target is the proxy"""
    mechanics: tuple[Mapping[str, Any], ...] = ()
    """per axis of the model: `rises`, the values at which a larger size clearly trains worse, of `compared`; `by` is
    null where it diverges; none in files of before it was kept"""
    diagnostics: Mapping[str, Any]
    """what each diagnostic found, by its name; null where there was too little to judge"""
    adaptive: AdaptiveRecord
    provenance: CheckProvenance
    spent: Spent
    evidence: Carried | None = None
    """the trials, from which all of this can be computed; null: written by an earlier version"""

    @classmethod
    def upgraded(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Plain data with what later versions say of a target.

        Args:
            data: of a file with this format's number.
        """
        return with_standings(data, "target")

    @classmethod
    def of(
        cls,
        report: TransferReport,
        *,
        recipe: str,
        recipe_hash: str,
        identity: str,
        diagnostics: Mapping[str, object],
        adaptive: Mapping[str, object],
        provenance: Mapping[str, object],
        spent: Spent,
        target: TargetReport | None = None,
        evidence: Carried | None = None,
    ) -> Self:
        """The content for a judgement.

        Args:
            report: over all checked hyperparameters and axes.
            recipe: name of the recipe.
            recipe_hash: sha256 (hex) of what evidence rests on in the recipe.
            identity: sha256 (hex) of what all trials share; empty where it is not known.
            diagnostics: JSON-able document of each diagnostic, by name.
            adaptive: rounds of every ladder, with the fields of `AdaptiveRecord`.
            provenance: versions, data and sums over trials, with the fields of `CheckProvenance`.
            spent: what finished trials cost, search and check together.
            target: the judgement of the recipe's target; None where there is none.
            evidence: the trials and what they share; None where they are not known.
        """
        first = report.axes[0]
        content = {
            "format": cls.FORMAT,
            "recipe": recipe,
            "recipe_hash": recipe_hash,
            "identity": identity,
            "verdict": report.verdict,
            "sentence": report.sentence,
            "hyperparameter": first.hyperparameter,
            "transferred": first.transferred,
            "hyperparameters": [
                _overall(name, report.axes) for name in dict.fromkeys(axis.hyperparameter for axis in report.axes)
            ],
            "criteria": first.criteria,
            "checked": {LADDERS[axis]: _checked(report.axes, axis) for axis in AXES},
            "axes": report.axes,
            "target": None if target is None else ScopeRecord.of(target),
            "mechanics": fixed_values_documents(report.axes),
            "diagnostics": diagnostics,
            "adaptive": adaptive,
            "provenance": provenance,
            "spent": spent.model_dump(mode="json"),
            "evidence": None if evidence is None else evidence.model_dump(mode="json"),
        }
        # through JSON text, because pydantic's strict mode takes a list for a tuple there and nowhere else
        return cls.model_validate_json(json.dumps(to_document(content)))

    @property
    def document(self) -> dict[str, Any]:
        """The content as JSON-able data."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """The content as JSON text, with a line for each trial."""
        content = self.document
        evidence = content.pop("evidence")
        text = json.dumps(content, indent=2, allow_nan=False)
        return f'{text[:-2]},\n  "evidence": {_evidence_text(evidence)}\n}}\n'


def read_transfer(path: Path) -> TransferFile | None:
    """What `check` wrote; None where nothing was checked.

    Args:
        path: of `transfer.json` in a run folder.

    Raises:
        UsageError: the file cannot be read, or is not what `check` writes.
    """
    try:
        return TransferFile.read(path, missing=FileNotFoundError)
    except FileNotFoundError:
        return None


def _evidence_text(evidence: dict[str, Any] | None) -> str:
    """The section `evidence`, a line for each of its parts, of what determined trials, and for each trial."""
    if evidence is None:
        return "null"
    identity = (f"      {_pair(name, part)}" for name, part in evidence["identity"].items())
    parts = [f'    "identity": {{\n{_LINE.join(identity)}\n    }}']
    parts += [f"    {_pair(name, part)}" for name, part in evidence.items() if name not in ("identity", "trials")]
    trials = (f"      {json.dumps(each, allow_nan=False)}" for each in evidence["trials"])
    parts.append(f'    "trials": [\n{_LINE.join(trials)}\n    ]')
    return f"{{\n{_LINE.join(parts)}\n  }}"


_LINE = ",\n"


def _pair(name: str, part: Any) -> str:
    return f"{json.dumps(name)}: {json.dumps(part, allow_nan=False)}"


def _overall(name: str, axes: Sequence[AxisReport]) -> dict[str, object]:
    """One hyperparameter over all axes of size."""
    own = [axis for axis in axes if axis.hyperparameter == name]
    verdict = Verdict.combine(axis.verdict for axis in own)
    sentence = " ".join(axis.sentence for axis in own if axis.verdict is verdict)
    return {"hyperparameter": name, "transferred": own[0].transferred, "verdict": verdict, "sentence": sentence}


def _checked(axes: Sequence[AxisReport], name: str) -> list[int]:
    return sorted({int(size.value) for axis in axes if axis.axis == name for size in axis.sizes})


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
