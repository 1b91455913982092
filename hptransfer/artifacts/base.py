"""What all artifacts have in common: a format number, one way to be read, and messages that name file and rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hptransfer.artifacts.json_keys import json_content
from hptransfer.artifacts.unparsed import unparsed
from hptransfer.artifacts.yaml_keys import SafeLoader, yaml_content
from hptransfer.errors import Place, UsageError
from hptransfer.files import bounded_content, write_atomically

#: bytes of a file that are read
MOST_BYTES = 64 * 2**20


#: type of pydantic's error on a file whose end is missing: no value of it can be corrected
CUT_OFF = "cut_off"


class Record(BaseModel):
    """A section of a file: unknown keys, loose types and numbers that are not finite are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


#: nodes of a file; a thousand trials have a tenth of it, and a node takes half a kilobyte of memory
_MOST_NODES = 400_000
#: sections within each other; libyaml's reader follows each by a call of its own
_DEEPEST = 100


def _marked(said: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    at = event.start_mark
    mark = None if at is None else yaml.Mark(at.name, at.index, at.line, at.column, None, 0)
    return yaml.MarkedYAMLError(problem=said, problem_mark=mark)


def _loaded(text: str) -> Any:
    """YAML text as data, after a look at its events, which take no memory.

    Raises:
        YAMLError: it is no YAML, has an alias or a key twice, or more nodes than any file of ours.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            said = "an alias (`*name`), which no command writes"
            raise _marked(said, event)
        if count > _MOST_NODES or depth > _DEEPEST:
            said = f"more than {_MOST_NODES:,} entries, or {_DEEPEST} in each other: no command writes that"
            raise _marked(said, event)
    return yaml_content(text)


class Artifact(BaseModel):
    """A file that one command writes and others read.

    Subclasses set `FORMAT`, raise it whenever a field changes its name, unit or meaning, and say in `WRITER` which
    command writes the file.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="constants", use_attribute_docstrings=True, allow_inf_nan=False
    )

    FORMAT: ClassVar[int]
    WRITER: ClassVar[str]

    format: int
    """number of this file's format"""

    @classmethod
    def read(cls, path: Path, *, missing: Callable[[], Exception]) -> Self:
        """The content of a file.

        Args:
            path: of the file, YAML or JSON by its suffix.
            missing: makes the exception for a file that is not there.

        Raises:
            UsageError: the file cannot be read, is not what the command wrote, or has another format number.
            Exception: there is no such file: the one that `missing` makes.
        """
        try:
            text = bounded_content(path, MOST_BYTES).decode()  # a pipe or a device may never end
        except FileNotFoundError:
            raise missing() from None
        except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
            raise UsageError("a file of the run folder must be readable", received=f"{path}: {error}") from None
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: Path) -> Self:
        """The content of a file's text; see `read`.

        Args:
            text: YAML or JSON, by the suffix of `path`.
            path: of the file, for messages.
        """
        rule = f"{path.name} must be what `{cls.WRITER}` wrote"
        try:
            data: Any = json_content(text) if path.suffix == ".json" else _loaded(text)
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            why = unparsed(text, error)
            place = Place(str(path), why.line, why.column)
            raise UsageError(rule, received=f"{path}: {why}", hint=why.hint, place=place) from None
        found = data.get("format") if isinstance(data, dict) else None
        if isinstance(data, dict) and found != cls.FORMAT:
            raise UsageError(
                f"{path.name} must have format {cls.FORMAT}",
                received=f"{path}: {'no format number' if found is None else f'format {found!r}'}",
                hint=f"run `{cls.WRITER}` again: finished trials are reused",
            )
        try:
            return cls.model_validate_json(json.dumps(cls.upgraded(data) if isinstance(data, dict) else data))
        except (ValueError, TypeError, RecursionError) as error:  # a date is YAML, but no JSON
            raise UsageError(rule, received=f"{path}: {_first(error)}", hint=_hint(error, path, cls.WRITER)) from None

    @classmethod
    def upgraded(cls, data: dict[str, Any]) -> dict[str, Any]:
        """A file's plain data with what its format's first files lacked; others as they are.

        Args:
            data: of a file with this format's number.
        """
        return data

    def to_json(self) -> str:
        """The content as JSON text."""
        return json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"

    def write_json(self, path: Path) -> None:
        """Writes the file as JSON, whole or not at all.

        Args:
            path: of the file; its folder exists.

        Raises:
            UsageError: the path cannot be written.
            MachineError: the disk is full.
        """
        write_atomically(path, self.to_json())


def _first(error: Exception) -> str:
    """The first fault that validation found, in one line."""
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False)[0]
        said = ": ".join(
            part for part in (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) if part
        )
        plain = isinstance(fault["input"], str | int | float | None) and fault["type"] != "missing"
        return f"{said}, not {repr(fault['input'])[:80]}" if plain else said
    return str(error).splitlines()[0][:200]


def _hint(error: Exception, path: Path, writer: str) -> str | None:
    """What to do; PyYAML follows YAML 1.1, which reads 1e-3 as text."""
    types = {fault["type"] for fault in error.errors()} if isinstance(error, ValidationError) else set()
    if "float_type" in types and path.suffix != ".json":
        return "write numbers with a point: 1.0e-3"
    if CUT_OFF in types:
        return f"take the file as `{writer}` wrote it, or run that again: finished trials are reused"
    return f"correct that value, or run `{writer}` again" if types else None
