"""The check: coordinate check and other diagnostics, the ladder of every checked hyperparameter, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

from hptransfer.artifacts.coordinate import objection
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import read_tuned
from hptransfer.checking.adaptive import AdaptiveResult, run_adaptive
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.diagnose import chosen_diagnostics, diagnose_all, facts_of, of_stage, with_limits
from hptransfer.checking.expectations import Found, judge_expectations
from hptransfer.checking.result import CheckListener, CheckPart, CheckResult, CoordinateOutcome, Expected, evidence_of
from hptransfer.diagnostics.base import Stage
from hptransfer.engine.flops import is_short, spent_on
from hptransfer.engine.session import Session
from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.statistics.slope import RowVerdict
from hptransfer.transfer.axis_facts import facts_of_report
from hptransfer.transfer.judge import combine_reports
from hptransfer.transfer.scope import outlook_of
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Phase, Trial, TrialState


def check(
    session: Session, name: str, *, diagnostics: Sequence[str] = (), listener: CheckListener | None = None
) -> CheckResult:
    """Run the diagnostics and the ladder, and judge them; nothing is printed, and no result is written.

    Args:
        session: of the recipe, with idle workers.
        name: what the user called the recipe, for hints.
        diagnostics: names to be made in addition to those of the recipe.
        listener: takes notice of parts and trials; None for nobody.

    Raises:
        UsageError: nothing was tuned, or with another version of the recipe, or a diagnostic is not known.
        InconclusiveError: some size diverged at every value that was tried.
    """
    recipe = session.loaded.recipe
    chosen = chosen_diagnostics(recipe, diagnostics)
    tuned = _tuned(session, name)
    session.rehearse()
    designs = [CheckDesign(recipe, session.root, tuned, each) for each in recipe.check.checked]
    parts = _Parts([], listener)
    facts = facts_of(designs[0])
    for found in diagnose_all(of_stage(chosen, Stage.BEFORE_LADDER), facts, session):
        parts.add(found)
    ladders = [parts.add(_run_ladder(session, design, listener)) for design in designs]
    facts = replace(facts, trials=ladders[0].trials, searched=session.store.trials(facts.proxy))
    reports = [design.judge(ladder.trials) for design, ladder in zip(designs, ladders, strict=True)]
    judged = list(diagnose_all(of_stage(chosen, Stage.WITH_VERDICT), facts, session))
    report = parts.add(with_limits(combine_reports(reports), judged, facts))
    for found in judged:
        parts.add(found)
    parts.add(designs[0].evaluated(session.fingerprint, report, ladders[0].trials))
    values = {axis.hyperparameter: axis.transferred for axis in report.axes}
    outlook = parts.add(outlook_of(recipe, facts_of_report(report), values, recipe.target_size(), session.costs.of_one))
    for found in diagnose_all(of_stage(chosen, Stage.AFTER_VERDICT), facts, session):
        parts.add(found)
    short = is_short(recipe, recipe.target_size())
    parts.add(spent_on(session.store.trials(), session.costs.of_target(), short=short))
    evidence = evidence_of(session, report, parts.found, designs)
    if (coordinate := outcome_of(evidence)) is not None:
        parts.add(coordinate)
    if recipe.expect is not None:
        seen = Found(tuned, evidence, None if outlook.prediction is None else outlook.prediction.loss)
        parts.add(Expected(judge_expectations(recipe.expect, seen), recipe.expect.verdict is not None))
    return CheckResult(report, tuple(parts.found), evidence)


def outcome_of(evidence: TransferFile) -> CoordinateOutcome | None:
    """What a coordinate check that does not hold means for the verdict; None where it holds or was not made.

    Args:
        evidence: the content of `transfer.json`.
    """
    found = evidence.coordinate
    if found is None or found.verdict == RowVerdict.HOLDS:
        return None
    if found.fails:
        return CoordinateOutcome(objection(evidence.verdict, found), fails=True)
    return CoordinateOutcome("The coordinate check is INCONCLUSIVE, which takes nothing from the verdict.", fails=False)


Part = TypeVar("Part", bound=CheckPart)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was found so far, and who takes notice."""

    found: list[CheckPart]
    listener: CheckListener | None

    def add(self, part: Part) -> Part:
        """Keep a part, and let the listener know."""
        self.found.append(part)
        if self.listener is not None:
            self.listener.part(part)
        return part


def _tuned(session: Session, name: str) -> dict[str, float]:
    """The tuned value of every hyperparameter, of this version of the recipe."""
    tuned = read_tuned(session.folder.tuned, name)
    if tuned.recipe_hash != session.loaded.hash:
        raise UsageError(
            "transfer is checked for values that were tuned with the same recipe",
            received=f"{session.folder.tuned} is of another version of it",
            hint=f"run `hptransfer tune {name}` again; trials that are still valid are reused",
        )
    return tuned.hyperparameters


def _run_ladder(session: Session, design: CheckDesign, listener: CheckListener | None) -> AdaptiveResult:
    """Train the ladder of one hyperparameter; every size must have trained at some value."""
    first = design.first()
    announced = {session.key(spec) for spec in first}
    with nullcontext(_Silence()) if listener is None else listener.ladder(design, first) as progress:

        def run(specs: Sequence[TrialSpec]) -> list[Trial]:
            progress.expect([spec for spec in specs if session.key(spec) not in announced])
            return session.run(specs, Phase.CHECK, progress.on_event)

        ladder = run_adaptive(design, run, workers=session.pool.workers)
    trained = {trial.size for trial in ladder.trials if trial.state is TrialState.COMPLETE}
    blown = sorted({trial.size for trial in ladder.trials} - trained)
    if blown:
        raise InconclusiveError(
            "every size must train at some value without diverging",
            received=f"divergence at all values of {', '.join(size.label_relative_to(design.proxy) for size in blown)}",
            hint="raise `check.octaves`, or look for a mistake in the parameterization: the ladder reaches far down",
        )
    return ladder


class _Silence:
    """Progress that nobody watches."""

    def on_event(self, event: object) -> None:
        """Takes no notice."""

    def expect(self, specs: Sequence[TrialSpec]) -> None:
        """Takes no notice."""
