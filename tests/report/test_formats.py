"""What each format of `validate` and `lint` promises to the system that reads it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hptransfer.errors import Finding, Place, printable
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.linting.validate import Validation
from hptransfer.report.findings import FORMATS
from hptransfer.report.findings import sarif as sarif_format
from tests.support.checked_files import EVERYTHING, WEAK, WRONG, hostile, one, written
from tests.support.hostile_texts import HOSTILE


@pytest.fixture(autouse=True)
def _in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


# GitHub's annotations, read back by the rules of its runner


def read_command(line: str) -> tuple[str, dict[str, str], str]:
    """One workflow command as actions/runner documents it: command, properties, message."""
    found = re.fullmatch(r"::([a-z-]+)(?: ([^\n]*?))?::([^\n]*)", line)
    assert found is not None, line
    pairs = (each.partition("=") for each in (found[2] or "").split(",") if each)
    properties = {name: _unescaped(value, {"%3A": ":", "%2C": ","}) for name, _, value in pairs}
    return found[1], properties, _unescaped(found[3], {})


def _unescaped(text: str, more: dict[str, str]) -> str:
    """The percent sign is last, as in the runner."""
    for escape, character in {"%0D": "\r", "%0A": "\n", **more, "%25": "%"}.items():
        text = text.replace(escape, character)
    return text


def assert_github_reads(text: str) -> None:
    """An annotation for each finding, with the text as `printable` has it; no line of the text's own."""
    lines = written("github", hostile(text)).split("\n")
    commands = [read_command(line) for line in lines if line.startswith("::")]

    assert [command for command, _, _ in commands] == ["error", "warning", "notice", "notice"]
    for _, properties, said in commands[:2]:
        inside = not os.path.isabs(text) and not os.path.normpath(text).startswith("..")
        expected = os.path.normpath(text) if inside and "\0" not in text else text
        assert properties == {
            "file": printable(expected),
            "line": "3",
            "col": "4",
            "title": "recipe/unknown-key",
        }
        lines_said = [f"`{text}` is no key", f"received: {text}", f"hint: write {text}"]
        assert said == "\n".join(map(printable, lines_said))
    assert lines[4:] == ["1 recipe checked: 1 error, 1 warning", ""]


def test_annotations_of_hostile_names() -> None:
    """What the runner reads back is the name without what is invisible, and nothing else is a command."""
    for text in HOSTILE:
        assert len(HOSTILE) > 200
        assert_github_reads(text)


@given(st.text(min_size=1, max_size=40).filter(lambda text: len(printable(text)) < 3900))
def test_annotations_of_any_text(text: str) -> None:
    """The same for texts that nobody chose."""
    assert_github_reads(text)


# GitLab


def test_gitlab() -> None:
    """One issue per finding, at its line, with paths that start at the repository."""
    found = json.loads(written("gitlab", *EVERYTHING))

    assert [(each["check_name"], each["severity"]) for each in found] == [
        ("recipe/range", "major"),
        ("recipe/range", "major"),
        ("advice/small-base", "minor"),
        ("machine/storage", "major"),
        ("recipe/none", "major"),
    ]
    assert found[0]["location"] == {"path": "a/r.yaml", "lines": {"begin": 4}}
    assert found[0]["description"] == "`width >= 1` must hold; received: -3; hint: write 64"
    assert len({each["fingerprint"] for each in found}) == 5
    assert json.loads(written("gitlab", EVERYTHING[0])) == []


