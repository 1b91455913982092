"""Reports by schemas, read by implementations that are not ours: SARIF, JUnit and GitLab's code quality.

The standards' own schemas may not be part of this repository. Those of `tests/data/schemas` are own text after the
standards and accept less: where `HPTRANSFER_SCHEMAS` names a folder with the official ones, both are asked, and what
the official ones refuse must be refused by ours (docs/ci-formats.md).
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.checked_files import EVERYTHING, hostile, written
from tests.support.hostile_texts import HOSTILE

#: folder with the standards' own schemas
SCHEMAS = os.environ.get("HPTRANSFER_SCHEMAS")
OWN = Path(__file__).parents[1] / "data" / "schemas"

#: the fields that docs.gitlab.com/ci/testing/code_quality requires of a report, with the form of each
GITLAB_SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./)"},
                    "lines": {"required": ["begin"], "properties": {"begin": {"type": "integer", "minimum": 1}}},
                },
            },
        },
    },
}


@pytest.fixture(autouse=True)
def _in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def official(name: str) -> Path:
    """A schema of the standards' own; the test is skipped without it."""
    if SCHEMAS is None:
        pytest.skip("HPTRANSFER_SCHEMAS names no folder with schemas of the standards")
    return Path(SCHEMAS) / name


def reports(name: str) -> Iterator[str]:
    """Reports in a format: of every outcome, of nothing, of every hostile text."""
    yield written(name, *EVERYTHING)
    yield written(name)
    for text in HOSTILE:
        yield written(name, hostile(text))


@pytest.fixture
def by_json() -> Any:
    """The validators of an implementation of JSON Schema."""
    return pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install jsonschema")


@pytest.fixture
def by_xml() -> Any:
    """The validator of an implementation of XSD."""
    return pytest.importorskip("xmlschema", reason="xmlschema is not installed: pip install xmlschema")


def test_gitlab_by_its_documented_schema(by_json: Any) -> None:
    """Every field that GitLab requires, with the form that it documents."""
    check = by_json.Draft7Validator(GITLAB_SCHEMA)

    for report in reports("gitlab"):
        check.validate(json.loads(report))
    assert not check.is_valid([{"description": "x"}])


# SARIF


def own_sarif(by_json: Any) -> Any:
    """The validator of our schema, which is a schema itself."""
    schema = json.loads((OWN / "sarif-2.1.0.json").read_text("utf-8"))
    by_json.Draft7Validator.check_schema(schema)
    return by_json.Draft7Validator(schema)


#: what stands in a property's place, each of another type or out of range
OTHERS: tuple[Any, ...] = (None, 0, -1, "", [], {}, True, "an unknown word")


def damaged(value: Any) -> Iterator[Any]:
    """The value with one thing changed, in every place: a property lost, added or of another type, an item doubled."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {other: each for other, each in value.items() if other != key}
            yield from ({**value, key: other} for other in OTHERS)
            for each in damaged(inner):
                yield {**value, key: each}
        yield {**value, "unknown": 1}
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield [*value, copy.deepcopy(inner)]
            for each in damaged(inner):
                yield [*value[:place], each, *value[place + 1 :]]


def test_sarif_by_the_standard(by_json: Any) -> None:
    """The schema after the standard's sections accepts every log."""
    check = own_sarif(by_json)

    for report in reports("sarif"):
        check.validate(json.loads(report))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), "2.0.0"),
        (("runs",), None),
        (("runs", 0, "tool"), {}),
        (("runs", 0, "tool", "driver", "name"), None),
        (("runs", 0, "tool", "driver", "rules", 0, "id"), 3),
        (("runs", 0, "results", 0, "level"), "fatal"),
        (("runs", 0, "results", 0, "message"), "a text"),
        (("runs", 0, "results", 0, "ruleIndex"), -2),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "region", "startLine"), 0),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "artifactLocation", "uri"), "a b"),
        (("runs", 0, "results", 0, "locations", 0, "physicalLocation", "artifactLocation", "uri"), "/etc/a"),
        (("runs", 0, "results", 5, "suppressions", 0, "kind"), "inComment"),
        (("runs", 0, "invocations", 0, "executionSuccessful"), "no"),
        (("runs", 0, "columnKind"), "bytes"),
        (("runs", 0, "unknown"), 1),
    ],
)
def test_what_the_standard_forbids_is_no_sarif(path: tuple[str | int, ...], value: object, by_json: Any) -> None:
    """A log with one thing that a section of the standard forbids is refused; the log itself is not."""
    log = json.loads(written("sarif", *EVERYTHING))
    check = own_sarif(by_json)
    assert check.is_valid(log)
    place = log
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert not check.is_valid(log)


