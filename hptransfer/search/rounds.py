"""A search in rounds: explore with one seed, train the values around the optimum with further seeds, explore."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from scipy.special import gammainc

from hptransfer.artifacts.tuned import NoiseSource, Power, quadratic_terms
from hptransfer.errors import UsageError
from hptransfer.search.base import ASSUMED_NOISE, SAMPLERS, Point, Recommendation
from hptransfer.search.recommendation import line_points
from hptransfer.search.sampler_1d import running_minimum
from hptransfer.search.space import Space
from hptransfer.search.space_filling import rounded
from hptransfer.trials.trial import Trial, TrialState

#: values around the optimum that further seeds train: a parabola and one more on each side
STEADIED_VALUES = 5
_MOST_DEFAULT_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """A trial that a search decided on.

    Attributes:
        values: value of each searched hyperparameter, in its own unit.
        seed: seed of initialisation and data order.
    """

    values: Mapping[str, float]
    seed: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """What a search does next, as a function of what was decided and of what is finished; nothing else is remembered.

    Attributes:
        space: the searched hyperparameters with their bounds.
        trials: number of trials of the whole search.
        first_seed: the seed that explores; the next ones are for the values around the optimum.
        wanted_seeds: a recipe's `tune.seeds`; None for three where one hyperparameter is searched and
            the trials allow it.
        sampler: name of a sampler, a recipe's `tune.sampler`.
        enqueued: sets of values to try first, a recipe's `tune.enqueue`.
    """

    space: Space
    trials: int
    first_seed: int = 0
    wanted_seeds: int | None = None
    sampler: str = "auto"
    enqueued: Sequence[Mapping[str, float]] = ()

    @property
    def seeds(self) -> range:
        """Seeds of the search: the first explores, the others are for the values around the optimum."""
        count = self.wanted_seeds
        if count is None:
            affordable = 1 + self.trials // 2 // STEADIED_VALUES
            count = min(_MOST_DEFAULT_SEEDS, affordable) if len(self.space) == 1 else 1
        return range(self.first_seed, self.first_seed + count)

    @property
    def exploring(self) -> int:
        """Trials of the first seed before others begin."""
        return self.trials - (len(self.seeds) - 1) * STEADIED_VALUES

    @property
    def round_size(self) -> int:
        """Trials decided together; a round depends on earlier rounds only, so interruptions change nothing."""
        return 4 if len(self.space) == 1 else 2

    @property
    def settings(self) -> dict[str, Any]:
        """The search with every argument, as JSON-able data for the study and for `tuned.yaml`."""
        return {
            "sampler": self.sampler,
            "arguments": SAMPLERS.look_up(self.sampler).settings(self.space, self.exploring),
            "exploring": self.exploring,
            "trials": self.trials,
            "seeds": list(self.seeds),
            "optuna": metadata.version("optuna"),
        }

    def decide(self, asked: Sequence[Decision], finished: Sequence[Trial], count: int) -> list[Decision]:
        """The next round.

        Args:
            asked: every decision so far, in order.
            finished: complete and diverged trials of those decisions.
            count: number of trials wanted, at most those left.
        """
        explored = sum(trial.seed == self.first_seed for trial in finished)
        return (
            self._explore(asked, finished, min(count, self.exploring - explored))
            or self._steady(asked, finished)[: self.trials - len(finished)]
            or self._explore(asked, finished, count)
        )

    def _explore(self, asked: Sequence[Decision], finished: Sequence[Trial], count: int) -> list[Decision]:
        if count < 1:
            return []
        first = self.first_seed
        points = propose(
            self.space,
            [trial for trial in finished if trial.seed == first],
            [decision.values for decision in asked if decision.seed == first],
            count=count,
            total=self.exploring,
            seed=first,
            sampler=self.sampler,
            enqueued=self.enqueued,
        )
        return [Decision(point, first) for point in points]

    def _steady(self, asked: Sequence[Decision], finished: Sequence[Trial]) -> list[Decision]:
        """The next seed at the tried values around the optimum, on `check`'s grid, which reuses these trials."""
        if all(trial.state is TrialState.DIVERGED for trial in finished):
            return []
        values = _central_values(self.space, finished, STEADIED_VALUES)
        known = {(self._identity(decision.values), decision.seed) for decision in asked}
        for seed in self.seeds[1:]:
            fresh = [value for value in values if (self._identity(value), seed) not in known]
            if len(fresh) > len(values) // 2:  # a moved optimum does not start a seed again
                return [Decision(value, seed) for value in fresh]
        return []

    def _identity(self, values: Mapping[str, float]) -> tuple[float, ...]:
        return tuple(float(values[name]) for name in self.space.names)


