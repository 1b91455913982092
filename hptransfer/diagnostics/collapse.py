"""Do loss curves of different sizes fall onto one curve? Wrong scaling shows here before final losses differ.

Every curve is normalised by its own end: l(x) = (L(x t*) - L0) / (L(t*) - L0), x the share of training done. Curves
collapse when l differs between sizes no more than between seeds; then a size's future can be read off smaller ones.
Source: Qiu et al. 2507.02119 (supercollapse), equations 1 to 3. The paper's conditions are that all sizes train for the
same multiple of the compute-optimal duration, and under one schedule as a share of it: `comparable` says whether a
recipe keeps them, and nothing is said of others. The irreducible loss L0 is the weak point, so the result is shown for
a range of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hptransfer.diagnostics.base import Diagnostic, Facts, Line
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.trainer_sections import SECTIONS
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.laws import fit_power_law
from hptransfer.trials.trial import Trial, TrialState

#: shares of training at which curves are compared: before, they differ by warmup; at 1 they agree by construction
_GRID = np.linspace(0.5, 0.95, 10)
#: spread between sizes over spread between seeds (medians over the grid)
_SUPER, _COLLAPSE, _FAILS = 1.0, 2.0, 3.0
#: the same for single seeds: relative spread at half of training
_ONE_SEED, _ONE_SEED_FAILS = 0.01, 0.03
_FEWEST = 3
_FEWEST_POINTS = 10
#: share of the lowest loss
_HIGHEST_FLOOR = 0.9


class CollapseOutcome(StrEnum):
    """What the curves do."""

    SUPERCOLLAPSE = "supercollapse"
    COLLAPSE = "collapse"
    OPEN = "open"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class RunCurve:
    """One run's loss over its training.

    Attributes:
        size: what the curves differ in.
        seed: of initialisation and data order.
        progress: (m,) share of training done, increasing, ending at 1.
        loss: (m,) training loss at each of these, nats.
    """

    size: float
    seed: int
    progress: Array
    loss: Array


@dataclass(frozen=True, slots=True)
class CollapseReport:
    """How well the curves collapse.

    Attributes:
        floor: L0 that was subtracted, nats.
        progress: (10,) shares of training at which curves were compared.
        between: (10,) relative standard deviation of the normalised curves over sizes and seeds.
        within: (10,) relative standard deviation of the reducible loss over seeds, mean over sizes; None for one seed.
        ratio: median of between over within; None for one seed.
        curve: (10,) the common normalised curve.
        outcome: whether the curves fall onto one.
        sentence: the outcome in words.
        sensitivity: (floor, ratio or spread) for other floors: how much hangs on L0.
    """

    floor: float
    progress: Array
    between: Array
    within: Array | None
    ratio: float | None
    curve: Array
    outcome: CollapseOutcome
    sentence: str
    sensitivity: tuple[tuple[float, float], ...]


def comparable(recipe: Recipe) -> bool:
    """Whether the curves of a ladder of widths can be expected to collapse.

    Tokens in proportion to the parameters stand for a fixed multiple of the compute-optimal duration, as by Hoffmann et
    al. (arXiv 2203.15556); a warmup of a fixed length, or a trainer that keeps its schedule to itself, is another
    schedule at every size, or may be.

    Args:
        recipe: says how long and under which schedule its sizes train.
    """
    training = recipe.training
    fixed_warmup = training.warmup_steps is not None or training.warmup_tokens is not None
    return recipe.ray is not None and not fixed_warmup and recipe.trainer.name not in SECTIONS


def curves_of(trials: Sequence[Trial], axis: str) -> tuple[RunCurve, ...]:
    """The recorded curves of finished trials; the last point ends the run.

    Args:
        trials: diverged ones are left out.
        axis: the field of their size in which they differ.
    """
    kept = [trial for trial in trials if trial.state is TrialState.COMPLETE and len(trial.curve) > 1]
    curves = []
    for trial in kept:
        step, loss = (np.array(column, dtype=float) for column in zip(*trial.curve, strict=True))
        curves.append(RunCurve(getattr(trial.size, axis), trial.seed, step / step[-1], loss))
    return tuple(curves)


def collapse_of(
    trials: Sequence[Trial], *, axis: str, hyperparameter: str, transferred: float
) -> CollapseReport | None:
    """Judge the recorded curves of a ladder at its transferred value, with the floor of a power law over the sizes.

    Args:
        trials: a check's; of each size those at the value nearest to the transferred one count.
        axis: the field of their size in which they differ.
        hyperparameter: name of the checked one.
        transferred: its value tuned at the proxy.

    Returns:
        The report; None where fewer than three sizes have three finished seeds with curves of ten points or more.
    """
    distance = {trial.key: abs(math.log2(trial.hyperparameters[hyperparameter] / transferred)) for trial in trials}
    nearest: dict[float, float] = {}
    for trial in trials:
        size = getattr(trial.size, axis)
        nearest[size] = min(nearest.get(size, math.inf), distance[trial.key])
    kept = [trial for trial in trials if distance[trial.key] <= nearest[getattr(trial.size, axis)] + 1e-9]
    curves = [curve for curve in curves_of(kept, axis) if len(curve.loss) >= _FEWEST_POINTS]
    by_size: dict[float, list[RunCurve]] = defaultdict(list)
    for curve in curves:
        by_size[curve.size].append(curve)
    enough = sorted(size for size, runs in by_size.items() if len(runs) >= _FEWEST)
    if len(enough) < _FEWEST:
        return None
    curves = [curve for size in enough for curve in by_size[size]]
    ends = [float(np.mean([curve.loss[-1] for curve in by_size[size]])) for size in enough]
    lowest = min(float(curve.loss[-1]) for curve in curves)
    # a floor above the luckiest run's end would make it negative; how much hangs on the floor is in the report
    floor = min(max(0.0, fit_power_law(enough, ends).floor), _HIGHEST_FLOOR * lowest)
    return judge_collapse(curves, floor=floor, floors=(0.0, 0.5 * lowest, _HIGHEST_FLOOR * lowest))


def judge_collapse(curves: Sequence[RunCurve], *, floor: float, floors: Sequence[float] = ()) -> CollapseReport:
    """Compare the normalised curves of several sizes.

    Args:
        curves: runs at their tuned values, every size trained for the same multiple of its compute-optimal duration.
        floor: irreducible loss L0, for example from `laws.fit_power_law` over the sizes' final losses.
        floors: other values of L0 to show the sensitivity to.

    Raises:
        UsageError: fewer than three sizes, a curve that ends at or below the floor, or one that does not reach 1.
    """
    _require(curves, floor)
    between, within, curve = _spreads(curves, floor)
    ratio = None if within is None else float(np.median(between / within))
    outcome, sentence = _outcome(ratio, float(between[0]))
    lowest = min(float(run.loss[-1]) for run in curves)
    sensitivity = tuple((other, _strength(curves, other)) for other in floors if other < lowest)
    return CollapseReport(floor, _GRID, between, within, ratio, curve, outcome, sentence, sensitivity)


def _require(curves: Sequence[RunCurve], floor: float) -> None:
    sizes = {run.size for run in curves}
    if len(sizes) < _FEWEST:
        raise UsageError(f"loss curves of {_FEWEST} sizes are needed to see a collapse", received=f"{len(sizes)} sizes")
    for run in curves:
        if not (len(run.loss) == len(run.progress) > 1 and abs(run.progress[-1] - 1) < 1e-9):
            raise UsageError("a loss curve must reach the end of training", received=f"size {run.size:g}")
        if not (np.isfinite(run.loss).all() and run.loss[-1] > floor):
            raise UsageError(
                "a loss curve must end above the irreducible loss",
                received=f"{run.loss[-1]:g} at {run.size:g}, {floor:g}",
            )


def _spreads(curves: Sequence[RunCurve], floor: float) -> tuple[Array, Array | None, Array]:
    """(spread of normalised curves, spread over seeds, mean normalised curve) on the grid."""
    reducible = {id(run): np.interp(_GRID, run.progress, run.loss) - floor for run in curves}
    normal = np.array([reducible[id(run)] / (run.loss[-1] - floor) for run in curves])
    by_size: dict[float, list[Array]] = defaultdict(list)
    for run in curves:
        by_size[run.size].append(reducible[id(run)])
    seeds = [np.array(runs) for runs in by_size.values() if len(runs) >= 2]
    within = None
    if len(seeds) >= _FEWEST:
        within = np.mean([runs.std(axis=0, ddof=1) / runs.mean(axis=0) for runs in seeds], axis=0)
        within = np.maximum(within, 1e-12)
    return normal.std(axis=0, ddof=1) / normal.mean(axis=0), within, normal.mean(axis=0)


def _strength(curves: Sequence[RunCurve], floor: float) -> float:
    between, within, _ = _spreads(curves, floor)
    return float(between[0]) if within is None else float(np.median(between / within))


def _outcome(ratio: float | None, half: float) -> tuple[CollapseOutcome, str]:
    if ratio is None:
        limit = "one seed per size: seed noise is unknown"
        if half <= _ONE_SEED:
            return (
                CollapseOutcome.COLLAPSE,
                f"the curves lie within {half:.2%} of each other at half of training ({limit})",
            )
        failed = half > _ONE_SEED_FAILS
        outcome = CollapseOutcome.FAILS if failed else CollapseOutcome.OPEN
        return outcome, f"the curves differ by {half:.2%} at half of training ({limit})"
    if not math.isfinite(ratio):
        return CollapseOutcome.OPEN, "the seeds do not differ, so there is nothing to compare with"
    said = f"the sizes' curves differ {ratio:.2g} times as much as seeds do"
    for outcome, bound in ((CollapseOutcome.SUPERCOLLAPSE, _SUPER), (CollapseOutcome.COLLAPSE, _COLLAPSE)):
        if ratio <= bound:
            return outcome, said
    if ratio <= _FAILS:
        return CollapseOutcome.OPEN, f"{said}; more seeds would decide it"
    return CollapseOutcome.FAILS, f"{said}: check for wrong scaling, unequal relative durations or a wrong floor"


class Collapse(Diagnostic[CollapseReport]):
    """Whether the loss curves of the widths fall onto one, where lengths, schedules and seeds allow it."""

    always = True

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> CollapseReport | None:
        """The curves of the widths at the value nearest to the transferred one; None where they need not collapse."""
        if not comparable(facts.recipe):
            return None
        widths = facts.ladders["width"]
        return collapse_of(
            [trial for trial in facts.trials if trial.size in widths],
            axis="width",
            hyperparameter=facts.hyperparameter,
            transferred=facts.values[facts.hyperparameter],
        )

    def show(self, report: CollapseReport) -> Iterator[Line]:
        """The outcome, and how much hangs on the irreducible loss."""
        spread = ", ".join(f"{ratio:.2g} at {floor:.3g}" for floor, ratio in report.sensitivity)
        yield Line(f"loss curves at equal tokens per parameter: {report.outcome.value}: {report.sentence}")
        yield Line(f"with an irreducible loss of {report.floor:.3g}; by other floors: {spread}")
        yield Line("")


DIAGNOSTIC = Collapse()
