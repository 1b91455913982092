"""What is wrong with a recipe as a whole: one cause, one finding, and the recipe as it was meant for all that follows.

A section whose name is misspelt, whose keys lost their indentation or that slid into another one makes every key in it
unknown and every required one missing. The cause alone is said, and the rest of the text is judged as if it were
mended, its faults at their places in the file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from hptransfer.errors import Finding
from hptransfer.recipe import suggestion
from hptransfer.recipe.faults import locate
from hptransfer.recipe.yaml.gate import FILL_IN, TEMPLATE, UNFILLED, Document, KeyPath, Plain
from hptransfer.recipe.yaml.outline import dotted, entry, keys_at

#: name of a file that another command writes -> keys at its top that no other has, and which commands take it
_ARTIFACTS = {
    "tuned.yaml": ({"recommended"}, "`hptransfer check RECIPE` and `scale RECIPE` read it from the run folder"),
    "transfer.json": ({"axes", "sentence"}, "`hptransfer scale RECIPE` reads it from the run folder"),
    "target.yaml": ({"extrapolation", "parameters"}, "`hptransfer export`, `verify` and `lint --plan` take it"),
    "recipe.json": (
        {"file", "fingerprint"},
        "it notes with which recipe a run folder was made; name that recipe's own file",
    ),
}
#: what every file that a command writes has at its top, and no recipe
_FORMAT = "format"
#: suffixes of tables
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]\w*\}?")


@dataclass
class _Mending:
    """A recipe's data while entries are moved to where they were meant to stand; no moved entry is inside another."""

    document: Document
    file: str
    data: Any
    #: path in the document -> path where the entry was meant to stand
    moved: dict[KeyPath, KeyPath] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def move(self, path: KeyPath, target: KeyPath) -> None:
        section: Any = entry(self.data, path[:-1])
        value = section.pop(path[-1])
        inner = self.data
        for part in target[:-1]:
            if inner.get(part) is None:  # `sizes:` with nothing below it
                inner[part] = {}
            inner = inner[part]
        inner[target[-1]] = value
        self.moved[path] = target

    def free(self, target: KeyPath) -> bool:
        """Whether the schema knows the key there, and nothing stands there yet."""
        around = entry(self.data, target[:-1])
        return (
            isinstance(around, dict) and target[-1] not in around and target[-1] in keys_at(target[:-1], self.data)
        ) or (around is None and target[:-1] in self.document.positions and target[-1] in self.taken(target[:-1]))

    def taken(self, section: KeyPath) -> tuple[str, ...]:
        """The keys that a section has; of one whose variant is not known yet the key that says it."""
        if section[:1] in {("model",), ("data",)} and not isinstance(entry(self.data, (*section, "kind")), str):
            return ("kind",)
        return keys_at(section, self.data)

    def now(self, path: KeyPath) -> KeyPath:
        """Where an entry of the document stands in the mended one."""
        for end in range(len(path), 0, -1):
            if (target := self.moved.get(path[:end])) is not None:
                return target + path[end:]
        return path

    def mended(self) -> Document:
        """The document with its entries where they were meant to stand; each keeps its place in the file."""
        positions = {self.now(path): position for path, position in self.document.positions.items()}
        unreadable = frozenset(map(self.now, self.document.unreadable))
        return replace(self.document, data=self.data, positions=positions, unreadable=unreadable)


def other_file(document: Document, file: str) -> Finding | None:
    """That the file is one which another command takes; None where it looks like a recipe.

    Args:
        document: what the gate let through.
        file: its path, for messages.
    """
    data = document.data
    if not isinstance(data, dict):
        received = "nothing" if data is None else f"a list of {len(data)}" if isinstance(data, list) else "a value"
        hint = "begin with `name: my-recipe`; `hptransfer init` writes a recipe to start from"
        if PurePath(file).suffix.lower() in _TABLES:
            hint = f"`hptransfer judge {shlex.quote(file)}` takes a table of results"
        place = locate(document.positions, file, ())
        return Finding("a recipe must be a mapping (`key: value` lines)", received, hint, place, "recipe/type")
    if not isinstance(data.get(_FORMAT), int) or {"sizes", "tune"} <= data.keys():
        return None
    rule = "a recipe must be named, not a file that a command wrote"
    place = locate(document.positions, file, (_FORMAT,), key=True)
    for name, (telling, taken) in _ARTIFACTS.items():
        if telling <= data.keys():
            return Finding(rule, f"a {name}, by its keys", taken, place, "recipe/type")
    return Finding(rule, "a result, by its `format`", "name the recipe's own file", place, "recipe/type")


