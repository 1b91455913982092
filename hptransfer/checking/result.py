"""What a check finds, part by part; who takes notice of the parts; and what `transfer.json` keeps of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.coordinate import objection
from hptransfer.artifacts.spent import Spent
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.checking.adaptive import AdaptiveResult
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.evaluation import Evaluated
from hptransfer.checking.expectations import Expectation, Found, exit_status, judge_expectations
from hptransfer.diagnostics.base import Diagnosed
from hptransfer.engine.scheduler import OnEvent
from hptransfer.engine.session import Session
from hptransfer.provenance import tool_version
from hptransfer.recipe.schema import Expect
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import RowVerdict
from hptransfer.transfer.judge import TransferReport
from hptransfer.transfer.scope import Outlook
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import TrialState
from hptransfer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Expected:
    """What the recipe expects, and what was found.

    Attributes:
        each: one entry for each thing that is expected.
        names_verdict: whether a verdict is among them.
    """

    each: tuple[Expectation, ...]
    names_verdict: bool

    @classmethod
    def of(
        cls, expect: Expect, tuned: Mapping[str, float], evidence: TransferFile, prediction: Interval | None
    ) -> Expected:
        """What is expected, against what was found.

        Args:
            expect: the recipe's section.
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
        sentence: one or two sentences.
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


#: what a check finds, in the order in which it finds it
CheckPart = Diagnosed | AdaptiveResult | TransferReport | Evaluated | Outlook | Spent | CoordinateOutcome | Expected


class LadderProgress(Protocol):
    """Takes notice of the trials of one ladder."""

    @property
    def on_event(self) -> OnEvent:
        """Is called with every event of a trial."""

    def expect(self, specs: Sequence[TrialSpec]) -> None:
        """More trials will come than were announced."""


class CheckListener(Protocol):
    """Takes notice of a check while it runs."""

    def part(self, part: CheckPart) -> None:
        """Something is known that will not change any more."""

    def ladder(self, design: CheckDesign, specs: Sequence[TrialSpec]) -> AbstractContextManager[LadderProgress]:
        """A ladder begins with these trials; what is returned hears of them, and is closed at the ladder's end."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        report: the judgement over all hyperparameters and axes.
        parts: everything that was found, in the order in which a person reads it.
        evidence: the content of `transfer.json`.
    """

    report: TransferReport
    parts: tuple[CheckPart, ...]
    evidence: TransferFile

    @property
    def unit(self) -> str:
        """In which losses are."""
        return next(each.unit for each in self.parts if isinstance(each, Evaluated))

    @property
    def document(self) -> dict[str, Any]:
        """The evidence as JSON-able data."""
        return self.evidence.document

    @property
    def outlook(self) -> Outlook:
        """What it says of the recipe's target."""
        return next(part for part in self.parts if isinstance(part, Outlook))

    @property
    def supports_target(self) -> bool:
        """Whether the target may be written: values carry over, or laws bound what the target needs."""
        if self.outlook.laws:
            return self.outlook.bounded
        return self.report.verdict is Verdict.TRANSFERS and not self.broken

    @property
    def broken(self) -> bool:
        """Whether the coordinate check FAILS: the parameterization does not do what its rules say."""
        return self.evidence.coordinate is not None and self.evidence.coordinate.fails

    @property
    def exit_status(self) -> int:
        """What a command ends with: what the recipe expects decides, where it expects something.

        Else it is the verdict's, but 1 where the coordinate check FAILS, and 3 where values carry over and the target
        is not covered, which no expectation changes. Where no rule is claimed, 0 or 3 as the laws bound the target and
        its axes are covered.
        """
        expected = next((part for part in self.parts if isinstance(part, Expected)), Expected((), False))
        uncovered = self.supports_target and not self.outlook.settled
        # where something is expected, a coordinate check that FAILS is among it (`judge_expectations`)
        own = self._own_status(broken=self.broken and not expected.each)
        return exit_status(expected.each, own, names_verdict=expected.names_verdict and not uncovered)

    def _own_status(self, *, broken: bool) -> int:
        if not self.outlook.laws and broken:
            return Verdict.DRIFTS.exit_status
        supported = self.outlook.bounded if self.outlook.laws else self.report.verdict is Verdict.TRANSFERS
        if supported:
            return 0 if self.outlook.settled else Verdict.INCONCLUSIVE.exit_status
        return Verdict.INCONCLUSIVE.exit_status if self.outlook.laws else self.report.verdict.exit_status

    def diagnosed(self, name: str) -> Any:
        """The report of a diagnostic; None where it was not made or had too little to judge."""
        return next((each.report for each in self.parts if isinstance(each, Diagnosed) and each.name == name), None)


def evidence_of(
    session: Session,
    report: TransferReport,
    parts: Sequence[CheckPart],
    designs: Sequence[CheckDesign],
    carried: Carried,
) -> TransferFile:
    """The content of `transfer.json`.

    Args:
        session: in which the check ran.
        report: over all hyperparameters and axes.
        parts: everything that was found, what was spent among it.
        designs: of the ladders, in the order of their results.
        carried: the trials, and what determined them.
    """
    ladders = [part for part in parts if isinstance(part, AdaptiveResult)]
    (spent,) = (part for part in parts if isinstance(part, Spent))
    (evaluated,) = (part for part in parts if isinstance(part, Evaluated))
    return TransferFile.of(
        report,
        recipe=session.loaded.recipe.name,
        recipe_hash=session.loaded.hash,
        identity=session.identity.digest,
        diagnostics={part.name: part.document for part in parts if isinstance(part, Diagnosed)},
        adaptive=_rounds(designs, ladders),
        provenance=_provenance(session, ladders, evaluated),
        spent=spent,
        target=next(part.scope for part in parts if isinstance(part, Outlook)),
        evidence=carried,
    )


def _rounds(designs: Sequence[CheckDesign], ladders: Sequence[AdaptiveResult]) -> dict[str, object]:
    """What the rounds of each hyperparameter were spent on; those of the first stand by themselves."""
    first, *others = ({"ended": ladder.ended, "rounds": ladder.rounds} for ladder in ladders)
    names = (design.hyperparameter for design in designs[1:])
    return first | {"others": dict(zip(names, others, strict=True))}


def _provenance(session: Session, ladders: Sequence[AdaptiveResult], evaluated: Evaluated) -> dict[str, object]:
    trials = {trial.key: trial for ladder in ladders for trial in ladder.trials}.values()
    return {
        "hptransfer": tool_version(),
        "python": platform.python_version(),
        "torch": sorted({trial.provenance.get("torch", "") for trial in trials}),
        "data": session.identity.fingerprint,
        "evaluation": evaluated.evaluation,
        "evaluation_error": evaluated.error,
        "unit": evaluated.unit,
        "seeds": session.loaded.recipe.check.seeds,
        "trials": len(trials),
        "diverged": sum(trial.state is TrialState.DIVERGED for trial in trials),
        "flops": sum(trial.flops for trial in trials),
        "seconds": sum(trial.seconds for trial in trials),
    }
