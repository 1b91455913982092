"""From runs sorted by size to what is known at each size: curves, the carried value's regret, and its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.curve import CurveDraws, sample_curves
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles, summarise
from hptransfer.statistics.seed_means import Point, SeedMeans, average_sizes
from hptransfer.statistics.seed_offsets import (
    Deviation,
    SizeEffects,
    deviation_between_seeds,
    effect_between_sizes,
    offsets_of,
)
from hptransfer.statistics.sensitivity import growth_per_doubling, octave_cost
from hptransfer.statistics.wiener_process import DRAWS
from hptransfer.transfer.cost import CostUnit, LentRate, unit_of, what_grows
from hptransfer.transfer.criteria import SizeEvidence, TransferCriteria

#: an interval is open at an end where a better loss may lie beyond the sampled region in more than this share of draws
_OPEN = 0.025
_NOTHING_KNOWN = Interval(math.inf, 0.0, math.inf)


@dataclass(frozen=True, slots=True)
class _AtValue:
    """The carried value at one size.

    Attributes:
        loss: at the value, in its unit.
        regret: (DRAWS,) loss above that at the optimum, infinite where training diverges; None where nothing is known.
        better: whether the value that is best by all curves together is better for sure. On a plateau some value is
            always better by chance, and none of them for sure: then the regret may be nothing.
        open_above: a better loss may lie beyond the sampled region, so the regret is at least what is seen.
    """

    loss: Interval
    regret: Array | None
    better: bool = True
    open_above: bool = False

    def interval(self, in_unit: Callable[[Array], Array]) -> Interval:
        """The 95% interval of the regret in a unit.

        Args:
            in_unit: turns draws of losses into draws of what is wanted, the larger the loss the more.
        """
        if self.regret is None:
            return _NOTHING_KNOWN
        found = quantiles(in_unit(self.regret))
        if not self.better:
            found = replace(found, low=0.0)
        return replace(found, high=math.inf) if self.open_above else found


@dataclass(frozen=True, slots=True)
class MeasuredLadder:
    """All runs of one axis with the curves through them.

    Attributes:
        axis: what the size is called.
        groups: size -> its runs, increasing.
        tables: seed means per size.
        drawn: curves per size; None for sizes with fewer than three values.
        effects: how much other seeds would change at one size and not at the others, sizes with curves; None without.
        apart: (DRAWS,) per size that has curves, what other seeds would change there and not at other sizes.
        at: log2 of the carried value.
        deviation: of one run between seeds.
        noise: standard deviation of one run where it is known from elsewhere.
    """

    axis: str
    groups: Mapping[float, Sequence[Point]]
    tables: tuple[SeedMeans, ...]
    drawn: tuple[CurveDraws | None, ...]
    effects: SizeEffects | None
    apart: tuple[Array | None, ...]
    at: float
    deviation: Deviation
    noise: float | None

    @classmethod
    def of(
        cls,
        groups: Mapping[float, Sequence[Point]],
        axis: str,
        at: float,
        noise: float | None = None,
        drawn: Sequence[CurveDraws | None] | None = None,
        tables: Sequence[SeedMeans] | None = None,
    ) -> MeasuredLadder:
        """Fit curves to the runs of all sizes.

        Args:
            groups: size -> its runs, increasing.
            axis: what the size is called.
            at: log2 of the carried value.
            noise: standard deviation of one run where it is known from elsewhere.
            drawn: each size's curve where it was not drawn from these runs alone; None draws them.
            tables: seed means of each size where these runs were averaged before; None averages them.

        Raises:
            UsageError: a size has no finite loss.
        """
        tables = tuple(average_sizes(list(groups.values())) if tables is None else tables)
        if drawn is None:
            drawn = sample_curves(tables, doublings=[math.log2(value) for value in groups], at=at, noise=noise)
        offsets = [
            offsets_of(points, None if draws is None else draws.correlation)
            for points, draws in zip(groups.values(), drawn, strict=True)
        ]
        level = [draws.noise for draws in drawn if draws is not None]
        curved = [offset for offset, draws in zip(offsets, drawn, strict=True) if draws is not None]
        effects = effect_between_sizes(curved, level) if curved else None
        each = iter(() if effects is None else effects.draws())
        apart = tuple(None if draws is None else next(each) for draws in drawn)
        return cls(
            axis,
            groups,
            tables,
            tuple(drawn),
            effects,
            apart,
            at,
            deviation_between_seeds(offsets, level, noise),
            noise,
        )

    def carrying(self, at: float) -> MeasuredLadder:
        """The same runs and curves with another carried value; nothing is known of it where no curve reaches it.

        Args:
            at: log2 of the value.
        """
        drawn = [None if draws is None else replace(draws, at=_on_curve(draws, at)) for draws in self.drawn]
        return replace(self, at=at, drawn=tuple(drawn))

    def best(self, place: int) -> Array | None:
        """(DRAWS,) best losses of one size as they compare with other sizes'; None where it has no curve."""
        draws, apart = self.drawn[place], self.apart[place]
        return None if draws is None or apart is None else np.asarray(draws.loss + apart)

    @property
    def growth(self) -> Interval | None:
        """By which factor, less 1, the cost of an octave grows per doubling of the size; None where it was not seen."""
        seen = [(at, draws.octave_off) for at, draws in zip(self.groups, self.drawn, strict=True) if draws is not None]
        return growth_per_doubling([math.log2(at) for at, _ in seen], [cost for _, cost in seen])

    @property
    def _deviation(self) -> Interval:
        """How much one run differs between seeds; anything, where no size has a curve and no seeds were compared."""
        return _NOTHING_KNOWN if np.isnan(self.deviation.draws).any() else self.deviation.interval

    def unit(self, compute: Mapping[float, float] | None, lent: LentRate | None) -> CostUnit:
        """What costs are counted in.

        Args:
            compute: size -> floating point operations of a run, up to a factor, where runs do not count them.
            lent: what another axis of the check says of compute.
        """
        at, of = what_grows(self.groups, self.axis, compute)
        curved = [draws is not None for draws in self.drawn]
        best = [draws.loss for draws in self.drawn if draws is not None]
        losses, spread = np.stack(best) if len(best) > 1 else None, self._deviation
        scale = self.tables[0].scale
        floor = None if math.isinf(scale.unit) else scale.floor - scale.unit
        return unit_of(at[curved], of, losses, spread, apart=self.effects, floor=floor, lent=lent, sizes=len(best))

    def sizes(self, unit: CostUnit, criteria: TransferCriteria) -> tuple[SizeEvidence, ...]:
        """What is known at each size.

        Args:
            unit: what costs are counted in.
            criteria: what may be lost on a plateau.
        """
        found, place = [], 0
        for (value, points), table, draws in zip(self.groups.items(), self.tables, self.drawn, strict=True):
            found.append(self._size(value, points, table, draws, unit, place, criteria))
            place += draws is not None
        return tuple(found)

    def _size(
        self,
        value: float,
        points: Sequence[Point],
        table: SeedMeans,
        draws: CurveDraws | None,
        unit: CostUnit,
        place: int,
        criteria: TransferCriteria,
    ) -> SizeEvidence:
        here = _at_value(table, draws, self.at)
        best = np.full(DRAWS, abs(float(table.mean.min())) or 1.0) if draws is None else np.abs(draws.loss)
        spread = (
            _NOTHING_KNOWN
            if self._deviation is _NOTHING_KNOWN
            else here.interval(partial(_counted_in, self.deviation.draws))
        )
        if not self.deviation.known and math.isfinite(spread.low):
            # how far seeds differ is bounded from below only, so the regret in such units from above
            spread = replace(spread, low=0.0)
        tolerance = criteria.plateau * abs(float(table.mean.min()))
        if criteria.regret is None and criteria.cost is not None and unit.rate is not None and draws is not None:
            allowed = float(np.median(unit.rate.loss(place, unit.allowed(criteria.cost))))
            tolerance = allowed if unit.known else tolerance
        doublings = None if unit.rate is None else _in_doublings(here, unit, None if draws is None else place)
        return SizeEvidence(
            value=value,
            optimum=summarise(table, draws, self.noise, tolerance=tolerance),
            best_loss=float(table.mean.min()),
            transferred_loss=here.loss,
            regret=here.interval(lambda lost: lost),
            sampled_regret=replace(here, open_above=False).interval(lambda lost: lost).high,
            relative_regret=here.interval(partial(_counted_in, best)),
            cost=doublings if unit.known and doublings is not None else spread,
            doublings=doublings,
            deviations=spread,
            octave_off=_NOTHING_KNOWN if draws is None else octave_cost(draws.octave_off),
            spiked=table.spiked,
            blown=table.blown,
            measured=bool(
                np.isclose([*table.x, *table.spiked, *table.blown, *table.diverged], self.at, atol=1e-6).any()
            ),
            points=tuple(sorted(points, key=lambda p: (p.x, p.seed, p.diverged, p.loss if not p.diverged else 0.0))),
        )


