"""A mistyped choice of an option: which one was probably meant, before the list that typer prints."""

from __future__ import annotations

import re

import typer
from typer.core import TyperCommand

from hptransfer.recipe import suggestion

#: typer's sentence, and the names in it
_NONE_OF = re.compile(r"(?:Value error, )?'(?P<word>.*)' is not one of (?P<names>'[^']*'(?:, '[^']*')*)\.")
#: what people write for names of formats, which no likeness tells
_SYNONYMS = {"md": "markdown", "yml": "json", "yaml": "json", "xml": "junit", "txt": "text", "plain": "text"}


class Command(TyperCommand):
    """A command whose choices are explained where one is mistyped."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # click's own
        """Parse the arguments; a choice that there is not is refused with the nearest one.

        Args:
            ctx: of this call, as typer made it.
            args: words after the command's name.

        Raises:
            typer.BadParameter: an argument cannot be read.
        """
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = explained(error.message)
            raise


def explained(message: str) -> str:
    """Typer's message about a choice with the one that was probably meant; other messages as they are.

    Args:
        message: of the exception that typer raises.
    """
    found = _NONE_OF.fullmatch(message.strip())
    if found is None:
        return message
    names, word = re.findall(r"'([^']*)'", found["names"]), found["word"]
    synonym = _SYNONYMS.get(word.casefold())
    guess = synonym if synonym in names else suggestion.closest(word, names)
    listed = ", ".join(names)
    return f"{word!r} is not one of {listed}." + (f" Did you mean {guess}?" if guess else "")