def propose(
    space: Space,
    finished: Sequence[Trial],
    asked: Sequence[Mapping[str, float]],
    *,
    count: int,
    total: int,
    seed: int,
    sampler: str = "auto",
    enqueued: Sequence[Mapping[str, float]] = (),
) -> list[dict[str, float]]:
    """Values to try next, a pure function of its arguments.

    Args:
        space: the searched hyperparameters with their bounds.
        finished: complete and diverged trials so far.
        asked: every set of values decided before, in order, whatever became of it; none is proposed again.
        count: largest number of sets wanted, at least 1.
        total: number of trials of the whole search.
        seed: seed of the search, at least 0.
        sampler: name of a sampler, a recipe's `tune.sampler`.
        enqueued: sets to try before anything else, a recipe's `tune.enqueue`.

    Returns:
        Sets of values of the searched hyperparameters; none when every trial diverged or nothing new is left to try.

    Raises:
        UsageError: an enqueued value lies outside its range.
    """
    taken = [space.point(values) for values in asked]
    known = {rounded(point) for point in taken}
    chosen = [point for point in _enqueued(space, enqueued) if rounded(point) not in known][:count]
    if not chosen:
        chosen = SAMPLERS.look_up(sampler).propose(space, finished, taken, count=count, total=total, seed=seed)
    return [space.values(point) for point in chosen]


def _enqueued(space: Space, enqueued: Sequence[Mapping[str, float]]) -> list[Point]:
    for values in enqueued:
        if not space.contains(values):
            received = ", ".join(f"{name}={value:g}" for name, value in values.items())
            bounds = ", ".join(f"{axis.name} from {axis.low:g} to {axis.high:g}" for axis in space)
            raise UsageError(
                "enqueued values must lie within `tune.space`, one for each of its hyperparameters",
                received=received,
                hint=f"the space is {bounds}",
            )
    return [space.point(values) for values in enqueued]


def _central_values(space: Space, finished: Sequence[Trial], count: int) -> list[dict[str, float]]:
    """Values around the optimum, for further seeds.

    Args:
        space: the searched hyperparameters with their bounds.
        finished: complete and diverged trials so far, not all diverged.
        count: largest number of sets wanted.

    Returns:
        For one dimension, values on the lattice of `space.spacing` below any divergence, nearest to the optimum first;
        for more, the sets of lowest loss.
    """
    complete = [trial for trial in finished if trial.state is TrialState.COMPLETE]
    if len(space) > 1:
        best = sorted(complete, key=lambda trial: (trial.loss, trial.key))
        # a value comes once, however many of its seeds are among the best
        distinct = dict.fromkeys(tuple(trial.hyperparameters[name] for name in space.names) for trial in best)
        return [dict(zip(space.names, values, strict=True)) for values in list(distinct)[:count]]
    axis = space.axes[0]
    points = line_points(axis, finished)
    centre = running_minimum(points)
    wall = min((point.x for point in points if point.diverged and point.x > centre), default=math.inf)
    lattice = [x for x in axis.lattice(space.spacing) if x < wall - 1e-6]
    return [space.values((x,)) for x in sorted(lattice, key=lambda x: (abs(x - centre), x))[:count]]


# What a budget can tell: the spread to expect of the recommended values, said before the budget is spent.
#
# A bowl of curvature c (loss lost per octave squared, as a fraction) seen by n runs of noise s (fraction of the loss)
# whose squared distance from the optimum is v on average (octaves squared) gives sd(log2 optimum) = s / (2 c sqrt(n
# v)): the formula of n equidistant runs, s / (2 c h sqrt(n (n^2 - 1) / 12)) at spacing h, has v = h^2 (n^2 - 1) / 12.
# The loss lost by it is d s^2 / (4 c v n) over d hyperparameters. A search that must find the bowl first, and does
# not know that it is one, gets a share of that information, `EFFICIENCY`, and sees the bowl's shape as scatter too,
# `MISFIT`: both from pilot seeds of benchmarks/efficiency.py.