def _counted_in(unit: Array, lost: Array) -> Array:
    """(DRAWS,) losses in deviations between seeds, or in the best loss; of a unit of 0 any loss is infinitely many."""
    none = np.where(lost > 0, math.inf, 0.0)
    return np.divide(lost, unit, out=none, where=np.broadcast_to(unit > 0, none.shape))


def _on_curve(draws: CurveDraws, at: float) -> Array:
    """(DRAWS,) losses of the drawn curves at a value; nan beyond the region that was sampled, inf at a divergence."""
    grid, curves = draws.grid, draws.curves
    if not grid[0] <= at <= grid[-1]:
        return np.full(DRAWS, np.nan)
    cell = min(int(np.searchsorted(grid, at, side="right")) - 1, len(grid) - 2)
    share = (at - grid[cell]) / (grid[cell + 1] - grid[cell])
    if min(share, 1 - share) < 1e-9:  # on a node; its neighbour may be infinite
        return np.asarray(curves[cell + round(share)])
    return np.asarray((1 - share) * curves[cell] + share * curves[cell + 1])


def with_loss(size: SizeEvidence, lost: Array | None, unit: CostUnit, place: int, *, open_above: bool) -> SizeEvidence:
    """The evidence of one size with another loss than that of the carried value alone.

    Args:
        size: what is known there.
        lost: (DRAWS,) loss above the lowest, infinite where training diverges; None where nothing is known.
        unit: what costs are counted in.
        place: index of the size among those that have a curve.
        open_above: whether a better loss may lie beyond the sampled region.
    """
    here = _AtValue(size.transferred_loss, lost, open_above=open_above)
    regret, best, spread = here.interval(lambda loss: loss), abs(size.optimum.loss.estimate), unit.deviation
    # the deviation is known by its interval only, so ends go with ends
    ends = (spread.estimate, spread.high, spread.low)
    in_deviations = Interval(
        # a divergence costs more than any deviation, also than one that is open above
        *(
            lost / each if each > 0 and lost < math.inf else math.inf
            for lost, each in zip(_ends(regret), ends, strict=True)
        )
    )
    doublings = None if unit.rate is None else _in_doublings(here, unit, place)
    return replace(
        size,
        regret=regret,
        sampled_regret=replace(here, open_above=False).interval(lambda loss: loss).high,
        relative_regret=here.interval(lambda loss: loss / best) if best > 0 else _NOTHING_KNOWN,
        cost=doublings if unit.known and doublings is not None else in_deviations,
        doublings=doublings,
        deviations=in_deviations,
    )


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def _in_doublings(here: _AtValue, unit: CostUnit, place: int | None) -> Interval:
    """The cost in doublings; where growing may gain nothing the lower end is that of the most it may gain."""
    rate = unit.rate
    if rate is None or here.regret is None:
        return _NOTHING_KNOWN
    if place is None:  # no curve, and so no rate: only a divergence has a cost
        return here.interval(lambda lost: lost) if np.isinf(here.regret).all() else _NOTHING_KNOWN
    found = here.interval(partial(rate.doublings, place))
    if unit.known:
        return found
    most = replace(rate, gain=np.tile(np.quantile(rate.gain, 0.975, axis=1)[:, None], rate.gain.shape[1]))
    return replace(found, low=min(found.low, here.interval(partial(most.doublings, place)).low), high=math.inf)


