"""Which finished runs bear on one question: the slice of one hyperparameter along one axis of size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from hptransfer.errors import UsageError
from hptransfer.sizes import AXES, Size, SizeAxis
from hptransfer.statistics.seed_means import Point
from hptransfer.trials.trial import Trial, TrialState

#: what a corner of width and depth is called where axes are named
CORNER = "width x depth"
#: relative difference below which two hyperparameter values are the same
_SAME = 1e-9


def on_axis(trials: Iterable[Trial], proxy: Size, axis: SizeAxis, following: Sequence[SizeAxis] = ()) -> list[Trial]:
    """The trials whose size differs from the proxy along `axis` only.

    Args:
        trials: finished runs of any sizes.
        proxy: size whose other fields the runs must share.
        axis: field of the size that may differ.
        following: fields that grow along with it.
    """
    others = [name for name in AXES if name != axis and name not in following]
    return [t for t in trials if all(getattr(t.size, name) == getattr(proxy, name) for name in others)]


def on_slice(trials: Iterable[Trial], held: Mapping[str, float]) -> list[Trial]:
    """The trials whose other hyperparameters have the held values; names that a trial lacks do not exclude it.

    Args:
        trials: finished runs, diverged ones included.
        held: name of each other hyperparameter -> the value it must have.
    """
    return [
        trial
        for trial in trials
        if all(
            math.isclose(trial.hyperparameters[name], value, rel_tol=_SAME)
            for name, value in held.items()
            if name in trial.hyperparameters
        )
    ]


def points_by_size(
    trials: Sequence[Trial], axis: SizeAxis, hyperparameter: str, following: Sequence[SizeAxis] = ()
) -> dict[int, list[Point]]:
    """Group by the axis's value, increasing; each run becomes a point at log2 of the hyperparameter.

    Args:
        trials: one slice: nothing but `axis`, `hyperparameter` and the seed may vary.
        axis: the size's field that varies.
        hyperparameter: the key in `trial.hyperparameters`.
        following: fields of the size that grow along with the axis: one value each per value of the axis.

    Raises:
        UsageError: the trials mix slices, or the hyperparameter is missing or not positive.
    """
    _refuse_mixtures(trials, axis, hyperparameter, following)
    return _grouped(trials, hyperparameter, lambda size: int(getattr(size, axis)))


def points_at_corner(trials: Sequence[Trial], proxy: Size, corner: Size, hyperparameter: str) -> dict[int, list[Point]]:
    """The runs at the proxy and at a corner of the ladder, by width times depth; see `points_by_size`.

    Args:
        trials: finished runs of all sizes.
        proxy: size at which the value was tuned.
        corner: size that differs from it in width and depth.
        hyperparameter: name of the hyperparameter that is judged.
    """
    groups: dict[int, list[Point]] = {}
    for size in (proxy, corner):
        own = [trial for trial in trials if trial.size == size]
        _refuse_mixtures(own, "width", hyperparameter)
        groups |= _grouped(own, hyperparameter, lambda size: size.width * size.depth)
    return groups


def _grouped(trials: Sequence[Trial], hyperparameter: str, by: Callable[[Size], int]) -> dict[int, list[Point]]:
    groups: dict[int, list[Point]] = {}
    for trial in trials:
        value = trial.hyperparameters.get(hyperparameter, math.nan)
        if not value > 0:
            raise UsageError(
                f"`{hyperparameter} > 0` must hold in every trial that is judged on a log scale",
                received=f"{hyperparameter}={value} in trial {trial.key[:12]}",
            )
        diverged = trial.state is TrialState.DIVERGED
        point = Point(math.log2(value), trial.seed, trial.loss, diverged, trial.flops)
        groups.setdefault(by(trial.size), []).append(point)
    return dict(sorted(groups.items()))


def _refuse_mixtures(
    trials: Sequence[Trial], axis: SizeAxis, hyperparameter: str, following: Sequence[SizeAxis] = ()
) -> None:
    """A one-dimensional slice holds everything else still; a mixture would pass for noise."""
    sizes = {tuple(getattr(t.size, name) for name in AXES if name != axis and name not in following) for t in trials}
    places = {(getattr(t.size, axis), *(getattr(t.size, name) for name in following)) for t in trials}
    if len(sizes) > 1 or len(places) > len({place[0] for place in places}):
        raise UsageError(
            f"sizes must differ in {axis} only to be judged along {axis}",
            received=f"{max(len(sizes), len(places))} combinations of the other axes",
            hint="select one with `on_axis`",
        )
    names = {name for t in trials for name in t.hyperparameters if name != hyperparameter}
    mixed = [name for name in sorted(names) if len({t.hyperparameters.get(name) for t in trials}) > 1]
    if mixed:
        raise UsageError(
            f"only {hyperparameter} may vary among the trials of a slice",
            received=f"several values of {', '.join(mixed)}",
            hint="hold the others at the tuned values: `judge(..., held={...})`",
        )
