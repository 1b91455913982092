"""For every CI system: a JUnit report, one suite per file, a test case per level and per rule that found something.

A level without findings passes, with what it left open as its output; one that decided nothing is skipped, and says
why. Errors of rules are failures; what the machine or storage did, or what was run and gave no answer, is an error;
warnings are output of a case that passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from hptransfer.errors import Finding, printable
from hptransfer.report.findings.base import Checked, message, relative, repository_root, rule_id

if TYPE_CHECKING:
    from hptransfer.linting.levels.base import LevelOutcome

#: element of a case that does not pass -> the suite's attribute that counts it
_COUNTED = {"error": "errors", "failure": "failures", "skipped": "skipped"}


def render(results: Sequence[Checked]) -> Iterator[str]:
    """Yields the report as one text.

    Args:
        results: one per file, in the order in which the files were named.
    """
    root, suites = repository_root(), ET.Element("testsuites")
    for result in results:
        suites.append(_suite(result, root))
    for name in ("tests", "failures", "errors"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ET.indent(suites)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode")


def _suite(result: Checked, root: Path) -> ET.Element:
    path = _named(relative(result.reference, root))
    suite = ET.Element("testsuite", name=path, file=path)
    cases = _Cases(suite, path, root)
    if result.unreadable:
        cases.of_rules("read", result.unreadable, "error")
    for level, outcome in result.outcomes:
        cases.of_level(level, outcome)
    for level in result.skipped:
        cases.add(level, "skipped", "did not run, because of the errors before")
    for each in result.excused:
        case = cases.add(
            f"ignored {rule_id(each.finding)}", "skipped", f"a comment in the file says why: {each.reason}"
        )
        cases.locate(case, each.finding)
    suite.set("tests", str(len(suite)))
    for element, attribute in _COUNTED.items():
        suite.set(attribute, str(len(suite.findall(f"testcase/{element}"))))
    return suite


class _Cases:
    """The cases of one suite, which are added to it."""

    def __init__(self, suite: ET.Element, path: str, root: Path) -> None:
        self.suite, self.path, self.root = suite, path, root

    def of_level(self, level: str, outcome: LevelOutcome) -> None:
        """The level's own case, then one for each rule that found something."""
        count = len(outcome.errors)
        if outcome.machine:
            self.add(level, "error", "could not be asked because of the machine or damaged storage")
        elif count:
            self.add(level, "failure", f"{count} error{'' if count == 1 else 's'}")
        elif outcome.open:
            self.add(level, "error", "what was run gave no answer")
        elif not outcome.decided:
            self.add(level, "skipped", "not decided: " + "; ".join(outcome.undecided))
        else:
            self.add(level, text="\n".join(f"not decided: {clause}" for clause in outcome.undecided))
        self.of_rules(level, outcome.machine, "error")
        self.of_rules(level, outcome.open, "error")
        self.of_rules(level, outcome.errors, "failure")
        self.of_rules(level, outcome.warnings, None)

    def of_rules(self, level: str, findings: Sequence[Finding], kind: str | None) -> None:
        """A case for each rule, with all that it found."""
        for rule in dict.fromkeys(map(rule_id, findings)):
            own = [finding for finding in findings if rule_id(finding) == rule]
            texts = [f"{_position(finding)}{message(finding)}" for finding in own]
            case = self.add(f"{level} {rule}", kind, own[0].rule if kind else "", "\n\n".join(texts))
            self.locate(case, own[0])

    def add(self, name: str, kind: str | None = None, said: str = "", text: str = "") -> ET.Element:
        """One case, which passes where no kind says otherwise."""
        case = ET.SubElement(self.suite, "testcase", classname=self.path, name=_named(name), file=self.path)
        if kind is not None:
            ET.SubElement(case, kind, message=_named(said)).text = _lines(text) or None
        elif text:
            ET.SubElement(case, "system-out").text = _lines(text)
        return case

    def locate(self, case: ET.Element, finding: Finding) -> None:
        """Where the first finding of a case is."""
        if finding.place is not None:
            case.set("file", _named(relative(finding.place.file, self.root)))
            case.set("line", str(finding.place.line or 1))


def _position(finding: Finding) -> str:
    line, column = (finding.place.line, finding.place.column) if finding.place else (None, None)
    place = ":".join(str(part) for part in (line, column) if part is not None)
    return f"{place}: " if place else ""


def _lines(text: str) -> str:
    return "\n".join(map(allowed, text.split("\n")))


def _named(text: str) -> str:
    """The text as an attribute that readers need: a name of invisible characters alone would be none."""
    return allowed(text) or "-"


def allowed(text: str) -> str:
    """The text on one line, without characters that XML 1.0 forbids: an escape would be one too.

    Args:
        text: from a file, with any characters.
    """
    return "".join(character for character in printable(text) if character not in "\ufffe\uffff")
