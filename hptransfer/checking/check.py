"""The check: coordinate check and other diagnostics, the ladder of every checked hyperparameter, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

from hptransfer.checking.adaptive import AdaptiveResult, run_adaptive
from hptransfer.checking.carried_trials import carried_by
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.diagnose import chosen_diagnostics, diagnose_all, facts_of, of_stage, with_limits
from hptransfer.checking.result import CheckListener, CheckPart, CheckResult, Expectation, evidence_of
from hptransfer.checking.tuned_values import tuned_values
from hptransfer.diagnostics.base import Stage
from hptransfer.engine.flops import AskedCosts, is_short, spent_on
from hptransfer.engine.session import Session
from hptransfer.errors import InconclusiveError
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
    tuned = tuned_values(session, name)
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
    costs = AskedCosts(session.costs.of_one)
    parts.add(outlook_of(recipe, facts_of_report(report), values, recipe.target_size(), costs.of))
    for found in diagnose_all(of_stage(chosen, Stage.AFTER_VERDICT), facts, session):
        parts.add(found)
    short = is_short(recipe, recipe.target_size())
    parts.add(spent_on(session.store.trials(), session.costs.of_target(), short=short))
    if recipe.expect is not None:
        parts.add(Expectation(recipe.expect.verdict, report.verdict))
    groups = {design.hyperparameter: ladder.trials for design, ladder in zip(designs, ladders, strict=True)}
    carried = carried_by(session, groups, costs)
    return CheckResult(report, tuple(parts.found), evidence_of(session, report, parts.found, designs, carried))


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
