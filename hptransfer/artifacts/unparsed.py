"""Why a text is no YAML or JSON, with its line and column: what a merge left is named before what it breaks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import yaml

#: what git writes around the versions between which a merge could not decide
_CONFLICT = re.compile(r"(?m)^(?:<{7}|>{7})(?: |\r?$)")
_TAKE_ONE = "take one version whole: halves of two do not follow from each other"


@dataclass(frozen=True, slots=True)
class Unparsed:
    """Why a text could not be parsed.

    Attributes:
        reason: what is wrong, on one line.
        line: of the fault, from 1; None where the parser does not say it.
        column: of the fault, from 1; None with the line.
        hint: what to do, where more is known than that the text is damaged.
    """

    reason: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        return self.reason if self.line is None else f"line {self.line}, column {self.column}: {self.reason}"


def unparsed(text: str, error: Exception) -> Unparsed:
    """What a parser's error says of a text.

    Args:
        text: YAML or JSON of a whole file, as it was given to the parser.
        error: of `json` or `yaml`, or a RecursionError.
    """
    if found := _CONFLICT.search(text):
        return Unparsed("a merge's conflict is not resolved", *_at(text, found.start()), _TAKE_ONE)
    if isinstance(error, json.JSONDecodeError):
        return Unparsed(error.msg[:200], error.lineno, error.colno)
    if isinstance(error, RecursionError):
        return Unparsed("sections within each other without end")
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        said = " ".join(part for part in (error.problem, error.context) if part)
        return Unparsed(_line(said).removeprefix(f"line {mark.line + 1}: "), mark.line + 1, mark.column + 1)
    if isinstance(error, yaml.reader.ReaderError):
        # `position` counts bytes in libyaml and characters in Python
        refused = yaml.reader.Reader.NON_PRINTABLE.search(text)
        return Unparsed(_line(str(error)), *(_at(text, refused.start()) if refused else (None, None)))
    return Unparsed(_line(str(error)))


def undecoded(error: UnicodeDecodeError) -> Unparsed:
    """Where bytes are no UTF-8; the column counts bytes.

    Args:
        error: of the whole content's `decode`.
    """
    before = error.object[: error.start]
    line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
    return Unparsed(f"byte {error.object[error.start]:#04x} is no UTF-8", line, column)


def _at(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def _line(said: str) -> str:
    return (said.splitlines() or [""])[0][:200]
