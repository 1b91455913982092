"""Plain YAML scalars by the core schema of YAML 1.2.2 (section 10.3.2), and nothing else.

PyYAML resolves by YAML 1.1, where `1e-3` is text, `no` is false, `010` is eight, `1:30` is ninety and `1_000` a number.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

MAX_DIGITS = 64
"""longest number that is converted: Python's int() is quadratic and refuses more than 4300 digits"""


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Args:
        text: the scalar as written, without surrounding space.

    Returns:
        None, a bool, an int, a float, or the text itself.

    Raises:
        ValueError: a number longer than `MAX_DIGITS` characters.
    """
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(_bounded(text), base)
    if _FLOAT.fullmatch(text):
        return float(_bounded(text))
    return text


def _bounded(number: str) -> str:
    if len(number) > MAX_DIGITS:
        raise ValueError(f"a number must have at most {MAX_DIGITS} characters")
    return number
