"""Names and values that a stranger's pull request might bring into a report, to steer what reads it."""

from __future__ import annotations

from itertools import product

_PIECES = (
    "\n",
    "\r\n",
    "\r",
    "::error::owned",
    "::set-output name=a::b",
    "::stop-commands::x",
    "##[error]owned",
    "%0A::error::owned",
    "%25",
    "%",
    ",line=1",
    ":",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "]]>",
    "<!--",
    "&amp;",
    '"',
    "'",
    "`",
    "``` ",
    "|",
    "\\|",
    "\\",
    "[x](https://evil.example)",
    "https://evil.example/",
    "www.evil.example",
    "@everyone",
    "#1",
    "**bold**",
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x9b31m",
    "\u202etxet\u202c",
    "\u2066x\u2069",
    "\u200b",
    "\u2028::error::owned",
    "\ud800",
    "\udc80",
    "\ufffe",
    "\uffff",
    "\x00",
    "\x0b",
    "\ufeff",
    "=cmd|'/C calc'!A0",
    "-rf",
    "C:\\x",
)
#: more than 200 texts: each piece alone, within a name, at both ends, and joined to others
HOSTILE = tuple(
    dict.fromkeys(
        [*_PIECES]
        + [f"a{piece}b.yaml" for piece in _PIECES]
        + [f"{piece}a{piece}" for piece in _PIECES]
        + [first + second for first, second in product(_PIECES[:12], _PIECES[12:24])]
    )
)
