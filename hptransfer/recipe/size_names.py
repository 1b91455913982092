"""Which argument of a function, or which flag of a program, is a model's width or its depth, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

#: what is asked for -> names that mean it, the surest first; a pattern matches the whole name, in lower case
SIZE_NAMES: Mapping[str, Sequence[str]] = {
    "width": (
        "width",
        "d_?model",
        "n_?embd|n_?embed",
        "hidden_?(size|dim|units|width|channels)?|n_?hidden",
        "(model|embed|embedding|base)_?(dim|width|size|channels)",
        "dim",
        "(n_?|num_?|base_?)?(channels|filters|planes|units|neurons)|ch|nf|ngf|ndf",
        "emb(ed|edding)?(_?dim|_?size)?|features|d",
    ),
    "depth": (
        "depth",
        "(n|num)?_?(hidden_?)?layers?",
        "(n|num)?_?(res_?)?blocks?",
        "(n|num)_?(stages|hidden)",
        "n|l",
    ),
}


def named(wanted: str, names: Iterable[str]) -> list[str]:
    """Names that mean a size, the surest first.

    Args:
        wanted: a key of `SIZE_NAMES`.
        names: of a function's arguments, or of keys.
    """
    given = list(names)
    found = [
        name
        for pattern in SIZE_NAMES[wanted]
        for name in given
        if re.fullmatch(pattern, name.lower().replace("-", "_"))
    ]
    return list(dict.fromkeys(found))


def nearest(wanted: str, written: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant; None where none is like it.

    Args:
        wanted: a key of `SIZE_NAMES`.
        written: the name that is not there.
        names: those that there are.
    """
    close = get_close_matches(written, names, 1, 0.75)
    return next(iter([*close, *named(wanted, names), *get_close_matches(written, names, 1)]), None)
