"""Text of strangers in Markdown that GitHub and GitLab render: it is shown, and marks nothing up, links or notifies.

A code span where the text allows one; else HTML, whose entities no rule of Markdown reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from hptransfer.errors import printable

#: ASCII characters that may mark up inside a line, open an entity or a tag, or end a table's cell
_MARKS = re.compile(r"[\\`*_\[\]<>&#|~$]")
#: what a code span cannot hold: its own end, and the end of a table's cell
_UNSPANNED = re.compile(r"[`|\\]")


def code(text: str) -> str:
    """The text in the font of code, on one line, as an inline element.

    Args:
        text: from a file, with any characters.
    """
    shown = printable(text).strip() or "-"
    if not _UNSPANNED.search(shown):
        return f"`{shown}`"
    return f"<code>{''.join(c if c.isalnum() or c == ' ' or ord(c) > 127 else f'&#{ord(c)};' for c in shown)}</code>"


def prose(text: str) -> str:
    """The text as it reads, on one line: no markup, no table's cell ended, no link, nobody mentioned.

    Args:
        text: a sentence that may quote a file.
    """
    shown = printable(text).strip()
    marked = _MARKS.sub(lambda found: f"&#{ord(found[0])};", shown)
    # an empty comment splits what GitHub would link or notify; it is written after `<` of the text is gone
    for part in ("@", "&#35;"):
        marked = marked.replace(part, f"{part}<!-- -->")
    marked = marked.replace("://", ":<!-- -->//")
    return re.sub(r"(?i)www\.", lambda found: f"{found[0][:-1]}<!-- -->.", marked)


def sentence(text: str) -> str:
    """Like `prose`, but what stands between two backticks is in the font of code.

    Args:
        text: a sentence of a rule, whose backticks quote keys and values.
    """
    parts = printable(text).split("`")
    if len(parts) % 2 == 0:  # one that nothing closes is a character like others
        return prose(text)
    return "".join(code(part) if place % 2 else _kept_spaces(part) for place, part in enumerate(parts))


def _kept_spaces(part: str) -> str:
    head, tail = (" " if part[:1] == " " else ""), (" " if part.strip() and part[-1:] == " " else "")
    return f"{head}{prose(part)}{tail}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields the lines of a table; cells are Markdown already.

    Args:
        headings: one for each column.
        rows: cells, each without line ends and bare `|`.
    """
    for line in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(line)} |"
