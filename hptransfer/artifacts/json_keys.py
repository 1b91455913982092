"""JSON whose objects have each key once: Python's reader keeps the last of several in silence, others the first."""

from __future__ import annotations

import json
import re
from typing import Any

#: what tells keys from values: texts with what follows them, and where objects and lists begin and end
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"(?P<key>\s*:)?|[{}\[\]]', re.DOTALL)


class _TwiceError(ValueError):
    """An object has a key twice; which one and where is asked of the text."""


def json_content(text: str) -> Any:
    """The one value of a text, as plain data.

    Args:
        text: JSON of a whole file.

    Raises:
        JSONDecodeError: it is no JSON, or an object has a key twice: at the second of them.
        ValueError: a whole number has more digits than Python reads.
        RecursionError: values lie within each other without end.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except _TwiceError:
        raise _at_the_second(text) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


def _at_the_second(text: str) -> json.JSONDecodeError:
    """Why a text is refused in which some object has a key twice: the first such key, with the line of the other."""
    seen: list[dict[str, int]] = []
    for token in _TOKEN.finditer(text):
        match token[0][0]:
            case "{" | "[":
                seen.append({})
            case "}" | "]":
                seen.pop()
            case _ if token["key"]:
                key = json.loads(token[0][: -len(token["key"])])
                if key in seen[-1]:
                    line = text.count("\n", 0, seen[-1][key]) + 1
                    said = f"the key `{key[:80]}` is in line {line} already"
                    return json.JSONDecodeError(said, text, token.start())
                seen[-1][key] = token.start()
    raise AssertionError("the reader saw a key twice")  # so the loop came to it
