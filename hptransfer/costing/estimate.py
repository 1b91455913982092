"""What tuning, checking and the target cost, and what tuning at the target would: nothing is trained.

The coordinate check trains `max(steps)` steps at every size and seed and looks at a batch before and after each of
`steps`; a look is a third of a step, because it has no backward pass.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hptransfer.checking.adaptive import most_trials
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.forecast import first_trials, work
from hptransfer.costing.known import finished_trials, tuned_values
from hptransfer.engine.flops import run_costs, target_tokens_note
from hptransfer.engine.throughput import Throughput, achieved, given
from hptransfer.errors import UsageError
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.run_cost import RunCost

#: a size's label, and a positive number
_PARAMETERS = re.compile(r"(w\d+-d\d+)=(\d+(?:\.\d+)?(?:e\+?\d+)?)")


@dataclass(frozen=True, slots=True)
class CostRow:
    """One line of the table; None where a number is not known.

    Attributes:
        name: what is run, as the table's first column.
        trials: number of runs that are trained.
        tokens: predicted positions of all of them.
        flops: floating point operations of all of them.
        of_target: their FLOPs over the target's; where no FLOPs are known, their tokens over the target's.
        of_tuning_there: the same over those of tuning at the target.
        memory: bytes that the largest run needs.
        seconds: time of all of them, one after the other.
    """

    name: str
    trials: int
    tokens: float
    flops: float | None
    of_target: float
    of_tuning_there: float
    memory: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """The costs of a recipe.

    Attributes:
        recipe: name of the recipe.
        rows: in the order of the journey.
        sizes: one run of each size, the proxy first and the target last.
        throughput: where times come from, a clause.
        flops_known: whether FLOPs are known, or only tokens can be compared.
        notes: sentences on what the numbers rest on and leave out.
    """

    recipe: str
    rows: tuple[CostRow, ...]
    sizes: tuple[RunCost, ...]
    throughput: str
    flops_known: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Runs before they are compared with the target: counts of runs by size, in units of one whole run."""

    name: str
    trials: int
    runs: Mapping[Size, float]


def estimate_costs(
    loaded: LoadedRecipe,
    runs: Path,
    *,
    flops_per_second: float | None = None,
    examples: int | None = None,
    parameters: Mapping[str, int] | None = None,
) -> CostEstimate:
    """What the steps of a recipe take.

    Args:
        loaded: the recipe with its file.
        runs: folder of run folders, where finished trials say how fast this machine is and `tuned.yaml` where the
            check's grid lies; nothing is written.
        flops_per_second: FLOPs per second of every run; None takes those of finished trials.
        examples: that go through the model at once; None: the whole batch.
        parameters: number of parameters by label of a size, for models that the trainer builds.

    Raises:
        UsageError: an option cannot be used, or the model cannot be built at one of the sizes.
        MachineError: the run folder's trials cannot be read.
    """
    recipe, folder = loaded.recipe, RunFolder(runs / loaded.recipe.name)
    speed = achieved(finished_trials(folder)) if flops_per_second is None else given(flops_per_second)
    tuned = tuned_values(loaded, folder)
    target = recipe.target_size()
    parts = tuple(_parts(recipe, loaded.root, tuned))
    trials = recipe.tune.trials + recipe.tune.confirm_seeds
    there = _Part("tuning there", trials, {target: trials})
    run = _Part(f"target {target.label}", 1, {target: 1})
    costs = run_costs(recipe, loaded.root, [size for part in (*parts, run) for size in part.runs], examples, parameters)
    comparison = _Comparison(costs, speed, run, there)
    return CostEstimate(
        recipe=recipe.name,
        rows=tuple(map(comparison.row, (*parts, run, there))),
        sizes=tuple(costs.values()),
        throughput=speed.source,
        flops_known=comparison.flops_known,
        notes=tuple(_notes(recipe, tuned, costs)),
    )


def parse_parameters(texts: Iterable[str]) -> dict[str, int]:
    """Numbers of parameters by label of a size.

    Args:
        texts: as the command line gives them, for example `w64-d2=41000` or `w4096-d32=6.7e9`.

    Raises:
        UsageError: one is not of that form.
    """
    found = {}
    for text in texts:
        form = _PARAMETERS.fullmatch(text)
        count = float(form[2]) if form else 0.0
        if form is None or not 1 <= count < math.inf:
            raise UsageError("`--parameters` must be a size and a number", received=text, hint="as w64-d2=41000")
        found[form[1]] = round(count)
    return found


