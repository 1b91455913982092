"""Whether a search and its confirmation consist of the trials that a recipe asks for: none left out, none added."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.compared import TOLERANCE, Difference
from hptransfer.recipe.schema import Recipe
from hptransfer.search.rounds import Decision
from hptransfer.search.space import Space
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.tuning.line_parts import in_order
from hptransfer.tuning.outcome import Outcome
from hptransfer.tuning.search import Part, rounds_of, whole

_FIELD = "evidence.trials"
_RETRY = "`hptransfer retry` trains again what failed"


def incomplete(outcome: Outcome) -> Iterator[Difference]:
    """Trials that a search and its confirmation lack or have too many, one difference each.

    A search that is finished early is asked for its next trial: it has none where all that differ were trained.

    Args:
        outcome: the trials that the file carries, with the recipe that asked for them.
    """
    recipe = outcome.recipe
    yield from _elsewhere(outcome)
    if outcome.joined is None:
        yield from _search(recipe, whole(recipe), outcome.searched, "the search")
    else:
        for name, part in outcome.parts.items():
            yield from _search(recipe, part, outcome.lines.get(name, ()), f"the line of {name}")
        yield from _apart_from_lines(outcome)
    fresh = outcome.seeds.search[-1] + 1
    wanted = range(fresh, fresh + recipe.tune.confirm_seeds)
    yield from _confirmed(outcome, wanted)
    yield from _superseded(outcome, wanted)


def misplaced_trials(carried: Carried) -> Iterator[Difference]:
    """Trials that the file has more than once, by key, and those that were trained for no part of a search.

    Args:
        carried: the trials that `tuned.yaml` carries.
    """
    keys = Counter(line.key for line in carried.trials)
    for place, line in enumerate(carried.trials):
        if keys[line.key] > 1:
            yield _said(f"has one trial {keys[line.key]} times: evidence.trials[{place}], seed {line.seed}")
            keys[line.key] = 0  # said once
        if line.phase == "check":
            yield _said(f"has a trial of a check, which no search asks for: evidence.trials[{place}]")
    for name, group in carried.groups.items():
        if len(set(group)) < len(group):
            yield Difference(f"evidence.groups.{name}", None, None, "names a trial more than once")


def _elsewhere(outcome: Outcome) -> Iterator[Difference]:
    """Trials of another size than the proxy's, at which all are trained."""
    proxy = outcome.recipe.proxy_size
    for trial in (*outcome.searched, *outcome.superseded, *outcome.confirmed):
        if trial.size != proxy:
            yield _said(f"a trial at {trial.size.label}, seed {trial.seed}, is none of the proxy, {proxy.label}")


def _search(recipe: Recipe, part: Part, searched: Sequence[Trial], what: str) -> Iterator[Difference]:
    rounds = rounds_of(recipe, part)
    for trial in searched:
        if trial.seed not in rounds.seeds or not part.space.contains(trial.hyperparameters):
            yield _said(f"{_values(part.space, trial)}, seed {trial.seed}, is no trial that {what} can ask for")
    left = part.trials - len(searched)
    if left <= 0:
        return
    names = part.space.names
    asked = [Decision({name: trial.hyperparameters[name] for name in names}, trial.seed) for trial in searched]
    if rounds.decide(asked, searched, left):
        yield _said(f"{what} has {len(searched)} of its {part.trials} trials: {left} are left out ({_RETRY})")


def _apart_from_lines(outcome: Outcome) -> Iterator[Difference]:
    """The best of each line, together, and nothing else."""
    joined = outcome.joined
    combined = [] if joined is None else list(joined.combined)
    known = {trial.key for line in outcome.lines.values() for trial in line}
    if not combined:
        yield _said(f"the trial of the best of each line together is left out ({_RETRY})")
    for trial in outcome.searched:
        if trial.key not in known and all(trial.key != each.key for each in combined):
            yield _said(f"{_values(outcome.space, trial)}, seed {trial.seed}, is of no line of the search")


def _confirmed(outcome: Outcome, wanted: range) -> Iterator[Difference]:
    seeds = [trial.seed for trial in outcome.confirmed]
    for seed in wanted:
        if seed not in seeds:
            yield _said(f"the confirmation with seed {seed} is left out ({_RETRY})")
    for seed in seeds:
        if seed not in wanted or seeds.count(seed) > 1:
            yield _said(f"a confirmation with seed {seed} is none that the search asks for")


def misplaced(outcome: Outcome) -> Iterator[Difference]:
    """Confirmation trials at other values than those that the search recommends.

    Args:
        outcome: the trials that the file carries, with the recipe that asked for them.
    """
    for trial in outcome.confirmed:
        if any(not _close(trial.hyperparameters[name], at) for name, at in _recommended(outcome)):
            yield _said(f"the confirmation with seed {trial.seed} is at {_values(outcome.space, trial)}: another value")


def _recommended(outcome: Outcome) -> list[tuple[str, float]]:
    return [] if outcome.recommendation is None else list(outcome.recommendation.values.items())


def _superseded(outcome: Outcome, wanted: range) -> Iterator[Difference]:
    """Each recommendation that gave way was confirmed with every seed, and diverged with one of them."""
    names = [axis.name for axis in in_order(outcome.space)]
    groups: dict[tuple[float, ...], list[Trial]] = {}
    for trial in outcome.superseded:
        groups.setdefault(tuple(trial.hyperparameters[name] for name in names), []).append(trial)
    for group in groups.values():
        where = _values(outcome.space, group[0])
        if sorted(trial.seed for trial in group) != list(wanted):
            yield _said(f"the recommendation at {where} was not confirmed with the seeds {', '.join(map(str, wanted))}")
        elif all(trial.state is TrialState.COMPLETE for trial in group):
            yield _said(f"the recommendation at {where} gave way, and none of its trials diverged")


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE)


def _values(space: Space, trial: Trial) -> str:
    return ", ".join(f"{name} {trial.hyperparameters[name]:.4g}" for name in space.names)


def _said(clause: str) -> Difference:
    return Difference(_FIELD, None, None, clause)