@pytest.mark.parametrize("name", ["gitlab", "sarif"])
def test_fingerprints_are_stable(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They stay where lines are added above, from another folder, and beside new findings; other values have others."""

    def marks(*findings: Finding) -> list[str]:
        text = json.loads(written(name, one(*findings)))
        if name == "gitlab":
            return [each["fingerprint"] for each in text]
        return [each["partialFingerprints"]["hptransferFinding/v1"] for each in text["runs"][0]["results"]]

    before = marks(WRONG)
    assert marks(replace(WRONG, place=Place("a/r.yaml", 40, 1))) == before
    assert marks(replace(WEAK, place=Place("a/r.yaml", 1)), WRONG)[1:] == before
    assert marks(replace(WRONG, hint="another hint")) == before
    assert marks(replace(WRONG, received="-4")) != before
    assert marks(replace(WRONG, place=Place("b/r.yaml", 4))) != before
    (tmp_path / ".git").mkdir()
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert marks(replace(WRONG, place=Place("r.yaml", 4, 7))) == before


@pytest.mark.parametrize("name", ["gitlab", "sarif"])
@pytest.mark.parametrize(
    "text",
    [
        "no tuned.yaml in {}/runs/own",
        "{}/x.py: it fails",
        "cannot open '{}/data.txt'",
        "(path={}/a b)",
        "in file://{}/x",
    ],
)
def test_fingerprints_of_two_checkouts(name: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of the machine in a text, whole or cut off, changes none; texts without one still do."""
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.delenv("CI_PROJECT_DIR", raising=False)

    def marks(folder: Path, *findings: Finding) -> list[str]:
        (folder / ".git").mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        found = json.loads(written(name, one(*findings)))
        if name == "gitlab":
            return [each["fingerprint"] for each in found]
        return [each["partialFingerprints"]["hptransferFinding/v1"] for each in found["runs"][0]["results"]]

    def of(folder: Path) -> list[str]:
        said = text.format(folder)
        place = Place(str(folder / "a/r.yaml"), 4)
        wrong = replace(WRONG, place=place, received=said)
        return marks(folder, wrong, replace(wrong, rule=said), replace(wrong, received=said[:30]))

    first, second = of(tmp_path / "one"), of(tmp_path / "a longer name of another" / "two")
    assert first == second
    assert len(set(first)) == 3
    ratio = replace(WRONG, received="m^-1/2 of 1 / 3, https://example.org/a, and/or ./b")
    assert marks(tmp_path / "one", ratio) != marks(tmp_path / "one", replace(ratio, received="m^-1/3"))


# JUnit


def test_junit() -> None:
    """A suite per recipe; levels pass, fail, are skipped or could not be asked; rules have cases of their own."""
    (root,) = [ET.fromstring(written("junit", *EVERYTHING))]  # noqa: S314  # what this test made
    cases = {
        suite.get("name"): {
            case.get("name"): ([child.tag for child in case], case.get("file"), case.get("line")) for case in suite
        }
        for suite in root
    }

    assert cases == {
        "good.yaml": {"static": ([], "good.yaml", None), "shapes": ([], "good.yaml", None)},
        "a/r.yaml": {
            "static": (["failure"], "a/r.yaml", None),
            "static recipe/range": (["failure"], "a/r.yaml", "4"),
            "static advice/small-base": (["system-out"], "a/r.yaml", "9"),
            "shapes": (["skipped"], "a/r.yaml", None),
            "ignored advice/small-base": (["skipped"], "a/r.yaml", "9"),
        },
        "own.yaml": {"shapes": (["skipped"], "own.yaml", None)},
        "disk.yaml": {
            "evidence": (["error"], "disk.yaml", None),
            "evidence machine/storage": (["error"], "runs/r/study.db", "1"),
        },
        "gone.yaml": {"read recipe/none": (["error"], "gone.yaml", "1")},
    }
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "11",
        "failures": "2",
        "errors": "3",
    }
    (text,) = [each.text for each in root.iter("failure") if each.text]
    assert text == (
        "4:7: `width >= 1` must hold\nreceived: -3\nhint: write 64\n\n"
        "6:1: `width >= 1` must hold\nreceived: -3\nhint: write 64"
    )


#: characters of XML 1.0, section 2.2
XML = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def test_junit_of_what_was_decided_in_part() -> None:
    """A level that decided its own passes with what it left open as output; one without an answer does not pass."""
    partly = LevelOutcome(undecided=("whether its trainer can train it",))
    unanswered = LevelOutcome(open=(Finding("it must answer", "timeout", None, Place("a/r.yaml"), "full/no-answer"),))
    outcomes = (("static", partly), ("full", unanswered))
    root = ET.fromstring(written("junit", Validation("a/r.yaml", None, outcomes=outcomes)))  # noqa: S314  # our own
    static, full, rule = root.iter("testcase")

    assert [(each.tag, each.text) for each in static] == [
        ("system-out", "not decided: whether its trainer can train it")
    ]
    assert [each.tag for each in full] == ["error"]
    assert (rule.get("name"), [each.tag for each in rule]) == ("full full/no-answer", ["error"])


def test_junit_of_hostile_names() -> None:
    """It is XML of allowed characters, and values are read back as values."""
    for text in HOSTILE:
        xml = written("junit", hostile(text))

        assert XML.fullmatch(xml)
        root = ET.fromstring(xml.encode())  # noqa: S314  # what this test made
        names = {"testsuites", "testsuite", "testcase", "failure", "skipped", "system-out"}
        assert {each.tag for each in root.iter()} == names
        shown = printable(text).replace("\ufffe", "").replace("\uffff", "")
        assert root[0][1][0].get("message") == f"`{shown}` is no key"


# SARIF