def _at_value(table: SeedMeans, draws: CurveDraws | None, at: float) -> _AtValue:
    """The carried value's loss and regret at one size."""
    if table.diverged and at >= min(table.diverged) - 1e-9 and at > table.x[-1]:
        return _AtValue(Interval(math.inf, math.inf, math.inf), np.full(DRAWS, math.inf))
    if draws is None and table.blown and table.blown[0] - 1e-9 <= at <= table.flank_x[-1] + 1e-9:
        # without a curve nothing is known but what the runs themselves lost
        there = float(np.interp(at, table.flank_x, table.flank_mean))
        return _AtValue(Interval(there, there, there), np.full(DRAWS, there - float(table.mean.min())), open_above=True)
    if draws is None or np.isnan(draws.at).any():
        # outside the sampled region: nothing is known but that loss and regret are what they are
        return _AtValue(_NOTHING_KNOWN, None)
    beyond = draws.below.mean() > _OPEN or draws.above.mean() > _OPEN
    # where the value's own run went wrong, whether it would again is not known
    beyond |= bool(np.isclose(table.strays, at, atol=1e-6).any())
    # where the best value by all curves diverges in a draw, the carried one is the better of the two
    sure = np.isfinite(draws.typical)
    apart = np.where(sure, draws.at - np.where(sure, draws.typical, 0.0), -math.inf)
    regret, better = np.maximum(draws.at - draws.loss, 0.0), quantiles(apart).low > 0
    return _AtValue(quantiles(draws.at), regret, better, bool(beyond))
