"""Numbers in text: labels that differ in one number (pythia-160m-deduped), and names of runs (w64-lr0.001-s0)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hptransfer.errors import UsageError

#: suffixes of sizes, in lower case
SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_IN_LABEL = re.compile(r"(\d+(?:\.\d+)?(?: ?[kmbgt](?![a-z]))?)", re.IGNORECASE)


def numbers_in_labels(labels: Sequence[str]) -> dict[str, float] | None:
    """The number of each label, where labels are the same text around one number that differs.

    d512 and d1024, 1.41x and 2x, pythia-160m-deduped and pythia-1.4b-deduped are such labels; mup-d512 and sp-d1024, or
    gpt2-small and gpt2-large, are not, because more than a number tells them apart.

    Args:
        labels: different labels, at least one.
    """
    parts = [_IN_LABEL.split(label) for label in labels]
    if not parts or len({label_template(label) for label in labels}) != 1 or len(parts[0]) == 1:
        return None
    numbers = [[_sized(text) for text in part[1::2]] for part in parts]
    places = [place for place in range(len(numbers[0])) if len({each[place] for each in numbers}) > 1]
    if len(places) != 1 and not (len(labels) == 1 and len(numbers[0]) == 1):
        return None
    place = places[0] if places else 0
    found = dict(zip(labels, (each[place] for each in numbers), strict=True))
    return found if len(set(found.values())) == len({label.lower() for label in labels}) else None


def label_template(label: str) -> tuple[str, ...] | None:
    """The text of a label around its numbers, in lower case; None where it has no number.

    Args:
        label: text such as d512 or pythia-160m.
    """
    parts = _IN_LABEL.split(label)
    return tuple(text.strip().lower() for text in parts[::2]) if len(parts) > 1 else None


def _sized(text: str) -> float:
    suffix = text[-1].lower()
    return float(text[:-1]) * SUFFIX[suffix] if suffix in SUFFIX else float(text)


#: longer names are no names: looking for keys takes time that grows with the square of the length
_LONGEST = 300
#: a key and its number within a name: w64, lr=1e-3, log2lr=-8, seed_1, config.width: 64
_PAIR = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(?P<key>(?:log_?(?:2|10)_?)?[A-Za-z]+(?:[_.][A-Za-z]+)*(?:_log(?:2|10))?)"
    r"(?:\s?[=:]\s?(?P<sign>[+-]?)|[ _-]?)"
    r"(?P<number>2(?:\^|\*\*)-?\d+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:[kKmMbB](?![A-Za-z0-9]))?)"
    r"(?![A-Za-z0-9])"
)


def pairs_in_names(names: Sequence[str], known: Mapping[str, str]) -> dict[str, list[str]] | None:
    """Columns from names such as w64-lr0.001-s0; None where the names do not say the same keys, and nothing else.

    Args:
        names: of runs, all different in what they say.
        known: what a key in lower case is called as a column; other keys are left as text.

    Returns:
        Column -> the number of each name, as text.
    """
    columns: dict[str, list[str]] = {}
    remainders = set()
    if any(len(name) > _LONGEST for name in names):
        return None
    for index, name in enumerate(names):
        rest = []
        at = 0
        for match in _PAIR.finditer(name):
            key = _known_end(match["key"], known)
            if key is None:
                continue
            cells = columns.setdefault(known[key.lower()], [])
            if len(cells) != index:
                return None
            cells.append((match["sign"] or "").replace("+", "") + match["number"])
            rest.append(name[at : match.end("key") - len(key)])
            at = match.end()
        remainders.add((*rest, name[at:]))
    if not columns or len(remainders) != 1 or any(len(cells) != len(names) for cells in columns.values()):
        return None
    return columns


def _known_end(key: str, known: Mapping[str, str]) -> str | None:
    """The longest end of a key that is known: `w` of `mup_w`."""
    parts = re.split(r"(?<=[_.])", key)
    for start in range(len(parts)):
        if (end := "".join(parts[start:])).lower() in known:
            return end
    return None


@dataclass(frozen=True, slots=True)
class NamePattern:
    """What the name of a run says, such as `w{width}-lr{lr}`; `{}` stands for anything.

    Attributes:
        texts: what stands before, between and after the places in braces, one more than there are places.
        columns: what stands in each place; empty for anything.
    """

    texts: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def of(cls, pattern: str) -> NamePattern:
        """The pattern that a user wrote.

        Args:
            pattern: text with names of columns in braces.

        Raises:
            UsageError: no column is named, one is named twice, or two follow each other without text between them.
        """
        parts = re.split(r"\{([^{}]*)\}", pattern)
        columns = tuple(name.strip() for name in parts[1::2])
        named = [name for name in columns if name]
        problem = None
        if not named:
            problem = "no column in braces"
        elif len(set(named)) < len(named):
            problem = "a column twice"
        elif any(not text for text in parts[2:-1:2]):
            problem = "nothing between two columns"
        if problem is not None:
            raise UsageError(
                "`--name-pattern` takes the name of a run with columns in braces",
                received=f"{pattern}: {problem}",
                hint="--name-pattern 'w{width}-lr{lr}-s{seed}'; {} stands for anything",
            )
        return cls(tuple(parts[::2]), columns)

    def read(self, name: str) -> dict[str, str] | None:
        """Column -> what the name says in its place; None where the name has another form.

        Every place is as short as can be, the last one ends where the name does.

        Args:
            name: of a run, or of a column.
        """
        if not name.startswith(self.texts[0]):
            return None
        at, found = len(self.texts[0]), {}
        for place, (column, text) in enumerate(zip(self.columns, self.texts[1:], strict=True)):
            last = place == len(self.columns) - 1
            end = len(name) - len(text) if last else name.find(text, at)
            if end < at or not name.startswith(text, end):
                return None
            if column:
                if not name[at:end].strip():
                    return None
                found[column] = name[at:end].strip()
            at = end + len(text)
        return found
