"""`shapes`: the model is built at base, proxy, ladder and target without memory, and every parameter gets a rule."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.engine.rehearsal import why_no_rehearsal
from hptransfer.errors import Finding, HptransferError
from hptransfer.linting.caps import flops_capped
from hptransfer.linting.levels._apart import bounded, heard, told
from hptransfer.linting.levels._lint_rules import run_rules
from hptransfer.linting.levels._trusted import run_trusted
from hptransfer.linting.levels.base import LevelOutcome, Subject, ValidationOptions
from hptransfer.recipe.load import STDIN, load_recipe
from hptransfer.recipe.model_sections import HuggingFaceModel
from hptransfer.recipe.own_code import model_code, step_code
from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.yaml.gate import KeyPath
from hptransfer.registry import untrusted_recipe


class Shapes:
    """The rules that build the model on the meta device."""

    claim = "its model can be built at every size, and `plan` has a rule for each parameter"

    def run(self, subject: Subject) -> LevelOutcome:
        """Builds the model, where no code of the recipe's own would run or it is trusted.

        Args:
            subject: a recipe that has no static error.
        """
        recipe = subject.loaded.recipe
        if subject.options.trust and step_code(recipe):
            return _in_a_process(subject)
        if own := model_code(recipe):
            most = subject.options.max_flops
            cost = () if most is None else (f"whether it takes at most {most:.3g} FLOPs: as above",)
            return LevelOutcome(undecided=(_asks_for_trust(recipe, own), *cost), decided=False)
        return bounded("shapes", subject, _outcome)


LEVEL = Shapes()


def _asks_for_trust(recipe: Recipe, own: Mapping[KeyPath, str]) -> str:
    model = recipe.model
    what = f"huggingface {model.config}" if isinstance(model, HuggingFaceModel) else "the model"
    named = " and ".join(f"`{'.'.join(map(str, key))}` {name}" for key, name in own.items())
    return (
        f"whether {what} can be built and planned: {named} is code of the recipe's own, which runs with `--trust` only"
    )


def _outcome(subject: Subject, *, trusted: bool = False) -> LevelOutcome:
    """What the rules say in this process; code of the recipe's own is kept out of it unless it is trusted."""
    outcome = run_rules("shapes", subject, around=None if trusted else untrusted_recipe)
    most = subject.options.max_flops
    if outcome.errors and most is not None:
        outcome = replace(outcome, unasked=(f"whether it takes at most {most:.3g} FLOPs",))
    elif not outcome.errors:
        with nullcontext() if trusted else untrusted_recipe():
            capped = flops_capped(subject)
        outcome = replace(outcome, errors=capped.errors, undecided=capped.undecided)
    if outcome.errors or subject.loaded.recipe.model.kind == "external":
        return outcome
    later = _undecided(subject, trusted=trusted)
    return replace(outcome, undecided=(*outcome.undecided, *later), left_to=dict.fromkeys(later, "coordinate"))


def _undecided(subject: Subject, *, trusted: bool) -> tuple[str, ...]:
    try:
        if trusted:
            why = why_no_rehearsal(subject.loaded)
        else:
            with untrusted_recipe():
                why = why_no_rehearsal(subject.loaded)
    except HptransferError:  # said by the rules, or by `static`
        return ()
    return () if why is None else (f"whether a first step runs: {why} (level coordinate)",)


def _in_a_process(subject: Subject) -> LevelOutcome:
    if str(subject.loaded.path) == STDIN:
        asked = "whether its code can be built and planned: the process that runs it reads a file, not standard input"
        return LevelOutcome(undecided=(asked,), decided=False)
    options = subject.options
    payload = {"path": str(subject.loaded.path), "rules": list(options.rules), "max_flops": options.max_flops}
    said = run_trusted(f"{__name__}:confined", payload)
    if isinstance(said, Finding):
        return LevelOutcome(errors=(replace(said, place=subject.loaded.place(("model",))),))
    try:
        return heard(said, str(subject.loaded.path))
    except (KeyError, TypeError, AttributeError):
        rule = "code that a recipe names must leave the answer of its process alone"
        place = subject.loaded.place(("model",))
        return LevelOutcome(errors=(Finding(rule, "an answer of another form", None, place, "trust/process"),))


def confined(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the rules say, in a process in which code of the recipe's own may run.

    Args:
        payload: "path" of the recipe, "rules", topics of the user's own, and "max_flops" or null.
    """
    options = ValidationOptions(
        ("static", "shapes"), trust=True, rules=tuple(payload["rules"]), max_flops=payload["max_flops"]
    )
    outcome = _outcome(Subject(payload["path"], load_recipe(Path(payload["path"])), options), trusted=True)
    return told(outcome)