def test_sarif() -> None:
    """Rules with help, results with level, place and fingerprint; the ignored are suppressed, the open is noted."""
    log = json.loads(written("sarif", *EVERYTHING))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]

    assert log["version"] == "2.1.0"
    assert [rule["id"] for rule in rules] == ["recipe/range", "machine/storage", "recipe/none", "advice/small-base"]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    assert [result["ruleId"] for result in run["results"]] == [
        rules[each["ruleIndex"]]["id"] for each in run["results"]
    ]
    assert [result["level"] for result in run["results"]] == ["error"] * 4 + ["warning", "note"]
    assert run["results"][0]["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "a/r.yaml", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 4, "startColumn": 7},
            }
        }
    ]
    assert [("suppressions" in result) for result in run["results"]] == [False] * 5 + [True]
    assert run["results"][-1]["suppressions"] == [{"kind": "inSource", "justification": "it is known"}]
    (asked,) = run["invocations"]
    assert asked["executionSuccessful"] is False
    assert [each["message"]["text"] for each in asked["toolExecutionNotifications"]] == [
        "a/r.yaml: shapes did not run, because of the errors before",
        "own.yaml: shapes did not decide whether it can be built",
    ]


def test_sarif_of_hostile_names() -> None:
    """Paths are relative URIs that give the file's bytes back, and texts hold nothing invisible."""
    for text in HOSTILE:
        log = written("sarif", hostile(text))
        (run,) = json.loads(log)["runs"]
        artifact = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]

        assert log.isascii()
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", artifact["uri"])
        if "\ud800" not in text and "\0" not in text:
            assert unquote_to_bytes(artifact["uri"]) == os.fsencode(os.path.normpath(text))
        assert run["results"][0]["message"]["text"].startswith(f"`{printable(text)}` is no key")


def test_sarif_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the number or the size that code scanning takes the least severe are left out, and the log says so."""
    findings = [replace(WRONG, received=str(number)) for number in range(30)]

    monkeypatch.setattr(sarif_format, "MOST_RESULTS", 25)
    (run,) = json.loads(written("sarif", one(*findings[:24], warnings=findings)))["runs"]
    assert [result["level"] for result in run["results"]] == ["error"] * 24 + ["warning"]
    (cut,) = run["invocations"][0]["toolExecutionNotifications"]
    assert cut["message"]["text"].startswith("29 results, the least severe, were left out")
    monkeypatch.setattr(sarif_format, "MOST_BYTES", sarif_format._RESERVE + 5_000)
    log = written("sarif", one(*findings))
    assert 2 < len(json.loads(log)["runs"][0]["results"]) < 25
    assert len(log) < sarif_format.MOST_BYTES


def test_the_limits_are_those_of_github() -> None:
    """25,000 results of a run and 10 MB of a file, as docs.github.com has them; real findings reach the first alone."""
    many = [replace(WRONG, received=str(number)) for number in range(25_100)]
    log = written("sarif", one(*many))
    (run,) = json.loads(log)["runs"]

    assert 20_000 < len(run["results"]) <= 25_000
    assert len(log.encode()) <= 10_000_000
    assert run["invocations"][0]["toolExecutionNotifications"][0]["level"] == "warning"


# all formats


@pytest.mark.parametrize("name", FORMATS.built_in)
def test_no_format_prints_what_steers_a_terminal(name: str) -> None:
    """Output is UTF-8 without controls, marks of direction and invisible characters."""
    for text in HOSTILE:
        output = written(name, hostile(text))

        output.encode()
        assert printable(output.replace("\n", "")) == output.replace("\n", "")


def _paths(name: str, output: str) -> list[str]:
    reads: dict[str, Callable[[], list[str]]] = {
        "github": lambda: [read_command(output.split("\n", maxsplit=1)[0])[1]["file"]],
        "gitlab": lambda: [json.loads(output)[0]["location"]["path"]],
        "junit": lambda: [case.get("file", "") for case in ET.fromstring(output).iter("testcase")],  # noqa: S314
        "sarif": lambda: [
            json.loads(output)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        ],
    }
    return reads[name]()


@pytest.mark.parametrize("name", ["github", "gitlab", "junit", "sarif"])
def test_paths_start_at_the_repository(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in the repository the command runs, and however the file was named."""
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/recipes").mkdir()
    monkeypatch.chdir(tmp_path / "repo/recipes")
    for reference in ("r.yaml", "./r.yaml", "../recipes/r.yaml", str(tmp_path / "repo/recipes/r.yaml")):
        output = written(name, one(replace(WRONG, place=Place(reference, 1)), reference=reference))
        assert set(_paths(name, output)) == {"recipes/r.yaml"}
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "repo/recipes"))
    assert set(_paths(name, written(name, one(replace(WRONG, place=Place("r.yaml")), reference="r.yaml")))) == {
        "r.yaml"
    }
