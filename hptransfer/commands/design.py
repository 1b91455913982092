"""The design of a transfer check: which trials, on the one lattice that all sizes and `tune` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hptransfer.commands.trial import TrialRequest
from hptransfer.evidence.optimum import estimate_optimum
from hptransfer.evidence.slices import points_by_size
from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.recipe.hyperparameters import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size

#: octaves by which one size's grid grows at a time where its optimum lies on the grid's edge
STRETCH = 1.0
#: how often; beyond this the optimum stays a one-sided bound and is reported as one
MOST_STRETCHES = 3


@dataclass(frozen=True, slots=True)
class CheckDesign:
    """The sizes of a check and the slice through hyperparameter space along which their optima are compared.

    Attributes:
        recipe: gives widths, depths, grid and seeds.
        root: the recipe's folder.
        tuned: base-size value of every tuned hyperparameter.
    """

    recipe: Recipe
    root: Path
    tuned: dict[str, float]

    @property
    def hyperparameter(self) -> str:
        """The one that is varied."""
        return self.recipe.check.hyperparameter

    @property
    def held(self) -> dict[str, float]:
        """Values of all the others."""
        values = defaults(self.recipe.training) | self.tuned
        del values[self.hyperparameter]
        return values

    @property
    def proxy(self) -> Size:
        """Where the transferred value was tuned."""
        return self.recipe.size(self.recipe.proxy.width, self.recipe.proxy.depth)

    def sizes(self, axis: Literal["width", "depth"]) -> tuple[Size, ...]:
        """Sizes along one axis through the proxy, increasing; empty where the recipe gives none."""
        proxy = self.recipe.proxy
        if axis == "width":
            return tuple(self.recipe.size(width, proxy.depth) for width in self.recipe.sizes.widths)
        return tuple(self.recipe.size(proxy.width, depth) for depth in self.recipe.sizes.depths)

    def all_sizes(self) -> tuple[Size, ...]:
        """Every size of the check once, smallest first."""
        return tuple(sorted({*self.sizes("width"), *self.sizes("depth")}))

    def grid(self) -> tuple[int, ...]:
        """Lattice indices k of the values 2^(k * spacing) within `octaves` of the tuned value."""
        check, centre = self.recipe.check, math.log2(self.tuned[self.hyperparameter])
        low = math.ceil((centre - check.octaves) / check.spacing - 1e-9)
        high = math.floor((centre + check.octaves) / check.spacing + 1e-9)
        return tuple(range(low, high + 1))

    def requests(self, size: Size, indices: Iterable[int]) -> list[TrialRequest]:
        """One trial per lattice index and seed at one size."""
        spacing = self.recipe.check.spacing
        return [
            TrialRequest(
                self.recipe, self.root, size, self.held | {self.hyperparameter: 2.0 ** (index * spacing)}, seed
            )
            for index in indices
            for seed in range(self.recipe.check.seeds)
        ]


def climb(design: CheckDesign, run: Callable[[Sequence[TrialRequest]], list[Trial]]) -> list[Trial]:
    """Run the shared grid at every size, then extend single sizes whose optimum lies on the edge of their grid.

    Args:
        design: what to run.
        run: trains the requests, or finds them where they were trained before.

    Returns:
        All trials of the check.
    """
    grids = {size: design.grid() for size in design.all_sizes()}
    trials = run([request for size, grid in grids.items() for request in design.requests(size, grid)])
    stretch = max(1, round(STRETCH / design.recipe.check.spacing))
    for _ in range(MOST_STRETCHES):
        wanted: list[TrialRequest] = []
        for size, grid in grids.items():
            new = _beyond(grid, _edge(design, [trial for trial in trials if trial.size == size]), stretch)
            grids[size] = tuple(sorted((*grid, *new)))
            wanted += design.requests(size, new)
        if not wanted:
            break
        trials += run(wanted)
    return trials


def _edge(design: CheckDesign, trials: Sequence[Trial]) -> Literal["low", "high"] | None:
    """The end of the grid on which a size's optimum lies; "low" when nothing trained at all."""
    if all(trial.state is TrialState.DIVERGED for trial in trials):
        return "low"
    (points,) = points_by_size(trials, "width", design.hyperparameter).values()
    optimum = estimate_optimum(points)
    if optimum.edge == "high" and math.isfinite(optimum.cliff_distance):
        return None  # a divergence lies beyond it: larger values were tried
    return optimum.edge


def _beyond(grid: Sequence[int], edge: Literal["low", "high"] | None, count: int) -> tuple[int, ...]:
    if edge is None:
        return ()
    return tuple(range(grid[0] - count, grid[0])) if edge == "low" else tuple(range(grid[-1] + 1, grid[-1] + 1 + count))
