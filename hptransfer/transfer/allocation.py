"""Where the next runs shrink the deciding interval most.

What the carried value costs at a size goes with the square of how far its optimum may lie away. A run there lowers the
variance of the optimum: another seed at the values around it lowers what comes from noise, a finer grid also what comes
from the unknown shape of the curve. Sizes count by how far their cost reaches beyond what is allowed; where a drift is
bounded, also by the square of their lever arm in it. So each action has a gain per run, and the best is taken, again
and again, until the round is full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hptransfer.statistics.optimum import Optimum
from hptransfer.transfer.criteria import SizeEvidence, bounds_of
from hptransfer.transfer.judge import AxisReport
from hptransfer.verdict import Verdict

#: octaves around an optimum within which runs inform it
REACH = 1.0
#: variance in octaves^2 of an optimum that is open on a side: as if it could lie an octave or two beyond
_OPEN = 4.0
#: what halving the grid's spacing leaves of the variance that does not come from noise
_AFTER_HALVING = 0.25
#: a cost that reaches beyond its bound by more than this factor makes its size no more important
_FURTHEST = 4.0
#: least weight of a size, as a share of the largest: what is seen there tells of the others' shapes
_SETTLED = 0.1


@dataclass(frozen=True, slots=True)
class TrialProposal:
    """A run that is wanted.

    Attributes:
        axis: name of the axis that the size lies along, for example "width".
        value: the size along this axis, for example a width.
        index: lattice index of the hyperparameter's value.
        seed: number of the seed of initialisation and data order.
    """

    axis: str
    value: int
    index: int
    seed: int


@dataclass(frozen=True, slots=True)
class Lattice:
    """The values that may be tried: 2^(index * spacing).

    Attributes:
        spacing: octaves between neighbours, the finest that is allowed.
        seeds: number of seeds that a new value gets at once, at least 1.
    """

    spacing: float
    seeds: int

    def index(self, x: float) -> int:
        """The index of a value that lies on the lattice, from its log2."""
        return round(x / self.spacing)


@dataclass(frozen=True, slots=True)
class _Action:
    """Runs that belong together, and the size's variance afterwards."""

    what: str
    runs: tuple[TrialProposal, ...]
    after: _Rung


@dataclass(frozen=True, slots=True)
class _Rung:
    """What is known at one size, and what is planned there.

    Attributes:
        axis: name of the axis that the size lies along.
        value: the size along this axis, for example a width.
        weight: by which its variance counts.
        centre: log2 of the optimum.
        seeds: lattice index -> seeds there, planned ones included.
        scale: noise variance times information, octaves^2 * octaves^2: (noise / (2 curvature))^2.
        shape: variance that does not come from noise, octaves^2.
        open_end: -1 or 1 where the optimum may lie beyond the grid on that side, 0 otherwise.
    """

    axis: str
    value: int
    weight: float
    centre: float
    seeds: Mapping[int, frozenset[int]]
    scale: float
    shape: float
    open_end: int

    def variance(self, lattice: Lattice) -> float:
        """Of the optimum, octaves^2; each run counts by the square of its distance."""
        information = sum(
            len(seeds) * (index * lattice.spacing - self.centre) ** 2
            for index, seeds in self.seeds.items()
            if abs(index * lattice.spacing - self.centre) <= REACH + 1e-9
        )
        noise = min(_OPEN, self.scale / information) if information > 0 else _OPEN
        return self.shape + noise


def allocate(
    reports: Sequence[AxisReport], lattice: Lattice, allowed: Callable[[TrialProposal], bool], most: int
) -> tuple[tuple[TrialProposal, ...], tuple[str, ...]]:
    """Choose the runs of the next round.

    Args:
        reports: the current judgement; where some axes are INCONCLUSIVE, only these are considered.
        lattice: values of the hyperparameter that may be tried.
        allowed: whether a run may still be asked for: it was not tried before.
        most: runs; an action that was begun is finished, so a few more may come out.

    Returns:
        The runs and what they are for, in words; nothing where no run is left that would help.
    """
    open_axes = [report for report in reports if report.verdict is Verdict.INCONCLUSIVE] or list(reports)
    rungs = [rung for report in open_axes for rung in _rungs(report, lattice)]
    wanted: list[TrialProposal] = []
    words: list[str] = []
    while len(wanted) < most:
        best: tuple[float, int, _Action] | None = None
        for place, rung in enumerate(rungs):
            for action in _actions(rung, lattice, allowed):
                gain = rung.weight * (rung.variance(lattice) - action.after.variance(lattice)) / len(action.runs)
                if best is None or gain > best[0] * (1 + 1e-9):
                    best = (gain, place, action)
        if best is None:
            break
        _, place, action = best
        wanted += action.runs
        words.append(action.what)
        rungs[place] = action.after
    return tuple(wanted), tuple(words)


