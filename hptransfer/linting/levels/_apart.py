"""A level's work in a process of its own: a recipe's code, and models so large that only limits end their building."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptransfer.errors import Finding, Place, UsageError
from hptransfer.execution.confined import Ended, Limits, run
from hptransfer.linting.levels.base import LEVELS, LevelOutcome, Subject, ValidationOptions
from hptransfer.linting.weight import why_heavy
from hptransfer.recipe.load import parse_recipe

#: what building and planning a large model may take; torch and transformers alone take 450 MiB
LIMITS = Limits(seconds=60.0, processor=60, memory=1 << 30)
_RULE = f"a model must be built and planned, without memory, in {LIMITS.seconds:.0f} s and {LIMITS.memory >> 30} GiB"
_HINT = "give the target fewer layers, and settings of the model smaller counts"
_SIDES = ("errors", "warnings", "machine", "open")
_CLAUSES = ("undecided", "notes", "unasked")


def bounded(level: str, subject: Subject, work: Callable[[Subject], LevelOutcome]) -> LevelOutcome:
    """What a level's work finds, done here where the model is as small as most, else in a process with limits.

    Args:
        level: the level's own name in the registry.
        subject: a recipe without errors at the levels before.
        work: the whole work of the level; it runs no code that the recipe names.

    Raises:
        UsageError: as the work.
    """
    why = None if subject.options.confined else why_heavy(subject.loaded.recipe)
    if why is None:
        return work(subject)
    options = subject.options
    payload = {
        "level": level,
        "reference": subject.reference,
        "path": str(subject.loaded.path),
        "text": subject.loaded.text,
        "options": asdict(options) | {"runs": None if options.runs is None else str(options.runs), "confined": True},
    }
    said = run(f"{__name__}:confined", payload, LIMITS)
    if isinstance(said, Ended):
        received = f"{said.received}; {why}"
        finding = Finding(_RULE, received, _HINT, subject.loaded.place(("model",)), "caps/model")
        return LevelOutcome(open=(finding,), decided=False)
    if "usage" in said:
        raise UsageError.of([_finding(each, None) for each in said["usage"]])
    return heard(said)


def confined(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a level finds, in a process with limits.

    Args:
        payload: as `bounded` makes it.
    """
    told_options = payload["options"]
    runs = told_options["runs"]
    lists = {name: tuple(told_options[name]) for name in ("levels", "rules")}
    options = ValidationOptions(**{**told_options, **lists, "runs": None if runs is None else Path(runs)})
    loaded = parse_recipe(payload["text"].encode(), Path(payload["path"]))
    try:
        return told(LEVELS.look_up(payload["level"]).run(Subject(payload["reference"], loaded, options)))
    except UsageError as error:
        return {"usage": [asdict(each) for each in error.findings]}


def told(outcome: LevelOutcome) -> dict[str, Any]:
    """An outcome as JSON-able data.

    Args:
        outcome: what one level found.
    """
    return {
        **{side: [asdict(finding) for finding in getattr(outcome, side)] for side in _SIDES},
        **{name: list(getattr(outcome, name)) for name in _CLAUSES},
        "decided": outcome.decided,
        "left_to": dict(outcome.left_to),
    }


def heard(said: Mapping[str, Any], file: str | None = None) -> LevelOutcome:
    """The outcome of what `told` made of one; where code of the recipe's own ran, every text of it may be the code's.

    Args:
        said: the answer of a process.
        file: the only one that findings may speak of; None where no code of others ran.

    Raises:
        KeyError, TypeError, AttributeError: it has another form.
    """
    parts: dict[str, Any] = {side: tuple(_finding(each, file) for each in said[side]) for side in _SIDES}
    parts |= {name: tuple(str(each) for each in said[name]) for name in _CLAUSES}
    left_to = {str(clause): str(level) for clause, level in said["left_to"].items()}
    return LevelOutcome(**parts, decided=bool(said["decided"]), left_to=left_to)


def _finding(data: Mapping[str, Any], file: str | None) -> Finding:
    text = {key: None if data[key] is None else str(data[key]) for key in ("rule", "received", "hint", "code")}
    place = data["place"] or {}
    line, column = (place.get(key) if isinstance(place.get(key), int) else None for key in ("line", "column"))
    where = Place(str(place.get("file", "")) if file is None else file, line, column)
    kept = where if file is not None or data["place"] else None
    return Finding(**{**data, **text, "place": kept, "excerpt": tuple(str(each) for each in data["excerpt"])})
