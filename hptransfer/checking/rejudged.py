"""What `transfer.json` says, computed again from the trials that it carries: nothing is trained, torch is not needed.

Not computed again are what rounds of an adaptive check asked for (what was known after each is), measurements of
diagnostics other than their verdicts, and what only a session knows: versions, and FLOPs of the target's run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hptransfer.artifacts.carried import CarriedTrials
from hptransfer.artifacts.transfer import AdaptiveRecord, TransferFile
from hptransfer.checking.adaptive import judged_again, rounds_by_name, rounds_document
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.diagnose import facts_of, judged_from_trials, with_limits
from hptransfer.checking.evaluation import Evaluated
from hptransfer.diagnostics.base import DIAGNOSTICS, Diagnosed, Facts, ReadParameters
from hptransfer.engine.flops import is_short, spent_on
from hptransfer.errors import UsageError
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.transfer.axis_facts import facts_of_report
from hptransfer.transfer.judge import combine_reports
from hptransfer.transfer.scope import outlook_of
from hptransfer.trials.trial import Trial, TrialState

__all__ = ["ReadParameters", "own_diagnostics", "rejudged"]


def rejudged(
    recipe: Recipe,
    root: Path,
    written: TransferFile,
    tuned: Mapping[str, float],
    target_flops: float | None,
    parameters: ReadParameters | None = None,
) -> TransferFile | None:
    """The content that `transfer.json` would have, were it written now from its own trials; None where it has none.

    Args:
        recipe: that was checked, with the durations of its sizes.
        root: the recipe's folder, where data patterns start.
        written: the content of the file.
        tuned: base-size value of every hyperparameter, as `tune` found it.
        target_flops: floating point operations of the target's run; None where they are not known.
        parameters: of the model at each width and depth; None where it was not read.

    Raises:
        ValueError: the trials contradict themselves, or are not those of such a check.
        UsageError: the same.
    """
    if written.evidence is None:
        return None
    read = written.evidence.read()
    designs = [CheckDesign(recipe, root, dict(tuned), each) for each in recipe.check.checked]
    ladders = [_ladder(read, design) for design in designs]
    facts = facts_of(designs[0])
    at_proxy = [trial for trial in read.trials if trial.size == facts.proxy]
    facts = replace(facts, trials=ladders[0], searched=at_proxy, parameters=parameters or {})
    reports = [design.judge(ladder) for design, ladder in zip(designs, ladders, strict=True)]
    judged = judged_from_trials(written.diagnostics, facts)
    report = with_limits(combine_reports(reports), judged, facts)
    data = str(written.evidence.identity.get("data", {}).get("fingerprint", ""))
    evaluated = designs[0].evaluated(data, report, ladders[0])
    values = {axis.hyperparameter: axis.transferred for axis in report.axes}

    def flops(size: Size) -> float | None:
        if size not in read.costs:
            raise ValueError(f"`costs` lacks {size.label}, which the judgement of the target asks for")
        return read.costs[size]

    outlook = outlook_of(recipe, facts_of_report(report), values, recipe.target_size(), flops)
    short = is_short(recipe, recipe.target_size())
    return TransferFile.of(
        report,
        recipe=recipe.name,
        recipe_hash=written.recipe_hash,
        identity=written.identity,
        diagnostics=_diagnostics(written, judged, facts),
        adaptive=_adaptive(written.adaptive, designs, ladders),
        provenance=_provenance(recipe, written, ladders, evaluated) | {"data": data},
        spent=spent_on(read.trials, target_flops, short=short),
        target=outlook.scope,
        evidence=written.evidence,
    )


def own_diagnostics(recipe: Recipe, written: TransferFile) -> list[str]:
    """Diagnostics that are not this package's: their code would have to run, so they are not asked again.

    Args:
        recipe: that was checked, with the durations of its sizes.
        written: the content of `transfer.json`.
    """
    named = (*recipe.check.diagnostics, *written.diagnostics)
    return [name for name in dict.fromkeys(named) if name not in DIAGNOSTICS.built_in]


def _ladder(read: CarriedTrials, design: CheckDesign) -> list[Trial]:
    trials = list(read.groups.get(design.hyperparameter, ()))
    trained = {trial.size for trial in trials if trial.state is TrialState.COMPLETE}
    missing = [size for size in design.all_sizes() if size not in trained]
    if missing:
        raise UsageError(
            "a check has a trial that trained at each of the recipe's sizes",
            received=f"none at {missing[0].label} for {design.hyperparameter}",
        )
    return trials


def _diagnostics(written: TransferFile, judged: Sequence[Diagnosed], facts: Facts) -> dict[str, Any]:
    again = {each.name: each.document for each in judged}
    return {name: again.get(name, _again(name, document, facts)) for name, document in written.diagnostics.items()}


def _again(name: str, document: Any, facts: Facts) -> Any:
    """The verdicts of a measured diagnostic, from what its document holds."""
    if name not in DIAGNOSTICS.built_in:
        return document
    return DIAGNOSTICS.look_up(name).again(document, facts)


def _adaptive(
    stated: AdaptiveRecord, designs: Sequence[CheckDesign], ladders: Sequence[Sequence[Trial]]
) -> dict[str, object]:
    """The rounds of every ladder; a hyperparameter whose rounds are not stated has none to judge again."""
    of = rounds_by_name(stated, designs)
    found = []
    for design, ladder in zip(designs, ladders, strict=True):
        said = of[design.hyperparameter]
        rounds = [(each.trials, each.spent_on) for each in said.rounds]
        found.append(judged_again(design, ladder, rounds, said.ended))
    return rounds_document(designs, found)


def _provenance(
    recipe: Recipe, written: TransferFile, ladders: Sequence[Sequence[Trial]], evaluated: Evaluated
) -> dict[str, Any]:
    trials = {trial.key: trial for ladder in ladders for trial in ladder}.values()
    return written.provenance.model_dump(mode="json") | {
        "torch": sorted({trial.provenance.get("torch", "") for trial in trials}),
        "evaluation": evaluated.evaluation,
        "evaluation_error": evaluated.error,
        "unit": evaluated.unit,
        "seeds": recipe.check.seeds,
        "trials": len(trials),
        "diverged": sum(trial.state is TrialState.DIVERGED for trial in trials),
        "flops": sum(trial.flops for trial in trials),
        "seconds": sum(trial.seconds for trial in trials),
    }
