"""When runs of a single seed can settle that a value transfers.

One seed shows neither how noisy losses are nor how far the seed itself displaces an optimum. The second is taken from
ladders that were measured elsewhere (`hptransfer.statistics.tilt`), the first from scatter about smooth curves. Both
are weak at one size; over many sizes, each with values enough around its optimum, they add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hptransfer.sizes import size_text
from hptransfer.statistics.optimum import Optimum
from hptransfer.statistics.seed_means import Point, average_seeds

#: fewest sizes, and ratio of largest to smallest, over which one seed is heard
ONE_SEED_SIZES = 4
ONE_SEED_LADDER = 8.0
#: fewest values near each optimum
ONE_SEED_VALUES = 5
#: near is within this many octaves: five values on a grid of octaves, wherever the optimum lies between two of them
_NEAR = 2.5
#: of these at least so many below the optimum and above it; a divergence bounds it from above as well
_EACH_SIDE = 2


class Rung(Protocol):
    """What is asked of a size: its value on the axis, its optimum and its runs."""

    @property
    def value(self) -> float:
        """The axis's value, positive."""

    @property
    def optimum(self) -> Optimum:
        """Where the best value lies."""

    @property
    def points(self) -> tuple[Point, ...]:
        """The runs."""


def one_seed_settles(sizes: Sequence[Rung]) -> bool:
    """Whether a ladder of one seed has sizes and values enough to tell transfer from luck.

    Args:
        sizes: what is known at each size, in increasing order.
    """
    return one_seed_lacks(sizes) is None


def one_seed_lacks(sizes: Sequence[Rung]) -> str | None:
    """What a ladder of one seed lacks to tell transfer from luck, a clause; None for nothing.

    Args:
        sizes: what is known at each size, in increasing order.
    """
    if len(sizes) < ONE_SEED_SIZES:
        return f"there are {len(sizes)} sizes"
    if sizes[-1].value / sizes[0].value < ONE_SEED_LADDER:
        return f"the sizes span {sizes[-1].value / sizes[0].value:.3g}x"
    near = [(values_near(size), size.value) for size in sizes]
    fewest, where = min(near)
    if fewest >= ONE_SEED_VALUES:
        return None
    if not fewest:
        return f"at {size_text(where)} they do not lie on both sides of it"
    return f"at {size_text(where)} there are {fewest}"


def values_near(size: Rung) -> int:
    """How many values inform the optimum from nearby; 0 where they lie on one side of it only.

    Values count that belong to the smooth stretch around the lowest loss (no flanks far above it, nothing at or beyond
    a divergence) and lie within 2.5 octaves of the optimum, at least two of them on each side.

    Args:
        size: one rung of the ladder.
    """
    table = average_seeds(size.points)
    away = table.x - size.optimum.log2_value
    below, above = (int(np.sum(side & (np.abs(away) <= _NEAR + 1e-9))) for side in (away <= 0, away > 0))
    bounded = above >= _EACH_SIDE or table.wall is not None
    return below + above if below >= _EACH_SIDE and bounded else 0
