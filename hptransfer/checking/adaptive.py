"""The adaptive check: begin coarse, judge, spend the next trials where they shrink the deciding interval most.

Repeated judgements reach a verdict by chance more often than a single one does. So a check ends with a verdict only
where two judgements in a row agree on it, the second with a round of trials more; benchmarks/adaptive.py measures the
error rates that remain.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hptransfer.artifacts.transfer import AdaptiveRecord
from hptransfer.checking.design import CheckDesign, Run, extend_grids_at_edges
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.allocation import Lattice, TrialProposal, allocate
from hptransfer.transfer.criteria import FEWEST_SIZES, SHORTEST_LADDER
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.slices import CORNER
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.verdict import Verdict

#: size, value, seed
_Place = tuple[Size, float, int]
#: judgements in a row that must agree before a check ends with a verdict
AGREEING_ROUNDS = 2
#: times the trials to begin with, where the recipe sets no limit
DEFAULT_BUDGET = 3
#: fewest trials per round; fewer would spend more time on looking than on training
FEWEST_PER_ROUND = 4
#: what the first round is spent on
_COARSE = ("the coarse grid",)
#: why no more trials are spent
_FIXED, _NOTHING_LEFT = "the grid was fixed beforehand", "no trial is left that would tell more"
#: what is said of a check that nothing ended
_UNFINISHED = "more trials were to be spent"


@dataclass(frozen=True, slots=True)
class AxisSnapshot:
    """What one axis looked like after a round.

    Attributes:
        axis: name of the axis of size, or of the corner.
        drift: octaves by which the optimum moves per doubling of the size.
        cost: of the transferred value at the size where it may cost most, in the unit of the axis.
        unit: of the cost, in the plural.
        verdict: of the axis after the round.
    """

    axis: str
    drift: Interval
    cost: Interval
    unit: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of trials was spent on, and what was known after it; compare with the round before.

    Attributes:
        trials: number that were finished so far, divergences included.
        spent: number of them that were trained in this round.
        spent_on: what the trials of the round were for, a phrase each.
        axes: what each axis looked like after the round.
        verdict: over all axes after the round.
    """

    trials: int
    spent: int
    spent_on: tuple[str, ...]
    axes: tuple[AxisSnapshot, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class AdaptiveResult:
    """All trials of a check and the way to them.

    Attributes:
        trials: all finished trials of the ladder, diverged ones included.
        rounds: the first is the coarse grid; none where a size never trained, or without refinement.
        ended: why no more trials were spent.
    """

    trials: list[Trial]
    rounds: tuple[Round, ...]
    ended: str


def run_adaptive(design: CheckDesign, run: Run, *, workers: int = 1) -> AdaptiveResult:
    """Run the check's trials; with `check.adaptive` until the verdict is decided or the budget is spent.

    Which trials come next depends on finished trials only, so a check that was killed takes the same way again.

    Args:
        design: sizes, grid and seeds of the ladder.
        run: trains the requests, or finds them where they were trained before.
        workers: trials at a time; a round has twice as many, so that none waits long for the next judgement.
    """
    trials = extend_grids_at_edges(design, run)
    sizes = {trial.size for trial in trials if trial.state is TrialState.COMPLETE}
    if not design.recipe.check.adaptive or sizes != set(design.all_sizes()):
        return AdaptiveResult(trials, (), "the grid was fixed beforehand")
    budget = most_trials(design)
    asked = _places(design, trials)
    report = design.judge(trials)
    rounds = [_round(trials, len(trials), _COARSE, report)]
    while True:
        ended = _ended(rounds, report, len(trials), budget)
        if ended:
            return AdaptiveResult(trials, tuple(rounds), ended)
        most = min(max(FEWEST_PER_ROUND, 2 * workers), budget - len(trials))
        wanted, words = _wanted(design, report, asked, most)
        if not wanted:
            return AdaptiveResult(trials, tuple(rounds), _NOTHING_LEFT)
        requests = [
            design.request(design.size_of(each.axis, each.value), each.index, each.seed)
            for each in dict.fromkeys(wanted[:most])
        ]
        asked |= _places(design, requests)
        new = run(requests)
        trials += new
        report = design.judge(trials)
        rounds.append(_round(trials, len(new), words, report))


def _places(design: CheckDesign, trials: Iterable[Trial | TrialSpec]) -> set[_Place]:
    return {(each.size, each.hyperparameters[design.hyperparameter], each.seed) for each in trials}


def _wanted(
    design: CheckDesign, report: TransferReport, asked: Collection[_Place], most: int
) -> tuple[tuple[TrialProposal, ...], tuple[str, ...]]:
    """The trials of the next round and what they are for; none where all that would tell more were asked for."""

    def allowed(wanted: TrialProposal) -> bool:
        value = design.value(wanted.index)
        fresh = (design.size_of(wanted.axis, wanted.value), value, wanted.seed) not in asked
        return fresh and bool(design.valid_indices([wanted.index]))

    ladders = [axis for axis in report.axes if axis.axis != CORNER]
    return allocate(ladders, Lattice(design.recipe.check.spacing, design.recipe.check.seeds), allowed, most)


def judged_again(
    design: CheckDesign, trials: Sequence[Trial], stated: Sequence[tuple[int, tuple[str, ...]]], ended: str
) -> AdaptiveResult:
    """The rounds of a check as its trials have them: each is judged again by the trials that were finished by then.

    Which trials a round asked for is not decided again: near a tie another machine may choose another one.

    Args:
        design: sizes, grid and seeds of the ladder.
        trials: of the ladder, in the order in which they were asked for.
        stated: how many of them were finished after each round, and what the round was spent on.
        ended: why no more were spent, as it is stated.

    Raises:
        ValueError: a round has fewer trials than the one before, or more than there are.
    """
    if not design.recipe.check.adaptive:
        return AdaptiveResult(list(trials), (), _FIXED)
    stated = stated or ((len(trials), _COARSE),)
    counts = [0, *(count for count, _ in stated[:-1]), len(trials)]
    for place, (before, count) in enumerate(pairwise(counts)):
        if count < before or count < 1:
            raise ValueError(f"`adaptive.rounds[{place}].trials`: {count} after {before}")
    rounds: list[Round] = []
    report = design.judge(trials)
    for (before, count), (_, words) in zip(pairwise(counts), stated, strict=True):
        then = trials[:count]
        rounds.append(_round(then, count - before, words, report if count == len(trials) else design.judge(then)))
    because = _ended(rounds, report, len(trials), most_trials(design))
    # which trials come next may be another choice near a tie; that there are none is not
    if not because and ended == _NOTHING_LEFT and not _wanted(design, report, _places(design, trials), 1)[0]:
        because = _NOTHING_LEFT
    return AdaptiveResult(list(trials), tuple(rounds), because or _UNFINISHED)


def wrong_end(design: CheckDesign, record: AdaptiveRecord) -> str:
    """What speaks against the end of a check, a clause; nothing where its rounds end as they would.

    Args:
        design: sizes, grid and seeds of the ladder.
        record: its rounds and its end, as its trials have them.
    """
    if record.ended == _UNFINISHED:
        return f"is reached by no round: {_UNFINISHED}, and rounds are left out"
    budget, verdicts = most_trials(design), [each.verdict for each in record.rounds]
    for place, each in enumerate(record.rounds[:-1]):
        last = verdicts[max(0, place + 1 - AGREEING_ROUNDS) : place + 1]
        decided = len(last) == AGREEING_ROUNDS and len(set(last)) == 1 and last[0] is not Verdict.INCONCLUSIVE
        if decided or each.trials >= budget:
            why = "it had decided" if decided else "its budget was spent"
            return f"is after round {len(record.rounds)}, and the check had ended after round {place + 1}: {why}"
    return ""


def most_trials(design: CheckDesign) -> int:
    """Trials of an adaptive check in all, at most.

    Args:
        design: sizes, grid and seeds of the ladder.
    """
    return design.recipe.check.max_trials or DEFAULT_BUDGET * len(design.first())


def rounds_document(designs: Sequence[CheckDesign], ladders: Sequence[AdaptiveResult]) -> dict[str, object]:
    """What the rounds of each hyperparameter were spent on; those of the first stand by themselves.

    Args:
        designs: of the ladders, one for each hyperparameter.
        ladders: what each came to, in the same order.
    """
    first, *others = ({"ended": ladder.ended, "rounds": ladder.rounds} for ladder in ladders)
    names = (design.hyperparameter for design in designs[1:])
    return first | {"others": dict(zip(names, others, strict=True))}


def rounds_by_name(stated: AdaptiveRecord, designs: Sequence[CheckDesign]) -> dict[str, AdaptiveRecord]:
    """The rounds of each hyperparameter as a file states them; no round of one that it does not name.

    Args:
        stated: those of the first, with the others' in it.
        designs: of the ladders, one for each hyperparameter.
    """
    first, *others = (design.hyperparameter for design in designs)
    none = AdaptiveRecord(ended="", rounds=())
    return {first: stated} | {name: stated.others.get(name, none) for name in others}


def _round(trials: Sequence[Trial], spent: int, spent_on: tuple[str, ...], report: TransferReport) -> Round:
    axes = tuple(AxisSnapshot(axis.axis, axis.drift, axis.cost, axis.unit.name, axis.verdict) for axis in report.axes)
    return Round(len(trials), spent, spent_on, axes, report.verdict)


def _ended(rounds: Sequence[Round], report: TransferReport, trials: int, budget: int) -> str:
    """Why to stop, or nothing."""
    last = {each.verdict for each in rounds[-AGREEING_ROUNDS:]}
    if len(rounds) >= AGREEING_ROUNDS and len(last) == 1 and report.verdict is not Verdict.INCONCLUSIVE:
        return "decided"
    short = [axis.axis for axis in report.axes if axis.axis != CORNER and _too_short(axis)]
    if short and report.verdict is Verdict.INCONCLUSIVE:
        return f"the ladder in {' and '.join(short)} is too short for any number of trials to decide it"
    return "the budget is spent" if trials >= budget else ""


def _too_short(axis: AxisReport) -> bool:
    values = [size.value for size in axis.sizes]
    return len(values) < FEWEST_SIZES or max(values) / min(values) < SHORTEST_LADDER - math.ulp(SHORTEST_LADDER)
