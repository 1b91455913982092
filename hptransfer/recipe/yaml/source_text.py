"""A recipe's bytes as text: bounded, UTF-8, and nothing in it that an editor does not show."""

from __future__ import annotations

import re
import unicodedata

from hptransfer.errors import Finding, Place

MAX_BYTES = 64 * 1024
MAX_FAULTS = 50
"""a file with more is not a recipe; the rest is not listed"""


def decode(source: bytes, file: str) -> tuple[str, list[Finding]]:
    """The text of a recipe's bytes, or the faults that make it unreadable as a whole.

    Args:
        source: the file's bytes; one more than `MAX_BYTES` says that there are too many.
        file: path of the recipe, for messages.
    """

    def fault(
        rule: str, received: str | None, hint: str, line: int | None = None, column: int | None = None
    ) -> Finding:
        return Finding(rule, received, hint, Place(file, line, column), "recipe/text")

    if len(source) > MAX_BYTES:
        limit = f"a recipe must be at most {MAX_BYTES} bytes long"
        return "", [fault(limit, None, "keep data out of the recipe: `data.files` names files")]
    if source.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        rule = "a recipe must be UTF-8 without a byte order mark"
        return "", [fault(rule, repr(source[:3]), "save the file as UTF-8 without BOM", 1, 1)]
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        rule, received = "a recipe must be UTF-8", f"byte 0x{source[error.start]:02x}"
        return "", [fault(rule, received, "save the file as UTF-8", line, column)]
    found = [
        fault(
            "a recipe must not contain control or invisible characters",
            f"U+{ord(character):04X} {unicodedata.name(character, '(control character)')}",
            "delete it",
            line,
            column,
        )
        for line, row in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        for column, character in enumerate(row, 1)
        if forbidden(character)
    ]
    return text, found[:MAX_FAULTS]


def forbidden(character: str) -> bool:
    """Whether a character is invisible and can change what a reader sees: controls, bidi marks, odd line breaks.

    Tab passes (YAML itself rejects it where it matters), and so do joiners, which scripts and emoji need.

    Args:
        character: one character of a recipe.
    """
    if character in "\t\n\r\u200c\u200d":
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or character in "\ufffe\uffff"
