"""Whether a check's file has what the recipe asks for: its diagnostics, and the trials of its ladders, and no others.

The way of the check is gone again over the trials that a file carries: the grid at every size, and beyond it where the
optimum lies on its edge. What an adaptive check adds is its choice, which near a tie another machine may take
otherwise; each of those trials must lie where it may choose, with the seeds below its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.compared import Difference
from hptransfer.artifacts.transfer import AdaptiveRecord, TransferFile
from hptransfer.checking.adaptive import rounds_by_name, wrong_end
from hptransfer.checking.design import CheckDesign, extend_grids_at_edges
from hptransfer.checking.diagnose import always_made, facts_of
from hptransfer.hyperparameters import log_coordinate
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import AXES, Size
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial

#: share of the lattice's spacing by which a value may miss it: powers of two differ in their last digit
_OFF_LATTICE = 1e-6
#: size, lattice index, seed; a value off the lattice has no index
_Place = tuple[Size, int | None, int]


def left_out(recipe: Recipe, root: Path, written: TransferFile, tuned: Mapping[str, float]) -> list[Difference]:
    """Diagnostics that the check makes and the file lacks, and trials that its ladders lack or have too many.

    Args:
        recipe: that was checked, with the durations of its sizes.
        root: the recipe's folder, where data patterns start.
        written: the content of the file.
        tuned: base-size value of every hyperparameter, as `tune` found it.

    Raises:
        ValueError: the trials contradict themselves.
    """
    if written.evidence is None:
        return []
    groups = written.evidence.read().groups
    designs = [CheckDesign(recipe, root, dict(tuned), each) for each in recipe.check.checked]
    rounds = rounds_by_name(written.adaptive, designs)
    found = []
    for design in designs:
        name = design.hyperparameter
        found += incomplete(design, groups.get(name, ()), rounds[name])
    further = [name for name in groups if name not in rounds]
    found += [Difference(f"evidence.groups.{name}", None, None, "is no ladder of the check") for name in further]
    made = [name for name in always_made(facts_of(designs[0])) if name not in written.diagnostics]
    return found + [Difference(f"diagnostics.{name}", None, None, "is left out: the check makes it") for name in made]


def not_carried_on(tuned: Carried | None, written: Carried | None) -> Iterator[Difference]:
    """Trials of the search that a check found in its store and the file lacks; diagnostics judge from them.

    A check that was made without the store of `tune` knows none of them: what it shares, it trained anew.

    Args:
        tuned: the trials that `tuned.yaml` carries.
        written: those that `transfer.json` carries.
    """
    if tuned is None or written is None or tuned.digest != written.digest:
        return  # of other rules, code or data, which is said by itself: no key is in both
    known = {line.key for line in written.trials}
    for line in tuned.trials if from_one_store(tuned, written) else ():
        if line.key not in known:
            values = ", ".join(f"{name} {value:.4g}" for name, value in line.values.items())
            said = f"lacks a trial of tuned.yaml: {line.phase} with {values or 'no other values'}, seed {line.seed}"
            yield Difference("evidence.trials", None, None, said)


def from_one_store(tuned: Carried, written: Carried) -> bool:
    """Whether a check was made where the trials of the search lay: it has one of theirs, trained once.

    Args:
        tuned: the trials that `tuned.yaml` carries.
        written: those that `transfer.json` carries.
    """
    known = {line.key: line.seconds for line in written.trials}
    shared = any(known.get(line.key) == line.seconds for line in tuned.trials)
    return shared or any(line.phase != "check" for line in written.trials)


def misended(recipe: Recipe, root: Path, again: TransferFile, tuned: Mapping[str, float]) -> Iterator[Difference]:
    """Rounds of an adaptive check after which it would have gone on, or would not have.

    Args:
        recipe: that was checked, with the durations of its sizes.
        root: the recipe's folder, where data patterns start.
        again: the content of the file with its rounds judged again.
        tuned: base-size value of every hyperparameter, as `tune` found it.
    """
    designs = [CheckDesign(recipe, root, dict(tuned), each) for each in recipe.check.checked]
    for place, (design, record) in enumerate(
        zip(designs, rounds_by_name(again.adaptive, designs).values(), strict=True)
    ):
        said = wrong_end(design, record)
        if said:
            yield Difference(f"adaptive{f'.others.{design.hyperparameter}' if place else ''}.ended", None, None, said)


def incomplete(design: CheckDesign, ladder: Sequence[Trial], stated: AdaptiveRecord) -> list[Difference]:
    """Trials that a ladder lacks or has too many, one difference each.

    Args:
        design: sizes, grid and seeds of the ladder.
        ladder: the trials of which the file says that it consists, in its order.
        stated: the rounds of an adaptive check, none of another.
    """
    again = _Again(design, {_place(design, trial): trial for trial in ladder})
    fixed = again.trials()
    if again.lacking:
        return [_said(design, place, again.why) for place in again.lacking]
    begun = {_place(design, trial) for trial in fixed}
    further = [_place(design, trial) for trial in ladder if _place(design, trial) not in begun]
    if len(ladder) != len(begun) + len(further):
        return [Difference(_field(design), None, None, "names a trial more than once")]
    if not design.recipe.check.adaptive:
        return [_said(design, place, "is none of the check's grid") for place in further]
    return [*_rounds(design, stated, len(begun), further), *_astray(design, {*begun, *further}, further)]


@dataclass
class _Again:
    """The check once more, with trials that are there in place of training.

    Attributes:
        design: sizes, grid and seeds of the ladder.
        known: the trials by their place.
        lacking: places of trials that were asked for and are not there.
        why: what is said of them.
    """

    design: CheckDesign
    known: dict[_Place, Trial]
    lacking: list[_Place] = field(default_factory=list)
    why: str = "is left out: the check trains it (`hptransfer retry` trains again what failed)"

    def trials(self) -> list[Trial]:
        """Those of the grid and of what it was widened by; ends where one is not there."""
        if not self._run(self.design.first()) or self.lacking:
            return []
        self.why = "is left out: an optimum on the edge of its grid, so the check goes on there"
        return extend_grids_at_edges(self.design, self._run)

    def _run(self, specs: Sequence[TrialSpec]) -> list[Trial]:
        found = []
        for spec in specs:
            place = _place(self.design, spec)
            trial = self.known.get(place)
            if trial is None:
                self.lacking.append(place)
            else:
                found.append(trial)
        return found


def _rounds(design: CheckDesign, stated: AdaptiveRecord, begun: int, further: Sequence[_Place]) -> Iterator[Difference]:
    first = stated.rounds[0].trials if stated.rounds else begun + len(further)
    if first != begun:
        name, of_first = design.hyperparameter, design.hyperparameter == design.recipe.check.checked[0]
        yield Difference(f"adaptive{'' if of_first else f'.others.{name}'}.rounds[0].trials", first, begun)


def _astray(design: CheckDesign, there: set[_Place], further: Sequence[_Place]) -> Iterator[Difference]:
    """Trials where no round of a check can be, and seeds of a value that were passed over."""
    sizes = {size for axis in AXES for size in design.sizes(axis)}
    for size, index, seed in further:
        place = (size, index, seed)
        if size not in sizes or index is None or not design.valid_indices([index]):
            yield _said(design, place, "is no trial that a round of the check can ask for")
            continue
        for before in range(seed):
            if (size, index, before) not in there:
                yield _said(design, (size, index, before), f"is left out: seed {seed} is there")


def _place(design: CheckDesign, trial: Trial | TrialSpec) -> _Place:
    at = log_coordinate(design.hyperparameter, trial.hyperparameters[design.hyperparameter])
    index = at / design.recipe.check.spacing
    on_lattice = math.isfinite(index) and abs(index - round(index)) <= _OFF_LATTICE
    return trial.size, round(index) if on_lattice else None, trial.seed


def _field(design: CheckDesign) -> str:
    return f"evidence.groups.{design.hyperparameter}"


def _said(design: CheckDesign, place: _Place, why: str) -> Difference:
    size, index, seed = place
    value = "off the lattice" if index is None else f"{design.value(index):.4g}"
    where = f"{size.label_relative_to(design.proxy)}, {design.hyperparameter} {value}, seed {seed}"
    return Difference(_field(design), None, None, f"{where}, {why}")
