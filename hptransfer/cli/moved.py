"""Spellings of earlier versions: each is answered with the command that does it now, ready to paste."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join

import typer
from typer.core import TyperCommand

from hptransfer.cli.boundary import guarded
from hptransfer.errors import UsageError


class CheckCommand(TyperCommand):
    """`check`, which also was `judge` and `verify` once."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # click's own
        """Parse the arguments, unless they are those of a command that has a name of its own now."""
        command = moved(args)
        if command is not None:

            def refuse() -> int:
                rule = (
                    "a table is judged by `judge`, a prediction is verified by `verify`, and `--diagnostic` names one"
                )
                raise UsageError(rule, received=join(["hptransfer", "check", *args]), hint=f"run `{command}`")

            raise typer.Exit(guarded(refuse))
        return super().parse_args(ctx, args)


def moved(args: Sequence[str]) -> str | None:
    """The command that does now what `check` did with these arguments; None where it still does.

    Args:
        args: words after `hptransfer check`.
    """
    words = [part for word in args for part in _split(word)]
    for option, command in (("--results", "judge"), ("--verify", "verify")):
        if option in words[:-1]:
            at = words.index(option)
            value, rest = words[at + 1], [*words[:at], *words[at + 2 :]]
            first = [value] if command == "judge" else [rest.pop(0), value] if rest else ["RECIPE", value]
            return join(["hptransfer", command, *first, *rest])
    renamed = {"--sharpness": "sharpness", "--noise-scale": "noise-scale"}
    if renamed.keys().isdisjoint(words):
        return None
    new = [part for word in words for part in (("--diagnostic", renamed[word]) if word in renamed else (word,))]
    return join(["hptransfer", "check", *new])


def _split(word: str) -> Sequence[str]:
    """`--option=value` as two words."""
    option, equals, value = word.partition("=")
    return (option, value) if equals and option in ("--results", "--verify") else (word,)
