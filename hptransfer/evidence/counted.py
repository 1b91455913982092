"""FLOPs of a recipe's runs, counted again from the model that it names: what a file states of them is compared.

Nothing is trained. Torch builds the model without memory; code of the recipe's own runs in a process of its own, and
only where it is trusted.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hptransfer.artifacts.carried import Carried, TrialLine
from hptransfer.checking.complete import from_one_store
from hptransfer.engine.flops import Costs, run_flops
from hptransfer.errors import Finding, HptransferError, Place, UsageError
from hptransfer.evidence.files import Evidence
from hptransfer.evidence.former_target import former
from hptransfer.evidence.stale import Written, is_beyond, written_files
from hptransfer.execution.limits import UNLIMITED
from hptransfer.execution.pool import WorkerPool
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.own_code import step_code
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import ENTRY

#: counts are of whole operations: what differs by more than rounding is another count
_ROUNDING = 1e-6
_MOST_NAMED = 4
_AS_WRITTEN = "take the file as the command wrote it: `git log -p` shows who changed it"
#: sections whose code a forward pass of the model runs
_OF_A_PASS = ("model", "training", "data")


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted again.

    Attributes:
        flops: of one whole run of a size; None where the model cannot be built at it. No sizes: nothing was counted.
        of_trials: whether the trainer states this count for its trials; others report what they know themselves.
        undecided: what was not counted, a clause each with the reason.
    """

    flops: Mapping[Size, float | None] = field(default_factory=dict)
    of_trials: bool = False
    undecided: tuple[str, ...] = ()

    def target(self, recipe: Recipe, stated: float | None) -> float | None:
        """FLOPs of a recipe's target.

        Args:
            recipe: whose target is meant, with the durations of its sizes.
            stated: what a file says, for where nothing was counted.
        """
        return self.flops.get(recipe.target_size(), stated)


#: for callers that take the files' word
NOT_COUNTED = Counted()


def count_again(loaded: LoadedRecipe, evidence: Evidence, *, trust: bool) -> Counted:
    """FLOPs of every size that the evidence has a trial of, or a cost, and of the target.

    Args:
        loaded: the recipe, with the durations of its sizes.
        evidence: of it, as it was read.
        trust: whether code that the recipe names may run, in a process of its own.
    """
    recipe = loaded.recipe
    of_trials, undecided = _of_trials(recipe)
    try:
        sizes = tuple(dict.fromkeys(size for size in _sizes(loaded, evidence) if not is_beyond(recipe, size)))
    except HptransferError as error:  # durations that nobody knows
        return Counted({}, of_trials, (*undecided, _not_again(error.findings[0].rule)))
    if recipe.model.kind == "external":
        return Counted(dict.fromkeys(sizes), of_trials, undecided)
    own = _code_of_a_pass(recipe)
    why = None
    if own and not trust:
        why = f"{' and '.join(dict.fromkeys(own))} runs with `--trust` only"
    elif importlib.util.find_spec("torch") is None:
        why = "torch, which builds the model, is not installed"
    if why is not None:
        return Counted({}, of_trials, (*undecided, _not_again(why)))
    try:
        if not own:
            return Counted({size: _count(loaded, size) for size in sizes}, of_trials, undecided)
        with WorkerPool(ENTRY, 1, UNLIMITED) as pool:
            costs = Costs(recipe, loaded.root, pool, None)
            return Counted({size: costs.of_one(size) for size in sizes}, of_trials, undecided)
    except HptransferError as error:
        return Counted({}, of_trials, (*undecided, _not_again(error.findings[0].rule)))


def _of_trials(recipe: Recipe) -> tuple[bool, tuple[str, ...]]:
    """Whether the trainer's FLOPs are the count; what must be said where they are not."""
    name = recipe.trainer.name
    own = ":" in name and name not in TRAINERS.built_in  # would be imported to be asked
    if not own and TRAINERS.look_up(name).capabilities.counts_flops:
        return True, ()
    return False, (
        f"whether the FLOPs of its trials are those of its runs: the trainer {name} reports them itself, so what "
        "optima cost in compute rests on what the files state",
    )


def _not_again(why: str) -> str:
    return f"whether FLOPs are those of the recipe's model: they were not counted again, because {why}"


def _code_of_a_pass(recipe: Recipe) -> list[str]:
    """Code of the recipe's own that counting runs; layers of the built-in models are counted without any."""
    if recipe.model.kind in ("mlp", "gpt"):
        return []
    return [name for key, name in step_code(recipe).items() if key[0] in _OF_A_PASS]


def _count(loaded: LoadedRecipe, size: Size) -> float | None:
    try:
        return run_flops(loaded.recipe, loaded.root, size)
    except UsageError:  # as `Costs.of_one` has it
        return None


def _sizes(loaded: LoadedRecipe, evidence: Evidence) -> Iterator[Size]:
    for written in written_files(evidence):
        if written.carried is not None:
            yield from (Size(*line.size) for line in written.carried.trials)
            yield from (Size(*cost.size) for cost in written.carried.costs)
    yield loaded.recipe.target_size()
    before = None if evidence.transfer is None else former(loaded, evidence.transfer)
    if before is not None:
        yield before.loaded.recipe.target_size()


