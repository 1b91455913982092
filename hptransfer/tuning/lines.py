"""A search along one axis after the other, as what its finished trials say: pure, so that it can be computed again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.artifacts.compared import TOLERANCE
from hptransfer.hyperparameters import with_default_multipliers
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.schema import Recipe
from hptransfer.search.base import Recommendation
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial, TrialState


@dataclass(frozen=True, slots=True)
class Lines:
    """What the lines of a search gave.

    Attributes:
        recipe: gives the values that no line decided, and what counts as noise.
        space: every searched hyperparameter with its bounds.
        found: hyperparameter -> what its line recommends; a line that gave nothing is left out.
        combined: finished trials of all recommendations together, with the first seed of the search; one at most.
    """

    recipe: Recipe
    space: Space
    found: Mapping[str, Recommendation]
    combined: Sequence[Trial] = ()

    @property
    def values(self) -> dict[str, float]:
        """What was best along each line, together; the recipe's own value where a line gave nothing."""
        own = defaults(self.recipe.training)
        return {name: self.found[name].values[name] if name in self.found else own[name] for name in self.space.names}

    def with_combined(self, searched: Sequence[Trial]) -> Lines:
        """The lines with the trial of all recommendations together, where it is among those of the search.

        A fit that is made anew ends a rounding away from the one that asked for the trial.

        Args:
            searched: finished trials of the search.
        """
        wanted = with_default_multipliers(defaults(self.recipe.training) | self.values)

        def apart(trial: Trial) -> float:
            return _apart(with_default_multipliers(trial.hyperparameters), wanted)

        tried = [each for each in searched if each.seed == self.recipe.tune.seed and apart(each) <= TOLERANCE]
        return replace(self, combined=tuple(sorted(tried, key=lambda each: (apart(each), each.key))[:1]))

    def confirmed(self, searched: Sequence[Trial], confirmed: Sequence[Trial]) -> tuple[dict[str, float], float] | None:
        """The candidate that the trials of a confirmation are of, with its loss; None where they are of none.

        Args:
            searched: finished trials of the search.
            confirmed: confirmation trials of the recommendation that held.
        """
        nearest, share = None, TOLERANCE
        for values, loss in self.candidates(searched):
            tried = ({name: each.hyperparameters[name] for name in values} for each in confirmed)
            apart = max((_apart(each, values) for each in tried), default=0.0)
            if apart < share:  # of equal ones the first, which was asked for first
                nearest, share = (values, loss), apart
        return nearest

    def candidates(self, searched: Sequence[Trial]) -> list[tuple[dict[str, float], float]]:
        """The combination first, then the single trials of lowest loss, each with that loss.

        Args:
            searched: finished trials of the search.
        """
        complete = sorted(
            (trial for trial in searched if trial.state is TrialState.COMPLETE), key=lambda t: (t.loss, t.key)
        )
        singles = [({name: trial.hyperparameters[name] for name in self.space.names}, trial.loss) for trial in complete]
        together = [trial for trial in self.combined if trial.state is TrialState.COMPLETE]
        return [*((self.values, trial.loss) for trial in together[:1]), *singles]

    def recommendation(self, values: dict[str, float], loss: float, searched: Sequence[Trial]) -> Recommendation:
        """What is recommended where one of the candidates held.

        Args:
            values: of the candidate, by the name of the hyperparameter.
            loss: of the candidate, in the unit of the losses.
            searched: finished trials of the search, one of them complete.
        """
        best = min((t for t in searched if t.state is TrialState.COMPLETE), key=lambda t: (t.loss, t.key))
        return Recommendation(
            values=values,
            intervals={
                name: self.found[name].intervals[name] if name in self.found else (None, None)
                for name in self.space.names
            },
            plateaus={
                name: self.found[name].plateaus[name] if name in self.found else (values[name], values[name])
                for name in self.space.names
            },
            loss=loss,
            noise=min((found.noise for found in self.found.values() if found.has_noise), default=math.nan),
            edges={name: end for found in self.found.values() for name, end in found.edges.items()},
            best=best,
            origin="values come from one fitted line each, at the values of the others that the recipe gives",
        )

    def warnings(self) -> Iterator[str]:
        """What the combination shows of interactions; a difference below the criterion of regret counts as noise."""
        alone = min((found.loss for found in self.found.values()), default=None)
        together = min((trial.loss for trial in self.combined), default=None)
        if alone is not None and together is not None and together > alone * (1 + self.recipe.check.criteria.plateau):
            yield (
                f"the values that were best one at a time lose together ({together:.4f}, the best line alone "
                f"{alone:.4f}): they interact, so search with `tune.order: joint`"
            )


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The largest share by which a value of two settings differs; infinite where they name others."""
    if one.keys() != other.keys():
        return math.inf
    pairs = ((one[name], other[name]) for name in one)
    return max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a != b), default=0.0)
