"""Making diagnostics: what they ask for is measured by workers, kept in the run folder, and judged."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hptransfer.checking.design import CheckDesign
from hptransfer.checking.mixture import mixtures
from hptransfer.diagnostics.base import DIAGNOSTICS, Diagnosed, Diagnostic, Facts, Stage
from hptransfer.engine.measurement_cache import measure
from hptransfer.engine.session import Session
from hptransfer.errors import UsageError
from hptransfer.recipe.rules.base import Draft, violations
from hptransfer.recipe.schema import Recipe
from hptransfer.registry import users_code
from hptransfer.sizes import AXES
from hptransfer.trainers.base import TRAINERS
from hptransfer.transfer.judge import AxisReport, TransferReport
from hptransfer.trials.messages import DiagnosticMessage

#: the diagnostic that a user's own loop can record
_WATCHED = "coordinate"


def chosen_diagnostics(recipe: Recipe, asked: Sequence[str]) -> dict[str, Diagnostic[Any]]:
    """The diagnostics of a check by name: those that every check makes, the recipe's, and those asked for.

    Args:
        recipe: whose `check.diagnostics` are made.
        asked: names from the command line.

    Raises:
        UsageError: a name is not known, or its diagnostic cannot be made for this recipe.
    """
    wanted = tuple(dict.fromkeys((*recipe.check.diagnostics, *asked)))
    entries = {name: DIAGNOSTICS.look_up(name) for name in wanted}
    check = recipe.check.model_copy(update={"diagnostics": wanted})
    asked_for = recipe.model_copy(update={"check": check}).model_dump(mode="json")
    for _, broken in violations(Draft.of(asked_for)):
        if broken.path[:2] == ("check", "diagnostics"):
            raise UsageError(broken.rule, received=broken.received, hint=broken.hint)
    others = {name: DIAGNOSTICS.look_up(name) for name in DIAGNOSTICS.names if name not in wanted}
    return {name: entry for name, entry in others.items() if entry.always} | entries


def facts_of(design: CheckDesign) -> Facts:
    """What a check knows before its ladder.

    Args:
        design: of the first hyperparameter that is checked.
    """
    return Facts(
        recipe=design.recipe,
        root=design.root,
        values=design.held | {design.hyperparameter: design.tuned[design.hyperparameter]},
        hyperparameter=design.hyperparameter,
        checked=design.recipe.check.checked,
        proxy=design.proxy,
        ladders={axis: design.sizes(axis) for axis in AXES},
        sizes=design.all_sizes(),
    )


def diagnose(name: str, diagnostic: Diagnostic[Any], facts: Facts, session: Session) -> Diagnosed | None:
    """Measure what is not kept yet, and judge all of it.

    Args:
        name: of the diagnostic, as it was looked up.
        diagnostic: entry of the registry that asks, judges and shows.
        facts: what the check knows at this stage.
        session: whose idle workers measure, and in whose folder measurements are kept.

    Returns:
        What was found; None where every check makes it and the recipe's trainer cannot be measured.

    Raises:
        UsageError: the recipe's trainer cannot be measured, and the diagnostic was asked for.
        MachineError: a worker could not measure.
    """
    own = name not in DIAGNOSTICS.built_in
    with users_code("a diagnostic must say what it measures", name, own=own):
        requests = tuple(diagnostic.requests(facts))
    if requests and not _measurable(name, facts.recipe):
        if diagnostic.always:
            return None
        trainer = facts.recipe.trainer.name
        raise UsageError(
            f"`{name}` must be able to measure the model while it trains",
            received=f"trainer: {trainer}, which says that it cannot be measured",
            hint="leave the diagnostic out, or use `trainer: torch`",
        )
    payloads = {}
    for request in requests:
        options = json.dumps(dict(request.options), sort_keys=True, allow_nan=False)
        determined = f"{session.key(request.spec)}:{name}:{diagnostic.version}:{options}"
        message = DiagnosticMessage.of(name, request.spec, session.identity.fingerprint, request.options)
        payloads[hashlib.sha256(determined.encode()).hexdigest()] = message.payload()
    if not payloads:
        return _judged(name, diagnostic, facts, ())
    folder = session.folder.path / "measurements"
    folder.mkdir(exist_ok=True)
    cache = folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}.json"
    measured = measure(payloads, session.pool, cache, diagnostic.rule)
    return _judged(name, diagnostic, facts, [measured[key] for key in payloads])


def _measurable(name: str, recipe: Recipe) -> bool:
    """Whether the recipe's trainer can be measured for a diagnostic, or its loop records what that asks for."""
    recorded = recipe.trainer.watches and name == _WATCHED
    return recorded or TRAINERS.look_up(recipe.trainer.name).capabilities.diagnostics


