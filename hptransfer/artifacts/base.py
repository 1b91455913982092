"""What all artifacts have in common: a format number, one way to be read, and messages that name file and rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hptransfer.errors import UsageError
from hptransfer.files import bounded_content, write_atomically

#: bytes of a file; reading YAML takes some seconds for each of its megabytes
MOST_YAML, MOST_JSON = 4 * 2**20, 64 * 2**20
#: levels of a YAML file
MOST_DEEP = 32


class Record(BaseModel):
    """A section of a file: unknown keys, loose types and numbers that are not finite are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class _Loader(yaml.SafeLoader):
    """Refuses aliases: no command writes them, and a few nested ones are more data than fits in memory."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node of the text.

        Args:
            parent: the node it lies in; None at the root.
            index: its place in there.

        Raises:
            YAMLError: it is an alias, or lies deeper than any that a command writes.
        """
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # of its stubs
            raise yaml.YAMLError(f"line {mark.line + 1}: an alias (`*name`), which no command writes")
        self._depth += 1
        if self._depth > MOST_DEEP:
            raise yaml.YAMLError(f"more than {MOST_DEEP} levels, which no command writes")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


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
            text = bounded_content(path, MOST_YAML if path.suffix != ".json" else MOST_JSON).decode()
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
            data: Any = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506 - a safe one
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            raise UsageError(rule, received=f"{path}: {str(error).splitlines()[0][:200]}") from None
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
            raise UsageError(rule, received=f"{path}: {_first(error)}", hint=_hint(error, path)) from None

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
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return str(error).splitlines()[0][:200]


def _hint(error: Exception, path: Path) -> str | None:
    """PyYAML follows YAML 1.1, which reads 1e-3 as text."""
    types = {fault["type"] for fault in error.errors()} if isinstance(error, ValidationError) else set()
    return "write numbers with a point: 1.0e-3" if "float_type" in types and path.suffix != ".json" else None
