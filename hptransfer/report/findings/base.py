"""One finding as text, the registry of formats, and what formats have in common."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hptransfer.errors import Finding, printable
from hptransfer.registry import Registry
from hptransfer.report.columns import folded

if TYPE_CHECKING:  # the command line's boundary imports this module, for every command
    from hptransfer.linting.ignores import Excused
    from hptransfer.linting.levels.base import LevelOutcome

#: characters of one message in formats that are uploaded
LONGEST = 4000


class Checked(Protocol):
    """What was found in one file: a recipe, or a file of another framework."""

    @property
    def noun(self) -> str:
        """What is counted, in the singular: "recipe"."""

    @property
    def reference(self) -> str:
        """Its path or name, as the user wrote it."""

    @property
    def unreadable(self) -> tuple[Finding, ...]:
        """Why the file could not be read at all; nothing where it could."""

    @property
    def outcomes(self) -> tuple[tuple[str, LevelOutcome], ...]:
        """Name of each part of the check that ran -> what it found."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of parts that were asked and did not run."""

    @property
    def excused(self) -> tuple[Excused, ...]:
        """What comments in the file say to ignore, with their reasons; no error and no warning."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What is wrong."""

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is weak, or may be meant so."""

    @property
    def sources(self) -> Mapping[str, str]:
        """Path of a file -> its text as it was checked, where it could be read; excerpts are made of it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader must know, a sentence each."""

    @property
    def sound(self) -> str | None:
        """The line for people where nothing is wrong; None where something is."""

    @property
    def summary(self) -> dict[str, Any]:
        """What programs are told, but for the findings."""


#: name of a format -> what turns what was found in all files into lines of output
FORMATS: Registry[Callable[[Sequence[Checked]], Iterator[str]]] = Registry(
    "format", "hptransfer.report.findings", "render"
)


def as_text(finding: Finding, level: str = "error", shown: Sequence[str] = (), width: int | None = None) -> str:
    """The finding as lines: `error[HPT112]: <place>: <rule>`, what was received, and after a blank line the hint.

    Args:
        finding: to be printed; nothing in it can steer a terminal or a log.
        level: first word of the first line, "error" or "warning".
        shown: the excerpt of the file, as `excerpt` makes it.
        width: columns of the terminal, in which text is folded at words; None for lines that stay whole.
    """
    where = f"{printable(str(finding.place))}: " if finding.place else ""
    number = f"[{printable(finding.id)}]" if finding.id else ""
    lines = [*folded(f"{level}{number}: {where}{printable(finding.rule)}", width), *shown]
    if finding.received is not None:
        lines += folded(f"  received: {printable(finding.received)}", width, "    ")
    for line in finding.excerpt:
        lines += folded(f"  | {printable(line)}", width, "  |   ")
    if finding.hint is not None:
        lines += ["", *folded(f"hint: {printable(finding.hint)}", width)]
    return "\n".join(lines)


def by_place(result: Checked) -> list[tuple[str, Finding]]:
    """Errors and warnings of one file together, each with its level, as they stand in the file.

    Args:
        result: of one file; findings in other files come after its own, file by file.
    """
    found = [("error", each) for each in result.errors] + [("warning", each) for each in result.warnings]
    files = list(dict.fromkeys([*result.sources, *(each.place.file for _, each in found if each.place)]))

    def order(levelled: tuple[str, Finding]) -> tuple[int, int, int]:
        place = levelled[1].place
        return (-1, 0, 0) if place is None else (files.index(place.file), place.line or 0, place.column or 0)

    return sorted(found, key=order)


def count_errors(results: Sequence[Checked]) -> int:
    """Number of errors in all files.

    Args:
        results: one per file that was named.
    """
    return sum(len(result.errors) for result in results)


def count_warnings(results: Sequence[Checked]) -> int:
    """Number of warnings in all files.

    Args:
        results: one per file that was named.
    """
    return sum(len(result.warnings) for result in results)


def counted(results: Sequence[Checked]) -> str:
    """The last line for people: "3 recipes checked: 2 errors, 1 warning".

    Args:
        results: one per file that was named.
    """
    counts = (
        (len(results), results[0].noun if results else "recipe"),
        (count_errors(results), "error"),
        (count_warnings(results), "warning"),
    )
    checked, *found = (f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counts)
    return f"{checked} checked: {', '.join(found)}"


def rule_id(finding: Finding) -> str:
    """Stable identifier of the rule that a finding breaks, in every format: its number, or its code where it has none.

    Args:
        finding: of a recipe, or of a file of another framework.
    """
    return finding.id or finding.code


def rule_text(finding: Finding) -> tuple[str, str]:
    """What a rule asks, and what helps where it is broken, for formats that list rules.

    Args:
        finding: one that the rule gave.
    """
    from hptransfer.linting.catalogue import rule_of  # every command imports this module, few print findings

    rule = rule_of(finding.id) if finding.id else None
    if rule is None:
        return finding.rule, finding.hint or finding.rule
    return rule.summary, f"{rule.why} Repair: {rule.repair}."


def message(finding: Finding) -> str:
    """The finding as lines without its place: the rule, what was received, the hint.

    Args:
        finding: to be shown beside its place.
    """
    parts = [printable(finding.rule)]
    if finding.received is not None:
        parts.append(f"received: {printable(finding.received)}")
    if finding.hint is not None:
        parts.append(f"hint: {printable(finding.hint)}")
    text = "\n".join(parts)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def repository_root() -> Path:
    """Folder of the checked-out repository: what the CI system says, else the one with `.git` here or above.

    Returns:
        An absolute path; the current folder where there is no repository.
    """
    for variable in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        if said := os.environ.get(variable):
            return Path(os.path.abspath(said))
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def within(file: str, root: Path) -> str | None:
    """A file's path relative to the repository, with `/`; None where it lies outside.

    Args:
        file: its path, relative to the current folder or absolute.
        root: folder of the repository, absolute.
    """
    written = Path(os.path.abspath(file))  # not resolved: a link in the repository has its own path there
    if written.is_relative_to(root):
        return written.relative_to(root).as_posix()
    try:
        resolved, top = (Path(os.path.realpath(path)) for path in (file, root))
    except (OSError, ValueError):  # a name that no file can have
        return None
    return resolved.relative_to(top).as_posix() if resolved.is_relative_to(top) else None


def relative(file: str, root: Path) -> str:
    """A file's path relative to the repository where it lies in it, else as it was written.

    Args:
        file: its path, relative to the current folder or absolute.
        root: folder of the repository, absolute.
    """
    inside = within(file, root)
    return file if inside is None else inside


#: the start of an absolute path in a text: after a space, a quote, a bracket or such; `1/2` and `https://` are none
_ABSOLUTE = re.compile(r"(?:^|[^\w./\\)\]}*<-])/(?=[^\s/])|\bfile:/")


def fingerprints(findings: Iterable[tuple[str, Finding]]) -> Iterator[str]:
    """Yields for each finding what stays the same while lines move: sha256 (hex) of path, rule and what was received.

    A text that names a folder of the machine counts for nothing: in another checkout it would be another, and where it
    was cut off, another part of it. Of findings that are alike the second, the third, ... have their own.

    Args:
        findings: path as it is reported, and the finding.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    for path, finding in findings:
        texts = (finding.rule, finding.received or "")
        content = (path, rule_id(finding), *("" if _ABSOLUTE.search(text) else text for text in texts))
        seen[content] += 1
        text = "\0".join((*content, str(seen[content])))
        yield hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
