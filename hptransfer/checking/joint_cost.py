"""What carrying several hyperparameters over costs together, and the verdict on that.

Values that each cost little may cost too much when all of them are carried over, so the combination is judged as well,
by the same bounds and in the same unit; the drift is asked of each alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hptransfer.sizes import size_text
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.wiener_process import DRAWS
from hptransfer.transfer.cost import DEVIATIONS, CostUnit
from hptransfer.transfer.cost_text import amount
from hptransfer.transfer.criteria import Ladder, SizeEvidence, TransferCriteria
from hptransfer.transfer.evidence import with_loss
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.verdict_text import sentence_of
from hptransfer.verdict import Verdict

#: costs below it are not worth naming as a least cost
_LEAST = 0.005
#: more than so many times the runs are no advice
_MOST_RUNS = 9.0


@dataclass(frozen=True, slots=True)
class JointCost:
    """What a combination costs at one size.

    Attributes:
        size: value of the size axis, positive.
        loss: of the combination above the lowest loss, in the losses' unit; open where the combination lies outside
            the runs there.
        doublings: that would buy it back; None where no rate is known.
        deviations: that loss in standard deviations of one run between seeds.
    """

    size: float
    loss: Interval
    doublings: Interval | None
    deviations: Interval


@dataclass(frozen=True, slots=True)
class Together:
    """What the hyperparameters of one group do together.

    Attributes:
        values: hyperparameter -> the value that is carried over.
        size: the largest size of the group.
        cost: loss of this combination above the lowest loss at the largest size, in the losses' unit; open where the
            combination lies outside the runs there.
        costs: at every size, increasing.
        unit: of costs that count: "doublings of compute", or "deviations between seeds" where growing may gain nothing.
        verdict: of the combination, by what it costs.
        judgement: that verdict in words.
        would_decide: what would decide an INCONCLUSIVE one, as a sentence; None for the others.
        interactions: one sentence for each pair.
    """

    values: dict[str, float]
    size: float
    cost: Interval
    costs: tuple[JointCost, ...]
    unit: str
    verdict: Verdict
    judgement: str
    would_decide: str | None
    interactions: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What carrying over all of them costs."""
        named = " and ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        largest, where = self.costs[-1], f"at size {size_text(self.size)}"
        paid = largest.deviations if self.unit == DEVIATIONS or largest.doublings is None else largest.doublings
        if not self.cost.bounded:
            why = "the best combination there, or this one, lies outside the runs"
            if paid.low < _LEAST or math.isinf(paid.low):
                return f"what {named} cost together {where} is open: {why}"
            return (
                f"{named} together cost at least {amount(paid.low)} {self.unit} {where}; how much more is open: {why}"
            )
        ends = f"{amount(paid.low)} to {amount(paid.high)}"
        return (
            f"{named} together cost {self.cost.estimate:.2g} of loss {where} "
            f"({self.cost.low:.2g} to {self.cost.high:.2g}), which is {amount(paid.estimate)} {self.unit} ({ends})"
        )


def judge_combination(
    reports: Sequence[AxisReport], lost: Sequence[Array], *, criteria: TransferCriteria, interactions: Sequence[str]
) -> Together:
    """Judge the values of several hyperparameters, all carried over at once.

    Args:
        reports: one per hyperparameter, with the others at their best; all of the same sizes, the smallest of which
            is where values were tuned.
        lost: (DRAWS,) loss of the combination above the lowest, per size; nan where it lies outside the runs there.
        criteria: what counts as transfer; no drift is asked of a combination.
        interactions: one sentence for each pair.
    """
    values = {report.hyperparameter: report.transferred for report in reports}
    # the best losses of all profiles are those of one surface, so any known rate is the rate of all
    unit = next((report.unit for report in reports if report.unit.known), reports[0].unit)
    sizes = tuple(
        _evidence([report.sizes[place] for report in reports], lost[place], unit, place) for place in range(len(lost))
    )
    *others, last = values
    ladder = Ladder(
        axis=reports[0].axis,
        hyperparameter=f"the combination of {', '.join(f'{n} {values[n]:.4g}' for n in others)} and {last}",
        transferred=values[last],
        reference=reports[0].reference,
        criteria=replace(criteria, drift=None),
        unit=unit,
        sizes=sizes,
        drift=Interval(0.0, -math.inf, math.inf),
    )
    return Together(
        values=values,
        size=sizes[-1].value,
        cost=sizes[-1].regret,
        costs=tuple(JointCost(each.value, each.regret, each.doublings, each.deviations) for each in sizes),
        unit=unit.name,
        verdict=ladder.verdict,
        judgement=sentence_of(ladder),
        would_decide=_next_step(ladder, list(values)) if ladder.verdict is Verdict.INCONCLUSIVE else None,
        interactions=tuple(interactions),
    )


def _next_step(ladder: Ladder, names: Sequence[str]) -> str:
    """What would decide an open verdict on a combination."""
    *others, last = names
    both = f"{', '.join(others)} and {last}"
    if not ladder.seeds_settle:
        return f"Run a second seed at every combination of {both}."
    outside = [size.label for size in ladder.sizes if math.isinf(size.cost.high) and math.isfinite(size.cost.low)]
    if outside:
        return f"Run more values of {both} around the best and the carried ones at {ladder.axis} {', '.join(outside)}."
    size, bound = max(((s, b) for s in ladder.sizes for b in ladder.open_bounds), key=lambda each: each[0].cost.high)
    cost = bound.of(size)
    room, width = bound.most - cost.estimate, cost.high - cost.estimate
    if room <= 0 or (width / room) ** 2 > _MOST_RUNS:
        return f"More runs alone will not do: it costs about what is allowed at {ladder.axis} {size.label}."
    times = math.ceil(10 * (width / room) ** 2) / 10
    where = f"near the carried and the best ones at {ladder.axis} {size.label}"
    return f"About {times:.2g} times as many runs of {both} {where}."


def _evidence(alone: Sequence[SizeEvidence], lost: Array, unit: CostUnit, place: int) -> SizeEvidence:
    """What is known of the combination at one size; a value that diverges with the others at their best does here."""
    known: Array | None = None if np.isnan(lost).any() else lost
    if any(math.isinf(each.regret.low) for each in alone):
        known = np.full(DRAWS, math.inf)
    return with_loss(alone[0], known, unit, place, open_above=any(math.isinf(each.regret.high) for each in alone))
