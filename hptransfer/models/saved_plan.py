"""A plan that was made in Python, as the content of a `target.yaml`: what was planned, and that nothing was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import ValidationError

from hptransfer.artifacts.target import ProvenanceRecord, TargetFile, TrainingRecord, VerdictRecord
from hptransfer.errors import UsageError
from hptransfer.hyperparameters import identifying
from hptransfer.models.model_record import said_options
from hptransfer.parameterization.groups import group_rows
from hptransfer.parameterization.plan import Plan
from hptransfer.provenance import versions
from hptransfer.recipe.registered import OPTIMIZERS

#: what the verdict of such a file says
NEVER_CHECKED = "planned in Python, never checked"
#: what writes it
WRITER = "AppliedPlan.save"
_NEEDED = ("steps", "batch_size", "schedule")


def saved_target(plan: Plan, training: Mapping[str, Any]) -> TargetFile:
    """The content of the file.

    Args:
        plan: of the target's size.
        training: fields of a `TrainingRecord` that were said; empty where nothing was.

    Raises:
        UsageError: there is no such field, a value of it cannot be, or one that the others need is missing.
    """
    groups = []
    for group in group_rows(plan.rows):
        scaled = {quantity: rule for quantity, rule in group.rules.items() if rule != "1"}
        groups.append(replace(group, rules=scaled, sources={each: group.sources[each] for each in scaled}))
    return TargetFile(
        format=TargetFile.FORMAT,
        recipe="",
        verdict=VerdictRecord(verdict=None, sentence=NEVER_CHECKED, forced=False, objections=(), axes=()),
        extrapolation=(),
        parameterization=plan.parameterization,
        gauge=plan.gauge,
        optimizer=plan.optimizer,
        options=said_options(plan.options),
        base=plan.base,
        size=plan.size,
        hyperparameters=identifying(plan.hyperparameters),
        optimizer_values=dict(plan.optimizer_values),
        muon_scale=plan.options.muon_scale,
        training=_training(training, plan),
        notes=(*plan.notes, *_unsaid(plan)),
        parameters=tuple(groups),
        provenance=ProvenanceRecord(
            written=datetime.now(UTC).isoformat(timespec="seconds"),
            versions=versions("torch", "numpy", "mup"),
            recipe_hash="",
            data_fingerprint=None,
            seeds={},
            tuned_at=None,
            intervals=None,
            tuned_with={},
        ),
    )


def _unsaid(plan: Plan) -> tuple[str, ...]:
    if (plan.size.batch_size, plan.size.tokens) != (1, 1):
        return ()
    return ("batch and duration were not said to the plan: `batch_size` and `tokens` of `base` and `size` stand at 1",)


def text_of(target: TargetFile) -> str:
    """The file's text.

    Args:
        target: the content, as `saved_target` gave it.
    """
    values = {**target.hyperparameters, **target.optimizer_values}
    optimizer = cast("Any", OPTIMIZERS.look_up(target.optimizer)).constructor(values)
    return target.to_yaml(optimizer, writer=WRITER)


def _training(said: Mapping[str, Any], plan: Plan) -> TrainingRecord | None:
    """What was said of the run; None where nothing was."""
    if not said:
        return None
    known = TrainingRecord.model_fields
    if unknown := sorted(said.keys() - known.keys()):
        raise UsageError(f"what is said of the training must be among {', '.join(known)}", received=", ".join(unknown))
    if missing := [name for name in _NEEDED if name not in said]:
        rule = f"{', '.join(f'`{name}`' for name in _NEEDED)} must be said together"
        raise UsageError(rule, received=f"without {', '.join(missing)}", hint="or say none of them")
    warmup = None if said["schedule"] == "own" else plan.hyperparameters.get("warmup")
    try:
        return TrainingRecord(**{"warmup": warmup, "clip": None, **said})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise UsageError(
            "what is said of the training must be what `target.yaml` holds",
            received=f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}",
        ) from None
