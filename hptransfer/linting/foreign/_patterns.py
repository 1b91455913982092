"""Patterns of parameter names against the names of a framework's own decoder, within bounds."""

from __future__ import annotations

import fnmatch
import re

from hptransfer.export._torchtitan_plan import SEPARATE_NAMES
from hptransfer.export.olmo_core import NAMES
from hptransfer.handover.parts import LLAMA_NAMES, Names, Part, places

#: blocks of the models whose names are tried, so that two digits occur
_LAYERS = 12
#: not in every model
_OPTIONAL = frozenset({Part.QUERY_NORM, Part.KEY_NORM})


def _names(table: Names) -> tuple[str, ...]:
    """Names of a decoder of a framework's own, without biases and norms of heads."""
    found = ((part, name) for part, _, name in places(table, _LAYERS))
    return tuple(name for part, name in found if part not in _OPTIONAL and name.endswith("weight"))


TORCHTITAN = _names(SEPARATE_NAMES)
OLMO_CORE = _names(NAMES)
HUGGING_FACE = _names(LLAMA_NAMES)

_LONGEST = 300
#: repeats whose combinations can be tried on a name in no time
_MOST_REPEATS = 4


def searched(pattern: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Names that a regular expression is found in; None where it is none, or could take long.

    Args:
        pattern: of a foreign file, as `re.search` takes it.
        names: of a framework's own model.
    """
    plain = re.sub(r"\\.|\[(?:[^\]\\]|\\.)*\]", "x", pattern)
    nested = re.search(r"\)[*+{]", plain)
    if len(pattern) > _LONGEST or nested or sum(plain.count(each) for each in "*+{") > _MOST_REPEATS:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    return frozenset(name for name in names if compiled.search(name))


def globbed(pattern: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Names that a shell pattern matches as a whole; None where it could take long.

    Args:
        pattern: of a foreign file, as `fnmatch` takes it.
        names: of a framework's own model.
    """
    if len(pattern) > _LONGEST or pattern.count("*") > 2 * _MOST_REPEATS:
        return None
    return frozenset(fnmatch.filter(names, pattern))
