"""What is known of a framework's files, the registry of frameworks, and the page of all rules."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from hptransfer.errors import Place, UsageError
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.registry import Registry

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Trap:
    """Where a file breaks a rule.

    Attributes:
        place: of what is wrong, or of what lacks something.
        received: what is written there.
        hint: what to write, where it depends on the file; None for the rule's.
    """

    place: Place
    received: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A file that a rule is shown on, and tested with.

    Attributes:
        wrong: text that breaks the rule.
        right: text that does not.
        at: the finding's place is where this text stands first in `wrong`.
        name: of the file; its ending says what it is written in.
    """

    wrong: str
    right: str
    at: str
    name: str


@dataclass(frozen=True, slots=True)
class ForeignRule:
    """One trap that `hptransfer lint` knows.

    Attributes:
        code: stable identifier, the framework and a name: "megatron/decoupled-lr".
        sentence: what must hold, one line.
        why: what happens where it does not hold, one line.
        hint: what to write instead; following it cannot make anything wrong.
        example: a file that breaks it and one that does not.
        check: yields each place where a file, or a command of a script, breaks it.
        level: "error": exit status 1; "warning": it may be meant so.
        needs_plan: whether it compares with `--plan target.yaml`.
    """

    code: str
    sentence: str
    why: str
    hint: str
    example: Example
    check: Callable[[ForeignFile], Iterator[Trap]]
    level: Level = "error"
    needs_plan: bool = False


@dataclass(frozen=True, slots=True)
class RuleForm:
    """How the rules of one framework are written: what their codes and their examples begin with.

    Attributes:
        framework: first part of each code.
        path: name of the file that an example is.
        example: makes an example's whole text of the part that shows the trap.
        adapted: makes a check of files of one that takes what is read of them; None: it takes files.
    """

    framework: str
    path: str
    example: Callable[[str], str]
    adapted: Callable[[Any], Callable[[ForeignFile], Iterator[Trap]]] | None = None

    def __call__(
        self,
        name: str,
        sentence: str,
        why: str,
        hint: str,
        wrong: str,
        right: str,
        at: str,
        check: Callable[..., Iterator[Trap]],
        level: Level = "error",
        *,
        needs_plan: bool = False,
    ) -> ForeignRule:
        """One rule, see `ForeignRule`.

        Args:
            name: second part of its code.
            sentence: what must hold, one line.
            why: what happens where it does not hold.
            hint: what to write instead.
            wrong: the part of an example that breaks it.
            right: the part of one that does not.
            at: place of the trap in the wrong one.
            check: yields each place where a file breaks it.
            level: "error" or "warning", as `ForeignRule` has it.
            needs_plan: whether it compares with `--plan target.yaml`.
        """
        example = Example(self.example(wrong), self.example(right), at, self.path)
        asked = check if self.adapted is None else self.adapted(check)
        return ForeignRule(f"{self.framework}/{name}", sentence, why, hint, example, asked, level, needs_plan)


class ForeignFramework(Protocol):
    """What is known of one framework's files."""

    @property
    def about(self) -> str:
        """Name of the framework and of the files that are read, one line for the page."""

    @property
    def read_at(self) -> str:
        """Version or commit whose code was read."""

    @property
    def broad(self) -> bool:
        """Whether its marks are found in other frameworks' files too; outside of Python it then gives way to those."""

    @property
    def rules(self) -> tuple[ForeignRule, ...]:
        """The known traps."""

    def marks(self, file: ForeignFile, /) -> tuple[str, ...]:
        """What in a file, or in a command of a script, says that it is for this framework; empty: nothing does.

        Args:
            file: read, of any form.
        """


@dataclass(frozen=True, slots=True)
class Framework:
    """A `ForeignFramework` as data."""

    about: str
    read_at: str
    marks: Callable[[ForeignFile], tuple[str, ...]]
    rules: tuple[ForeignRule, ...]
    broad: bool = False


def _fault(entry: Any) -> str | None:
    """What an object lacks to be a framework; None where it lacks nothing."""
    if isinstance(entry, type):
        return f"a class; name an object of it, `FRAMEWORK = {entry.__name__}()`"
    for name, kind in (("about", str), ("read_at", str), ("broad", bool), ("rules", tuple)):
        if not isinstance(getattr(entry, name, None), kind):
            return f"an object of type {type(entry).__name__} whose `{name}` is no {kind.__name__}"
    for rule in entry.rules:
        if not isinstance(rule, ForeignRule) or rule.level not in get_args(Level):
            return f"rule {rule!r:.80}, which is no `hptransfer.linting.foreign.base.ForeignRule`"
    return None if callable(getattr(entry, "marks", None)) else "a `marks` that cannot be called"


#: name of a framework, as `--framework` takes it -> its traps, a file each
FOREIGN_RULES: Registry[ForeignFramework] = Registry(
    "framework", "hptransfer.linting.foreign", "FRAMEWORK", group="hptransfer.foreign_rules", fault=_fault
)