#: loss lost one octave from the optimum, as a fraction: median of published learning-rate sweeps
TYPICAL_CURVATURE = 0.003
#: information that searches had about the optimum, as a share of the formula's (docs/benchmarks.md)
EFFICIENCY = 0.2
#: a bowl is no parabola: to a smooth fit its shape is so much further scatter, as a fraction of the loss (same pilots)
MISFIT = 0.004
#: octaves to each side of the optimum within which runs see the bowl
_REACH = 2.0
#: this probability of reaching the goal is enough
_ENOUGH = 0.8
#: width of a 95% interval in standard deviations
_SDS = 2 * 1.96


def expected_power(
    space: Space, trials: int, goal: float, noise: float = ASSUMED_NOISE, noise_from: NoiseSource = "assumed"
) -> Power:
    """The power of a search that is yet to run.

    Args:
        space: the searched hyperparameters with their bounds.
        trials: number of trials of the whole search.
        goal: what a recommendation should lose at most, as a fraction of the loss.
        noise: standard deviation of one run, as a fraction of the loss.
        noise_from: whether the noise was measured.
    """
    dimensions = len(space)

    def found(octaves: float | None, chance: float) -> Power:
        return Power(
            trials=trials,
            dimensions=dimensions,
            noise=noise,
            noise_from=noise_from,
            octaves=octaves,
            goal=goal,
            chance=chance,
        )

    start = min(trials, 8 if dimensions == 1 else dimensions + 1)
    inside = math.prod(min(1.0, 2 * _REACH / (axis.ends[1] - axis.ends[0])) for axis in space)
    useful = trials - start + start * inside - (quadratic_terms(dimensions) - dimensions - 1) / 2
    if trials < quadratic_terms(dimensions) or useful <= 1:
        return found(None, 0.0)
    information = EFFICIENCY * TYPICAL_CURVATURE * _REACH**2 / 3 * useful
    scatter = math.hypot(noise, MISFIT)
    octaves = scatter / (2 * math.sqrt(TYPICAL_CURVATURE * information))
    chance = float(gammainc(dimensions / 2, 2 * goal * information / scatter**2))  # chi squared
    return found(octaves, chance)


def found_power(space: Space, trials: int, goal: float, found: Recommendation) -> Power:
    """The power of a search that is done, with the noise that it measured where it could.

    Where it could not, spread and chance are those of the interval and the plateau that it found, so that all four say
    the same: a parabola that costs the goal w octaves off, its vertex known to s, loses at most the goal with
    probability P(chi^2 < (w / s)^2).

    Args:
        space: the hyperparameters that were searched together, with their bounds.
        trials: number of trials of the whole search.
        goal: what a recommendation should lose at most, as a fraction of the loss.
        found: what the search recommends.
    """
    expected = expected_power(space, trials, goal)
    if found.has_noise:
        return expected_power(space, trials, goal, found.noise / found.loss, "measured") if found.loss > 0 else expected
    axis = next((axis for axis in space if axis.name == "learning_rate"), space.axes[0])
    low, high = found.intervals[axis.name]
    if low is None or high is None or low >= high:
        return expected.model_copy(update={"octaves": None, "chance": 0.0})
    first, last = found.plateaus[axis.name]
    octaves = (axis.x(high) - axis.x(low)) / _SDS
    within = (axis.x(last) - axis.x(first)) / 2
    chance = float(gammainc(len(space) / 2, (within / octaves) ** 2 / 2))
    return expected.model_copy(update={"octaves": octaves, "chance": chance})


def advice(space: Space, power: Power) -> str:
    """What to do about a budget that will probably miss the goal, one clause.

    Args:
        space: the searched hyperparameters with their bounds.
        power: what the budget can be expected to find.
    """
    for factor in (2, 4, 8, 16):
        if expected_power(space, factor * power.trials, power.goal, power.noise).chance >= _ENOUGH:
            more = f"`tune.trials: {factor * power.trials}` would do"
            break
    else:
        more = "more trials alone will not do"
    fewer = ", or search fewer hyperparameters" if len(space) > 1 else ""
    return f"{more}{fewer}, or longer evaluation (`training.evaluation_batches`), which lowers the noise"
