"""The content of `target.yaml`: the plan of the target with the evidence for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hptransfer.artifacts.target import (
    ExtrapolationRecord,
    ProvenanceRecord,
    TargetFile,
    TrainingRecord,
    VerdictRecord,
)
from hptransfer.artifacts.transfer import AxisRecord, TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.hyperparameters import identifying
from hptransfer.models.api import plan_recipe
from hptransfer.models.shape_reading import count_flops
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import Plan
from hptransfer.provenance import versions
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.groups import groups_of
from hptransfer.scaling.verify import registered_prediction
from hptransfer.sizes import AXES, LADDERS, MODEL_AXES, Size, SizeAxis, rule_name

#: packages whose versions can change a run
_PACKAGES = ("torch", "numpy", "mup", "optuna")


def build_target(
    loaded: LoadedRecipe,
    size: Size,
    tuned: Tuned,
    checked: TransferFile | None,
    objections: Sequence[str],
    identity: str,
) -> TargetFile:
    """The content of `target.yaml`, in the gauge `plain`.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        size: width, depth, examples per step and tokens of the run.
        tuned: the content of `tuned.yaml`, with tuned values and where they come from.
        checked: the content of `transfer.json`; None without a check.
        objections: why the file should not be written; empty unless forced.
        identity: sha256 (hex) of the rules, code and data that hold now; empty where it is not known.

    Raises:
        UsageError: the model cannot be built at this size, or no rule is known for one of its parameters.
    """
    recipe = loaded.recipe
    plan = plan_recipe(recipe, size, defaults(recipe.training) | _values(tuned))
    reached = checked.checked if checked else {}
    trained = {LADDERS[axis]: (getattr(recipe.proxy_size, axis), *reached.get(LADDERS[axis], ())) for axis in AXES}
    distances = tuple(extrapolation(plan, trained))
    if recipe.ray is not None:
        distances = tuple(_on_ray(each, recipe, size) if each.axis == "tokens" else each for each in distances)
    return TargetFile(
        format=TargetFile.FORMAT,
        recipe=recipe.name,
        verdict=VerdictRecord(
            verdict=checked.verdict.value if checked else None,
            sentence=checked.sentence if checked else "transfer was never checked",
            forced=bool(objections),
            objections=tuple(objections),
            axes=tuple(map(_brief, checked.axes)) if checked else (),
        ),
        extrapolation=distances,
        parameterization=plan.parameterization,
        gauge=plan.gauge,
        optimizer=plan.optimizer,
        base=plan.base,
        size=plan.size,
        hyperparameters=identifying(plan.hyperparameters),
        optimizer_values=dict(plan.optimizer_values),
        training=TrainingRecord(
            steps=recipe.steps(size),
            batch_size=size.batch_size,
            schedule=recipe.training.schedule,
            warmup=recipe.warmup_share(size, plan.hyperparameters["warmup"]),
            clip=recipe.training.clip,
            clip_norm=recipe.training.clip_norm,
            floor=recipe.training.floor,
            decay_share=recipe.training.decay_share if recipe.training.schedule == "wsd" else None,
            precision=recipe.training.precision,
        ),
        notes=tuple(plan.notes),
        parameters=groups_of(plan, recipe),
        provenance=_provenance(loaded, tuned, identity),
        prediction=registered_prediction(
            checked, recipe=recipe.name, proxy=recipe.proxy_size, size=size, on_ray=recipe.on_ray(size)
        ),
        # the check's holds tuning as well
        spent=(checked.spent if checked else tuned.spent).share_of(count_flops(recipe.model, [size])[0]),
    )


def _values(tuned: Tuned) -> dict[str, float]:
    return {name: float(value) for name, value in tuned.hyperparameters.items()}


def in_gauge(target: TargetFile, recipe: Recipe, gauge: Gauge) -> TargetFile:
    """The same target with its multipliers elsewhere.

    Args:
        target: the content of `target.yaml`, in any gauge.
        recipe: the recipe that the target is of.
        gauge: where multipliers live in the result.
    """
    if gauge == target.gauge:
        return target
    plan = plan_recipe(recipe, target.size, defaults(recipe.training) | dict(target.hyperparameters), gauge)
    return target.model_copy(
        update={"gauge": plan.gauge, "notes": tuple(plan.notes), "parameters": groups_of(plan, recipe)}
    )


def _brief(axis: AxisRecord) -> dict[str, Any]:
    """One axis of the check without the curves behind it: those stay in transfer.json."""
    return axis.model_dump(mode="json") | {"sizes": [size.value for size in axis.sizes]}


def _provenance(loaded: LoadedRecipe, tuned: Tuned, identity: str) -> ProvenanceRecord:
    recipe = loaded.recipe
    return ProvenanceRecord(
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(*_PACKAGES),
        recipe_hash=loaded.hash,
        identity=identity,
        data_fingerprint=tuned.provenance.data,
        seeds={
            "search": recipe.tune.seed,
            "confirmation": recipe.tune.confirm_seeds,
            "check": recipe.check.seeds,
            "coordinate_check": recipe.check.coordinate.seeds,
        },
        tuned_at=asdict(tuned.size),
        intervals=tuned.intervals,
        tuned_with=tuned.provenance.model_dump(mode="json"),
    )


def extrapolation(plan: Plan, checked: Mapping[str, Sequence[int]]) -> Iterator[ExtrapolationRecord]:
    """How far the target lies beyond what was checked, one entry per axis of size.

    Args:
        plan: of the target, which knows its base and the axes that have rules.
        checked: what was trained of each ladder, by its key in `LADDERS`; a run that says nothing is the base's.
    """
    for axis in AXES:
        usual = None if axis in MODEL_AXES else getattr(plan.base, axis)
        reached, target = max(checked.get(LADDERS[axis], ()), default=usual), getattr(plan.size, axis)
        factor = None if reached is None else target / reached
        sentence = _sentence(axis, target, reached, factor, rule_name(axis) in plan.covers)
        yield ExtrapolationRecord(axis=axis, target=target, checked_up_to=reached, factor=factor, sentence=sentence)


def _on_ray(record: ExtrapolationRecord, recipe: Recipe, size: Size) -> ExtrapolationRecord:
    """How far a target's tokens lie from the ray along which the checked sizes grew."""
    usual = recipe.size(size.width, size.depth).tokens
    if recipe.on_ray(size):
        sentence = f"tokens {size.tokens} are those of {recipe.ray}, as of the checked runs: they grow with the model"
        return record.model_copy(update={"checked_up_to": usual, "factor": 1.0, "sentence": sentence})
    factor = size.tokens / usual
    sentence = (
        f"tokens {size.tokens} are {factor:.3g} times what {recipe.ray} give a model of this size: the checked runs do "
        "not cover it"
    )
    return record.model_copy(update={"checked_up_to": usual, "factor": factor, "sentence": sentence})


def _sentence(axis: SizeAxis, target: int, reached: int | None, factor: float | None, has_rule: bool) -> str:
    subject = f"{axis.replace('_', ' ')} {target}"
    unchecked = "by theory alone" if has_rule else "no rule and no check cover it"
    if reached is None or factor is None:
        return f"{subject} was not checked: {unchecked}"
    if axis not in MODEL_AXES and factor != 1:
        return f"{subject} is {factor:g} times that of the checked runs: {unchecked}"
    if factor <= 1:
        return f"{subject} lies within what was trained (up to {reached})"
    return f"{subject} lies {factor:g} times beyond the largest trained ({reached}): {unchecked}"
