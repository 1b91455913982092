"""The largest even grid of at most as many points as there are trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hptransfer.search.base import Point, limited_count
from hptransfer.search.space import Space
from hptransfer.search.space_filling import first_untaken, grid, grid_shape
from hptransfer.trials.trial import Trial


class _Grid:
    """See `Sampler`."""

    def propose(
        self, space: Space, finished: Sequence[Trial], taken: Sequence[Point], *, count: int, total: int, seed: int
    ) -> list[Point]:
        """See `Sampler.propose`."""
        return first_untaken(grid(space, total, seed), taken, limited_count(space, finished, count, total))

    def settings(self, space: Space, total: int) -> dict[str, Any]:
        """See `Sampler.settings`."""
        return {"values": dict(zip(space.names, grid_shape(len(space), total), strict=True))}


SAMPLER = _Grid()
