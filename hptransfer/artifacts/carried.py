"""What results rest on, as `tuned.yaml` and `transfer.json` carry it: trials, and the identity of rules, code and data.

With it everything else in the file can be computed again, so that an edited number shows whatever digests say, and
what changed since can be named. What is not shown: trials that were edited together with their keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from hptransfer.artifacts.base import Record
from hptransfer.hyperparameters import identifying, with_default_multipliers
from hptransfer.sizes import Size, shape_label
from hptransfer.trials.identity import Identity, digest, trial_key
from hptransfer.trials.trial import EVALUATION_ERROR, Trial, TrialState

#: what a trial was trained for; superseded: it confirmed a recommendation that diverged on a fresh seed
CarriedPhase = Literal["search", "superseded", "confirm", "check"]
#: width, depth, examples per step, predicted positions
_SizeNumbers = tuple[int, int, int, int]
#: of a trial's provenance: what every trial has its own of; the speed is not carried
_OF_ONE_TRIAL = (EVALUATION_ERROR, "flops_per_second")


class TrialLine(Record):
    """One finished trial, a line of the file."""

    key: str
    """sha256 (hex) of everything that determines the run"""
    size: Annotated[_SizeNumbers, Field(min_length=4)]
    """width, depth, examples per step, predicted positions"""
    values: dict[str, float]
    """base-size values of the hyperparameters in which trials differ; the others are in `values` of the section"""
    seed: int
    state: Literal["complete", "diverged"]
    loss: float | None
    """null: diverged"""
    flops: float
    seconds: float
    """wall-clock time of the run"""
    phase: CarriedPhase
    made: Annotated[int, Field(ge=0)]
    """what it was made with: place in `made` of the section, from 0"""
    error: str | None = None
    """standard error of the loss over the evaluation set; null: not known"""


class SizeCost(Record):
    """FLOPs of one run of a size."""

    size: Annotated[_SizeNumbers, Field(min_length=4)]
    """width, depth, examples per step, predicted positions"""
    flops: float | None
    """null: not known"""


class Carried(Record):
    """Trials and the identity of what they share."""

    identity: dict[str, Any]
    """what determines all trials alike, part by part: rules, code, data, model, training; its sha256 is the file's
    `identity`"""
    rules: dict[str, str]
    """shape of the model -> sha256 (hex) of the rules of every parameter there"""
    values: dict[str, float]
    """base-size values that all trials share; multipliers of 1 are not written"""
    made: tuple[dict[str, str], ...]
    """what trials were made with: versions, device, what the loss was measured on"""
    costs: tuple[SizeCost, ...] = ()
    """FLOPs that the judgement of the target asked for"""
    groups: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """hyperparameter -> places in `trials` of those that its ladder, or its line of the search, consists of"""
    trials: tuple[TrialLine, ...]

    @classmethod
    def of(
        cls,
        identity: Identity,
        trials: Iterable[tuple[Trial, CarriedPhase]],
        *,
        groups: Mapping[str, Sequence[Trial]] | None = None,
        costs: Mapping[Size, float | None] | None = None,
    ) -> Self:
        """What is carried, trials by size, values, seed and key, so that the same ones are the same text.

        Args:
            identity: of the recipe whose trials they are.
            trials: with what each was trained for, in any order; a key counts once.
            groups: hyperparameter -> trials of its ladder or line, all of them among `trials`.
            costs: FLOPs by size that were asked for.
        """
        known = {trial.key: (trial, phase) for trial, phase in trials}
        kept = {trial.key: (trial, phase) for trial, phase in sorted(known.values(), key=lambda each: _place(each[0]))}
        values = {key: identifying(trial.hyperparameters) for key, (trial, _) in kept.items()}
        first = next(iter(values.values()), {})
        shared = {
            name: value
            for name, value in first.items()
            if all(name in each and each[name] == value for each in values.values())
        }
        made: dict[tuple[tuple[str, str], ...], int] = {}
        lines = []
        for key, (trial, phase) in kept.items():
            origin = tuple((name, text) for name, text in trial.provenance.items() if name not in _OF_ONE_TRIAL)
            lines.append(
                TrialLine(
                    key=key,
                    size=_numbers(trial.size),
                    values={name: value for name, value in values[key].items() if name not in shared},
                    seed=trial.seed,
                    state="complete" if trial.state is TrialState.COMPLETE else "diverged",
                    loss=trial.loss if math.isfinite(trial.loss) else None,
                    flops=float(trial.flops),
                    seconds=float(trial.seconds),
                    phase=phase,
                    made=made.setdefault(origin, len(made)),
                    error=trial.provenance.get(EVALUATION_ERROR),
                )
            )
        places = {key: place for place, key in enumerate(kept)}
        shapes = {trial.size.label: trial.size for trial, _ in kept.values()}
        return cls(
            identity=identity.shared(),
            rules={label: identity.rules_at(size) for label, size in sorted(shapes.items())},
            values=shared,
            made=tuple(dict(origin) for origin in made),
            costs=tuple(SizeCost(size=_numbers(size), flops=flops) for size, flops in sorted((costs or {}).items())),
            groups={name: tuple(places[each.key] for each in group) for name, group in (groups or {}).items()},
            trials=tuple(lines),
        )

    @property
    def digest(self) -> str:
        """Sha256 (hex) of the identity: what the file's `identity` must be."""
        return digest(self.identity)

    def read(self) -> CarriedTrials:
        """The trials as records.

        Raises:
            ValueError: a line contradicts itself, or names a place that is not there.
        """
        found = tuple(self._trial(line) for line in self.trials)
        if any(not 0 <= place < len(found) for group in self.groups.values() for place in group):
            raise ValueError("`groups` names a place that is not in `trials`")
        costs = {Size(*each.size): each.flops for each in self.costs}
        return CarriedTrials(
            found,
            tuple(line.phase for line in self.trials),
            {name: tuple(found[place] for place in group) for name, group in self.groups.items()},
            costs,
        )

    def key_of(self, line: TrialLine) -> str | None:
        """The key that a line's content leads to, by the file's own identity; None where its rules are not there.

        Args:
            line: a trial of this section, one of `trials`.
        """
        size = Size(*line.size)
        rules = self.rules.get(shape_label(size.width, size.depth))
        if rules is None:
            return None
        values = with_default_multipliers(self.values | line.values)
        return trial_key(self.digest, rules, size, values, line.seed)

    def _trial(self, line: TrialLine) -> Trial:
        if line.made >= len(self.made):
            raise ValueError(f"a trial names `made` {line.made}, which is not there")
        error = {} if line.error is None else {EVALUATION_ERROR: line.error}
        return Trial(
            key=line.key,
            size=Size(*line.size),
            hyperparameters=with_default_multipliers(self.values | line.values),
            seed=line.seed,
            state=TrialState(line.state),
            loss=math.inf if line.loss is None else line.loss,
            flops=line.flops,
            seconds=line.seconds,
            provenance=self.made[line.made] | error,
        )


@dataclass(frozen=True, slots=True)
class CarriedTrials:
    """Trials of a file as records.

    Attributes:
        trials: in the file's order.
        phases: what each was trained for.
        groups: hyperparameter -> trials of its ladder, or of its line of the search.
        costs: FLOPs by size, as far as they were asked for.
    """

    trials: tuple[Trial, ...]
    phases: tuple[CarriedPhase, ...]
    groups: Mapping[str, tuple[Trial, ...]]
    costs: Mapping[Size, float | None]

    def of(self, phase: CarriedPhase) -> tuple[Trial, ...]:
        """Those that were trained for one thing.

        Args:
            phase: what they were trained for, as the file says it.
        """
        return tuple(trial for trial, each in zip(self.trials, self.phases, strict=True) if each == phase)


def _place(trial: Trial) -> tuple[Any, ...]:
    """Where a trial stands in the file, whenever it was trained."""
    return trial.size, sorted(identifying(trial.hyperparameters).items()), trial.seed, trial.key


def _numbers(size: Size) -> _SizeNumbers:
    width, depth, batch_size, tokens = astuple(size)
    return width, depth, batch_size, tokens
