"""What a search found, as its trials say: `tune` writes it, and whoever is given the file computes it again.

Pure: nothing but the recipe and finished trials goes in.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from hptransfer.artifacts.tuned import BestObserved, Confirmation, Power, Seeds, Tuned
from hptransfer.engine.flops import spent_on
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.objective import unit_of
from hptransfer.recipe.schema import Recipe
from hptransfer.search.base import ASSUMED_NOISE, Recommendation, least_runs
from hptransfer.search.recommendation import recommend
from hptransfer.search.rounds import advice, expected_power, found_power
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.tuning.line_parts import in_order, line_part, line_seeds, lines_settings
from hptransfer.tuning.lines import Lines
from hptransfer.tuning.search import Part, is_joint, rounds_of, search_space, whole
from hptransfer.tuning.widening import edge_warning


@dataclass(frozen=True)
class Outcome:
    """The trials of a search and of its confirmation.

    Attributes:
        recipe: whose search it was.
        searched: finished trials of the search.
        superseded: confirmation trials of recommendations that diverged on a fresh seed.
        confirmed: confirmation trials of the recommendation that held.
        lines: hyperparameter -> finished trials of its line; none where all were searched at once.
    """

    recipe: Recipe
    searched: Sequence[Trial]
    superseded: Sequence[Trial]
    confirmed: Sequence[Trial]
    lines: Mapping[str, Sequence[Trial]]

    @cached_property
    def space(self) -> Space:
        """Every searched hyperparameter with its bounds."""
        return search_space(self.recipe)

    @cached_property
    def joined(self) -> Lines | None:
        """The lines, where one axis was searched after the other."""
        if is_joint(self.recipe):
            return None
        tolerance = self.recipe.check.criteria.plateau
        found = {}
        for axis in self.space:
            line = replace(self.space, axes=(axis,))
            recommendation = recommend(line, self.lines.get(axis.name, ()), tolerance)
            if recommendation is not None:
                found[axis.name] = recommendation
        return Lines(self.recipe, self.space, found).with_combined(self.searched)

    @cached_property
    def recommendation(self) -> Recommendation | None:
        """What is recommended; None where no trial is complete, or no candidate was confirmed."""
        if self.joined is None:
            known = [*self.searched, *self.superseded]
            return recommend(self.space, known, self.recipe.check.criteria.plateau)
        chosen = self.joined.confirmed(self.searched, self.confirmed)
        return None if chosen is None else self.joined.recommendation(*chosen, self.searched)

    @property
    def settings(self) -> dict[str, Any]:
        """The search with every argument that the recipe decides, and Optuna's version here."""
        if self.joined is None:
            return rounds_of(self.recipe, whole(self.recipe)).settings
        return lines_settings({name: rounds_of(self.recipe, part).settings for name, part in self.parts.items()})

    @property
    def parts(self) -> dict[str, Part]:
        """Hyperparameter -> the search along its line; none where all were searched at once."""
        if self.joined is None:
            return {}
        first, found = in_order(self.space)[0].name, self.joined.found
        held = {first: found[first].values[first]} if first in found else {}
        return {axis.name: line_part(self.recipe, self.space, axis, held) for axis in in_order(self.space)}

    @property
    def seeds(self) -> Seeds:
        """Seeds of the search, and of its confirmation."""
        alone = self.joined is None
        searched = rounds_of(self.recipe, whole(self.recipe)).seeds if alone else line_seeds(self.recipe)
        return Seeds(search=tuple(searched), confirmation=tuple(trial.seed for trial in self.confirmed))

    @property
    def power(self) -> Power:
        """What the budget could tell, by the noise that was measured where there is one."""
        return power_of(self.recipe, self.recommendation)

    def content(self, target_flops: float | None, *, short: bool) -> dict[str, Any] | None:
        """The fields of `Tuned` that follow from the trials; None where nothing can be recommended.

        Args:
            target_flops: floating point operations of the target's run; None where they are not known.
            short: whether that run has the proxy's tokens, because the recipe gives the target none.
        """
        found, recipe = self.recommendation, self.recipe
        if found is None:
            return None
        losses = tuple(trial.loss for trial in self.confirmed)
        spent = spent_on([*self.searched, *self.superseded, *self.confirmed], target_flops, short=short)
        return {
            "recipe": recipe.name,
            "size": recipe.proxy_size,
            "hyperparameters": defaults(recipe.training) | {name: float(at) for name, at in found.values.items()},
            "recommended": dict(found.values),
            "intervals": dict(found.intervals),
            "plateaus": dict(found.plateaus),
            "plateau_fraction": recipe.check.criteria.plateau,
            "expected_loss": found.loss,
            "best_observed": BestObserved(
                hyperparameters={name: found.best.hyperparameters[name] for name in self.space.names},
                loss=found.best.loss,
                seed=found.best.seed,
                note=found.reason(unit_of(recipe)),
            ),
            "confirmation": Confirmation(
                mean=statistics.fmean(losses) if len(losses) == recipe.tune.confirm_seeds else None,
                sd=statistics.stdev(losses) if len(losses) > 1 else None,
                seeds=tuple(trial.seed for trial in self.confirmed),
                losses=losses,
            ),
            "flops": spent.flops,
            "seconds": spent.seconds,
            "spent": spent,
            "warnings": tuple(self._warnings(found)),
            "power": self.power,
        }

    @property
    def diverged(self) -> int:
        """Number of the search's trials that diverged."""
        return sum(trial.state is TrialState.DIVERGED for trial in self.searched)

    def _warnings(self, found: Recommendation) -> Iterator[str]:
        recipe = self.recipe
        if (constant := constant_warning(self.space, self.searched)) is not None:
            yield constant
        for axis in self.space:
            end = found.edges.get(axis.name)
            if end is not None and constant is None:  # where nothing depends on it, no wider range helps
                yield edge_warning(axis, end, self.searched, recipe.tune.trials)
        if not found.has_noise:
            least = least_runs(len(_fitted(recipe)[0]))
            yield (
                f"too few trials to measure noise: assumed {ASSUMED_NOISE:.1%} of the loss, typical of small proxies; "
                f"it is measured where {least} or more different trials train"
            )
        warning = warning_of(recipe, self.power)
        if warning is not None:
            yield warning
        if len(self.searched) < recipe.tune.trials:
            yield f"only {len(self.searched)} trials differ within the bounds"
        if len(self.confirmed) < recipe.tune.confirm_seeds:
            yield "not every confirmation trial could be trained"
        if self.joined is not None:
            yield from self.joined.warnings()


