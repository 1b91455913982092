"""What a check found along one axis, as predictions and the judgement of a target need it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.curve import CurveDraws
from hptransfer.statistics.drift import KnownOptimum
from hptransfer.statistics.extrapolated_ratio import changes
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.path import Shape, follow_path, path_of
from hptransfer.transfer.cost import DEVIATIONS, CostUnit
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.evidence import MeasuredLadder
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.slices import CORNER

#: streams of random numbers of optima that are given as numbers with errors, and of ratios between the sizes
_GIVEN, _CHANGE = 130, 140
#: sizes that differ by fewer doublings are the same
_SAME = 1e-9
#: a loss half an octave off that is less than this share of the other sizes' is nothing that could be known
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class Rung:
    """One trained size.

    Attributes:
        size: the size along this axis, for example a width.
        optimum: log2 of the best value.
        spread: its standard error in octaves; infinite where the optimum is only bounded.
        best: loss at the optimum, nats.
        loss: at the transferred value, nats; None where that is not known or diverges.
        curvature: nats per octave squared at the optimum; nan where unknown.
    """

    size: float
    optimum: float
    spread: float
    best: float
    loss: float | None
    curvature: float


@dataclass(frozen=True, slots=True)
class SeedScatter:
    """How far runs lie apart that differ in their seed alone.

    Attributes:
        deviation: standard deviation of one run's loss between seeds, nats, pooled over sizes and values.
        seeds: how many there were, the same at every size.
        sizes: at how many sizes they were compared.
    """

    deviation: float
    seeds: int
    sizes: int = 1


def seed_scatter(runs: Iterable[tuple[float, float, int, float]], at: float) -> SeedScatter | None:
    """The scatter between seeds within an octave of a value; None with fewer than two seeds anywhere.

    Seeds that are shared by sizes and values shift them together, so a ladder's own residuals do not show it.

    Args:
        runs: (size, log2 value, seed, loss) of runs that did not diverge.
        at: log2 of the value.
    """
    groups: dict[tuple[float, float], dict[int, float]] = {}
    for size, x, seed, loss in runs:
        if abs(x - at) <= 1:
            groups.setdefault((size, x), {})[seed] = loss
    pooled = [np.array(list(group.values())) for group in groups.values() if len(group) > 1]
    if not pooled:
        return None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in pooled)
    freedom = sum(len(group) - 1 for group in pooled)
    seeds = {seed for group in groups.values() if len(group) > 1 for seed in group}
    sizes = {size for (size, _), group in groups.items() if len(group) > 1}
    return SeedScatter(math.sqrt(squares / freedom), len(seeds), len(sizes))


@dataclass(frozen=True, slots=True)
class Price:
    """What a loss at the largest size counts for.

    Attributes:
        unit: its name in the plural.
        most: that is allowed; None where a bound was asked for in a unit that is not known here.
        of: (DRAWS,) losses to (DRAWS,) counts.
        one: (K, DRAWS) loss that counts for one where counts are small, at each size that has a curve, positive.
    """

    unit: str
    most: float | None
    of: Callable[[Array], Array]
    one: Array


@dataclass(frozen=True, slots=True)
class AxisFacts:
    """What a check found along one axis.

    Attributes:
        axis: name of the axis, for example "width".
        reference: the proxy's value on it.
        rungs: what is known at each trained size, in increasing order.
        drift: octaves by which the optimum moves per doubling of the size.
        scatter: by how much the ladder's seeds differ near the transferred value; None where that is not known.
        optima: draws of every size's optimum that belong together; empty where optima are numbers with errors.
        curves: log2 of every size that has drawn curves, with these, increasing; empty where they are not known.
        shape: of the path of the optima.
        prices: what a loss counts for, and how much of it is allowed, the headline's first; empty where not known.
    """

    axis: str
    reference: float
    rungs: tuple[Rung, ...]
    drift: Interval
    scatter: SeedScatter | None = None
    optima: tuple[KnownOptimum, ...] = field(default=(), repr=False, compare=False)
    curves: tuple[tuple[float, CurveDraws], ...] = field(default=(), repr=False, compare=False)
    shape: Shape = "open"
    prices: tuple[Price, ...] = field(default=(), repr=False, compare=False)

    @property
    def known(self) -> tuple[KnownOptimum, ...]:
        """What is known of every size's optimum; optima that are given as numbers have independent normal errors."""
        if self.optima:
            return self.optima
        return tuple(
            KnownOptimum(math.log2(rung.size), rung.optimum + rung.spread * normal, (0.0, 0.0), (0.0, 0.0))
            for index, rung in enumerate(self.rungs)
            for normal in [wiener_process.normal(_GIVEN + index, 1)[0]]
            if math.isfinite(rung.spread)
        )

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest size."""
        return self.rungs[0].size, self.rungs[-1].size

    @property
    def largest(self) -> CurveDraws | None:
        """The drawn curves of the largest size that has any; None where they are not known."""
        return self.curves[-1][1] if self.curves else None

    def ratio_change(self, size: float, place: int, *, since: float | None = None, stream: int = 0) -> Array:
        """(DRAWS,) factors by which what a wrong value costs, in one unit, differs between two sizes.

        Both what half an octave loses and what counts for one change along the ladder, and their ratio goes on.

        Args:
            size: value along this axis.
            place: index of the price.
            since: checked size that it is compared with; None for the largest that has curves.
            stream: a number of its own for every axis.
        """
        at, one = np.array([log2 for log2, _ in self.curves]), self.prices[place].one
        lost = np.stack([half_octave_off(draws) for _, draws in self.curves])
        least = _LEAST * float(np.median(lost, axis=1).max())
        logs = np.log2(np.maximum(lost, least or 1.0)) - np.log2(one)
        first = len(at) - 1 if since is None else int(np.abs(at - math.log2(since)).argmin())
        return np.exp2(changes(at, logs, math.log2(size), since=first, stream=_CHANGE + stream))

    def reach(self, size: float) -> float:
        """Doublings from the largest size to another over those that the ladder spans; at most 0 within the ladder."""
        low, high = self.span
        beyond = math.log2(size / high)
        return beyond if beyond <= 0 else beyond / math.log2(high / low) if high > low else math.inf

    def optima_at(self, sizes: Sequence[float], *, stream: int = 0) -> Array | None:
        """Draws of the optimum at sizes: what is known of a checked one, else where the path leads (`follow_path`).

        Args:
            sizes: values along this axis.
            stream: a number of its own for every axis.
        """
        places = [math.log2(size) for size in sizes]
        found = follow_path(self.known, places, stream=stream)
        if found is None:
            return None
        for row, place in enumerate(places):
            checked = next((each for each in self.known if abs(each.doublings - place) < _SAME and each.bounded), None)
            if checked is not None:
                found[row] = checked.draws
        return found


def axis_facts_from_report(report: AxisReport, drawn: Sequence[CurveDraws | None] | None = None) -> AxisFacts:
    """The facts of a fresh report.

    Args:
        report: the judgement along one axis.
        drawn: each size's curve where it was not drawn from the report's runs alone; None draws them again.
    """
    rungs = tuple(
        Rung(
            size=size.value,
            optimum=size.optimum.log2_value,
            spread=size.optimum.standard_error,
            best=size.optimum.loss.estimate,
            loss=size.transferred_loss.estimate if math.isfinite(size.transferred_loss.estimate) else None,
            curvature=size.optimum.curvature,
        )
        for size in report.sizes
    )
    given = report.sizes[0].optimum
    noise = given.noise if given.noise_from == "given" else None
    groups = {size.value: size.points for size in report.sizes}
    measured = MeasuredLadder.of(groups, report.axis, math.log2(report.transferred), noise, drawn)
    return facts_of_ladder(measured, report.reference, rungs, report.drift, report.unit, report.criteria)


def facts_of_ladder(
    measured: MeasuredLadder,
    reference: float,
    rungs: tuple[Rung, ...],
    drift: Interval,
    unit: CostUnit,
    criteria: TransferCriteria,
) -> AxisFacts:
    """The facts of one axis from what was concluded and the curves through its runs.

    Args:
        measured: runs and curves of all sizes.
        reference: the proxy's value on the axis.
        rungs: what was concluded at each size, increasing.
        drift: octaves that the optimum moves per doubling.
        unit: what costs are counted in.
        criteria: the bounds that were asked for.
    """
    seen = {size: draws for size, draws in zip(measured.groups, measured.drawn, strict=True) if draws is not None}
    optima = tuple(KnownOptimum.of(size, draws) for size, draws in seen.items())
    best = np.array([abs(float(np.median(draws.loss))) for draws in seen.values()])
    return AxisFacts(
        measured.axis,
        reference,
        rungs,
        drift,
        _scatter_of(measured),
        optima,
        tuple((math.log2(size), draws) for size, draws in seen.items()),
        path_of(optima).shape,
        _prices(unit, measured.deviation.draws, best, criteria),
    )


def _scatter_of(measured: MeasuredLadder) -> SeedScatter | None:
    """How far seeds differ near the lowest losses; None where one seed does not show it."""
    if not measured.deviation.known:
        return None
    seeds = [table.n_seeds for table in measured.tables if table.n_seeds > 1]
    return SeedScatter(measured.deviation.interval.estimate, min(seeds), len(seeds)) if seeds else None


def half_octave_off(draws: CurveDraws) -> Array:
    """(DRAWS,) what half an octave beside the optimum loses, the mean of the sides on which something is known.

    Args:
        draws: the drawn curves of one size.
    """
    sides = np.stack([draws.lost_off(np.full_like(draws.optimum, side))[0] for side in (-0.5, 0.5)])
    known = np.isfinite(sides)
    return np.asarray(np.where(known, sides, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _prices(unit: CostUnit, deviation: Array, best: Array, criteria: TransferCriteria) -> tuple[Price, ...]:
    """What is asked of a loss at the largest size; where nothing can be asked, deviations without a bound.

    Args:
        unit: what costs are counted in.
        deviation: (DRAWS,) standard deviation of one run between seeds.
        best: (K,) size of the best loss at every size that has a curve.
        criteria: the bounds that were asked for.
    """
    found = []
    rate = unit.rate
    alike = np.tile(deviation, (len(best), 1))
    if criteria.cost is not None and unit.known and rate is not None:
        one = np.maximum(rate.gain, _LEAST * np.median(rate.gain, axis=1, keepdims=True))
        found.append(Price(unit.name, unit.allowed(criteria.cost), lambda lost: rate.doublings(-1, lost), one))
    if criteria.deviations is not None:
        found.append(Price(DEVIATIONS, criteria.deviations, lambda lost: np.asarray(lost / deviation), alike))
    if criteria.regret is not None:
        each = np.tile(best[:, None], (1, len(deviation)))
        found.append(Price("of the loss", criteria.regret, lambda lost: np.asarray(lost / best[-1]), each))
    if criteria.cost is not None and not unit.known and criteria.deviations is None:
        # a bound in doublings that nothing can be held against: what growing buys is not known
        found.insert(0, Price(DEVIATIONS, None, lambda lost: np.asarray(lost / deviation), alike))
    return tuple(found)


def facts_of_report(report: TransferReport) -> dict[str, list[AxisFacts]]:
    """Hyperparameter -> the facts of a fresh judgement, one entry per axis; a corner is no axis."""
    found: dict[str, list[AxisFacts]] = {}
    for axis in report.axes:
        if axis.axis != CORNER:
            found.setdefault(axis.hyperparameter, []).append(axis_facts_from_report(axis))
    return found
