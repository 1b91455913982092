"""Several hyperparameters of one table judged together: each with the others at their best, from one joint fit.

A slice holds the others still. It shows the optimum's path only where it goes through the optimum at every size, or
where the hyperparameters do not interact; and a table of unequal grids or of a random search has no slices. So wherever
runs vary several hyperparameters at once, all of them are fitted together, and slices are for tables of lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hptransfer.checking.joint_cost import Together, judge_combination
from hptransfer.checking.joint_target import CarriedCombination
from hptransfer.errors import InconclusiveError
from hptransfer.results_table.combinations import Combinations
from hptransfer.results_table.slices import Runs
from hptransfer.sizes import size_text
from hptransfer.statistics.seed_means import Point
from hptransfer.statistics.surface import Profile, Surface, fit_surface
from hptransfer.statistics.surface_runs import MOST_HYPERPARAMETERS, SurfaceRun
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge_ladder


@dataclass(frozen=True, slots=True)
class JudgedTogether:
    """The hyperparameters of one group.

    Attributes:
        reports: one per hyperparameter, in their order.
        together: their combination, with its verdict, and their interactions.
        notes: what was decided about runs, one sentence each.
        carried: what the combination costs beyond the sizes.
    """

    reports: tuple[AxisReport, ...]
    together: Together
    notes: tuple[str, ...]
    carried: CarriedCombination


def judge_together(
    runs: Runs,
    found: Combinations,
    *,
    criteria: TransferCriteria | None = None,
    compute: Mapping[float, float] | None = None,
    limits: Sequence[str] = (),
) -> JudgedTogether | None:
    """Judge all hyperparameters of one group; None where its runs show no surface.

    Args:
        runs: the group's runs by size; their hyperparameter is the number of a combination.
        found: what the numbers mean.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.
        compute: size -> floating point operations of a run, up to a factor; None where nothing is known of it.
        limits: what the runs cannot show because of how they were made, one sentence each.

    Raises:
        InconclusiveError: a size diverged at every combination.
    """
    if not 2 <= len(found.hyperparameters) <= MOST_HYPERPARAMETERS:
        return None
    sizes = sorted(runs)
    for size in sizes:
        if all(point.diverged for point in runs[size]):
            raise InconclusiveError(
                "every size must train at some combination without diverging",
                received=f"divergence at all combinations of {found.roles.axis} {size_text(size)}",
                hint=f"add runs at smaller values, or leave this {found.roles.axis} out of the table",
            )
    given = None if criteria is None else criteria.noise
    table = [(math.log2(size), [_run(point, found) for point in runs[size]]) for size in sizes]
    surface = fit_surface(table, noise=given)
    if surface is None:
        return None
    values = [float(np.exp2(np.median(surface.profile(0, index).draws.optimum))) for index in range(surface.dimension)]
    profiles = [
        [surface.profile(size, index, math.log2(value)) for size in range(len(sizes))]
        for index, value in enumerate(values)
    ]
    reports = tuple(
        _report(profiles[index], sizes, index, value, found, criteria, limits, compute)
        for index, value in enumerate(values)
    )
    at = [math.log2(value) for value in values]
    together = judge_combination(
        reports,
        [surface.cost_together(place, at) for place in range(len(sizes))],
        criteria=criteria or TransferCriteria(),
        interactions=_interactions(surface, found.hyperparameters, sizes[0]),
    )
    drawn = tuple(tuple(profile.draws for profile in each) for each in profiles)
    carried = CarriedCombination(surface, reports, drawn)
    return JudgedTogether(reports, together, tuple(_notes(surface, sizes, found)), carried)


def _run(point: Point, found: Combinations) -> SurfaceRun:
    return SurfaceRun(found.of(point), point.seed, point.loss, point.diverged)


def _report(
    profiles: Sequence[Profile],
    sizes: Sequence[float],
    index: int,
    value: float,
    found: Combinations,
    criteria: TransferCriteria | None,
    limits: Sequence[str],
    compute: Mapping[float, float] | None,
) -> AxisReport:
    return judge_ladder(
        {size: profile.points for size, profile in zip(sizes, profiles, strict=True)},
        axis=found.roles.axis,
        hyperparameter=found.hyperparameters[index],
        transferred=value,
        reference=sizes[0],
        criteria=criteria,
        compute=compute,
        limits=limits,
        drawn=[profile.draws for profile in profiles],
    )


def _interactions(surface: Surface, names: Sequence[str], reference: float) -> list[str]:
    sentences = []
    for first, second in combinations(range(len(names)), 2):
        correlation, slope = surface.interaction(0, first, second)
        pair = f"{names[first]} and {names[second]}"
        if not slope.bounded:
            sentences.append(f"whether {pair} interact is open")
            continue
        sentences.append(
            f"{pair}: correlation {correlation.estimate:+.2f} ({correlation.low:+.2f} to {correlation.high:+.2f}) at "
            f"size {size_text(reference)}; the best {names[first]} moves {slope.estimate:+.2f} octaves per octave of "
            f"{names[second]}"
        )
    return sentences


def _notes(surface: Surface, sizes: Sequence[float], found: Combinations) -> list[str]:
    """Which runs bent no surface, and why."""
    notes = []
    for size, runs in zip(sizes, surface.sizes, strict=True):
        blown = runs.blown_loss[np.isfinite(runs.blown_loss)]
        if len(blown):
            notes.append(
                f"{found.roles.axis} {size_text(size)}: {len(blown)} runs with losses from {blown.min():.4g} blew up; "
                "they bound the optimum and bend no curve"
            )
        if len(runs.far):
            notes.append(
                f"{found.roles.axis} {size_text(size)}: {len(runs.far)} runs lie too far from the optimum to inform it"
            )
    return notes
