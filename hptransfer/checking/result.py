"""What a check finds, part by part; who takes notice of the parts; and what `transfer.json` keeps of them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hptransfer.artifacts.carried import Carried
from hptransfer.artifacts.spent import Spent
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.checking.adaptive import AdaptiveResult, rounds_document
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.evaluation import Evaluated
from hptransfer.checking.expected import HOLDS, HOLDS_NOT, OPEN, CoordinateOutcome, Expect, Expected
from hptransfer.diagnostics.base import Diagnosed
from hptransfer.engine.scheduler import OnEvent
from hptransfer.engine.session import Session
from hptransfer.provenance import tool_version
from hptransfer.transfer.judge import TransferReport
from hptransfer.transfer.scope import Outlook
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import TrialState

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
        return self.report.verdict.exit_status == HOLDS and not self.broken

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
        return expected.exit_status(own, uncovered=uncovered)

    def _own_status(self, *, broken: bool) -> int:
        if not self.outlook.laws and broken:
            return HOLDS_NOT
        supported = self.outlook.bounded if self.outlook.laws else self.report.verdict.exit_status == HOLDS
        if supported:
            return 0 if self.outlook.settled else OPEN
        return OPEN if self.outlook.laws else self.report.verdict.exit_status

    def diagnosed(self, name: str) -> Any:
        """The report of a diagnostic; None where it was not made or had too little to judge."""
        return next((each.report for each in self.parts if isinstance(each, Diagnosed) and each.name == name), None)


def last_parts(
    expect: Expect | None, tuned: Mapping[str, float], evidence: TransferFile, ahead: Outlook
) -> Iterator[CoordinateOutcome | Expected]:
    """What is known once everything else is: what the coordinate check takes from the verdict, what was expected.

    Args:
        expect: the section of the recipe; None where it has none.
        tuned: tuned hyperparameter -> its value, own unit.
        evidence: the content of `transfer.json`.
        ahead: what it says of the recipe's target.
    """
    if (coordinate := CoordinateOutcome.of(evidence)) is not None:
        yield coordinate
    if expect is not None:
        yield Expected.of(expect, tuned, evidence, None if ahead.prediction is None else ahead.prediction.loss)


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
        adaptive=rounds_document(designs, ladders),
        provenance=_provenance(session, ladders, evaluated),
        spent=spent,
        target=next(part.scope for part in parts if isinstance(part, Outlook)),
        evidence=carried,
    )


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