def as_meant(
    document: Document, file: str, unknown: Collection[KeyPath], missing: Collection[KeyPath]
) -> tuple[Document, list[Finding], frozenset[KeyPath]]:
    """The recipe with misplaced and misspelt keys where they were meant to stand.

    Args:
        document: what the gate let through.
        file: its path, for messages.
        unknown: paths of keys that the schema does not have.
        missing: paths of required keys that are not there.

    Returns:
        The document; a finding for each cause; and the paths among `unknown` of keys that were misspelt, whose own
        findings say so.
    """
    mending = _Mending(document, file, _copy(document.data))
    left = sorted((path for path in set(unknown) if path in document.positions), key=lambda path: _at(mending, path))
    _indent(mending, left)
    _lift(mending, left, missing)
    misspelt = set()
    for path in left:
        target = _meant(mending, path, missing)
        if target is not None:
            mending.move(path, target)
            misspelt.add(path)
    return mending.mended(), mending.findings, frozenset(misspelt)


def _copy(data: Plain) -> Any:
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(value) for value in data] if isinstance(data, list) else data


def _at(mending: _Mending, path: KeyPath) -> tuple[int, int]:
    return mending.document.positions[path].key


def _indent(mending: _Mending, left: list[KeyPath]) -> None:
    """Keys that follow a section and are its own, on the section's level instead of below it."""
    for level in dict.fromkeys(path[:-1] for path in left):
        around = entry(mending.document.data, level)
        if not isinstance(around, dict):
            continue
        keys = [(*level, key) for key in around if (*level, key) in mending.document.positions]
        section: KeyPath = ()
        slid: dict[KeyPath, list[KeyPath]] = {}
        for path in sorted(keys, key=lambda path: _at(mending, path)):
            if path not in left:
                section = path
            elif section and mending.free((*section, path[-1])):
                mending.move(path, (*section, path[-1]))
                slid.setdefault(section, []).append(path)
            else:
                section = ()
        for section, paths in slid.items():
            left[:] = [path for path in left if path not in paths]
            mending.findings.append(_unindented(mending, section, paths))


def _unindented(mending: _Mending, section: KeyPath, paths: Sequence[KeyPath]) -> Finding:
    names = [f"`{path[-1]}`" for path in paths]
    several = len(names) > 1
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if several else names[0]
    lines = sorted({_at(mending, path)[0] for path in paths})
    said = f"line {lines[0]}" if len(lines) == 1 else f"lines {lines[0]} to {lines[-1]}"
    return Finding(
        f"{listed} must stand below `{dotted(section)}`",
        f"{'they stand' if several else 'it stands'} on the level of `{section[-1]}`",
        f"indent {said}, with what is below, by two spaces more than `{section[-1]}:`",
        locate(mending.document.positions, mending.file, paths[0], key=True),
        "recipe/unknown-key",
    )


def _lift(mending: _Mending, left: list[KeyPath], missing: Collection[KeyPath]) -> None:
    """Sections and required keys that stand too deep, inside a section before them."""
    for path in list(left):
        value = entry(mending.data, path)
        for end in range(len(path) - 2, -1, -1):
            target = (*path[:end], path[-1])
            if mending.free(target) and (target in missing or isinstance(value, dict)):
                finding = Finding(
                    f"`{path[-1]}` must stand in `{dotted(path[:end])}`"
                    if end
                    else f"`{path[-1]}` must stand at the top",
                    f"it stands in `{dotted(path[:-1])}`",
                    f"indent `{path[-1]}:` and what is below it as far as `{path[end]}:`",
                    locate(mending.document.positions, mending.file, path, key=True),
                    "recipe/unknown-key",
                )
                mending.findings.append(finding)
                mending.move(path, target)
                left.remove(path)
                break


def _meant(mending: _Mending, path: KeyPath, missing: Collection[KeyPath]) -> KeyPath | None:
    """The key that a misspelt one was meant to be, where the recipe lacks it and would be told so, or has a section."""
    around, value = entry(mending.data, path[:-1]), entry(mending.data, path)
    if not isinstance(around, dict) or not isinstance(path[-1], str):
        return None
    guess = suggestion.closest(path[-1], keys_at(path[:-1], mending.data))
    target = (*path[:-1], guess) if guess is not None else ()
    if guess is None or guess in around or not (target in missing or isinstance(value, dict | None)):
        return None
    return target


def unfilled(document: Document, file: str, paths: Sequence[KeyPath]) -> Finding | None:
    """That a template was not filled in: one finding for all values that are one; None where there is none.

    Args:
        document: what the gate let through.
        file: its path, for messages.
        paths: of values that the schema refuses.
    """
    found = [path for path in paths if is_template(entry(document.data, path))]
    if not found:
        return None
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    place = locate(document.positions, file, found[0])
    return Finding(UNFILLED, f"`{entry(document.data, found[0])}`"[:80] + more, FILL_IN, place, "recipe/yaml")


def is_template(value: Plain) -> bool:
    """Whether a value is text with a place for another program to fill in: `{{ width }}`, `${WIDTH}`.

    Args:
        value: plain data of a recipe, as the gate read it.
    """
    return isinstance(value, str) and bool(TEMPLATE.search(value) or _VARIABLE.fullmatch(value))