def edited_costs(evidence: Evidence, recipe: Recipe, counted: Counted) -> Iterator[Finding]:
    """FLOPs of trials and of sizes that are not the count; those of the target are compared with the file's fields.

    Args:
        evidence: what a run folder holds, as it was read.
        recipe: that it is of, with the durations of its sizes.
        counted: the count of its sizes.
    """
    for written in written_files(evidence):
        carried = written.carried
        if carried is None or not counted.flops:
            continue
        wrong = [*_wrong_costs(carried, counted)]
        if counted.of_trials:
            wrong += _wrong_trials(carried, recipe, counted)
        if wrong:
            rule = "FLOPs must be those of the recipe's model at each size, as they are counted again"
            yield _edited(written, rule, wrong)
    yield from _unequal(evidence)


def _wrong_costs(carried: Carried, counted: Counted) -> Iterator[str]:
    for place, cost in enumerate(carried.costs):
        again = counted.flops.get(Size(*cost.size), cost.flops)  # of no size of the recipe: not counted
        if not _close(cost.flops, again):
            yield f"evidence.costs[{place}].flops {_text(cost.flops)}, counted again {_text(again)}"


def _wrong_trials(carried: Carried, recipe: Recipe, counted: Counted) -> Iterator[str]:
    for place, line in enumerate(carried.trials):
        size = Size(*line.size)
        whole = counted.flops.get(size)
        if whole is None or _fits(line, whole, recipe.steps(size)):
            continue
        said = "of a whole run" if line.state == "complete" else "of a whole run, of which a diverged one takes steps"
        yield f"evidence.trials[{place}].flops {_text(line.flops)}, counted again {_text(whole)} {said}"


def _fits(line: TrialLine, whole: float, steps: int) -> bool:
    """A run that diverged ended after a whole number of steps."""
    if line.state == "complete":
        return _close(line.flops, whole)
    taken = line.flops / whole * steps
    return -0.5 < taken < steps + 0.5 and abs(taken - round(taken)) <= _ROUNDING * steps


def _close(stated: float | None, again: float | None) -> bool:
    if stated is None or again is None:
        return stated is again
    return math.isclose(stated, again, rel_tol=_ROUNDING)


def _text(flops: float | None) -> str:
    return "null" if flops is None else f"{flops:.6g}"


def _unequal(evidence: Evidence) -> Iterator[Finding]:
    """A run that stands in both files and is another in each."""
    wrong = []
    for place, before, now in _in_both(evidence):
        if before["seconds"] == now["seconds"] and before != now:
            name = next(each for each in now if before[each] != now[each])
            wrong.append(f"evidence.trials[{place}].{name} {now[name]}, in tuned.yaml {before[name]}")
    if wrong:
        *_, transfer = written_files(evidence)
        yield _edited(transfer, "a run must be the same one in tuned.yaml and in transfer.json", wrong)


def trained_twice(evidence: Evidence) -> tuple[str, ...]:
    """What must be said where `check` trained trials of `tune` anew, or knew none, as it does without study.db.

    Args:
        evidence: what a run folder holds, as it was read.
    """
    count = sum(before["seconds"] != now["seconds"] for _, before, now in _in_both(evidence))
    tuned, transfer = (None if each is None else each.evidence for each in (evidence.tuned, evidence.transfer))
    if tuned is not None and transfer is not None and not from_one_store(tuned, transfer):
        return (
            "whether diagnostics judged by the trials of the search: transfer.json carries none that was trained for "
            "it, as a check without study.db does",
        )
    if not count:
        return ()
    are = "1 trial is" if count == 1 else f"{count} trials are"
    said = "by their times they were trained twice, so their losses are not compared"
    return (f"whether {are} the same in tuned.yaml and in transfer.json: {said}",)


def _in_both(evidence: Evidence) -> Iterator[tuple[int, Mapping[str, object], Mapping[str, object]]]:
    """Place in transfer.json of each trial that both files have, and what became of it by tuned.yaml and by that."""
    tuned, transfer = (None if each is None else each.evidence for each in (evidence.tuned, evidence.transfer))
    if tuned is None or transfer is None:
        return
    known = {line.key: line for line in tuned.trials}
    for place, line in enumerate(transfer.trials):
        if line.key in known:
            yield place, _ran(tuned, known[line.key]), _ran(transfer, line)


def _ran(carried: Carried, line: TrialLine) -> Mapping[str, object]:
    """What became of a run, whatever it was trained for."""
    made = carried.made[line.made] if line.made < len(carried.made) else {}
    ran = {name: getattr(line, name) for name in ("state", "loss", "error", "flops", "seconds")}
    return ran | {"made": made}


def _edited(written: Written, rule: str, wrong: list[str]) -> Finding:
    more = f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
    received = f"{'; '.join(wrong[:_MOST_NAMED])}{more}"
    return Finding(rule, received, _AS_WRITTEN, Place(str(written.path)), "evidence/edited-trials")
