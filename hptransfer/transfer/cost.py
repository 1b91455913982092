"""What a carried value costs at a size, in a unit that does not depend on how the loss is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.exchange import SHORTEST_SPAN, ExchangeRate, exchange_rate
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles
from hptransfer.statistics.seed_means import Point
from hptransfer.statistics.seed_offsets import SizeEffects

#: what a doubling doubles where runs or a table say what they cost
COMPUTE = "compute"
#: sizes that hidden matrices grow as the square of, and with them compute on equal data
_WIDTHS, _OF_A_WIDTH = frozenset({"width", "width multiplier"}), 2.0
#: the unit where no rate is known
DEVIATIONS = "deviations between seeds"


@dataclass(frozen=True, slots=True)
class CostUnit:
    """In what losses are paid back along one axis.

    Attributes:
        of: what a doubling doubles: "compute", or the name of the size axis.
        rate: the law of the best loss along it; None where sizes have no curves or do not differ in it.
        gain: loss that a doubling buys at the largest size; None where no rate is known.
        exponent: power by which a doubling buys less than the one before it; None where no rate is known.
        deviation: standard deviation of one run's loss between seeds, pooled over sizes; open above from one seed.
        borrowed: the axis whose rate at the proxy this is; None for the axis's own.
    """

    of: str
    rate: ExchangeRate | None = field(compare=False)
    gain: Interval | None
    exponent: Interval | None
    deviation: Interval
    borrowed: str | None = None

    @property
    def known(self) -> bool:
        """Whether growing clearly gains at every size, so that a cost in doublings has two ends."""
        return self.gain is not None and self.gain.low > 0 and (self.rate is None or self.rate.known)

    @property
    def without_rate(self) -> str:
        """Why doublings bound no cost where no rate is known, a clause."""
        if self.gain is None:
            return f"what a doubling of {self.of} gains is not known"
        return f"a doubling of {self.of} {'gains' if self.gain.high <= 0 else 'may gain'} nothing"

    @property
    def doublings(self) -> str:
        """The unit of doublings, in the plural, for example "doublings of compute"."""
        return f"doublings of {self.of}"

    @property
    def takes(self) -> float:
        """How many doublings of compute one of these counts as: a width takes two, for its matrices grow as its square.

        Where compute is known it is counted itself. Embeddings grow as the width alone, so it is two at most.
        """
        return _OF_A_WIDTH if self.of in _WIDTHS else 1.0

    def allowed(self, compute: float) -> float:
        """A bound in doublings of compute, in these.

        Args:
            compute: how many doublings of compute a value may cost.
        """
        return compute / self.takes

    @property
    def name(self) -> str:
        """The unit of costs, in the plural: "doublings of compute", or "deviations between seeds"."""
        return self.doublings if self.known else DEVIATIONS

    def doublings_of(self, lost: float, size: int = -1) -> float:
        """How many doublings would buy back a loss, by the median of the rate; nan where no rate is known.

        Args:
            lost: loss in its unit, at least 0.
            size: index of the size; the last by default.
        """
        if self.rate is None:
            return math.nan
        return float(np.median(self.rate.doublings(size, np.full_like(self.rate.exponent, lost))))

    def loss_of(self, doublings: float) -> float:
        """The loss that so many doublings buy at the largest size, by the median of the rate; nan without one.

        Args:
            doublings: how many of them, at least 0.
        """
        return math.nan if self.rate is None else float(np.median(self.rate.loss(-1, doublings)))


@dataclass(frozen=True, slots=True)
class LentRate:
    """What one axis of a check says of what a doubling buys, for axes that do not show it themselves.

    Attributes:
        axis: name of the axis that it was measured over.
        gain: (DRAWS,) loss that a doubling of compute buys at the proxy.
        exponent: (DRAWS,) power by which a doubling buys less than the one before it.
        odds: weights of the exponents, a prior for ladders too short to show theirs.
    """

    axis: str
    gain: Array
    exponent: Array
    odds: Array

    @classmethod
    def of(cls, axis: str, unit: CostUnit, proxy: int) -> Self | None:
        """What an axis has to lend: a clear rate of compute at the proxy, else nothing.

        Args:
            axis: name of the axis.
            unit: what is known along it.
            proxy: index of the proxy's size.
        """
        if unit.rate is None or unit.of != COMPUTE or unit.borrowed is not None or not unit.known:
            return None
        # the draws of another ladder come from the same random numbers: they must not meet their own kind
        apart = unit.rate.gain.shape[1] // 2
        gain, exponent = np.roll(unit.rate.gain[proxy], apart), np.roll(unit.rate.exponent, apart)
        return cls(axis, gain, exponent, unit.rate.odds)

    def rate(self, sizes: int) -> ExchangeRate:
        """The rate at the proxy, for every size."""
        return ExchangeRate(np.zeros(sizes), np.tile(self.gain, (sizes, 1)), self.exponent)


def what_grows(
    groups: Mapping[float, Sequence[Point]], axis: str, compute: Mapping[float, float] | None
) -> tuple[Array, str]:
    """(K,) log2 of what a doubling doubles: compute where it is known and differs, else the size.

    Args:
        groups: size -> its runs.
        axis: name of the size.
        compute: size -> floating point operations of a run, up to a factor; the runs' own count first.
    """
    counted = {value: [point.flops for point in points] for value, points in groups.items()}
    if all(flops > 0 for each in counted.values() for flops in each):
        compute = {value: math.fsum(each) / len(each) for value, each in counted.items()}
    if compute is not None and all(compute.get(value, 0.0) > 0 for value in groups):
        at = np.log2([compute[value] for value in groups])
        if float(np.ptp(at)) >= SHORTEST_SPAN:
            return np.asarray(at), COMPUTE
    return np.log2(np.array(list(groups), dtype=float)), axis


def unit_of(
    at: Array,
    of: str,
    best: Array | None,
    deviation: Interval,
    *,
    apart: SizeEffects | None = None,
    floor: float | None = None,
    lent: LentRate | None = None,
    sizes: int = 0,
) -> CostUnit:
    """What costs are counted in along one axis.

    Args:
        at: (K,) log2 of what grows, of the sizes that have a curve.
        of: what a doubling doubles.
        best: (K, DRAWS) draws of the best losses there; None where fewer than two sizes have a curve.
        deviation: standard deviation of one run between seeds.
        apart: what other seeds would change at one size and not at the others; None where nothing is.
        floor: c where sizes are alike on the scale of log(loss - c); None where they are as losses are.
        lent: another axis's rate: taken where the sizes do not differ in compute; its exponents serve two sizes.
        sizes: number of sizes that a lent rate is wanted for.
    """
    if of != COMPUTE and lent is not None:
        rate: ExchangeRate | None = lent.rate(sizes)
        of, borrowed = COMPUTE, lent.axis
    else:
        few = lent is not None and len(at) < _FEWEST_BENT
        odds = lent.odds if few and lent is not None else None
        rate = None if best is None else exchange_rate(at, best, apart=apart, odds=odds, floor=floor)
        borrowed = None
    if rate is None:
        return CostUnit(of, None, None, None, deviation)
    return CostUnit(of, rate, quantiles(rate.gain[-1]), quantiles(rate.exponent), deviation, borrowed)


#: a ladder of fewer sizes shows no exponent of its own
_FEWEST_BENT = 3
