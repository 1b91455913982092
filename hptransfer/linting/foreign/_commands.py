"""What is wrong with a command line whatever its framework: flags given twice, and what an export sets overridden."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hptransfer.linting.foreign.base import Example, ForeignRule, Trap
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.shell import UNKNOWN
from hptransfer.linting.reading.text import shown


def repeated_rule(framework: str, example: Example, export: Callable[[ForeignFile], int | None]) -> ForeignRule:
    """A flag that is given twice with different values.

    Args:
        framework: its name, for the code.
        example: a script that gives one twice, and one that does not.
        export: index of the last word that a command has from an export; None where it has none.
    """

    def check(file: ForeignFile) -> Iterator[Trap]:
        if file.form != "shell":
            return
        after = set(_after(file, export(file)))
        first: dict[str, Setting] = {}
        for setting in file.settings:
            before = first.setdefault(setting.name, setting)
            both = before.known and setting.known and before.certain and setting.certain
            if both and setting.name not in after and _differ(before, setting):
                yield Trap(setting.place, f"{shown(setting.written)}, after {shown(before.written)}")

    return ForeignRule(
        f"{framework}/repeated-flag",
        "a flag is given once, or with the same value",
        "The last one wins, and the first one says something else.",
        "delete the one that is not meant",
        example,
        check,
        "warning",
    )


def overridden_rule(
    framework: str,
    what: str,
    hint: str,
    example: Example,
    export: Callable[[ForeignFile], int | None],
    sets: Callable[[ForeignFile, str], bool],
) -> ForeignRule:
    """A flag behind what hptransfer exported, which sets it too.

    Args:
        framework: its name, for the code.
        what: is exported, as users name it.
        hint: what to write in place of the override.
        example: a script that overrides, and one that does not.
        export: index of the last word that a command has from the export; None where it has none.
        sets: whether the export sets a flag, whose name is given as `Setting.name` has it.
    """

    def check(file: ForeignFile) -> Iterator[Trap]:
        for name in dict.fromkeys(_after(file, export(file))):
            setting = file.get(name)
            if setting is not None and setting.certain and sets(file, name):
                yield Trap(setting.place, f"{shown(setting.written)}, behind {what}")

    return ForeignRule(
        f"{framework}/overridden-export",
        f"nothing behind {what} sets what it sets",
        "The last one wins, so the plan's value is not what is trained with.",
        hint,
        example,
        check,
    )


def last_from(file: ForeignFile, variable: str) -> int | None:
    """Index of the last word of a command that came from a variable.

    Args:
        file: one command of a script.
        variable: an array. Where it is not known whole, what the script adds to it stands behind it.
    """
    places = [index for index, source in enumerate(file.sources) if source == variable]
    unknown = [index for index in places if UNKNOWN in file.words[index]]
    return max(unknown or places, default=None)


def _after(file: ForeignFile, index: int | None) -> Iterator[str]:
    """Names of flags behind a word."""
    if index is not None:
        for word in file.words[index + 1 :]:
            if word.startswith("--"):
                yield word[2:].partition("=")[0].replace("-", "_")


def _differ(first: Setting, second: Setting) -> bool:
    if first.number is not None and second.number is not None:
        return first.number != second.number
    return first.value != second.value
