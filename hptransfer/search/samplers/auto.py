"""The default: a design on a line for one hyperparameter, knowledge gradient on a Gaussian process for two to four."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hptransfer.search import sampler_1d
from hptransfer.search.base import Point, limited_count
from hptransfer.search.recommendation import line_points
from hptransfer.search.space import Space
from hptransfer.search.space_filling import LATTICE
from hptransfer.trials.trial import Trial


class _Auto:
    """See `Sampler`."""

    def propose(
        self, space: Space, finished: Sequence[Trial], taken: Sequence[Point], *, count: int, total: int, seed: int
    ) -> list[Point]:
        """See `Sampler.propose`."""
        if len(space) == 1:
            axis, points, known = space.axes[0], line_points(space.axes[0], finished), [x for (x,) in taken]
            found = sampler_1d.propose(axis, points, known, spacing=space.spacing, count=count, total=total)
            return [(x,) for x in found]
        from hptransfer.search import sampler_gp  # its libraries take a second to import

        count = limited_count(space, finished, count, total)
        return sampler_gp.propose(space, finished, taken, count=count, total=total, seed=seed) if count else []

    def settings(self, space: Space, total: int) -> dict[str, Any]:
        """See `Sampler.settings`."""
        if len(space) == 1:
            return {"design": "line", "coarse_step": sampler_1d.coarse_step(space.axes[0], space.spacing, total)}
        from hptransfer.search.sampler_gp import SETTINGS, start_count

        return {"design": "volume", "start": start_count(len(space), total), "lattice": LATTICE, **SETTINGS}


SAMPLER = _Auto()
