"""What a carried value costs at a size, in a unit that does not depend on how the loss is written."""

from __future__ import annotations

from dataclasses import dataclass

from hptransfer.statistics.exchange import ExchangeRate
from hptransfer.statistics.interval import Interval


@dataclass(frozen=True, slots=True)
class CostUnit:
    """In what losses are paid back along one axis.

    Attributes:
        of: what a doubling doubles: "compute", or the name of the size axis.
        rate: the law of the best loss along it; None where sizes have no curves or do not differ in it.
        gain: loss that a doubling buys at the largest size; None where no rate is known.
        deviation: standard deviation of one run's loss between seeds, pooled over sizes; open above from one seed.
        borrowed: the axis whose rate at the proxy this is; None for the axis's own.
    """

    of: str
    rate: ExchangeRate | None
    gain: Interval | None
    deviation: Interval
    borrowed: str | None = None

    @property
    def known(self) -> bool:
        """Whether growing clearly gains, so that a cost in doublings has two ends."""
        return self.gain is not None and self.gain.low > 0

    @property
    def name(self) -> str:
        """The unit of costs, in the plural: "doublings of compute", or "deviations between seeds"."""
        return f"doublings of {self.of}" if self.known else "deviations between seeds"
