"""The last parts of a check: what the coordinate check takes from the verdict, and what the recipe expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hptransfer.artifacts.coordinate import objection
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.checking.expectations import (
    HOLDS,
    HOLDS_NOT,
    OPEN,
    Expectation,
    Found,
    exit_status,
    judge_expectations,
)
from hptransfer.recipe.expect_section import Expect
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import RowVerdict

__all__ = ["HOLDS", "HOLDS_NOT", "OPEN", "CoordinateOutcome", "Expect", "Expected"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the recipe expects, and what was found.

    Attributes:
        each: one entry for each thing that is expected.
        names_verdict: whether a verdict is among them.
    """

    each: tuple[Expectation, ...]
    names_verdict: bool

    def exit_status(self, own: int, *, uncovered: bool) -> int:
        """What a command ends with; see `expectations.exit_status`.

        Args:
            own: the status without any expectation.
            uncovered: whether values carry over to a target that the check does not reach.
        """
        return exit_status(self.each, own, names_verdict=self.names_verdict and not uncovered)

    @classmethod
    def of(
        cls, expect: Expect, tuned: Mapping[str, float], evidence: TransferFile, prediction: Interval | None
    ) -> Expected:
        """What is expected, against what was found.

        Args:
            expect: the section of the recipe.
            tuned: tuned hyperparameter -> its value, own unit.
            evidence: the content of `transfer.json`.
            prediction: of the loss at the recipe's target; None where none was made.
        """
        found = judge_expectations(expect, Found(tuned, evidence, prediction))
        return cls(found, expect.verdict is not None)


@dataclass(frozen=True, slots=True)
class CoordinateOutcome:
    """What the coordinate check takes from the verdict, or leaves open.

    Attributes:
        sentence: one or two sentences for people.
        fails: whether the check FAILS; else it is INCONCLUSIVE, which takes nothing from the verdict.
    """

    sentence: str
    fails: bool

    @classmethod
    def of(cls, evidence: TransferFile) -> CoordinateOutcome | None:
        """What a coordinate check that does not hold means for the verdict; None where it holds or was not made.

        Args:
            evidence: the content of `transfer.json`.
        """
        found = evidence.coordinate
        if found is None or found.verdict == RowVerdict.HOLDS:
            return None
        if found.fails:
            return cls(objection(evidence.verdict, found), fails=True)
        return cls("The coordinate check is INCONCLUSIVE, which takes nothing from the verdict.", fails=False)
