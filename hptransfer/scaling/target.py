"""The content of `target.yaml`: the plan of the target with the evidence for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from hptransfer.artifacts.target import (
    ExtrapolationRecord,
    ProvenanceRecord,
    TargetFile,
    UseRecord,
    VerdictRecord,
)
from hptransfer.artifacts.transfer import AxisRecord, TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.flops import is_short, run_flops
from hptransfer.hyperparameters import identifying
from hptransfer.provenance import versions
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.ahead import scope_record, used_instead
from hptransfer.scaling.described import described_model, has_model, training_record
from hptransfer.scaling.horizon import described_target, horizon_of
from hptransfer.scaling.verify import registered_now
from hptransfer.sizes import AXES, LADDERS, MODEL_AXES, Size, SizeAxis, rule_name
from hptransfer.transfer.scope import Outlook

#: packages whose versions can change a run
_PACKAGES = ("torch", "numpy", "mup", "optuna")


def build_target(
    loaded: LoadedRecipe,
    size: Size,
    tuned: Tuned,
    checked: TransferFile | None,
    objections: Sequence[str],
    identity: str,
    ahead: Outlook,
) -> TargetFile:
    """The content of `target.yaml`, in the recipe's gauge.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        size: width, depth, examples per step and tokens of the run.
        tuned: the content of `tuned.yaml`, with tuned values and where they come from.
        checked: the content of `transfer.json`; None without a check.
        objections: why the file should not be written; empty unless forced.
        identity: sha256 (hex) of the rules, code and data that hold now; empty where it is not known.
        ahead: what the check says of this size, and what is used there.

    Raises:
        UsageError: the model cannot be built at this size, or no rule is known for one of its parameters.
    """
    recipe, laws, prediction = loaded.recipe, ahead.laws, ahead.prediction
    tuned_values = defaults(recipe.training) | _values(tuned)
    used = used_instead(laws, tuned_values)
    horizon = horizon_of(
        recipe, size, ahead.exponents, tuned_values | {name: each.value for name, each in used.items()}
    )
    described, timescales = described_target(recipe, size, horizon, tuned_values)
    described = replace(described, notes=(*(law.sentence for law in laws), *described.notes))
    reached = checked.checked if checked else {}
    trained = {LADDERS[axis]: (getattr(recipe.proxy_size, axis), *reached.get(LADDERS[axis], ())) for axis in AXES}
    carried = [each.axis for each in horizon.exponents if each.used]
    scope = scope_record(ahead)
    covered = [each.axis for each in scope.axes if each.standing == "covered"] if scope else []
    distances = tuple(
        extrapolation(recipe.base_size, size, described.covers, trained, carried, by_law=bool(laws), covered=covered)
    )
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
            coordinate=checked.coordinate if checked else None,
        ),
        scope=scope,
        use=UseRecord(use="predicted" if used else "tuned", predicted=used),
        extrapolation=distances,
        parameterization=described.parameterization,
        gauge=recipe.parameterization.gauge if has_model(recipe) else "plain",
        optimizer=recipe.training.optimizer,
        options=described.options,
        base=recipe.base_size,
        size=size,
        hyperparameters=_shown(recipe, described.hyperparameters),
        optimizer_values=dict(described.optimizer_values),
        muon_scale=described.muon_scale,
        model=described_model(recipe, size, described),
        training=training_record(recipe, size, described.hyperparameters["warmup"]),
        notes=described.notes,
        parameters=described.parameters,
        horizon=horizon.records,
        decay_timescale=timescales,
        provenance=_provenance(loaded, tuned, identity),
        prediction=None
        if prediction is None
        else registered_now(prediction, recipe, size, tuned.provenance.data or ""),
        # the check's holds tuning as well
        spent=(checked.spent if checked else tuned.spent).share_of(
            run_flops(recipe, loaded.root, size), short=is_short(recipe, size)
        ),
    )


def _shown(recipe: Recipe, values: Mapping[str, float]) -> dict[str, float]:
    """The values of the base; without a share of warmup where its length is fixed, which stands under `training`."""
    training = recipe.training
    fixed = training.warmup_steps is not None or training.warmup_tokens is not None
    return {name: value for name, value in identifying(values).items() if name != "warmup" or not fixed}


def _values(tuned: Tuned) -> dict[str, float]:
    return {name: float(value) for name, value in tuned.hyperparameters.items()}


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


def extrapolation(
    base: Size,
    size: Size,
    covers: Collection[str],
    checked: Mapping[str, Sequence[int]],
    carried: Collection[str] = (),
    *,
    by_law: bool = False,
    covered: Collection[str] = (),
) -> Iterator[ExtrapolationRecord]:
    """How far the target lies beyond what was checked, one entry per axis of size.

    Args:
        base: the size at which hyperparameters hold as they are.
        size: width, depth, batch and tokens of the target.
        covers: the axes that have rules, as rules call them.
        checked: what was trained of each ladder, by its key in `LADDERS`; a run that says nothing is the base's.
        carried: axes along which a measured exponent carries values.
        by_law: whether a law of the ladders carries values on, where no rule does.
        covered: axes on which the check's extrapolation reaches the target.
    """
    for axis in AXES:
        usual = None if axis in MODEL_AXES else getattr(base, axis)
        reached, target = max(checked.get(LADDERS[axis], ()), default=usual), getattr(size, axis)
        factor = None if reached is None else target / reached
        unchecked = "by theory alone" if rule_name(axis) in covers else "no rule and no check cover it"
        if by_law and len(checked.get(LADDERS[axis], ())) > 1:
            unchecked = "by the ladder's law alone"
        elif axis in carried:
            unchecked = "by the exponent that its ladder measured"
        elif axis in covered:
            unchecked = "the check's extrapolation covers it"
        sentence = _sentence(axis, target, reached, factor, unchecked)
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


def _sentence(axis: SizeAxis, target: int, reached: int | None, factor: float | None, unchecked: str) -> str:
    subject = f"{axis.replace('_', ' ')} {target}"
    if reached is None or factor is None:
        return f"{subject} was not checked: {unchecked}"
    if axis not in MODEL_AXES and factor != 1:
        return f"{subject} is {factor:g} times that of the checked runs: {unchecked}"
    if factor <= 1:
        return f"{subject} lies within what was trained (up to {reached})"
    return f"{subject} lies {factor:g} times beyond the largest trained ({reached}): {unchecked}"
