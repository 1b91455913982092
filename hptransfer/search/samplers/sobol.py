"""A scrambled Sobol sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hptransfer.search.base import Point, limited_count
from hptransfer.search.space import Space
from hptransfer.search.space_filling import LATTICE, first_untaken, sobol
from hptransfer.trials.trial import Trial


class _Sobol:
    """See `Sampler`."""

    def propose(
        self, space: Space, finished: Sequence[Trial], taken: Sequence[Point], *, count: int, total: int, seed: int
    ) -> list[Point]:
        """See `Sampler.propose`."""
        count = limited_count(space, finished, count, total)
        return first_untaken(sobol(space, len(taken) + count, seed), taken, count)

    def settings(self, space: Space, total: int) -> dict[str, Any]:
        """See `Sampler.settings`."""
        return {"scramble": True, "lattice": LATTICE}


SAMPLER = _Sobol()