def always_made(facts: Facts) -> tuple[str, ...]:
    """Names of what every check of a recipe makes, the recipe's own choice among it.

    Left out are what other packages add, and, of a trainer of the recipe's own, what only it can measure: their code
    would run to be asked.

    Args:
        facts: of the recipe's check.
    """
    recipe, trainer = facts.recipe, facts.recipe.trainer.name
    asked = trainer in TRAINERS.built_in or ":" not in trainer
    built_in = {name: DIAGNOSTICS.look_up(name) for name in DIAGNOSTICS.names if name in DIAGNOSTICS.built_in}
    always = (
        name
        for name, each in built_in.items()
        if each.always and (not each.requests(facts) or (asked and _measurable(name, recipe)))
    )
    return (*recipe.check.diagnostics, *always)


def _judged(name: str, diagnostic: Diagnostic[Any], facts: Facts, measured: Sequence[Mapping[str, Any]]) -> Diagnosed:
    with users_code("a diagnostic must judge what it measured", name, own=name not in DIAGNOSTICS.built_in):
        return Diagnosed.of(name, diagnostic.judge(facts, measured))


def _limits(name: str, report: Any, axis: AxisReport, facts: Facts) -> tuple[str, ...]:
    with users_code("a diagnostic must say what an axis cannot show", name, own=name not in DIAGNOSTICS.built_in):
        return tuple(DIAGNOSTICS.look_up(name).limits(report, axis, facts))


def diagnose_all(diagnostics: Mapping[str, Diagnostic[Any]], facts: Facts, session: Session) -> Iterator[Diagnosed]:
    """What several diagnostics find, one after the other; see `diagnose`.

    Args:
        diagnostics: entries of the registry by name.
        facts: what the check knows at this stage.
        session: whose idle workers measure.
    """
    for name, diagnostic in diagnostics.items():
        found = diagnose(name, diagnostic, facts, session)
        if found is not None:
            yield found


def judged_from_trials(names: Iterable[str], facts: Facts) -> list[Diagnosed]:
    """What this package's diagnostics say that measure nothing and are made with the verdict.

    Args:
        names: those that were asked for; others than this package's are left out, because their code would run.
        facts: what the check knows, its trials among it.
    """
    wanted = {name: DIAGNOSTICS.look_up(name) for name in DIAGNOSTICS.names if name in DIAGNOSTICS.built_in}
    asked = set(names)
    stage = of_stage(wanted, Stage.WITH_VERDICT)
    return [_judged(name, each, facts, ()) for name, each in stage.items() if each.always or name in asked]


def with_limits(report: TransferReport, diagnosed: Sequence[Diagnosed], facts: Facts) -> TransferReport:
    """The report with what diagnostics say that its axes cannot show, and whether trials were computed in several ways.

    Args:
        report: over all hyperparameters and axes.
        diagnosed: made with the verdict.
        facts: what the check knows at this stage.
    """
    mixed = mixtures(facts.trials)
    return replace(
        report,
        axes=tuple(
            replace(
                axis,
                limits=(
                    *axis.limits,
                    *(
                        limit
                        for each in diagnosed
                        if each.report is not None
                        for limit in _limits(each.name, each.report, axis, facts)
                    ),
                    *mixed,
                ),
            )
            for axis in report.axes
        ),
    )


def of_stage(diagnostics: dict[str, Diagnostic[Any]], stage: Stage) -> dict[str, Diagnostic[Any]]:
    """Those that are made at one stage of a check, in their order.

    Args:
        diagnostics: entries of the registry by name.
        stage: when they are made.
    """
    return {name: each for name, each in diagnostics.items() if each.stage is stage}
