"""What levels that train say of answers from a process: errors of ours as findings, answers of another form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hptransfer.errors import BudgetError, Finding, HptransferError, InconclusiveError, MachineError, Place, printable
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.recipe.own_code import step_code

T = TypeVar("T")


def refused(error: HptransferError) -> dict[str, Any]:
    """An expected failure as JSON-able data.

    Args:
        error: as it was caught in the process.
    """
    kind = next((name for name, type_ in _KINDS.items() if isinstance(error, type_)), "error")
    first = error.findings[0]
    return {"refused": kind, "rule": first.rule, "received": first.received, "hint": first.hint}


_KINDS = {"budget": BudgetError, "open": InconclusiveError, "machine": MachineError}


def outcome_of(
    answer: object, subject: Subject, code: str, read: Callable[[Mapping[str, Any]], LevelOutcome]
) -> LevelOutcome:
    """What a level says of an answer.

    Args:
        answer: what `run_trusted` returned for it.
        subject: the recipe that was asked about.
        code: of findings that say why there is no other answer.
        read: makes the outcome of an answer that is no failure.
    """
    place = Place(str(subject.loaded.path))
    if isinstance(answer, Finding):
        return LevelOutcome(errors=(replace(answer, place=place),))
    try:
        if not isinstance(answer, Mapping):
            raise TypeError
        if "refused" not in answer:
            return read(answer)
        said = {key: None if answer[key] is None else printable(str(answer[key])) for key in _SAID}
        finding = Finding(said["rule"] or "", said["received"], said["hint"], place, code)
    except (KeyError, TypeError, ValueError, AttributeError):
        rule = "code that a recipe names must leave the answer of its process alone"
        return LevelOutcome(errors=(Finding(rule, "an answer of another form", None, place, "trust/process"),))
    match answer["refused"]:
        case "budget" | "open":
            return LevelOutcome(open=(finding,))
        case "machine":
            return LevelOutcome(machine=(finding,))
        case _:
            return LevelOutcome(errors=(finding,), unasked=("what the level claims: it gave no answer",))


_SAID = ("rule", "received", "hint")


def untrusted(subject: Subject, asked: str) -> LevelOutcome | None:
    """What a level says of code of the recipe's own that is not trusted; None where there is none, or it is.

    Args:
        subject: the recipe that is asked about.
        asked: what would be decided, "whether ...".
    """
    own = step_code(subject.loaded.recipe)
    if not own or subject.options.trust:
        return None
    named = ", ".join(dict.fromkeys(own.values()))
    return LevelOutcome(undecided=(f"{asked}: {named} runs with `--trust` only",), decided=False)
