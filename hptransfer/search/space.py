"""The search space: named axes, and the coordinate in which equal steps mean equal effects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hptransfer.errors import UsageError
from hptransfer.hyperparameters import AVERAGES, from_log_coordinate, log_coordinate
from hptransfer.recipe.schema import Range

#: a linear range counts as this many octaves, so that one set of step sizes serves both scales
_LINEAR_OCTAVES = 8.0


@dataclass(frozen=True, slots=True)
class Axis:
    """One searched hyperparameter.

    Its coordinate x is log2 of the value on a log scale, so lattices on x are counted from 1 whatever the bounds; of
    betas and momentum log2 of the horizon 1 / (1 - value). On a linear scale x runs from 0 at the low bound to 8 at the
    high one.

    Attributes:
        name: name of the hyperparameter.
        low: smallest value that is tried, own unit.
        high: largest value that is tried, own unit.
        log: whether the scale is logarithmic.
    """

    name: str
    low: float
    high: float
    log: bool

    def __post_init__(self) -> None:
        least, most = (0.0, 1.0) if self.name in AVERAGES else (math.ulp(0.0) if self.log else 0.0, math.inf)
        if not (least <= self.low < self.high < most):
            below = "0 < " if least > 0 else ""
            rule = f"`{below}low < high{' < 1' if most == 1 else ''}` must hold for `tune.space.{self.name}`"
            raise UsageError(rule, received=f"low={self.low:g}, high={self.high:g}")

    def x(self, value: float) -> float:
        """The coordinate of a value."""
        return (
            log_coordinate(self.name, value)
            if self.log
            else _LINEAR_OCTAVES * (value - self.low) / (self.high - self.low)
        )

    def value(self, x: float) -> float:
        """The value at a coordinate."""
        return (
            from_log_coordinate(self.name, x) if self.log else self.low + (self.high - self.low) * x / _LINEAR_OCTAVES
        )

    @property
    def ends(self) -> tuple[float, float]:
        """Coordinates of the bounds."""
        return self.x(self.low), self.x(self.high)

    def lattice(self, spacing: float) -> list[float]:
        """Coordinates k * spacing within the bounds, increasing."""
        low, high = self.ends
        # rounding keeps bounds that are lattice points themselves
        first, last = math.ceil(round(low / spacing, 9)), math.floor(round(high / spacing, 9))
        return [k * spacing for k in range(first, last + 1)]

    def clip(self, value: float) -> float:
        """The nearest value within the bounds."""
        return min(max(value, self.low), self.high)

    def wider(self, end: str) -> float:
        """A bound worth trying when the optimum lies at this end ("low" or "high"): two octaves, or half the range."""
        if self.log:
            x = max(0.0, self.x(self.low) - 2) if self.name in AVERAGES else self.x(self.low) - 2
            return self.value(x if end == "low" else self.x(self.high) + 2)
        half = (self.high - self.low) / 2
        return max(0.0, self.low - half) if end == "low" else self.high + half


@dataclass(frozen=True, slots=True)
class Space:
    """All searched hyperparameters, in the recipe's order.

    Attributes:
        axes: one per searched hyperparameter, at least one.
        spacing: octaves between neighbours of the grid that `check` uses; the search meets it on common points.
    """

    axes: tuple[Axis, ...]
    spacing: float = 0.5

    @classmethod
    def of(cls, ranges: Mapping[str, Range], spacing: float = 0.5) -> Space:
        """The space of a recipe's `tune.space`.

        Raises:
            UsageError: a range is empty, or a log range reaches zero.
        """
        axes = (Axis(name, axis.low, axis.high, axis.scale == "log") for name, axis in ranges.items())
        return cls(tuple(axes), spacing)

    def __len__(self) -> int:
        return len(self.axes)

    def __iter__(self) -> Iterator[Axis]:
        return iter(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the hyperparameters."""
        return tuple(axis.name for axis in self.axes)

    def point(self, hyperparameters: Mapping[str, float]) -> tuple[float, ...]:
        """Coordinates of a set of values."""
        return tuple(axis.x(hyperparameters[axis.name]) for axis in self.axes)

    def values(self, point: tuple[float, ...]) -> dict[str, float]:
        """Values at coordinates, within the bounds."""
        return {axis.name: axis.clip(axis.value(x)) for axis, x in zip(self.axes, point, strict=True)}

    def contains(self, hyperparameters: Mapping[str, float]) -> bool:
        """Whether every searched value is given and lies within its bounds."""
        return all(
            axis.name in hyperparameters and axis.low <= hyperparameters[axis.name] <= axis.high for axis in self.axes
        )
