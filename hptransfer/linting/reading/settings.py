"""What a file of another framework sets, in one form for all kinds of files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from hptransfer.errors import Place

if TYPE_CHECKING:
    from hptransfer.linting.planned import Planned

Form = Literal["shell", "yaml", "json", "python"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that a file sets.

    Attributes:
        name: of a flag without its hyphens at the start and with `_` for others; of a key its path, `train.min_lr`,
            `lr_groups.0.lr`; of a Python variable its name.
        value: as plain data; None where it is not known without running the file, or is null.
        written: as the file has it.
        place: file, line and column of the name.
        known: whether `value` is what the file sets.
        certain: whether it is set whatever happens; False below an `if` or a loop.
        node: of a Python file, the expression.
    """

    name: str
    value: Value
    written: str
    place: Place
    known: bool = True
    certain: bool = True
    node: ast.expr | None = None

    @property
    def number(self) -> float | None:
        """The value as a number; None where it is none, or is not known."""
        if isinstance(self.value, bool) or self.value is None:
            return None
        try:
            return float(self.value)
        except ValueError:
            return None

    @property
    def on(self) -> bool:
        """Whether the value switches something on."""
        return self.known and (self.value is True or str(self.value).lower() in {"true", "1", "yes", "on"})


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file, or one command of a script.

    Attributes:
        path: as it was named.
        form: what it is written in.
        text: all of the file, as read.
        settings: in the order of the file.
        words: of a script's command, each as it is after expansion; of other forms none.
        sources: of each word, the variable that it came from whole; "" where it stands in the command itself.
        tree: of a Python file.
        unread: what could not be known without running it, a sentence each; what is missing may be there.
        commands: of a script, each of its commands as a file of its own; of other forms none.
        replaced: arrays of a script that were assigned anew before anything used them.
        plan: the target's, where one was named.
        exporter: name of the format that hptransfer wrote the file in, edited since or not; None for files of others.
        kept: what rules have worked out from the file alone, so that the next need not do it again.
    """

    path: str
    form: Form
    text: str
    settings: tuple[Setting, ...] = ()
    words: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    tree: ast.Module | None = None
    unread: tuple[str, ...] = ()
    commands: tuple[ForeignFile, ...] = ()
    replaced: tuple[Setting, ...] = ()
    plan: Planned | None = None
    exporter: str | None = None
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _by_name: dict[str, Setting] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_name.update({setting.name: setting for setting in self.settings})

    @property
    def complete(self) -> bool:
        """Whether what is not set here is set nowhere."""
        return not self.unread

    @property
    def parts(self) -> tuple[ForeignFile, ...]:
        """The commands of a script, or the file itself."""
        return self.commands or (self,)

    def get(self, name: str) -> Setting | None:
        """The last setting of a name.

        Args:
            name: as `Setting.name` has it.
        """
        return self._by_name.get(name)

    def number(self, name: str) -> float | None:
        """The value of a setting as a number; None where it is not set, or is none.

        Args:
            name: as `Setting.name` has it.
        """
        return None if (found := self.get(name)) is None else found.number

    def on(self, name: str) -> bool:
        """Whether a switch is on.

        Args:
            name: as `Setting.name` has it.
        """
        return (found := self.get(name)) is not None and found.on

    def missing(self, name: str) -> bool:
        """Whether nothing sets a name; False where something that cannot be read may.

        Args:
            name: as `Setting.name` has it.
        """
        return self.complete and name not in self._by_name

    def ending(self, name: str) -> Iterator[Setting]:
        """Settings whose path ends with a key.

        Args:
            name: last key of the path, such as "min_lr".
        """
        return (each for each in self.settings if each.name == name or each.name.endswith(f".{name}"))

    def told(self, plan: Planned | None, exporter: str | None) -> ForeignFile:
        """The same file, with what is known of it from elsewhere.

        Args:
            plan: the target's, to be compared with; None for none.
            exporter: name of the format that hptransfer wrote it in; None for files of others.
        """
        commands = tuple(each.told(plan, exporter) for each in self.commands)
        return replace(self, plan=plan, exporter=exporter, commands=commands, _by_name={})
