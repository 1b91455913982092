"""The ladder of sizes as evidence: per size the optimum and what the transferred value costs there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NEGLIGIBLE_COST, NEGLIGIBLE_DRIFT
from hptransfer.sizes import size_text
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.one_seed import one_seed_settles

#: TRANSFERS needs at least this many sizes and this ratio of largest to smallest
FEWEST_SIZES = 3
SHORTEST_LADDER = 4.0


@dataclass(frozen=True, slots=True)
class TransferCriteria:
    """What counts as transfer; both must hold.

    Attributes:
        drift: octaves per doubling; the whole 95% interval must lie inside +-drift.
        regret: loss lost at the largest size by using the proxy's value, as a fraction of that size's best loss.
    """

    drift: float = NEGLIGIBLE_DRIFT
    regret: float = NEGLIGIBLE_COST

    def __post_init__(self) -> None:
        if not (self.drift > 0 and self.regret > 0):
            raise UsageError("`drift > 0` and `regret > 0` must hold for the criteria", received=str(self))


@dataclass(frozen=True, slots=True)
class SizeEvidence:
    """One rung of the ladder.

    Attributes:
        value: the axis's value (a width, a depth, ...).
        optimum: where the best value lies.
        best_loss: lowest seed mean among the runs, nats.
        transferred_loss: loss at the transferred value, nats, from the fitted curve; open where the value lies outside
            the sampled region, infinite where it lies at or beyond a divergence.
        regret: transferred_loss minus the loss at the optimum, nats, at least 0.
        relative_regret: regret as a fraction of the loss at the optimum.
        octave_off: what the worse of half and twice the optimum costs, nats; infinite where that was not sampled or
            diverges.
        spiked: log2 values whose runs scatter far more than the others; they count for less.
        measured: whether runs exist at the transferred value itself.
        points: the runs, sorted by (x, seed).
        blown: log2 values whose losses are finite and no part of a curve, because training blew up there.
    """

    value: float
    optimum: Optimum
    best_loss: float
    transferred_loss: Interval
    regret: Interval
    relative_regret: Interval
    octave_off: Interval
    spiked: tuple[float, ...]
    measured: bool
    points: tuple[Point, ...]
    blown: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """The size as people write it."""
        return size_text(self.value)


@dataclass(frozen=True)
class Ladder:
    """All sizes of one axis with the drift between them: the facts a verdict and its sentences are made of.

    With `regret_alone` it is no ladder but the proxy and one other size: only what the value costs there decides.

    Attributes:
        axis: name of the axis, for example "width".
        hyperparameter: name of the hyperparameter that is judged.
        transferred: its value tuned at the proxy, positive.
        reference: the proxy's size along the axis.
        criteria: bounds on drift and regret.
        sizes: what is known at each size, in increasing order.
        drift: octaves by which the optimum moves per doubling of the size.
        regret_alone: whether drift does not count, as at a corner of width and depth.
    """

    axis: str
    hyperparameter: str
    transferred: float
    reference: float
    criteria: TransferCriteria
    sizes: tuple[SizeEvidence, ...]
    drift: Interval
    regret_alone: bool = False

    @property
    def largest(self) -> SizeEvidence:
        """The size that transfer is asked of."""
        return self.sizes[-1]

    @property
    def ratio(self) -> float:
        """Largest over smallest size."""
        return self.sizes[-1].value / self.sizes[0].value

    @property
    def seeds(self) -> int:
        """Fewest seeds at any size."""
        return min(size.optimum.n_seeds for size in self.sizes)

    @cached_property
    def at_reference(self) -> SizeEvidence | None:
        """The proxy's own rung; None when the ladder lacks it."""
        return next((size for size in self.sizes if size.value == self.reference), None)

    @property
    def noise_known(self) -> bool:
        """Whether noise was measured from seeds or given at every size."""
        return all(size.optimum.noise_from != "scatter" for size in self.sizes)

    @property
    def enough(self) -> bool:
        """Whether the ladder can support TRANSFERS at all."""
        long = len(self.sizes) >= FEWEST_SIZES and self.ratio >= SHORTEST_LADDER
        return (long or self.regret_alone) and self.seeds_settle

    @cached_property
    def seeds_settle(self) -> bool:
        """Whether seeds can tell transfer from luck: several of them, or one on a long ladder with dense values."""
        return self.noise_known or one_seed_settles(self.sizes)

    @property
    def regret_grew(self) -> bool:
        """Whether the transferred value clearly costs too much at the largest size, and more than at the proxy."""
        proxy, largest = self.at_reference, self.largest.relative_regret
        if proxy is None or proxy is self.largest or not largest.low > self.criteria.regret:
            return False
        return proxy.relative_regret.high < largest.low and math.isfinite(proxy.relative_regret.high)