def _rungs(report: AxisReport, lattice: Lattice) -> Iterator[_Rung]:
    weights = np.array([_overshoot(report, size) for size in report.sizes])
    drift = report.criteria.drift
    if drift is not None and not report.drift.inside(drift):
        doublings = np.log2([size.value for size in report.sizes])
        arms = (doublings - doublings.mean()) ** 2
        weights = weights + (arms / arms.max() if arms.max() > 0 else 1.0)
    weights = np.maximum(weights, _SETTLED * weights.max()) if weights.max() > 0 else np.ones(len(weights))
    # where a size has too few finite values for a curve, those of the others say how much noise matters: its variance
    # is mostly that of a shape not seen yet, and a finer grid shrinks it, not more seeds at the same values
    curved = [each.optimum.curvature for each in report.sizes if each.optimum.curvature > 0]
    usual = float(np.median(curved)) if curved else math.inf
    for size, weight in zip(report.sizes, weights, strict=True):
        yield _rung(report.axis, size, float(weight), lattice, usual)


def _overshoot(report: AxisReport, size: SizeEvidence) -> float:
    """How far the cost of a size may lie beyond what is allowed, as a factor."""
    factors = [bound.of(size).high / bound.most for bound in bounds_of(report.criteria, report.unit)]
    worst = max(factors, default=0.0)
    return min(worst, _FURTHEST) if worst > 1 else 0.0


def _rung(axis: str, size: SizeEvidence, weight: float, lattice: Lattice, usual: float) -> _Rung:
    optimum = size.optimum
    seeds: dict[int, frozenset[int]] = {}
    for point in size.points:
        if not point.diverged:
            index = lattice.index(point.x)
            seeds[index] = seeds.get(index, frozenset()) | {point.seed}
    curvature = optimum.curvature if optimum.curvature > 0 else usual  # nan is neither
    scale = (optimum.noise / (2 * curvature)) ** 2
    rung = _Rung(axis, int(size.value), weight, optimum.log2_value, seeds, scale, 0.0, _open_end(optimum))
    total = min(_OPEN, optimum.standard_error**2)
    noise = rung.variance(lattice)
    if noise <= total:
        return replace(rung, shape=total - noise)
    # a parabola through few values may be nearly flat and promise all variance to the next seeds: what is known of the
    # optimum bounds what they can take away
    return replace(rung, scale=scale * total / noise)


def _open_end(optimum: Optimum) -> int:
    if math.isinf(optimum.low):
        return -1
    return 1 if math.isinf(optimum.high) and math.isinf(optimum.cliff_distance) else 0


def _actions(rung: _Rung, lattice: Lattice, allowed: Callable[[TrialProposal], bool]) -> Iterator[_Action]:
    """What could be done at one size: extend an open end, halve the spacing around the optimum, add a seed there."""
    tried = sorted(rung.seeds)
    if rung.open_end and tried:
        step = max(1, round(1 / lattice.spacing))
        beyond = tried[0] - step if rung.open_end < 0 else tried[-1] + step
        runs = _fresh(rung, {beyond: range(lattice.seeds)}, allowed)
        if runs:
            yield _Action(
                f"extend to 2^{beyond * lattice.spacing:g} at {_at(rung)}", runs, _after(rung, runs, closed=True)
            )
    middle = _middle(rung, lattice, tried)
    if middle:
        runs = _fresh(rung, {index: range(lattice.seeds) for index in middle}, allowed)
        if runs:
            yield _Action(f"halve the spacing at {_at(rung)}", runs, _after(rung, runs, shape=_AFTER_HALVING))
    central = [index for index in tried if abs(index * lattice.spacing - rung.centre) <= REACH + lattice.spacing / 2]
    if central:
        seed = min(len(rung.seeds[index]) for index in central)
        runs = _fresh(rung, {index: (seed,) for index in central if seed not in rung.seeds[index]}, allowed)
        if runs:
            yield _Action(f"seed {seed} at {_at(rung)}", runs, _after(rung, runs))


def _middle(rung: _Rung, lattice: Lattice, tried: Sequence[int]) -> list[int]:
    """Untried lattice values halfway between the tried neighbours of the optimum, nearest first; at most two."""
    gaps = [
        (low + high) // 2
        for low, high in pairwise(tried)
        if high - low > 1 and low * lattice.spacing - REACH <= rung.centre <= high * lattice.spacing + REACH
    ]
    return sorted(gaps, key=lambda index: (abs(index * lattice.spacing - rung.centre), index))[:2]


def _fresh(
    rung: _Rung, seeds: Mapping[int, Sequence[int]], allowed: Callable[[TrialProposal], bool]
) -> tuple[TrialProposal, ...]:
    runs = (TrialProposal(rung.axis, rung.value, index, seed) for index, of in sorted(seeds.items()) for seed in of)
    return tuple(run for run in runs if run.seed not in rung.seeds.get(run.index, frozenset()) and allowed(run))


def _after(rung: _Rung, runs: Sequence[TrialProposal], *, shape: float = 1.0, closed: bool = False) -> _Rung:
    seeds = dict(rung.seeds)
    for run in runs:
        seeds[run.index] = seeds.get(run.index, frozenset()) | {run.seed}
    left = 0.5 if closed else shape
    return _Rung(
        rung.axis,
        rung.value,
        rung.weight,
        rung.centre,
        seeds,
        rung.scale,
        rung.shape * left,
        0 if closed else rung.open_end,
    )


def _at(rung: _Rung) -> str:
    return f"{rung.axis} {rung.value}"
