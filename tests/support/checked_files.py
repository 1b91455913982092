"""Checked files for the tests of `validate`'s formats: one of each outcome, and one with hostile texts everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hptransfer.errors import Finding, Place
from hptransfer.linting.ignores import Excused
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.linting.validate import Validation
from hptransfer.report.findings import FORMATS
from hptransfer.report.findings.base import Checked

WRONG = Finding("`width >= 1` must hold", "-3", "write 64", Place("a/r.yaml", 4, 7), "recipe/range")
WEAK = Finding("a base should be large", "8", None, Place("a/r.yaml", 9, 2), "advice/small-base")
DISK = Finding("the database must be whole", "cut", None, Place("runs/r/study.db"), "machine/storage")


def written(name: str, *results: Checked) -> str:
    """The whole output of one format."""
    return "".join(f"{line}\n" for line in FORMATS.look_up(name)(results))


def one(*errors: Finding, warnings: Iterable[Finding] = (), reference: str = "a/r.yaml", **other: Any) -> Validation:
    """A recipe of which `static` ran."""
    return Validation(reference, None, outcomes=(("static", LevelOutcome(errors, tuple(warnings))),), **other)


def excused(finding: Finding, reason: str = "it is known") -> Excused:
    """What a comment of the recipe excuses."""
    return Excused(finding, "warning", reason, Place("a/r.yaml", 1, 1))


EVERYTHING = (
    Validation("good.yaml", None, outcomes=(("static", LevelOutcome()), ("shapes", LevelOutcome()))),
    one(
        WRONG,
        replace(WRONG, place=Place("a/r.yaml", 6, 1)),
        warnings=[WEAK],
        skipped=("shapes",),
        excused=(excused(WEAK),),
    ),
    Validation(
        "own.yaml", None, outcomes=(("shapes", LevelOutcome(undecided=("whether it can be built",), decided=False)),)
    ),
    Validation("disk.yaml", None, outcomes=(("evidence", LevelOutcome(machine=(DISK,))),)),
    Validation("gone.yaml", None, unreadable=(Finding("it must exist", place=Place("gone.yaml"), code="recipe/none"),)),
)


def hostile(text: str) -> Validation:
    """A recipe whose name, values and messages are all the text, as far as each may be."""
    finding = Finding(f"`{text}` is no key", text, f"write {text}", Place(text, 3, 4), "recipe/unknown-key")
    outcomes = (("static", LevelOutcome((finding,), (finding,), (text,), (text,))),)
    return Validation(text, None, outcomes=outcomes, excused=(excused(finding, text),))
