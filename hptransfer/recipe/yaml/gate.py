"""The gate every recipe passes before anything is built from it: one bounded YAML document of plain data.

It works on parser events (pure Python: the C scanner can crash the interpreter on deep nesting), so aliases, tags and
merge keys are refused before they can expand or construct anything. Every fault that can be found is reported, located.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from hptransfer.errors import Finding, Place

# A recipe's bytes as text: bounded, UTF-8, and nothing in it that an editor does not show.

MAX_BYTES = 64 * 1024
MAX_FAULTS = 50
"""a file with more is not a recipe; the rest is not listed"""


_HEAD = 4096
#: what every file that a command writes has at its top
_WRITTEN = re.compile(rb"^[ {]*\"?format\"?:", re.MULTILINE)


def decode(source: bytes, file: str) -> tuple[str, list[Finding]]:
    """The text of a recipe's bytes, or the faults that make it unreadable as a whole.

    Args:
        source: the file's bytes; one more than `MAX_BYTES` says that there are too many.
        file: path of the recipe, for messages.
    """

    def fault(
        rule: str, received: str | None, hint: str, line: int | None = None, column: int | None = None
    ) -> Finding:
        return Finding(rule, received, hint, Place(file, line, column), "recipe/text")

    if len(source) > MAX_BYTES:
        limit = f"a recipe must be at most {MAX_BYTES} bytes long"
        if _WRITTEN.search(source[:_HEAD]):
            return "", [fault(limit, "a file that a command wrote, by its `format`", "name the recipe's own file")]
        return "", [fault(limit, None, "keep data out of the recipe: `data.files` names files")]
    if source.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        rule = "a recipe must be UTF-8 without a byte order mark"
        return "", [fault(rule, repr(source[:3]), "save the file as UTF-8 without BOM", 1, 1)]
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        rule, received = "a recipe must be UTF-8", f"byte 0x{source[error.start]:02x}"
        return "", [fault(rule, received, "save the file as UTF-8", line, column)]
    found = [
        fault(
            "a recipe must not contain control or invisible characters",
            f"U+{ord(character):04X} {unicodedata.name(character, '(control character)')}",
            "delete it",
            line,
            column,
        )
        for line, row in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        for column, character in enumerate(row, 1)
        if forbidden(character)
    ]
    found += [
        fault(
            "a recipe must be indented with plain spaces",
            f"U+{ord(match[1]):04X} {unicodedata.name(match[1])}",
            "write plain spaces: pasted text has others that look alike",
            line,
            match.start(1) + 1,
        )
        for line, row in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        if (match := re.match(r"[ \t]*([^\S \t])", row)) and unicodedata.category(match[1]) == "Zs"
    ]
    return text, found[:MAX_FAULTS]


def forbidden(character: str) -> bool:
    """Whether a character is invisible and can change what a reader sees: controls, bidi marks, odd line breaks.

    Tab passes (YAML itself rejects it where it matters), and so do joiners, which scripts and emoji need.

    Args:
        character: one character of a recipe.
    """
    if character in "\t\n\r\u200c\u200d":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in "\ufffe\uffff"


# Plain YAML scalars by the core schema of YAML 1.2.2 (section 10.3.2), and nothing else.
#
# PyYAML resolves by YAML 1.1, where `1e-3` is text, `no` is false, `010` is eight, `1:30` is ninety and `1_000` a
# number.

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

MAX_DIGITS = 64
"""longest number that is converted: Python's int() is quadratic and refuses more than 4300 digits"""


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Args:
        text: the scalar as written, without surrounding space.

    Returns:
        None, a bool, an int, a float, or the text itself.

    Raises:
        ValueError: a number longer than `MAX_DIGITS` characters.
    """
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(_bounded(text), base)
    if _FLOAT.fullmatch(text):
        return float(_bounded(text))
    return text


def _bounded(number: str) -> str:
    if len(number) > MAX_DIGITS:
        raise ValueError(f"a number must have at most {MAX_DIGITS} characters")
    return number


MAX_DEPTH = 16
MAX_NODES = 5_000

Plain = Scalar | list["Plain"] | dict[str, "Plain"]
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """Where an entry is in the file: (line, column) of its key and of its value, both counted from 1.

    Attributes:
        key: (line, column) of the key, both from 1; for items of a list that of the item.
        value: (line, column) of the value, both from 1.
    """

    key: tuple[int, int]
    value: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Document:
    """What the gate let through.

    Attributes:
        data: plain data; None where a value was refused.
        positions: path of every entry -> its position; `()` is the document.
        faults: all violations of the gate's rules.
        unreadable: paths whose content is not known because the gate refused it.
    """

    data: Plain
    positions: Mapping[KeyPath, Position]
    faults: tuple[Finding, ...] = ()
    unreadable: frozenset[KeyPath] = frozenset()


def read_yaml(source: bytes, file: str) -> Document:
    """Read YAML bytes into plain data with positions.

    Args:
        source: the file's content; more than `source_text.MAX_BYTES` are refused.
        file: name of the file, for messages alone; nothing is opened.

    Returns:
        The document. With faults its data is incomplete, but still good for finding further ones.
    """
    text, faults = decode(source, file)
    if faults:
        return Document(None, {}, tuple(faults), frozenset({()}))
    reader = _Reader(text, file)
    data = reader.document()
    return Document(data, reader.positions, tuple(reader.faults), frozenset(reader.unreadable))


_CONFLICT = re.compile(r"^(<{7}|>{7})( |$)", re.MULTILINE)
"""what a merge that was not finished leaves in a file; at the beginning of a line no YAML has it"""
TEMPLATE = re.compile(r"\{\{[^{}\n]*\}\}|\{%[^\n]*?%\}|<%[^\n]*?%>|\$\{[A-Za-z_]\w*\}")
"""what another program would fill in"""
UNFILLED = "a template must be filled in before it is a recipe"
FILL_IN = "fill it in first; `| hptransfer validate -` checks what comes out"


_ALIAS, _ANCHOR, _MERGE = (
    "aliases (`*name`) are not allowed",
    "anchors (`&name`) are not allowed",
    "merge keys (`<<`) are not allowed",
)
_SHARING = (_ALIAS, _ANCHOR, _MERGE)
"""rules on parts that YAML lets a file use twice"""


class _StopReading(Exception):  # noqa: N818  # not an error: the fault is recorded, this only unwinds the recursion
    """The rest of the document cannot be read."""


@dataclass
class _Reader:
    """One pass over the events of one document; depth is bounded, so plain recursion is safe."""

    text: str
    file: str
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    faults: list[Finding] = field(default_factory=list)
    unreadable: set[KeyPath] = field(default_factory=set)
    nodes: int = 0
    sharing: int = 0

    def __post_init__(self) -> None:
        self._events = self._parse()

    def document(self) -> Plain:
        data: Plain = None
        try:
            if (conflict := _CONFLICT.search(self.text)) is not None:
                where = (self.text.count("\n", 0, conflict.start()) + 1, 1)
                rule = "a recipe must be valid YAML: it has the marks of a merge that was not finished"
                hint = "resolve the merge conflict markers (<<<<<<<, =======, >>>>>>>)"
                self._fault(rule, where, received=conflict[1], hint=hint, code="recipe/syntax")
                raise _StopReading
            next(self._events)  # stream start
            start = next(self._events)
            if isinstance(start, StreamEndEvent):
                self._fault("a recipe must not be empty", (1, 1), hint="`hptransfer init` writes one to start from")
                raise _StopReading
            if isinstance(start, DocumentStartEvent) and (start.version or start.tags):
                self._fault("directives (`%...`) are not allowed", _at(start), hint="delete the line")
            data = self._node(next(self._events), (), 1, None)
            next(self._events)  # document end
            following = next(self._events)
            if not isinstance(following, StreamEndEvent):
                hint = "delete everything from the `---` on, or put it into a file of its own"
                self._fault("a recipe must be one YAML document", _at(following), hint=hint)
                raise _StopReading
        except _StopReading:
            self.unreadable.add(())
        if self.sharing > 1:  # one cause, wherever it is used
            place = next(place for place, fault in enumerate(self.faults) if fault.rule in _SHARING)
            first = self.faults[place]
            self.faults[place] = replace(first, received=f"{first.received}, and {self.sharing - 1} more of its kind")
        return data

    def _parse(self) -> Iterator[Event]:
        try:
            yield from yaml.parse(self.text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            if (template := _template_on(self.text, where[0])) is not None:
                self._fault(UNFILLED, (where[0], template.start() + 1), received=template[0][:60], hint=FILL_IN)
                raise _StopReading from None
            said = ", ".join(part for part in (error.context, error.problem) if part)
            self._fault(
                f"a recipe must be valid YAML: {said}", where, hint=self._syntax_hint(said), code="recipe/syntax"
            )
            raise _StopReading from None
        except (ValueError, OverflowError, yaml.YAMLError) as error:  # for example "\UFFFFFFFF" in double quotes
            self._fault(f"a recipe must be valid YAML: {error}", (1, 1), code="recipe/syntax")
            raise _StopReading from None

    def _syntax_hint(self, said: str) -> str:
        if r"\t" in said:
            return "indent with spaces: YAML does not allow tabs"
        if "mapping values are not allowed" in said:
            return "check the indentation, and quote text that contains `: `"
        if "alias" in said or "anchor" in said:
            return "quote text that starts with `*` or `&`"
        return "check indentation, quotes and brackets on this line and the one before"

    def _fault(
        self,
        rule: str,
        where: tuple[int, int],
        *,
        received: str | None = None,
        hint: str | None = None,
        code: str = "recipe/yaml",
    ) -> None:
        if rule in _SHARING:
            self.sharing += 1
            if self.sharing > 1:
                return
        self.faults.append(Finding(rule, received, hint, Place(self.file, *where), code))
        if len(self.faults) >= MAX_FAULTS:
            raise _StopReading

    def _node(self, event: Event, path: KeyPath, depth: int, key: tuple[int, int] | None) -> Plain:
        """The value that starts with `event`, whose key (if any) is at `key`."""
        here = _at(event)
        self.positions[path] = Position(key or here, here)
        self._count(here)
        if isinstance(event, AliasEvent):
            hint = "write the value out, or quote text that starts with `*`"
            self._fault(_ALIAS, here, received=f"*{event.anchor}", hint=hint)
            self.unreadable.add(path)
            return None
        refused = self._refuse_marks(event, path)
        if isinstance(event, ScalarEvent):
            return None if refused else self._scalar(event, path)
        if depth > MAX_DEPTH:
            self._fault(f"nesting must be at most {MAX_DEPTH} deep", here, hint="a recipe needs no more than 4")
            raise _StopReading
        if isinstance(event, MappingStartEvent):
            return self._mapping(path, depth)
        return [
            self._node(item, (*path, index), depth + 1, None)
            for index, item in enumerate(self._until(SequenceEndEvent))
        ]

    def _refuse_marks(self, event: Event, path: KeyPath) -> bool:
        """Record an anchor or a tag on a node; True when its value must not be used."""
        if not isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
            return False
        if event.anchor is not None:
            hint = "delete the anchor, or quote text that starts with `&`"
            self._fault(_ANCHOR, _at(event), received=f"&{event.anchor}", hint=hint)
        if event.tag is None:
            return False
        hint = "write plain data, or quote text that starts with `!`"
        self._fault("tags (`!name`) are not allowed", _at(event), received=str(event.tag), hint=hint)
        self.unreadable.add(path)
        return True

    def _count(self, here: tuple[int, int]) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._fault(f"a recipe must have at most {MAX_NODES} entries", here, hint="keep data out of the recipe")
            raise _StopReading

    def _until(self, end: type[CollectionEndEvent]) -> Iterator[Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Scalar:
        if any(forbidden(character) for character in event.value):  # escapes such as "\0" and "\ud800"
            self.unreadable.add(path)
            rule = "text must not contain control or invisible characters"
            self._fault(rule, _at(event), received=repr(event.value[:40]), hint="delete the escape", code="recipe/text")
            return None
        if not event.implicit[0]:
            return event.value  # quoted or a block: text
        try:
            return plain_scalar(event.value)
        except ValueError as error:
            self.unreadable.add(path)
            self._fault(str(error), _at(event), received=f"{len(event.value)} characters")
            return None

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Plain]:
        entries: dict[str, Plain] = {}
        for event in self._until(MappingEndEvent):
            name = self._key(event, path, depth)
            value = next(self._events)
            if name is None or name in entries:
                if name is not None:
                    first = self.positions[(*path, name)].key[0]
                    received = f"a second `{name}`; the first is on line {first}"
                    hint = "delete one of the two"
                    rule = f"`{name}` must be given once"
                    self._fault(rule, _at(event), received=received, hint=hint, code="recipe/duplicate-key")
                self._skip(value, (*path, "?"), depth)
                continue
            entries[name] = self._node(value, (*path, name), depth + 1, _at(event))
        return entries

    def _key(self, event: Event, path: KeyPath, depth: int) -> str | None:
        """The key's text, or None when it was refused."""
        here = _at(event)
        if isinstance(event, MappingStartEvent) and (template := _template_on(self.text, here[0])) is not None:
            self._fault(UNFILLED, (here[0], template.start() + 1), received=template[0][:60], hint=FILL_IN)
            raise _StopReading
        self._count(here)
        if isinstance(event, ScalarEvent) and event.tag is None and event.anchor is None:
            if event.value == "<<" and event.implicit[0]:
                self.unreadable.add(path)
                self._fault(_MERGE, here, received="<<", hint="write the entries out")
                return None
            if not any(forbidden(character) for character in event.value):
                return event.value
        self._fault("keys must be plain text", here, hint="write `name: value`")
        self.unreadable.add(path)
        if not isinstance(event, ScalarEvent | AliasEvent):
            self._skip(event, (*path, "?"), depth)
        return None

    def _skip(self, event: Event, path: KeyPath, depth: int) -> None:
        """Read past a value that is not kept; its own faults still count."""
        kept, unreadable = dict(self.positions), set(self.unreadable)
        self._node(event, path, depth + 1, None)
        self.positions, self.unreadable = kept, unreadable


def _template_on(text: str, line: int) -> re.Match[str] | None:
    """The first place on a line that another program would fill in."""
    lines = re.split(r"\r\n|\r|\n", text)
    return TEMPLATE.search(lines[line - 1]) if line <= len(lines) else None


def _at(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
