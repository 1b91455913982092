"""The design of a transfer check: which trials, on the one lattice that all sizes and `tune` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from hptransfer.checking.evaluation import Evaluated, evaluation_of
from hptransfer.hyperparameters import from_log_coordinate, is_valid_log_coordinate, log_coordinate, log_name
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import AXES, LADDERS, MODEL_AXES, Size, SizeAxis
from hptransfer.statistics.optimum import estimate_optimum
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import TransferReport, judge
from hptransfer.transfer.slices import points_by_size
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState

#: trains requests, or finds them where they were trained before
Run = Callable[[Sequence[TrialSpec]], list[Trial]]

#: octaves by which one size's grid grows at a time where its optimum lies on the grid's edge
STRETCH = 1.0
#: how often; beyond this the optimum stays a one-sided bound and is reported as one
MOST_STRETCHES = 3


@dataclass(frozen=True, slots=True)
class CheckDesign:
    """The sizes of a check and the slice through hyperparameter space along which their optima are compared.

    Attributes:
        recipe: gives widths, depths, grid and seeds.
        root: folder of the recipe, where data patterns start.
        tuned: base-size value of every tuned hyperparameter.
        checked: the one that is varied; default: the first that the recipe checks.
    """

    recipe: Recipe
    root: Path
    tuned: dict[str, float]
    checked: str | None = None

    @property
    def hyperparameter(self) -> str:
        """The one that is varied."""
        return self.checked or self.recipe.check.checked[0]

    @property
    def held(self) -> dict[str, float]:
        """Values of all the others."""
        values = defaults(self.recipe.training) | self.tuned
        del values[self.hyperparameter]
        return values

    @property
    def proxy(self) -> Size:
        """Where the transferred value was tuned."""
        return self.recipe.proxy_size

    def sizes(self, axis: SizeAxis) -> tuple[Size, ...]:
        """Sizes along one axis through the proxy, increasing; empty where the recipe gives none."""
        return tuple(self.size_of(axis, value) for value in getattr(self.recipe.sizes, LADDERS[axis]))

    @property
    def corner(self) -> Size | None:
        """Largest width and depth together, where the recipe asks for it."""
        ladders = self.recipe.sizes
        return self.recipe.size(ladders.widths[-1], ladders.depths[-1]) if ladders.corner else None

    def all_sizes(self) -> tuple[Size, ...]:
        """Every size of the check once, smallest first."""
        corner = () if self.corner is None else (self.corner,)
        return tuple(sorted({*corner, *(size for axis in AXES for size in self.sizes(axis))}))

    def grid(self) -> tuple[int, ...]:
        """Lattice indices k of the values 2^(k * spacing) within `octaves` of the tuned value, to begin with."""
        check, centre = self.recipe.check, log_coordinate(self.hyperparameter, self.tuned[self.hyperparameter])
        unit = check.first_step * check.spacing
        low = math.ceil((centre - check.octaves) / unit - 1e-9)
        high = math.floor((centre + check.octaves) / unit + 1e-9)
        return self.valid_indices([check.first_step * index for index in range(low, high + 1)])

    def valid_indices(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Those lattice indices that are values of the hyperparameter."""
        spacing = self.recipe.check.spacing
        return tuple(index for index in indices if is_valid_log_coordinate(self.hyperparameter, index * spacing))

    def value(self, index: int) -> float:
        """The hyperparameter at one lattice index."""
        return from_log_coordinate(self.hyperparameter, index * self.recipe.check.spacing)

    def request(self, size: Size, index: int, seed: int) -> TrialSpec:
        """The trial at one lattice index."""
        values = self.held | {self.hyperparameter: self.value(index)}
        return TrialSpec(self.recipe, self.root, size, values, seed)

    def requests(self, size: Size, indices: Iterable[int]) -> list[TrialSpec]:
        """One trial per lattice index and seed at one size."""
        return [self.request(size, index, seed) for index in indices for seed in range(self.recipe.check.seeds)]

    def first(self) -> list[TrialSpec]:
        """The trials to begin with: the shared grid at every size."""
        return [request for size in self.all_sizes() for request in self.requests(size, self.grid())]

    def size_of(self, axis: str, value: int) -> Size:
        """The size at a value of an axis through the proxy; tokens follow the model where the recipe says so."""
        values = asdict(self.proxy) | {axis: value}
        return self.recipe.size(values["width"], values["depth"]) if axis in MODEL_AXES else Size(**values)

    def in_octaves(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """The trials with averages as their horizons, of which octaves are counted; others as they are."""
        name = self.hyperparameter
        if log_name(name) == name:
            return trials
        return [
            replace(
                trial,
                hyperparameters={key: value for key, value in trial.hyperparameters.items() if key != name}
                | {log_name(name): 2.0 ** log_coordinate(name, trial.hyperparameters[name])},
            )
            for trial in trials
        ]

    def judge(self, trials: Sequence[Trial]) -> TransferReport:
        """The judgement of these trials by the recipe's criteria."""
        return judge(
            self.in_octaves(trials),
            proxy=self.proxy,
            hyperparameter=log_name(self.hyperparameter),
            transferred=2.0 ** log_coordinate(self.hyperparameter, self.tuned[self.hyperparameter]),
            criteria=TransferCriteria(**self.recipe.check.criteria.model_dump()),
            corner=self.corner,
            held=self.held,
            ray=self.recipe.ray,
        )

    def evaluated(self, fingerprint: str, report: TransferReport, trials: Iterable[Trial]) -> Evaluated:
        """What the losses of these trials were measured on; see `evaluation_of`.

        Args:
            fingerprint: sha256 (hex) of the data.
            report: over all hyperparameters and axes.
            trials: those of the ladder, of every size.
        """
        return evaluation_of(self.recipe, fingerprint, report, trials)


def extend_grids_at_edges(design: CheckDesign, run: Run) -> list[Trial]:
    """Run the shared grid at every size, then extend single sizes whose optimum lies on the edge of their grid.

    Args:
        design: sizes, grid and seeds of the ladder.
        run: trains the requests, or finds them where they were trained before.

    Returns:
        All trials so far.
    """
    grids = {size: design.grid() for size in design.all_sizes()}
    trials = run(design.first())
    count = max(1, round(STRETCH / (design.recipe.check.first_step * design.recipe.check.spacing)))
    for _ in range(MOST_STRETCHES):
        wanted: list[TrialSpec] = []
        for size, grid in grids.items():
            edge = _edge(design, [trial for trial in trials if trial.size == size])
            new = design.valid_indices(_beyond(grid, edge, count, design.recipe.check.first_step))
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
    (points,) = points_by_size(design.in_octaves(trials), "width", log_name(design.hyperparameter)).values()
    optimum = estimate_optimum(points)
    if optimum.edge == "high" and math.isfinite(optimum.cliff_distance):
        return None  # a divergence lies beyond it: larger values were tried
    return optimum.edge


def _beyond(grid: Sequence[int], edge: Literal["low", "high"] | None, count: int, step: int) -> tuple[int, ...]:
    if edge is None:
        return ()
    if edge == "low":
        return tuple(grid[0] - step * away for away in range(count, 0, -1))
    return tuple(grid[-1] + step * away for away in range(1, count + 1))
