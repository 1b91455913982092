"""The target's configuration, from what `tune` found and what `check` concluded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hptransfer.artifacts.spent import Spent
from hptransfer.artifacts.target import ProvenanceRecord, TargetFile, TrainingRecord, VerdictRecord
from hptransfer.artifacts.transfer import TransferFile, read_transfer
from hptransfer.artifacts.tuned import Tuned, read_tuned
from hptransfer.errors import InconclusiveError, RefusedError, UsageError
from hptransfer.export.base import EXPORTERS, export_target
from hptransfer.hyperparameters import identifying
from hptransfer.models.api import plan_recipe
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.groups import ParameterGroup, group_rows
from hptransfer.parameterization.plan import Plan
from hptransfer.provenance import versions
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.extrapolation import extrapolation
from hptransfer.scaling.registered_prediction import registered_prediction
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.verdict import Verdict

#: packages whose versions can change a run
_PACKAGES = ("torch", "numpy", "mup", "optuna")


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """The target's configuration; nothing is written yet.

    Attributes:
        target: the content of `target.yaml`, in the gauge `plain`.
        text: the whole text of that file, with its header.
        exports: name of a further exporter -> path relative to its folder -> text.
    """

    target: TargetFile
    text: str
    exports: Mapping[str, Mapping[str, str]]


def scale(
    loaded: LoadedRecipe,
    folder: RunFolder,
    name: str,
    *,
    force: bool,
    size: Size | None = None,
    formats: Sequence[str] = (),
    identity: str = "",
) -> ScaleResult:
    """The configuration of one size, or a refusal.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        folder: where `tuned.yaml` and `transfer.json` lie.
        name: what the user called the recipe, for hints.
        force: go on although the evidence does not support it; the target then says so.
        size: width, depth, examples per step and tokens of the run; None for the recipe's target.
        formats: names of further exporters, as `--format` takes them.
        identity: sha256 (hex) of the rules, code and data that hold now; evidence of another is refused. Empty where it
            is not known.

    Raises:
        UsageError: nothing was tuned; the size is smaller than the base or cannot be built; a format is not known or
            cannot express the target.
        RefusedError: the check failed, is missing, or is of another recipe, other rules, code or data.
        InconclusiveError: the check came to no conclusion.
    """
    size = size or loaded.recipe.target_size()
    _require_larger(loaded.recipe, size)
    gauges = {wanted: EXPORTERS.look_up(wanted).gauge for wanted in formats}
    tuned = read_tuned(folder.tuned, name)
    checked = read_transfer(folder.transfer)
    objections = tuple(_objections(loaded, tuned, checked, identity))
    if objections and not force:
        _refuse(objections, checked, name)
    target = _target(loaded, size, tuned, checked, objections, identity)
    text = export_target("hptransfer", target)["target.yaml"]
    exports = {
        wanted: export_target(wanted, _in_gauge(target, loaded.recipe, gauge)) for wanted, gauge in gauges.items()
    }
    return ScaleResult(target, text, exports)


def _require_larger(recipe: Recipe, size: Size) -> None:
    base = recipe.sizes.base
    for axis, low, high in (("width", base.width, size.width), ("depth", base.depth, size.depth)):
        if high < low:
            raise UsageError(
                f"`target.{axis} >= base.{axis}` must hold",
                received=f"target.{axis}={high}, base.{axis}={low}",
                hint="transfer goes from small to large",
            )


def _objections(loaded: LoadedRecipe, tuned: Tuned, checked: TransferFile | None, identity: str) -> Iterator[str]:
    """Why the target should not be written; none when the check supports it."""
    if tuned.recipe_hash != loaded.hash:
        yield "the hyperparameters were tuned with another version of the recipe"
    elif _differs(tuned.identity, identity):
        yield "the hyperparameters were tuned under other rules, code or data"
    if checked is None:
        yield "transfer was never checked"
        return
    if checked.recipe_hash != loaded.hash:
        yield "transfer was checked with another version of the recipe"
    elif _differs(checked.identity, identity):
        yield "transfer was checked under other rules, code or data"
    if checked.verdict is not Verdict.TRANSFERS:
        yield f"the check says {checked.verdict}: {checked.sentence}"


def _differs(gathered: str | None, current: str) -> bool:
    """Whether evidence was gathered under another identity; one that is not known is taken for the same."""
    return bool(gathered and current) and gathered != current


def _refuse(objections: Sequence[str], checked: TransferFile | None, recipe: str) -> None:
    received, rule = "; ".join(objections), "a target is written only for hyperparameters that were shown to transfer"
    force = "`--force` writes the target all the same and says so in it"
    if len(objections) == 1 and checked is not None and checked.verdict is Verdict.INCONCLUSIVE:
        raise InconclusiveError(rule, received=received, hint=f"give the check more trials, seeds or sizes; {force}")
    hint = f"run `hptransfer run {recipe}` to tune and check this recipe"
    if checked is not None and checked.verdict is Verdict.DRIFTS:
        hint = "tune closer to the target's size or change the parameterization"
    raise RefusedError(rule, received=received, hint=f"{hint}; {force}")


def _target(
    loaded: LoadedRecipe,
    size: Size,
    tuned: Tuned,
    checked: TransferFile | None,
    objections: Sequence[str],
    identity: str,
) -> TargetFile:
    recipe = loaded.recipe
    plan = plan_recipe(recipe, size, defaults(recipe.training) | _values(tuned))
    found = {} if checked is None else checked.document
    reached = found.get("checked") or {}
    trained = {
        "widths": [recipe.proxy.width, *reached.get("widths", ())],
        "depths": [recipe.proxy.depth, *reached.get("depths", ())],
        "batch_sizes": [plan.base.batch_size, *reached.get("batch_sizes", ())],
        "tokens": [plan.base.tokens, *reached.get("tokens", ())],
    }
    proxy = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    return TargetFile(
        format=TargetFile.FORMAT,
        recipe=recipe.name,
        verdict=VerdictRecord(
            verdict=found.get("verdict"),
            sentence=found.get("sentence", "transfer was never checked"),
            forced=bool(objections),
            objections=tuple(objections),
            axes=tuple(_brief(axis) for axis in found.get("axes", [])),
        ),
        extrapolation=tuple(extrapolation(plan, trained)),
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
            warmup=plan.hyperparameters["warmup"],
            clip=recipe.training.clip,
        ),
        notes=tuple(plan.notes),
        parameters=target_groups(plan),
        provenance=_provenance(loaded, tuned, identity),
        prediction=registered_prediction(checked, recipe=recipe.name, proxy=proxy, size=size),
        spent=_spent(recipe, size, tuned, found),
    )


def _values(tuned: Tuned) -> dict[str, float]:
    return {name: float(value) for name, value in tuned.hyperparameters.items()}


def target_groups(plan: Plan) -> tuple[ParameterGroup, ...]:
    """Groups of parameters with the rules that scale something; unscaled quantities need no line.

    Args:
        plan: of the target, one row per parameter.
    """
    groups = []
    for group in group_rows(plan.rows):
        scaled = {quantity: rule for quantity, rule in group.rules.items() if rule != "1"}
        groups.append(replace(group, rules=scaled, sources={quantity: group.sources[quantity] for quantity in scaled}))
    return tuple(groups)


def _in_gauge(target: TargetFile, recipe: Recipe, gauge: Gauge) -> TargetFile:
    """The same target with its multipliers elsewhere."""
    if gauge == target.gauge:
        return target
    plan = plan_recipe(recipe, target.size, defaults(recipe.training) | dict(target.hyperparameters), gauge)
    return target.model_copy(
        update={"gauge": plan.gauge, "notes": tuple(plan.notes), "parameters": target_groups(plan)}
    )


def _spent(recipe: Recipe, size: Size, tuned: Tuned, checked: Mapping[str, Any]) -> Spent:
    """What tuning and checking cost, beside the run of this size."""
    from hptransfer.models.build import build_model
    from hptransfer.models.cost import training_flops

    earlier = checked.get("spent") or tuned.spent.model_dump()  # the check's holds tuning as well
    module = build_model(recipe.model, size.width, size.depth, "meta")
    target = training_flops(module, size.tokens, recipe.model.context)
    flops = float(earlier.get("flops") or 0.0)
    return Spent(
        trials=int(earlier.get("trials") or 0),
        flops=flops,
        seconds=float(earlier.get("seconds") or 0.0),
        target_flops=target,
        fraction_of_target=flops / target,
    )


def _brief(axis: Mapping[str, Any]) -> dict[str, Any]:
    """One axis of the check without the curves behind it: those stay in transfer.json."""
    sizes = [size["value"] if isinstance(size, Mapping) else size for size in axis.get("sizes", ())]
    return {**axis, "sizes": sizes}


def _provenance(loaded: LoadedRecipe, tuned: Tuned, identity: str) -> ProvenanceRecord:
    recipe, earlier = loaded.recipe, tuned.provenance
    return ProvenanceRecord(
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(*_PACKAGES),
        recipe_hash=loaded.hash,
        identity=identity,
        data_fingerprint=earlier.data,
        seeds={
            "search": recipe.tune.seed,
            "confirmation": recipe.tune.confirm_seeds,
            "check": recipe.check.seeds,
            "coordinate_check": recipe.check.coordinate.seeds,
        },
        tuned_at=asdict(tuned.size),
        intervals=tuned.intervals,
        tuned_with=earlier.model_dump(mode="json"),
    )