def outcome_of(recipe: Recipe, written: Tuned) -> Outcome | None:
    """What the trials of a file are; None where it carries none.

    Args:
        recipe: whose search it was.
        written: the content of `tuned.yaml`.

    Raises:
        ValueError: the trials contradict themselves.
    """
    if written.evidence is None:
        return None
    read = written.evidence.read()
    return Outcome(recipe, read.of("search"), read.of("superseded"), read.of("confirm"), read.groups)


def warning_of(recipe: Recipe, power: Power) -> str | None:
    """What must be said of a budget that will more likely than not miss its goal, one sentence; else None.

    Args:
        recipe: gives the space and the number of trials.
        power: what the budget can tell.
    """
    return f"{power.sentence}; {advice(_fitted(recipe)[0], power)}" if power.misses_goal else None


def power_of(recipe: Recipe, found: Recommendation | None) -> Power:
    """What the budget can tell, by the noise that was measured where there is one.

    Args:
        recipe: gives the space and the number of trials.
        found: what the search recommends; None before it.
    """
    space, trials = _fitted(recipe)
    goal = recipe.check.criteria.plateau
    return expected_power(space, trials, goal) if found is None else found_power(space, trials, goal, found)


def _fitted(recipe: Recipe) -> tuple[Space, int]:
    """What one fit is over, and its trials: the whole space, or one line of several."""
    space, trials = search_space(recipe), recipe.tune.trials
    if is_joint(recipe):
        return space, trials
    return replace(space, axes=space.axes[:1]), trials // len(space)


def constant_warning(space: Space, searched: Sequence[Trial]) -> str | None:
    """What must be said where different values gave one and the same loss, one sentence; else None.

    Args:
        space: the searched hyperparameters with their bounds.
        searched: finished trials of the search.
    """
    complete = [trial for trial in searched if trial.state is TrialState.COMPLETE]
    if len({space.point(trial.hyperparameters) for trial in complete}) < 2 or len({each.loss for each in complete}) > 1:
        return None
    return (
        f"all {len(complete)} runs ended at {complete[0].loss:.6g}: the objective does not depend on "
        f"{', '.join(space.names)}, so the recommended value means nothing; see that training uses it and that the "
        "objective measures what was trained"
    )
