"""The ladder of sizes as evidence: per size the optimum and what the transferred value costs there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import NEGLIGIBLE_COST, NEGLIGIBLE_DOUBLINGS
from hptransfer.sizes import size_text
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.cost import CostUnit
from hptransfer.transfer.one_seed import one_seed_settles
from hptransfer.verdict import Verdict

#: TRANSFERS needs at least this many sizes and this ratio of largest to smallest
FEWEST_SIZES = 3
SHORTEST_LADDER = 4.0


@dataclass(frozen=True, slots=True)
class TransferCriteria:
    """What counts as transfer; every bound that is set must hold, at every checked size.

    Attributes:
        cost: doublings of compute that would buy back what the carried value loses; None for no such bound. Where
            compute is not known, a doubling of the width counts as two of them, one of another size as one.
        deviations: that loss in standard deviations of one run between seeds; None for no such bound.
        drift: octaves per doubling; the whole 95% interval must lie inside +-drift; None for no such bound.
        regret: that loss as a fraction of the best loss of the size, which depends on how the loss is written; None
            for no such bound.
        noise: standard deviation of one run in the unit of the loss where it is known; None: from the runs.
    """

    cost: float | None = NEGLIGIBLE_DOUBLINGS
    deviations: float | None = None
    drift: float | None = None
    regret: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        for name in ("cost", "deviations", "drift", "regret", "noise"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"`{name} > 0` must hold for the criteria", received=str(value))
        if self.cost is None and self.deviations is None and self.regret is None:
            raise UsageError(
                "without a bound on `cost` the criteria must bound what a value may cost in another unit",
                received="cost: none",
                hint="set deviations (of one run between seeds) or regret (fraction of the loss)",
            )

    @property
    def plateau(self) -> float:
        """Share of the loss within which values count as equally good at one size."""
        return NEGLIGIBLE_COST if self.regret is None else self.regret


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
        sampled_regret: upper end of the regret against the best loss within the sampled region, where that of `regret`
            is open because a better loss may lie beyond it; otherwise the same; infinite where nothing is known.
        relative_regret: regret as a fraction of the loss at the optimum.
        cost: what the transferred value costs in the unit of its axis: doublings, else deviations between seeds.
        doublings: the regret as doublings that would buy it back, open above where growing may gain nothing; None where
            no rate is known.
        deviations: the regret in standard deviations of one run between seeds.
        octave_off: what the worse of half and twice the optimum costs, nats; infinite where that was not sampled or
            diverges.
        spiked: log2 values whose runs scatter far more than the others, which count for less, or whose only run lies
            far off what the values beside it lead to, which does not count.
        measured: whether runs exist at the transferred value itself.
        points: the runs, sorted by (x, seed).
        blown: log2 values whose losses are finite and no part of a curve, because training blew up there.
    """

    value: float
    optimum: Optimum
    best_loss: float
    transferred_loss: Interval
    regret: Interval
    sampled_regret: float
    relative_regret: Interval
    cost: Interval
    doublings: Interval | None
    deviations: Interval
    octave_off: Interval
    spiked: tuple[float, ...]
    measured: bool
    points: tuple[Point, ...]
    blown: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """The size as people write it."""
        return size_text(self.value)


class Bound(NamedTuple):
    """A bound on what the carried value may cost at a size.

    Attributes:
        name: which of the criteria it is.
        most: the largest value that is allowed.
    """

    name: Literal["cost", "deviations", "regret"]
    most: float

    def of(self, size: SizeEvidence) -> Interval:
        """What is bounded, at one size; open where it is not known."""
        match self.name:
            case "cost":
                return Interval(math.inf, 0.0, math.inf) if size.doublings is None else size.doublings
            case "deviations":
                return size.deviations
            case "regret":
                return size.relative_regret


def bounds_of(criteria: TransferCriteria, unit: CostUnit) -> tuple[Bound, ...]:
    """What a value may cost; doublings only where they are known, if deviations were chosen as well.

    Args:
        criteria: bounds that were asked for.
        unit: what costs are counted in along the axis.
    """
    wanted = unit.known or criteria.deviations is None
    doublings = unit.allowed(criteria.cost) if criteria.cost is not None and wanted else None
    named: tuple[tuple[Literal["cost", "deviations", "regret"], float | None], ...] = (
        ("cost", doublings),
        ("deviations", criteria.deviations),
        ("regret", criteria.regret),
    )
    return tuple(Bound(name, most) for name, most in named if most is not None)


@dataclass(frozen=True)
class Ladder:
    """All sizes of one axis with the drift between them: the facts a verdict and its sentences are made of.

    With `regret_alone` it is no ladder but the proxy and one other size: only what the value costs there decides.

    Attributes:
        axis: "width", "depth", "batch_size" or "tokens", or what a table of results calls its size; for the corner
            "width x depth".
        hyperparameter: name of the hyperparameter that is judged.
        transferred: its value tuned at the proxy, positive.
        reference: the proxy's size along the axis.
        criteria: bounds that were asked for.
        unit: what costs are counted in.
        sizes: what is known at each size, in increasing order.
        drift: octaves by which the optimum moves per doubling of the size.
        regret_alone: whether drift does not count, as at a corner of width and depth.
    """

    axis: str
    hyperparameter: str
    transferred: float
    reference: float
    criteria: TransferCriteria
    unit: CostUnit
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

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """What the value may cost."""
        return bounds_of(self.criteria, self.unit)

    @property
    def open_bounds(self) -> tuple[Bound, ...]:
        """Those that do not hold for sure at every size."""
        return tuple(bound for bound in self.bounds if any(bound.of(size).high > bound.most for size in self.sizes))

    @property
    def stays(self) -> bool:
        """Whether the drift lies within what was allowed, where anything was asked of it."""
        return self.regret_alone or self.criteria.drift is None or self.drift.inside(self.criteria.drift)

    @property
    def moves(self) -> bool:
        """Whether the drift lies beyond what was allowed, where anything was asked of it."""
        return not self.regret_alone and self.criteria.drift is not None and self.drift.outside(self.criteria.drift)

    @cached_property
    def broken(self) -> tuple[Bound, SizeEvidence] | None:
        """A bound that clearly does not hold beyond the proxy, and the size that shows it most; None: all may hold.

        The value must also clearly cost more there than at the proxy: one that was badly tuned to begin with says
        nothing about transfer.
        """
        proxy = self.at_reference
        if proxy is None:
            return None
        found: list[tuple[float, int, Bound, SizeEvidence]] = []
        for place, size in enumerate(self.sizes):
            for bound in self.bounds:
                dearer = bound.of(size).low > bound.of(proxy).high
                if math.isinf(bound.of(proxy).high):  # then losses can be compared, of what was sampled
                    dearer = size.regret.low > proxy.sampled_regret and proxy.optimum.edge is None
                if size is not proxy and bound.of(size).low > bound.most and dearer:
                    found.append((bound.of(size).low / bound.most, place, bound, size))
        return max(found, key=lambda each: each[:2])[2:] if found else None

    @property
    def dearest(self) -> SizeEvidence:
        """The size at which the value may cost most."""
        return max(self.sizes, key=lambda size: (size.cost.high, size.cost.low, size.cost.estimate))

    @property
    def verdict(self) -> Verdict:
        """TRANSFERS needs all bounds at all sizes; DRIFTS one clear violation; everything else is INCONCLUSIVE."""
        if self.broken is not None or self.moves:
            return Verdict.DRIFTS
        holds = self.stays and not self.open_bounds
        return Verdict.TRANSFERS if holds and self.enough else Verdict.INCONCLUSIVE