def test_ours_is_no_wider_than_the_schema_of_oasis(by_json: Any) -> None:
    """The schema that OASIS publishes accepts every log; of damaged logs, what it refuses is refused by ours."""
    check = by_json.Draft4Validator(json.loads(official("sarif-schema-2.1.0.json").read_text("utf-8")))
    own = own_sarif(by_json)

    for report in reports("sarif"):
        check.validate(json.loads(report))
    refused = [each for each in damaged(json.loads(written("sarif", *EVERYTHING))) if not check.is_valid(each)]
    assert len(refused) > 500
    assert [each for each in refused if own.is_valid(each)] == []


# JUnit


def damaged_reports() -> Iterator[str]:
    """A report with one thing changed in it: an attribute lost, added or of another form, an element added."""
    added = {"": "unknown", "-1": "testsuite", "x": "testcase", None: "error"}
    xml = written("junit", *EVERYTHING)
    size = len(list(ET.fromstring(xml).iter()))  # noqa: S314  # what this test made
    for place in range(size):
        for name in (None, "tests", "failures", "errors", "skipped", "name", "message", "line", "time", "unknown"):
            for value in (None, "", "-1", "x"):
                root = ET.fromstring(xml)  # noqa: S314  # what this test made
                element = list(root.iter())[place]
                if name is None:
                    ET.SubElement(element, added[value])
                elif value is None:
                    element.attrib.pop(name, None)
                else:
                    element.set(name, value)
                yield ET.tostring(root, encoding="unicode")


def test_junit_by_our_xsd(by_xml: Any) -> None:
    """What Jenkins and GitLab read, written down as an XSD, accepts every report."""
    check = by_xml.XMLSchema(str(OWN / "junit.xsd"))

    for report in reports("junit"):
        check.validate(ET.fromstring(report.encode()))  # noqa: S314  # what this test made


@pytest.mark.parametrize(
    "wrong",
    [
        '<testsuites tests="1" failures="0"/>',
        '<testsuites tests="-1" failures="0" errors="0"/>',
        '<testsuites tests="0" failures="0" errors="0" time="soon"/>',
        '<testsuites tests="0" failures="0" errors="0"><testcase name="a" classname="b"/></testsuites>',
        '<testsuites tests="0" failures="0" errors="0"><testsuite tests="0" failures="0" errors="0"/></testsuites>',
        "<testsuite/>",
    ],
)
def test_what_no_ci_reads_is_no_junit(wrong: str, by_xml: Any) -> None:
    """Counts that lack or are no counts, cases outside a suite, suites without a name."""
    check = by_xml.XMLSchema(str(OWN / "junit.xsd"))

    assert check.is_valid(ET.fromstring('<testsuites tests="0" failures="0" errors="0"/>'))  # noqa: S314  # our own
    assert not check.is_valid(ET.fromstring(wrong))  # noqa: S314  # our own


def without_places(root: ET.Element) -> ET.Element:
    """The report without what the strict schema of Jenkins does not know, file and line of a case."""
    for case in root.iter("testcase"):
        for name in ("file", "line"):
            case.attrib.pop(name, None)
    return root


def test_ours_is_no_wider_than_the_schemas_of_jenkins(by_xml: Any) -> None:
    """By the XSD of PHPUnit's reports but for counts of all suites, by the other one but for `file` and `line`."""
    wide, strict = (by_xml.XMLSchema(str(official(name))) for name in ("phpunit-4.0.xsd", "junit-10.xsd"))
    own = by_xml.XMLSchema(str(OWN / "junit.xsd"))

    for report in reports("junit"):
        root = ET.fromstring(report.encode())  # noqa: S314  # what this test made
        suites = ET.Element("testsuites")
        suites.extend(root)
        if len(suites):  # PHPUnit writes no report without a suite
            wide.validate(suites)
        strict.validate(without_places(root))
    refused = [
        report
        for report in damaged_reports()
        if not strict.is_valid(without_places(ET.fromstring(report)))  # noqa: S314  # what this test made
    ]
    assert len(refused) > 100
    assert [report for report in refused if own.is_valid(ET.fromstring(report))] == []  # noqa: S314  # made here
