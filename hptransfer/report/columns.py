"""Text in columns of a terminal: how wide it is, and lines that are folded at words; nothing is cut off."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TextIO

#: a terminal that is narrower is folded as one of this width
_NARROWEST = 40


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal that a stream goes to; None where it goes to a file or a pipe, whose lines stay whole.

    Args:
        stream: that is written to; None for the standard output.
    """
    stream = sys.stdout if stream is None else stream
    try:
        if not stream.isatty():
            return None
        said = os.environ.get("COLUMNS", "")
        width = int(said) if said.isdecimal() and int(said) else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return max(_NARROWEST, width) if width else None


def columns(text: Iterable[str]) -> int:
    """Columns that characters take: two for wide ones, none for those that join the one before.

    Args:
        text: characters, for example a string.
    """
    return sum(character_width(character) for character in text)


def character_width(character: str) -> int:
    """Columns of one character.

    Args:
        character: one that is printed, no control character.
    """
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or "\u1160" <= character <= "\u11ff":
        return 0  # accents, variation selectors, joiners, vowels of Korean syllables
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def inert(line: str) -> str:
    """A line that no CI runner obeys: GitHub's takes `::command` where a line begins, and `##[command]` anywhere in it.

    Args:
        line: one that is printed, to whichever stream; a space makes a command text, and columns stay what they are.
    """
    return re.sub(r"^(\s*):(?=:)", r"\1: ", line).replace("##[", "# [")


def folded(line: str, width: int | None, indent: str = "  ") -> Iterator[str]:
    """Yields a line in pieces that fit, cut at spaces alone; what has none, as a path, stays whole. None is a command.

    Args:
        line: one line, without its end.
        width: columns of the terminal; None leaves the line as it is.
        indent: what pieces after the first begin with.
    """
    line = inert(line)
    if width is None or columns(line) <= width:
        yield line
        return
    start = re.match(r"\s*", line)
    piece, empty = start[0] if start else "", True
    for word in line.split():
        if not empty and columns(piece) + 1 + columns(word) > width:
            yield inert(piece)
            piece, empty = indent, True
        piece += word if empty else f" {word}"
        empty = False
    yield inert(piece)
