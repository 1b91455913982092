"""Files of other frameworks, checked for known traps."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hptransfer.errors import Finding, Place, UsageError
from hptransfer.files import bounded_content
from hptransfer.handover.manifest import read_manifest
from hptransfer.linting.foreign.base import FOREIGN_RULES, ForeignFramework, ForeignRule, recognised
from hptransfer.linting.ignores import Excused
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.linting.planned import Planned
from hptransfer.linting.reading.files import read_foreign
from hptransfer.linting.reading.python import module_of
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import MAX_BYTES, shown
from hptransfer.registry import users_code

#: the first line of every exported file that says so itself, with the format's name
_WRITTEN = re.compile(
    r'^[\s#"\[]*(?:\{?"hptransfer": \[\s*")?Written by hptransfer for .{1,60}?\(format ([\w.-]+);', re.M
)
#: names of formats whose files are those of a framework that is called otherwise here
_FORMATS = {"nanogpt-mup": "nanogpt", "lightning": "torch"}
#: characters of what could not be read, its path among them
_LONGEST = 2000
#: what was not read is named so many times
_NAMED = 3


@dataclass(frozen=True, slots=True)
class FileLint:
    """What one file gave.

    Attributes:
        reference: path, as the user wrote it.
        framework: name of the framework that it is for; None where that is not known. Of several the most special.
        errors: broken rules that are wrong whatever was meant; that the file could not be read.
        warnings: broken rules that may be meant so.
        unavailable: whether it could not be read, or its framework is not known.
        notes: what else a reader must know, a sentence each.
        others: further frameworks that a Python file uses, whose rules were asked too.
        sources: path of the file -> the text that was read, for excerpts.
    """

    reference: str
    framework: str | None
    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    unavailable: bool = False
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    #: what is counted, in the singular
    noun = "file"
    #: nothing here is asked in parts, and no comment of such a file is read
    skipped: ClassVar[tuple[str, ...]] = ()
    excused: ClassVar[tuple[Excused, ...]] = ()

    @property
    def unreadable(self) -> tuple[Finding, ...]:
        """Why the file could not be read, or its framework is not known."""
        return self.errors if self.unavailable else ()

    @property
    def outcomes(self) -> tuple[tuple[str, LevelOutcome], ...]:
        """What its framework's rules found, under that framework's name."""
        return () if self.unavailable else ((self.framework or "lint", LevelOutcome(self.errors, self.warnings)),)

    @property
    def sound(self) -> str | None:
        """The line for people where nothing is wrong; None where something is."""
        found = bool(self.errors or self.warnings or self.unavailable)
        return None if found else f"{self.reference}: nothing found ({', '.join([str(self.framework), *self.others])})"

    @property
    def summary(self) -> dict[str, Any]:
        """What programs are told, but for the findings."""
        return {
            "file": self.reference,
            "framework": self.framework,
            "other_frameworks": list(self.others),
            "clean": not (self.errors or self.warnings),
            "notes": list(self.notes),
        }


def lint_file(path: Path, framework: str | None = None, plan: Planned | None = None) -> FileLint:
    """Checks one file; nothing of it is run.

    Args:
        path: of the file, whichever form it has.
        framework: its name, that of its format, or `module:attribute`; None to recognise it.
        plan: values of the target's plan, to be compared with; None for none.

    Raises:
        UsageError: there is no such framework, or rules of a user's own fail.
    """
    if framework is not None:
        framework = _FORMATS.get(framework, framework)
        FOREIGN_RULES.look_up(framework)
    try:
        written, changed = _exported(path)
        if written is not None and not changed:
            note = f"{path} is as hptransfer wrote it: `{_verification(path, plan)}` compares it with its plan"
            return FileLint(str(path), written, notes=(note,))
        file = read_foreign(path)
        exporter = written or _format_of(file)
        file = file.told(plan and plan.in_format(exporter), exporter)
        names = (framework,) if framework is not None else _frameworks_of(file)
        edited = _edited(path, written, plan)
        if not names:
            return FileLint(str(path), written, warnings=edited, notes=tuple(_notes(file, [], changed=changed)))
    except UsageError as error:
        unreadable = tuple(_unreadable(finding, path) for finding in error.findings)
        return FileLint(str(path), framework, unreadable, unavailable=True)
    found: dict[str, list[Finding]] = {"error": [], "warning": []}
    parts: dict[str, list[ForeignFile]] = {}
    said: dict[tuple[Place | None, str], str] = {}
    for name in names:
        known = FOREIGN_RULES.look_up(name)
        parts[name] = _own_parts(file, known, name)
        for rule in known.rules:
            if rule.needs_plan and plan is None:
                continue
            for finding in (each for part in parts[name] for each in _checked(rule, part, name)):
                # what two frameworks say of one place under one name is said once, by the more special
                if said.setdefault((finding.place, rule.code.partition("/")[2]), name) == name:
                    found[rule.level].append(finding)
    found["warning"] += edited
    for level, findings in found.items():
        found[level] = sorted(dict.fromkeys(findings), key=_order)
    return FileLint(
        str(path),
        names[0],
        tuple(found["error"]),
        tuple(found["warning"]),
        notes=tuple(_notes(file, [part for each in parts.values() for part in each], changed=changed)),
        others=names[1:],
        sources={file.path: file.text},
    )


def _order(finding: Finding) -> tuple[int, int]:
    place = finding.place or Place("")
    return place.line or 0, place.column or 0


def _own_parts(file: ForeignFile, framework: ForeignFramework, name: str) -> list[ForeignFile]:
    """The commands of a script that are the framework's; all, where none says so."""
    parts = list(file.parts)
    own = name not in FOREIGN_RULES.built_in
    with users_code("a framework must say of every file what marks it", name, own=own):
        return [part for part in parts if framework.marks(part)] or parts


