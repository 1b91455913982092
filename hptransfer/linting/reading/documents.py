"""YAML and JSON leaf by leaf, each with its place; aliases are not followed and tags build nothing.

The gate of recipes refuses what other frameworks' files may have (anchors, tags, several documents), so these are read
event by event here, within the same kind of bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hptransfer.errors import Place, UsageError
from hptransfer.linting.reading.settings import ForeignFile, Setting, Value
from hptransfer.linting.reading.text import shown

if TYPE_CHECKING:
    from yaml.events import Event

MAX_DEPTH = 40
MAX_NODES = 20_000
#: characters of a number that is converted
_LONGEST_NUMBER = 64


def read_yaml_file(text: str, path: str) -> ForeignFile:
    """The leaves of a YAML file.

    Args:
        text: of the file, one document or several.
        path: as it was named, for places.

    Raises:
        UsageError: it is no YAML, or larger than a configuration can be.
    """
    import yaml

    reader = _Yaml(path)
    try:
        reader.stream(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise UsageError("a .yaml file must be valid YAML", received=f"{place}: {shown(said)}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError("a .yaml file must be valid YAML", received=f"{path}: {shown(error)}") from None
    return ForeignFile(path, "yaml", text, tuple(reader.settings), unread=tuple(reader.unread))


class _Yaml:
    """One pass over a YAML file's events; depth is bounded, so plain recursion is safe."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.settings: list[Setting] = []
        self.unread: list[str] = []
        self.nodes = 0

    def stream(self, events: Iterator[Event]) -> None:
        from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

        for event in events:
            if isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent):
                self._node(event, events, (), None)

    def _node(self, event: Any, events: Iterator[Any], path: tuple[str, ...], key: tuple[int, int] | None) -> None:
        from yaml.events import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent

        self.nodes += 1
        here = (event.start_mark.line + 1, event.start_mark.column + 1)
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"at most {MAX_NODES:,} entries, {MAX_DEPTH} deep"
            raise UsageError(f"a configuration must have {limit}", received=f"{self.path}:{here[0]}")
        if isinstance(event, AliasEvent):
            self.unread.append(f"line {here[0]}: *{shown(event.anchor)}")
        elif isinstance(event, ScalarEvent):
            value = plain_value(event.value) if event.implicit[0] else event.value
            place = Place(self.path, *(key or here))
            self.settings.append(Setting(_name(path), value, f"{path[-1] if path else ''}: {event.value}", place))
        elif isinstance(event, MappingStartEvent):
            while not isinstance(name := next(events), MappingEndEvent):
                self._entry(name, events, path)
        else:
            index = 0
            while not isinstance(item := next(events), SequenceEndEvent):
                self._node(item, events, (*path, str(index)), None)
                index += 1

    def _entry(self, name: Any, events: Iterator[Any], path: tuple[str, ...]) -> None:
        from yaml.events import ScalarEvent

        at = (name.start_mark.line + 1, name.start_mark.column + 1)
        if isinstance(name, ScalarEvent):
            self._node(next(events), events, (*path, name.value[:200]), at)
            return
        before = len(self.settings)
        self._node(name, events, (*path, "?"), at)  # a key that is no text
        self._node(next(events), events, (*path, "?"), at)
        del self.settings[before:]


def _name(path: tuple[str, ...]) -> str:
    """The path with dots; of a key that is a flag, `--use-mup: true`, the flag's name."""
    if path and path[-1].startswith("--"):
        return path[-1][2:].replace("-", "_")
    return ".".join(path)


def plain_value(text: str) -> Value:
    """The value of an unquoted scalar, as YAML 1.1 and 1.2 agree; `1e-3` is a number, as frameworks take it.

    Args:
        text: the scalar as written.
    """
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if len(text) <= _LONGEST_NUMBER and re.fullmatch(r"[-+]?\d+", text, re.ASCII):
        return int(text)
    if len(text) <= _LONGEST_NUMBER and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text, re.ASCII):
        return float(text)
    return text


_TOKEN = re.compile(
    r'(?P<space>[ \t\n]+)|(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)'
    r"|(?P<word>true|false|null|NaN|-?Infinity)|(?P<mark>[\[\]{},:])",
    re.ASCII,
)
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None}


def read_json_file(text: str, path: str) -> ForeignFile:
    """The leaves of a JSON file.

    Args:
        text: of the whole file, one value.
        path: as it was named, for places.

    Raises:
        UsageError: it is no JSON, or larger than a configuration can be.
    """
    reader = _Json(text, path)
    reader.value((), None)
    reader.end()
    return ForeignFile(path, "json", text, tuple(reader.settings))


class _Json:
    """A reader of JSON that keeps places, which the standard library's does not."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.settings: list[Setting] = []
        self.tokens = self._tokens(text)
        self.nodes = 0
        self.kind, self.said, self.line, self.column = next(self.tokens)

    def _tokens(self, text: str) -> Iterator[tuple[str, str, int, int]]:
        at, line, start = 0, 1, 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(line, at - start + 1, text[at : at + 20])
            if match.lastgroup != "space":
                yield str(match.lastgroup), match.group(), line, at - start + 1
            elif newlines := match.group().count("\n"):
                line, start = line + newlines, at + match.group().rfind("\n") + 1
            at = match.end()
        yield "end", "the end of the file", line, at - start + 1

    def _error(self, line: int, column: int, said: str) -> UsageError:
        return UsageError("a .json file must be valid JSON", received=f"{self.path}:{line}:{column}: {shown(said)}")

    def _next(self, expected: str | None = None) -> str:
        """Moves on; the token that was passed."""
        said = self.said
        if expected is not None and said != expected:
            raise self._error(self.line, self.column, said)
        self.kind, self.said, self.line, self.column = next(self.tokens, ("end", "the end of the file", self.line, 1))
        return said

    def end(self) -> None:
        """Nothing may follow."""
        if self.kind != "end":
            raise self._error(self.line, self.column, self.said)

    def value(self, path: tuple[str, ...], key: Place | None) -> None:
        """Reads one value, and all that is in it."""
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"at most {MAX_NODES:,} entries, {MAX_DEPTH} deep"
            raise UsageError(f"a configuration must have {limit}", received=f"{self.path}:{self.line}")
        here = key or Place(self.path, self.line, self.column)
        kind, said = self.kind, self.said
        if kind == "mark" and said in "{[":
            self._next()
            self._inside(path, "}" if said == "{" else "]")
        elif kind in {"text", "number", "word"}:
            self._next()
            read: Value = _unquoted(said) if kind == "text" else _WORDS.get(said, plain_value(said))
            self.settings.append(Setting(".".join(path), read, f"{path[-1] if path else ''}: {said}", here))
        else:
            raise self._error(self.line, self.column, said)

    def _inside(self, path: tuple[str, ...], closing: str) -> None:
        index = 0
        while self.said != closing or self.kind != "mark":
            if index:
                self._next(",")
            place = None
            name = str(index)
            if closing == "}":
                if self.kind != "text":
                    raise self._error(self.line, self.column, self.said)
                place = Place(self.path, self.line, self.column)
                name = _unquoted(self._next())[:200]
                self._next(":")
            self.value((*path, name), place)
            index += 1
        self._next()


def _unquoted(said: str) -> str:
    import json

    try:
        return str(json.loads(said, strict=False))
    except ValueError:
        return said[1:-1]