def recognised(file: ForeignFile) -> tuple[str, ...]:
    """Names of the frameworks that a file is for: of a Python file all that it uses, a broad one last.

    Args:
        file: read, of any form.

    Raises:
        UsageError: nothing in it says so, or a file that configures one framework names several.
    """
    found: dict[str, tuple[str, ...]] = {}
    broad: dict[str, tuple[str, ...]] = {}
    for name in FOREIGN_RULES.names:
        framework = FOREIGN_RULES.look_up(name)
        if marks := framework.marks(file):
            (broad if framework.broad else found)[name] = marks
    # a program uses several at once: the Trainer of one, and a scheduler of torch
    candidates = found | broad if file.form == "python" else found or broad
    if len(candidates) == 1 or (candidates and file.form == "python"):
        return tuple(candidates)
    said = "; ".join(f"{name} ({', '.join(marks[:3])})" for name, marks in candidates.items())
    raise UsageError(
        "a configuration must be of one framework that `lint` knows",
        received=f"{file.path}: {said}" if said else f"{file.path}: nothing in it names one",
        hint=f"say which: `--framework NAME`, one of {', '.join(FOREIGN_RULES.names)}",
    )


# The page of all rules: `python -m hptransfer.linting.foreign.base > docs/lint-foreign.md`.

_HEADER = """\
# Findings of `lint`

Generated by `python -m hptransfer.linting.foreign.base` from the rules themselves; do not edit.

`hptransfer lint FILE...` looks for known traps in configurations of other frameworks: values that are scaled twice or
not at all, schedules and resumes that give all groups one rate, defaults that differ from what was tuned. Files are
read and never run: Python by its syntax tree, scripts word by word. The framework is recognised from the file, of a
Python file all that it uses (a scheduler of torch beside the Trainer of transformers);
`--framework NAME` says it, by the name below or by that of the export format (`nanogpt-mup`). With
`--plan target.yaml` values are compared with a plan as well: only so is known whether a rate was scaled by hand where
the framework scales it too.

What a script leaves open (`$(...)`, a variable that is set elsewhere, `**kwargs`) is not guessed: the output names
what was not read, and since a setting may stand there, none is reported as missing. A file without findings is not
proven to be right; for files that hptransfer wrote, `hptransfer verify --export FILE` compares every parameter.

Of a file that hptransfer exported and somebody changed, rules see a part only. With `--plan` it is a warning
(`lint/edited-export`) that names the command to run, `hptransfer verify --export FILE --plan target.yaml`; rates and
decays of its groups that are not the plan's are errors (`group-values`, of the frameworks that have this rule).

Exit status: 0 no error, 1 errors, 2 a file could not be read or its framework is not known. `--format json` (or
`--json`) and `github` are for CI, as `validate` has them. In the examples below `-` is what a rule finds, `+` what it
does not.
"""
_OWN = """
## Rules of your own

A module defines `FRAMEWORK`, a `hptransfer.linting.foreign.base.Framework`: `marks(file)` says what in a file speaks
for the framework, `rules` are `ForeignRule`s, each with an example that is its test. An installed package names it in
the entry-point group `hptransfer.foreign_rules`; `--framework module:FRAMEWORK` uses one of the current folder.
`hptransfer.testing.foreign_rules.ForeignRulesConformance` is the test suite for it.
"""


def document() -> str:
    """The page as Markdown; frameworks of installed packages are not on it."""
    return "\n".join([_HEADER, *_all_rules(), _OWN.removeprefix("\n")])


def _all_rules() -> Iterator[str]:
    for name in FOREIGN_RULES.built_in:
        framework = FOREIGN_RULES.look_up(name)
        yield f"## {name}\n\n{framework.about} Read at: {framework.read_at}.\n"
        yield "| code | level | what must hold |\n| --- | --- | --- |"
        for rule in framework.rules:
            yield f"| `{rule.code}` | {rule.level}{', with `--plan`' if rule.needs_plan else ''} | {rule.sentence} |"
        yield ""
        for rule in framework.rules:
            yield from _shown(rule)


def _shown(rule: ForeignRule) -> Iterable[str]:
    yield f"### `{rule.code}`\n\n{rule.sentence[0].upper()}{rule.sentence[1:]}. {rule.why}\n"
    yield from _compared(rule.example)
    yield f"\nHint: {rule.hint}.\n"


def _compared(example: Example) -> Iterator[str]:
    """The lines that differ, those of the wrong file after `-`; all of it, where nothing is taken away."""
    wrong, right = example.wrong.rstrip("\n").split("\n"), example.right.rstrip("\n").split("\n")
    lines = [line for line in difflib.ndiff(wrong, right) if line[0] in "-+"]
    if all(line[0] == "+" for line in lines):
        lines = [line for line in difflib.ndiff(wrong, right) if line[0] != "?"]
    yield from (f"    {line}".rstrip() for line in lines)


if __name__ == "__main__":
    print(document(), end="")
