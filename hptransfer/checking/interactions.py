"""What a check's slices cannot see: interactions between the searched hyperparameters, from the search at the proxy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hptransfer.diagnostics.interactions import Interaction, Strength, find_interactions
from hptransfer.hyperparameters import log_name
from hptransfer.search.space import Space
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.transfer.slices import on_slice

if TYPE_CHECKING:
    from hptransfer.engine.session import Session


def search_interactions(session: Session, tuned: Mapping[str, float]) -> tuple[Interaction, ...]:
    """Every pair of searched hyperparameters on a log scale, around the tuned point; none with one hyperparameter.

    Args:
        session: of the recipe; all finished trials of the proxy count that differ in searched hyperparameters only.
        tuned: base-size value of every hyperparameter.
    """
    recipe = session.loaded.recipe
    space = Space.of(dict(recipe.tune.space.items()), recipe.check.spacing)
    size = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    held = {name: value for name, value in tuned.items() if name not in space.names}
    trials = on_slice(session.store.trials(size), held)
    if len(space) < 2 or not trials:
        return ()
    return find_interactions(
        [log_name(name) if axis.log else name for name, axis in zip(space.names, space, strict=True)],
        np.array([space.point(trial.hyperparameters) for trial in trials]),
        np.array([trial.loss for trial in trials]),
        np.array(space.point(tuned)),
        seeds=[trial.seed for trial in trials],
        reported=[log_name(axis.name) for axis in space if axis.log],
    )


def with_limits(report: TransferReport, pairs: Sequence[Interaction], checked: Collection[str]) -> TransferReport:
    """The report with a limit on every slice whose hyperparameter interacts with one that was not checked."""
    names = {log_name(name) for name in checked}
    return replace(report, axes=tuple(_limited(axis, pairs, names) for axis in report.axes))


def _limited(axis: AxisReport, pairs: Sequence[Interaction], checked: Collection[str]) -> AxisReport:
    limits = tuple(
        f"{other} was tuned too but not checked; {pair.sentence}."
        for pair in pairs
        for name, other in ((pair.first, pair.second), (pair.second, pair.first))
        if name == axis.hyperparameter and other not in checked and pair.strength is Strength.STRONG
    )
    return replace(axis, limits=(*axis.limits, *limits))
