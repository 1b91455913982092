"""What samplers are, and what a search recommends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hptransfer.artifacts.tuned import quadratic_terms
from hptransfer.recipe.registered import SAMPLERS as REGISTERED
from hptransfer.registry import Registry
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial, TrialState

#: coordinates of one set of values, an entry per axis of the space, each in its axis's coordinate (`Axis`)
Point = tuple[float, ...]
End = Literal["low", "high"]

#: this many divergences per searched hyperparameter, and nothing else, end a search
_HOPELESS = 6


class Sampler(Protocol):
    """Chooses the points to try next. It remembers nothing, so an interrupted search goes on as it would have."""

    def propose(
        self, space: Space, finished: Sequence[Trial], taken: Sequence[Point], *, count: int, total: int, seed: int
    ) -> list[Point]:
        """Points to try next, a pure function of its arguments.

        Args:
            space: the searched hyperparameters with their bounds.
            finished: complete and diverged trials so far.
            taken: every point decided before, in order, whatever became of it; none is proposed again.
            count: largest number of points wanted, at least 1.
            total: number of trials of the whole search.
            seed: seed of the search, at least 0.

        Returns:
            Up to `count` points within the bounds; none when nothing new is left to try, or every trial diverged.
        """
        ...

    def settings(self, space: Space, total: int) -> dict[str, Any]:
        """Every argument of the sampler as JSON-able data, for the record.

        Args:
            space: the searched hyperparameters with their bounds.
            total: number of trials of the whole search.
        """
        ...


#: one module of `samplers/` each
SAMPLERS: Registry[Sampler] = REGISTERED


def limited_count(space: Space, finished: Sequence[Trial], count: int, total: int) -> int:
    """How many of `count` points a search may still try: none once it diverged too often and never trained.

    Args:
        space: the searched hyperparameters with their bounds.
        finished: complete and diverged trials so far.
        count: number of points wanted.
        total: number of trials of the whole search.
    """
    if not finished or any(trial.state is TrialState.COMPLETE for trial in finished):
        return count
    return max(0, min(count, min(total, _HOPELESS * len(space)) - len(finished)))


#: standard deviation of one run, as a fraction of the loss, where nothing was measured: typical of small proxies
#: (docs/benchmarks.md)
ASSUMED_NOISE = 0.003


def least_runs(dimensions: int) -> int:
    """Number of runs of one seed that show their noise: more than a bowl has coefficients.

    A bowl is a full quadratic that is lopsided along each axis, and breaks off somewhere. A curve through fewer runs
    meets all of them whatever they are, so what is left over says nothing.

    Args:
        dimensions: number of searched hyperparameters, at least 1.
    """
    return quadratic_terms(dimensions) + dimensions + 2


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to use, how sure that is, and which single trial was best.

    Attributes:
        values: recommended value of each searched hyperparameter, in its own unit.
        intervals: its 95% interval in its own unit; None at an end that the search leaves open.
        plateaus: the values, the others held, whose expected loss is within the tolerance of the best: own unit,
            clipped to what was sampled.
        loss: expected loss at the values, nats.
        noise: standard deviation of one run about its expected loss, nats; nan where too few runs show it.
        about: what the noise is about: a seed that lifts all its runs alike is left out of it, or not.
        edges: axes whose optimum lies on a bound of the search, with the end; a divergence is not a bound.
        best: the finished trial of lowest loss.
        origin: how the values were found where not by one fit over all runs, one sentence.
    """

    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float | None, float | None]]
    plateaus: Mapping[str, tuple[float, float]]
    loss: float
    noise: float
    edges: Mapping[str, End]
    best: Trial
    origin: str = ""
    about: str = "its own seed's level"

    @property
    def has_noise(self) -> bool:
        """Whether the runs were enough to measure how far one scatters."""
        return math.isfinite(self.noise)

    def reason(self, unit: str) -> str:
        """Why the recommendation is not simply the best trial, one sentence.

        Args:
            unit: in which losses are.
        """
        if self.origin:
            return self.origin
        if all(self.best.hyperparameters[name] == value for name, value in self.values.items()):
            return "here both are the same: too few trials for a fit, or the fitted mean is lowest there"
        by = f"by about {self.noise:.2g} {unit} about {self.about}"
        scatter = f"one run scatters {by}" if self.has_noise else "runs scatter, by how much too few trials show"
        apart = self.loss - self.best.loss
        return (
            f"{scatter}, so the lowest loss is partly chance (what is recommended is expected "
            f"{abs(apart):.2g} {unit} {'below' if apart < 0 else 'above'} it); the fitted mean uses all runs"
        )
