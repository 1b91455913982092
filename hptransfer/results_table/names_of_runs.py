"""What the names of runs say besides size, value and seed: `mup-w64-lr0.001-s0` beside `sp-w64-lr0.001-s0`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hptransfer.results_table.column_names import words_of
from hptransfer.results_table.labels import NamePattern
from hptransfer.results_table.row_columns import Codes, determined

#: a number within a name: 64, 0.001, 1e-05, 2^-8, 1.3B
_NUMBER = re.compile(r"(?:(?<![A-Za-z0-9])2(?:\^|\*\*)-?)?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:[kKmMbBgGtT](?![A-Za-z]))?")
_WORD = re.compile(r"[A-Za-z]+")
#: stands for a number in the shape of a name
_GAP = "\0"
#: words before a number that tells repeats of one run apart
_SEEDS = words_of("s seed rep repeat replicate r run trial try attempt id job no")
#: rows that a part has at least: words of their own in every row, as in hashes, say nothing
_FEWEST = 2
#: share of the rows whose part must be one of those that repeat
_MOST = 0.9
#: longer texts are no names
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class NamePart:
    """A part of the names that differs between rows and repeats.

    Attributes:
        codes: (n,) number of the part in each row, from 0; -1 for no name.
        values: the part, by number, in order of appearance.
        pattern: what `--name-pattern` takes to make a column `part` of it; None where no pattern says it.
    """

    codes: Codes
    values: tuple[str, ...]
    pattern: str | None


def parts_of_names(texts: Sequence[str], keys: Sequence[Codes]) -> list[NamePart]:
    """The words, and the numbers in one place of otherwise equal names, that follow from none of the keys.

    Args:
        texts: the name in each row; empty for none.
        keys: numbers of each row's size, value and seed: what a name may say.
    """
    if max(map(len, texts), default=0) > _LONGEST:
        return []
    # names that differ in their numbers alone are one shape, so few are looked at closely
    shapes = [_NUMBER.sub(_GAP, text).lower() for text in texts]
    own = _own_words({shape: _WORD.findall(shape) for shape in set(shapes)})
    found = [_part([own[shape] for shape in shapes], keys)]
    named = {shape for shape in own if shape}
    if len(named) == 1:
        numbers = [_NUMBER.findall(text) for text in texts]
        before = [_WORD.findall(text)[-1:] for text in next(iter(named)).split(_GAP)[:-1]]
        places = [place for place, word in enumerate(before) if not _SEEDS & set(word)]
        found += [_part([each[place] if each else "" for each in numbers], keys) for place in places]
    return [
        NamePart(codes, values, _pattern(texts, codes, values)) for codes, values in (each for each in found if each)
    ]


def _own_words(words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Shape of a name -> the words of it that not all names have; empty for no name."""
    said = [set(each) for each in words.values() if each]
    common = set.intersection(*said) if said else set()
    return {
        shape: " ".join(word for word in each if word not in common) or ("(none)" if each else "")
        for shape, each in words.items()
    }


def _part(said: Sequence[str], keys: Sequence[Codes]) -> tuple[Codes, tuple[str, ...]] | None:
    """(codes, values) of a part that differs, repeats, and is no other name of a key."""
    counts = Counter(text for text in said if text)
    total = counts.total()
    repeated = sum(count for count in counts.values() if count >= _FEWEST)
    if len(counts) < 2 or repeated < _MOST * total or len(counts) > total / 2:
        return None
    order = {text: number for number, text in enumerate(counts)}
    codes: Codes = np.array([order.get(text, -1) for text in said], dtype=np.intp)
    if any(determined(key, codes) and determined(codes + 1, key) for key in keys):
        return None
    return codes, tuple(order)


def _pattern(texts: Sequence[str], codes: Codes, values: Sequence[str]) -> str | None:
    """A pattern whose place `part` tells the rows apart as the part does; None where none of a few does."""
    first = next((text for text, code in zip(texts, codes.tolist(), strict=True) if code == 0), "")
    for piece in sorted({*values[0].split(), values[0]}, key=len, reverse=True):
        for match in re.finditer(rf"(?<![A-Za-z0-9]){re.escape(piece)}(?![A-Za-z0-9])", first, re.IGNORECASE):
            ends = (_NUMBER.sub("{}", first[: match.start()]), _NUMBER.sub("{}", first[match.end() :]))
            pattern = f"{ends[0]}{{part}}{ends[1]}"
            if "}{" not in pattern and _tells(NamePattern.of(pattern), texts, codes):
                return pattern
    return None


def _tells(pattern: NamePattern, texts: Sequence[str], codes: Codes) -> bool:
    """Whether every name follows the pattern, and its place is one to one with the part."""
    found: dict[str, int] = {}
    for text, code in zip(texts, codes.tolist(), strict=True):
        if code < 0:
            continue
        said = pattern.read(text)
        if said is None or found.setdefault(said["part"], code) != code:
            return False
    return len(set(found.values())) == len(found) > 1
