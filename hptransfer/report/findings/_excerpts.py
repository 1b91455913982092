"""The line of a file on which a finding stands, with a caret below it: safe to print, and no wider than a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hptransfer.errors import Place, printable
from hptransfer.report.columns import character_width, columns, inert

WIDTH = 80
_CUT = "..."
#: what a caret underlines: quoted text, a word of a flow or block entry, or one character
_WORD = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,\[\]{}"'#:]+(?::[^\s,\[\]{}"'#:]+)*|.""")
#: columns kept before the caret where a line is cropped
_BEFORE = 24


def excerpt(place: Place | None, sources: Mapping[str, str], width: int = WIDTH) -> list[str]:
    """Two lines, `12 |   width: 60` and the caret; none where the text or the line is not known.

    Args:
        place: where the finding stands.
        sources: path of a file -> its text.
        width: columns that there are.
    """
    if place is None or place.line is None or place.file not in sources:
        return []
    lines = re.split(r"\r\n|\r|\n", sources[place.file])
    if not 0 < place.line <= len(lines):
        return []
    number = f"{place.line:>4}"
    line = [_shown(character) for character in lines[place.line - 1]]
    if place.column is None or not 0 < place.column <= len(line) + 1:
        return [inert(f"{number} | {_fitting(line, width - len(number) - 3)}").rstrip()]
    start, room = place.column - 1, width - len(number) - 3
    marked = _WORD.match(lines[place.line - 1], start)
    length = max(1, len(marked[0].rstrip()) if marked else 1)
    before_it = min(_BEFORE, room // 2)
    first = start - before_it if columns(line) > room and columns(line[:start]) > before_it else 0
    before = (_CUT if first else "") + "".join(line[first:start])
    while columns(before) > room - 1:  # wide characters take two columns each
        first += 1
        before = _CUT + "".join(line[first:start])
    seen = _fitting([*before, *line[start:]], room)
    carets = min(max(1, columns(line[start : start + length])), room - columns(before))
    return [inert(f"{number} | {seen}").rstrip(), f"{' ' * len(number)} | {' ' * columns(before)}{'^' * carets}"]


def _shown(character: str) -> str:
    """One that takes a place where the character is: a blank for a tab, a question mark for what is hidden."""
    return printable(character) or "?"


def _fitting(line: Sequence[str], room: int) -> str:
    """As much of a line as fits, with a mark where it is cut."""
    if columns(line) <= room:
        return "".join(line)
    kept, used = [], 0
    for character in line:
        used += character_width(character)
        if used > room - len(_CUT):
            break
        kept.append(character)
    return "".join(kept) + _CUT
