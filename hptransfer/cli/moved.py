"""Spellings of earlier versions: each is answered with the command that does it now, ready to paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from shlex import join

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from hptransfer.cli.boundary import guarded
from hptransfer.cli.choices import Command
from hptransfer.errors import UsageError


class CheckCommand(Command):
    """`check`, which also was `judge` and `verify` once."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # click's own
        """Parse the arguments, unless they are those of a command that has a name of its own now."""
        command = moved(args, lambda name: _options_of(ctx, name))
        if command is not None:

            def refuse() -> int:
                rule = (
                    "a table is judged by `judge`, a prediction is verified by `verify`, and `--diagnostic` names one"
                )
                raise UsageError(rule, received=join(["hptransfer", "check", *args]), hint=f"run `{command}`")

            raise typer.Exit(guarded(refuse))
        return super().parse_args(ctx, args)


def moved(args: Sequence[str], options: Callable[[str], Mapping[str, bool]]) -> str | None:
    """The command that does now what `check` did with these arguments; None where it still does.

    Args:
        args: words after `hptransfer check`.
        options: of a command of that name: each spelling, and whether a value follows it.
    """
    words = [part for word in args for part in _split(word)]
    for option, command in (("--results", "judge"), ("--verify", "verify")):
        if option in words[:-1]:
            at = words.index(option)
            value, rest = words[at + 1], [*words[:at], *words[at + 2 :]]
            places, kept = _sorted(rest, options("check"), options(command))
            first = [value] if command == "judge" else [*places[:1], value] if places else ["RECIPE", value]
            return join(["hptransfer", command, *first, *kept])
    renamed = {"--sharpness": "sharpness", "--noise-scale": "noise-scale"}
    if renamed.keys().isdisjoint(words):
        return None
    new = [part for word in words for part in (("--diagnostic", renamed[word]) if word in renamed else (word,))]
    return join(["hptransfer", "check", *new])


def _sorted(
    words: Sequence[str], old: Mapping[str, bool], new: Mapping[str, bool]
) -> tuple[Sequence[str], Sequence[str]]:
    """Arguments, and those options that the new command has, each with its value.

    Args:
        words: of the old spelling.
        old: options of `check`, and whether a value follows each.
        new: options of the new command.
    """
    places: list[str] = []
    kept: list[str] = []
    takes, rest = {**old, **new}, iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            places.append(word)
            continue
        name, attached = _name(word)
        value = [next(rest, "")] if takes.get(name) and not attached else []
        if name in new:
            kept += [word, *value]
    return places, kept


def _name(word: str) -> tuple[str, bool]:
    """The spelling of an option, and whether its value is in the same word: `--runs=x`, `-jx`."""
    name, equals, _ = word.partition("=")
    return (name, bool(equals)) if word.startswith("--") else (word[:2], len(word) > 2)


def _options_of(ctx: typer.Context, command: str) -> Mapping[str, bool]:
    """Spellings of a command's options, and whether a value follows each; a command next to that of the context."""
    group = None if ctx.parent is None else ctx.parent.command
    found = group.get_command(ctx, command) if isinstance(group, TyperGroup) else None
    return dict(_spellings(found)) if isinstance(found, TyperCommand) else {}


def _spellings(command: TyperCommand) -> Iterator[tuple[str, bool]]:
    for option in command.params:
        if isinstance(option, TyperOption):
            for spelling in (*option.opts, *option.secondary_opts):
                yield spelling, not (option.is_flag or option.count)


def _split(word: str) -> Sequence[str]:
    """`--option=value` as two words."""
    option, equals, value = word.partition("=")
    return (option, value) if equals and option in ("--results", "--verify") else (word,)
