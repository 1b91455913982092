"""How the optimum moves along a ladder: step by step, and whether one line describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hptransfer.statistics.interval import Interval

#: straight: one line describes the steps; bent: steps differ; turns: clearly up and clearly down; open: too noisy
Shape = Literal["straight", "bent", "turns", "open"]


@dataclass(frozen=True, slots=True)
class Step:
    """Between two neighbouring sizes.

    Attributes:
        low: the smaller size, in the unit of the axis.
        high: the larger size, in the unit of the axis.
        slope: octaves per doubling, with its 95% interval.
    """

    low: float
    high: float
    slope: Interval


@dataclass(frozen=True, slots=True)
class Path:
    """The optima of a ladder in order.

    Attributes:
        steps: between neighbouring sizes, increasing; empty with one size.
        scatter: by how many octaves optima lie off the line, median of its posterior.
        shape: whether one line describes the path.
    """

    steps: tuple[Step, ...]
    scatter: float
    shape: Shape