def _checked(rule: ForeignRule, file: ForeignFile, name: str) -> Iterator[Finding]:
    with users_code("a rule must check every file", rule.code, own=name not in FOREIGN_RULES.built_in):
        for trap in rule.check(file):
            yield Finding(rule.sentence, trap.received, trap.hint or rule.hint, trap.place, rule.code)


def _notes(file: ForeignFile, parts: list[ForeignFile], *, changed: bool) -> Iterator[str]:
    module = module_of(file)
    unread = [*dict.fromkeys(said for part in parts for said in part.unread), *(module.unread if module else ())]
    if unread:
        more = f", and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
        said = "; ".join(unread[:_NAMED]) + more
        yield f"{file.path}: not read: {said}; a setting that may stand there is not reported as missing"
    if changed and file.plan is None:
        command = _verification(Path(file.path), None)
        yield f"hptransfer wrote {file.path}, and it was changed since: `{command}` compares it with its plan"
    elif file.exporter is not None and not changed:
        yield (
            f"hptransfer wrote {file.path}, which lies outside of its folder: `hptransfer verify --export` compares it "
            "with its plan inside, beside export.json"
        )


def _unreadable(finding: Finding, path: Path) -> Finding:
    received = None if finding.received is None else shown(finding.received, _LONGEST)
    return Finding(finding.rule, received, finding.hint, Place(str(path)), "lint/unreadable")


def _frameworks_of(file: ForeignFile) -> tuple[str, ...]:
    """Names of the frameworks; none of an export whose framework has no rules here."""
    try:
        return recognised(file)
    except UsageError:
        if file.exporter is None:
            raise
        own = _FORMATS.get(file.exporter, file.exporter)
        return (own,) if own in FOREIGN_RULES.names else ()


def _format_of(file: ForeignFile) -> str | None:
    """What the header of an exported file says, wherever it lies now."""
    found = _WRITTEN.search(file.text)
    return None if found is None else found[1]


def _verification(path: Path, plan: Planned | None) -> str:
    """The whole command that compares an export with its plan."""
    other = f" --plan {shlex.quote(str(plan.path))}" if plan is not None and plan.path is not None else ""
    return f"hptransfer verify --export {shlex.quote(str(path))}{other}"


def _edited(path: Path, exporter: str | None, plan: Planned | None) -> tuple[Finding, ...]:
    """With a plan: that an export was changed is a finding, for rules know a part of what it says only."""
    if exporter is None or plan is None:
        return ()
    rule = "a file that hptransfer exported is compared with its plan after it was changed"
    received = f"not as the format {exporter} was written; the rules of `lint` see a part of it only"
    return (Finding(rule, received, f"run `{_verification(path, plan)}`", Place(str(path)), "lint/edited-export"),)


def _exported(path: Path) -> tuple[str | None, bool]:
    """Name of the exporter that wrote a file, and whether it was changed since; None for files of others."""
    try:
        manifest = read_manifest(path)
        digest = hashlib.sha256(bounded_content(path, MAX_BYTES)).hexdigest()
        relative = path.absolute().relative_to(manifest.folder.absolute()).as_posix()
    except (UsageError, OSError, ValueError):
        return None, False
    written = manifest.files.get(relative)
    return (None, False) if written is None else (manifest.exporter, written != digest)
