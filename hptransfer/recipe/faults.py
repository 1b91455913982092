"""From what pydantic found to findings a user can act on: the rule, what was received, a hint, a position."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hptransfer.errors import Finding, Place
from hptransfer.parameterization.roles import READ_ONLY, Role
from hptransfer.parameterization.tables import WITHOUT_RULES
from hptransfer.recipe import suggestion
from hptransfer.recipe.changes import REMOVED
from hptransfer.recipe.command_sections import RESULT_FORMS
from hptransfer.recipe.registered import UNREGISTERED
from hptransfer.recipe.sections import REFUSED
from hptransfer.recipe.text_forms import FORMS
from hptransfer.recipe.value_repairs import accepts, example, optional, repairs
from hptransfer.recipe.yaml.gate import Document, KeyPath, Plain, Position
from hptransfer.recipe.yaml.outline import KINDS, SEARCHABLE, dotted, entry, keys_at, sections_with_key, value_type_at

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: how pydantic names the types that a setting may have, in the order in which it says so
_SETTINGS = (("bool",), ("int",), ("float",), ("str",))
_RELATIONS = {
    "greater_than": (">", "gt", "write a number above {}"),
    "greater_than_equal": (">=", "ge", "write {} or more"),
    "less_than": ("<", "lt", "write a number below {}"),
    "less_than_equal": ("<=", "le", "write {} or less"),
}
_MAPPING = (
    "a mapping (`key: value` lines)",
    "write its keys on lines of their own below it, indented, or as `{key: value}`",
)
_SETTING = ("one value: text, a finite number, true or false", "write one value")
#: pydantic's type of an error -> what the value must be, and what to write
_TYPES = {
    "int_type": ("an integer", "write a whole number"),
    "float_type": ("a number", "write a number"),
    "bool_type": ("true or false", "write true or false"),
    "string_type": ("text", "put text in quotes"),
    "tuple_type": ("a list", "write `[...]`"),
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
}


def shown(value: Plain) -> str:
    """A value as a message shows it: short, on one line, text in quotes.

    Args:
        value: a part of the recipe as plain data.
    """
    if isinstance(value, dict):
        return f"a mapping with {len(value)} keys" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{text} (text)" if isinstance(value, str) else text


def locate(positions: Mapping[KeyPath, Position], file: str, path: KeyPath, *, key: bool = False) -> Place:
    """The position of an entry, or of the nearest section around it where the recipe leaves the entry out.

    Args:
        positions: path of every entry -> its position.
        file: path of the recipe, for messages.
        path: keys and list indices that lead to the entry.
        key: the position of the entry's key instead of its value's.
    """
    for end in range(len(path), -1, -1):
        position = positions.get(path[:end])
        if position is not None:
            # what is missing inside a section is reported at the section's key
            line, column = position.key if key or end < len(path) else position.value
            return Place(file, line, column)
    return Place(file)


def schema_findings(errors: Sequence[ErrorDetails], document: Document, file: str) -> list[tuple[KeyPath, Finding]]:
    """Findings for pydantic's errors, with the path of each; what lies in parts the gate refused is left out.

    Args:
        errors: as `ValidationError.errors()` gives them.
        document: the recipe that was validated.
        file: its path, for messages.
    """
    found = []
    alternatives = Counter(error["loc"][:-1] for error in errors if error["loc"][-1:] in _SETTINGS)
    misnamed = {error["loc"][:-1] for error in errors if error["loc"][-1:] == ("[key]",)}
    for error in errors:
        if error["loc"][-1:] != ("[key]",) and any(error["loc"][: len(key)] == key for key in misnamed):
            continue  # what stands under a name that means nothing
        (path, at_key), kind = _path(error), error["type"]
        if error["loc"][-1:] in _SETTINGS and alternatives[error["loc"][:-1]] > 1:
            if error["loc"][-1:] != _SETTINGS[0]:
                continue  # pydantic says of each type of a setting that the value is not of it
            path, kind = path[:-1], "setting_type"
        if path[:1] == ("trainer",) and isinstance(entry(document.data, ("trainer",)), str):
            path = ("trainer",)  # `trainer: NAME` is short for a section
        if _repeats(error, document.data) or any(path[: len(part)] == part for part in document.unreadable):
            continue
        explain = _EXPLAIN.get(kind, _anything)
        rule, hint, code = explain(error, path, document.data)
        missing = code == "recipe/missing-key"
        received = None if missing or at_key else shown(entry(document.data, path))
        place = locate(document.positions, file, path, key=at_key)
        found.append((path, Finding(rule, received, hint, place, code)))
    return found


def _path(error: ErrorDetails) -> tuple[KeyPath, bool]:
    """Pydantic's location as a path of the document, and whether the key is meant and not its value."""
    parts = tuple(error["loc"])
    if len(parts) > 1 and parts[0] in KINDS and parts[1] in KINDS[str(parts[0])]:
        parts = (parts[0], *parts[2:])  # pydantic inserts the kind it chose
    if parts[:2] == ("trainer", "results") and len(parts) > 2 and parts[2] in RESULT_FORMS:
        parts = (*parts[:2], *parts[3:])
    if parts[:2] == ("trainer", "command") and len(parts) > 2 and parts[2] in ("words", "text"):
        parts = (*parts[:2], *parts[3:])  # a word of the list, or the text for a shell
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return (parts if parts == ("trainer", "results") else (*parts, "kind")), False
    if parts and parts[-1] == "[key]":
        return parts[:-1], True
    return parts, error["type"] == "extra_forbidden"


