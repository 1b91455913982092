"""What a combination of values costs beyond the checked sizes: its optimum's path, and the surface moved along it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.curve import CurveDraws
from hptransfer.statistics.surface import Surface
from hptransfer.transfer.axis_facts import AxisFacts, axis_facts_from_report
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.target import at_least


@dataclass(frozen=True)
class CarriedCombination:
    """Values of several hyperparameters that are carried over together.

    Attributes:
        surface: that was fitted to the runs of all sizes.
        reports: one per hyperparameter, in the surface's order.
        drawn: the profiles that each was judged by, one per size; draws of all of them belong together.
    """

    surface: Surface
    reports: tuple[AxisReport, ...]
    drawn: tuple[tuple[CurveDraws, ...], ...]

    @cached_property
    def facts(self) -> tuple[AxisFacts, ...]:
        """What is known of each hyperparameter along the sizes."""
        return tuple(axis_facts_from_report(*each) for each in zip(self.reports, self.drawn, strict=True))

    def lost(self, target: Mapping[str, float]) -> tuple[Array, Array] | None:
        """(least, most) loss of the combination, on the largest size's surface; None where an optimum's path is open.

        That surface is moved along with its optimum, each coordinate along its own path.

        Args:
            target: the size, by the name of the axis.
        """
        aim = target[self.facts[0].axis]
        off = []
        for index, (report, facts) in enumerate(zip(self.reports, self.facts, strict=True)):
            optimum = facts.optima_at([aim], stream=index)
            if optimum is None:
                return None
            off.append(math.log2(report.transferred) - optimum[0])
        least, most = self.surface.lost_off(len(self.surface.sizes) - 1, np.stack(off))
        return at_least(least, off), most