def _parts(recipe: Recipe, root: Path, tuned: Mapping[str, float] | None) -> Iterator[_Part]:
    """What is run before the target, in the order of the journey, and then all of it."""
    proxy, tune = recipe.proxy_size, recipe.tune
    yield _Part(f"one trial {proxy.label}", 1, {proxy: 1})
    steps = [
        _Part("tune", tune.trials, {proxy: tune.trials}),
        _Part("confirm", tune.confirm_seeds, {proxy: tune.confirm_seeds}),
    ]
    values = defaults(recipe.training) | dict(tuned or {})
    designs = [CheckDesign(recipe, root, values, name) for name in recipe.check.checked]
    if TRAINERS.look_up(recipe.trainer.name).capabilities.diagnostics:
        steps.append(_coordinate_check(recipe, designs[0].all_sizes()))
    first = Counter(trial.size for trial in first_trials(recipe, root, values))
    steps += [_Part(f"check {size.label_relative_to(proxy)}", count, {size: count}) for size, count in first.items()]
    more = sum(max(0, most_trials(design) - len(design.first())) for design in designs) if recipe.check.adaptive else 0
    yield from steps
    yield _together("whole, at first" if more else "whole", steps)
    if more:
        largest = max(first, key=work)
        added = _Part("check, at most", more, {largest: more})
        yield added
        yield _together("whole, at most", [*steps, added])


def _coordinate_check(recipe: Recipe, sizes: Sequence[Size]) -> _Part:
    asked = recipe.check.coordinate
    steps = max(asked.steps) + (1 + len(set(asked.steps))) / 3
    runs = {size: asked.seeds * steps / recipe.steps(size) for size in sizes}
    return _Part("coordinate check", asked.seeds * len(sizes), runs)


def _together(name: str, parts: Iterable[_Part]) -> _Part:
    runs: dict[Size, float] = {}
    trials = 0
    for part in parts:
        trials += part.trials
        for size, count in part.runs.items():
            runs[size] = runs.get(size, 0) + count
    return _Part(name, trials, runs)


class _Comparison:
    """Adds up runs and holds them against the target and against tuning there."""

    def __init__(self, costs: Mapping[Size, RunCost], speed: Throughput, target: _Part, there: _Part) -> None:
        self._costs, self._speed, self._target, self._there = costs, speed, target, there
        self.flops_known = all(cost.flops is not None for cost in costs.values())

    def row(self, part: _Part) -> CostRow:
        """The sums over the part's runs."""
        amount, memories = self._amount(part), [self._costs[size].memory for size in part.runs]
        seconds = [(self._speed.seconds(self._costs[size].flops, size), count) for size, count in part.runs.items()]
        return CostRow(
            name=part.name,
            trials=part.trials,
            tokens=_tokens(part),
            flops=amount if self.flops_known else None,
            of_target=amount / self._amount(self._target),
            of_tuning_there=amount / self._amount(self._there),
            memory=None if None in memories else max(memory for memory in memories if memory is not None),
            seconds=None
            if any(each is None for each, _ in seconds)
            else math.fsum(each * count for each, count in seconds if each is not None),
        )

    def _amount(self, part: _Part) -> float:
        """FLOPs, or tokens where no FLOPs are known."""
        if not self.flops_known:
            return _tokens(part)
        return math.fsum((self._costs[size].flops or 0.0) * count for size, count in part.runs.items())


def _tokens(part: _Part) -> float:
    return math.fsum(size.tokens * count for size, count in part.runs.items())


def _notes(recipe: Recipe, tuned: Mapping[str, float] | None, costs: Mapping[Size, RunCost]) -> Iterator[str]:
    note = target_tokens_note(recipe, costs[recipe.target_size()].parameters)
    if note is not None:
        yield note
    if tuned is None:
        yield "nothing is tuned yet: the check's grid is counted around the recipe's own value"
    yield "not counted: validation, failed attempts, values beyond the grid where an optimum lies on its edge"
    if recipe.check.diagnostics:
        yield f"nor the diagnostics {', '.join(recipe.check.diagnostics)}"
    yield "tuning and checking train a trial that both want once; here it is counted for each"
    yield from dict.fromkeys(note for cost in costs.values() for note in cost.notes)