def _repeats(error: ErrorDetails, data: Plain) -> bool:
    """A list whose every entry is faulty is also reported as too short; the entries suffice."""
    value = entry(data, _path(error)[0])
    return error["type"] == "too_short" and isinstance(value, list | dict) and len(value) > 0


_Explained = tuple[str, str | None, str]


def _missing(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    said = value_type_at(path, data)
    hint = f"add `{path[-1]}: ...`" + (f" ({said})" if said else "")
    return f"`{dotted(path)}` must be given", hint, "recipe/missing-key"


def _unknown_key(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    key, section = str(path[-1]), path[:-1]
    former = REMOVED.get(tuple(map(str, path)))
    inside = f"`{dotted(section)}`" if section else "a recipe"
    if former is not None and former.instead is not None:
        asked = entry(data, path) is True
        hint = f"write {former.instead}" if asked else f"delete the line; {former.instead} would ask for it"
        return f"`{key}` is not a key of {inside} any more", hint, "recipe/unknown-key"
    allowed = keys_at(section, data)
    hint = suggestion.hint(key, allowed, f"keys of {inside}")
    if suggestion.closest(key, allowed) is None and (elsewhere := sections_with_key(key)):
        hint = f"`{key}` is a key of " + " and of ".join(elsewhere)
    return f"`{key}` is not a key of {inside}", former.reason if former else hint, "recipe/unknown-key"


def _choice(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    if error["loc"][-1] == "[key]":
        rule = f"`{path[-1]}` is not a hyperparameter that can be searched"
        return rule, suggestion.hint(str(path[-1]), SEARCHABLE, "searchable"), "recipe/unknown-key"
    allowed = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
    return _one_of(path, data, allowed)


def _unregistered(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    rule, hint, code = _one_of(path, data, error["ctx"]["names"])
    hint = WITHOUT_RULES.get(str(entry(data, path)), hint) if path[-1] == "optimizer" else hint
    return rule + (", or `module:attribute`" if error["ctx"]["extensible"] else ""), hint, code


def _refused(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    value = entry(data, path)
    if isinstance(value, str) and not value.strip():
        return f"`{dotted(path)}` must not be empty", _instead(path, data, "write some text"), "recipe/range"
    return error["ctx"]["rule"], error["ctx"]["hint"], error["ctx"]["code"]


def _kind(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    if path == ("trainer", "results"):
        rule = "`trainer.results` must begin with one of " + ", ".join(f"`{form}`" for form in RESULT_FORMS)
        return rule, "for example `results: {jsonl: metrics.jsonl, value: loss}`", "recipe/missing-key"
    allowed = list(KINDS[str(path[0])])
    if error["type"] == "union_tag_not_found":
        return (
            f"`{dotted(path)}` must be given",
            "one of " + ", ".join(f"`{kind}`" for kind in allowed),
            "recipe/missing-key",
        )
    return _one_of(path, data, allowed)


def _one_of(path: KeyPath, data: Plain, allowed: Sequence[str]) -> _Explained:
    listed = ", ".join(f"`{name}`" for name in allowed)
    value = entry(data, path)
    if (
        path[-1:] == ("clip_norm",)
        and not isinstance(value, bool)
        and isinstance(value, int | float)
        and 0 < value < math.inf
    ):
        # other trainers call the threshold so
        hint = f"write `clip: {value}`: that is the largest norm, `clip_norm` says of which gradient"
        return f"`{dotted(path)}` must be one of {listed}", hint, "recipe/unknown-value"
    guess = suggestion.closest(value, allowed) if isinstance(value, str) else None
    meant = f"did you mean `{guess}`?" if guess else _instead(path, data)
    return f"`{dotted(path)}` must be one of {listed}", meant, "recipe/unknown-value"


def _type(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    wanted, instead = _TYPES.get(error["type"], _SETTING)
    return f"`{dotted(path)}` must be {wanted}", _instead(path, data, instead), "recipe/type"


def _instead(path: KeyPath, data: Plain, otherwise: str = "") -> str | None:
    """What to write in the place of a value: what it was meant to be where that is known, else an example.

    Args:
        path: keys and list indices that lead to the value.
        data: the recipe as plain data.
        otherwise: what the key takes, where the value does not tell what it was meant to be.
    """
    value = entry(data, path)
    if found := repairs(path, value, data):
        first, *others = found
        text = f"`{first.text}`" if first.text[0] in "[{" else first.text
        if others:
            return f"write {first.text} or {others[0].text}: {shown(value)} may be either"
        quoted = first.why == "without quotes"
        return f"write {text}" + (f" {first.why}" if quoted else f": {first.why}" if first.why else "")
    if isinstance(value, bool | int | float) and math.isfinite(value) and accepts(path, json.dumps(value), data):
        return "put text in quotes"
    if (model := example(path, data)) is None:
        return otherwise or None
    text, default = model
    key = f"{path[-1]}: " if isinstance(path[-1], str) else ""
    sample = f"for example `{key}{text}`" + (", the default" if default else "")
    if value is None and optional(path, data):
        return f"delete the line, or write a value: {sample}"
    return f"{otherwise}, {sample}" if otherwise else sample


def _relation(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    sign, name, hint = _RELATIONS[error["type"]]
    bound = f"{error['ctx'][name]:.15g}"
    hint = _as_share(path, data) if (name, bound) == ("le", "1") else hint.format(bound)
    return f"`{dotted(path)} {sign} {bound}` must hold", hint, "recipe/range"


def _as_share(path: KeyPath, data: Plain) -> str:
    """What to write for a share above 1, which is a percentage, or a number of steps where a key takes such."""
    value = entry(data, path)
    if not isinstance(value, int | float) or not 2 <= value <= 100 or not accepts(path, value / 100, data):
        return "write 1 or less"
    counted = f"{path[-1]}_steps"
    steps = f", and `{counted}: {value}` is {value} steps" if counted in keys_at(path[:-1], data) else ""
    return f"write {value / 100:.12g}: shares are fractions of 1{steps}"


def _finite(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    return f"`{dotted(path)}` must be a finite number", _instead(path, data, "write a number"), "recipe/range"


def _pattern(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    if path[:2] == ("model", "roles"):
        roles = ", ".join(role for role in Role if role not in READ_ONLY)
        rule = f"`{dotted(path)}` must be one of {roles}; then, where needed, the axis summed over and the init"
        return (
            rule,
            "for example `readout`, `hidden weight, fan-in 1`, `hidden weight, fan-in 0+1` or `hidden vector, ones`",
            "recipe/unknown-value",
        )
    value = entry(data, path)
    if (form := FORMS.get(error["ctx"]["pattern"])) is not None:
        return f"`{dotted(path)}` must {form.rule}", form.hint(path, value), "recipe/range"
    return f"`{dotted(path)}` must match {error['ctx']['pattern']}", _instead(path, data), "recipe/range"


def _length(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    if error["type"] == "string_too_long":
        return (
            f"`{dotted(path)}` must have at most {error['ctx']['max_length']} characters",
            "shorten it",
            "recipe/range",
        )
    if error["type"] == "string_too_short":
        return f"`{dotted(path)}` must not be empty", _instead(path, data, "write some text"), "recipe/range"
    if path == ("tune", "space"):
        hint = "for example `space: {learning_rate: {low: 1e-4, high: 1e-1}}`"
        return "`tune.space` must name at least one hyperparameter", hint, "recipe/range"
    return (
        f"`{dotted(path)}` must have at least {error['ctx']['min_length']} entry",
        _instead(path, data, "write `[...]` with an entry in it"),
        "recipe/range",
    )


def _quantity(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    value, units = entry(data, path), ("s", "MB")["memory" in str(path[-1])]
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return f"`{dotted(path)}` {error['msg']}", f"write {value}{units}" if number else _QUANTITIES[units], "recipe/range"


_QUANTITIES = {"s": "for example `30m`", "MB": "for example `4GB`"}


def _anything(error: ErrorDetails, path: KeyPath, data: Plain) -> _Explained:
    return f"`{dotted(path)}`: {error['msg']}", _instead(path, data), "recipe/invalid"


_EXPLAIN: dict[str, Callable[[ErrorDetails, KeyPath, Plain], _Explained]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "literal_error": _choice,
    UNREGISTERED: _unregistered,
    REFUSED: _refused,
    "union_tag_invalid": _kind,
    "union_tag_not_found": _kind,
    "finite_number": _finite,
    "string_pattern_mismatch": _pattern,
    "string_too_long": _length,
    "string_too_short": _length,
    "too_short": _length,
    "quantity": _quantity,
    **dict.fromkeys(_RELATIONS, _relation),
    **dict.fromkeys((*_TYPES, "setting_type"), _type),
}
