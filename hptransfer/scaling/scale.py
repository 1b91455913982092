"""`hptransfer scale`: the target's configuration, from what `tune` found and what `check` concluded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hptransfer.artifacts.spent import Spent
from hptransfer.artifacts.tuned import Tuned, read_tuned
from hptransfer.errors import InconclusiveError, RefusedError, UsageError
from hptransfer.export.target import TargetEvidence, target_document, write_target
from hptransfer.provenance import versions
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.report.json_documents import to_document
from hptransfer.scaling.plan import plan_recipe, wanted_size
from hptransfer.scaling.registered_prediction import describe_prediction, registered_prediction
from hptransfer.sizes import Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.verdict import Verdict

#: packages whose versions can change a run
_PACKAGES = ("torch", "numpy", "mup", "optuna")


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """What `scale` wrote.

    Attributes:
        path: the file.
        document: its content as JSON-able data.
        summary: a few lines for a person.
    """

    path: Path
    document: dict[str, Any]
    summary: str


def scale(
    loaded: LoadedRecipe,
    folder: RunFolder,
    name: str,
    *,
    force: bool,
    size: Size | None = None,
    output: Path | None = None,
) -> ScaleResult:
    """Write the configuration of one size, or refuse; see `scale_command`.

    Args:
        loaded: the recipe.
        folder: where `tuned.yaml` and `transfer.json` lie.
        name: what the user called the recipe, for hints.
        force: write although the evidence does not support it.
        size: default: the recipe's target.
        output: default: `target.yaml` in the folder.
    """
    size = size or wanted_size(loaded.recipe, None, None, None, None)
    _require_larger(loaded.recipe, size)
    tuned = read_tuned(folder.tuned, name)
    checked = _read_transfer(folder.transfer)
    objections = list(_objections(loaded, tuned, checked))
    if objections and not force:
        _refuse(objections, checked, name)
    document = _document(loaded, size, tuned, checked, objections)
    path = output or folder.target
    write_target(path, document)
    return ScaleResult(path, to_document(document), _summary(path, document))


def _require_larger(recipe: Recipe, size: Size) -> None:
    base = recipe.sizes.base
    for axis, low, high in (("width", base.width, size.width), ("depth", base.depth, size.depth)):
        if high < low:
            raise UsageError(
                f"`target.{axis} >= base.{axis}` must hold",
                received=f"target.{axis}={high}, base.{axis}={low}",
                hint="transfer goes from small to large",
            )


def _read_transfer(path: Path) -> dict[str, Any] | None:
    """What `check` wrote; None without a check."""
    text = _read(path)
    if text is None:
        return None
    try:
        checked = json.loads(text)
    except ValueError:
        checked = None
    if not isinstance(checked, dict) or checked.get("verdict") not in set(Verdict):
        raise UsageError("transfer.json must be what `hptransfer check` wrote", received=str(path))
    return checked


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("a file of the run folder must be readable", received=f"{path}: {error}") from None


def _objections(loaded: LoadedRecipe, tuned: Tuned, checked: Mapping[str, Any] | None) -> Iterator[str]:
    """Why the target should not be written; none when the check supports it."""
    if tuned.recipe_hash != loaded.hash:
        yield "the hyperparameters were tuned with another version of the recipe"
    if checked is None:
        yield "transfer was never checked"
        return
    if checked.get("recipe_hash") != loaded.hash:
        yield "transfer was checked with another version of the recipe"
    if checked["verdict"] != Verdict.TRANSFERS:
        yield f"the check says {checked['verdict']}: {checked.get('sentence', '')}"


def _refuse(objections: list[str], checked: Mapping[str, Any] | None, recipe: str) -> None:
    received, rule = "; ".join(objections), "a target is written only for hyperparameters that were shown to transfer"
    force = "`--force` writes the target all the same and says so in it"
    if len(objections) == 1 and checked is not None and checked["verdict"] == Verdict.INCONCLUSIVE:
        raise InconclusiveError(rule, received=received, hint=f"give the check more trials, seeds or sizes; {force}")
    hint = f"run `hptransfer run {recipe}` to tune and check this recipe"
    if checked is not None and checked["verdict"] == Verdict.DRIFTS:
        hint = "tune closer to the target's size or change the parameterization"
    raise RefusedError(rule, received=received, hint=f"{hint}; {force}")


def _document(
    loaded: LoadedRecipe, size: Size, tuned: Tuned, checked: dict[str, Any] | None, objections: list[str]
) -> dict[str, object]:
    recipe = loaded.recipe
    values = {name: float(value) for name, value in tuned.hyperparameters.items()}
    plan = plan_recipe(recipe, size, defaults(recipe.training) | values)
    found = checked or {}
    reached = found.get("checked") or {}
    evidence = TargetEvidence(
        verdict=found.get("verdict"),
        sentence=found.get("sentence", "transfer was never checked"),
        axes=[_brief(axis) for axis in found.get("axes", [])],
        checked={
            "widths": [recipe.proxy.width, *reached.get("widths", ())],
            "depths": [recipe.proxy.depth, *reached.get("depths", ())],
            "batch_sizes": [plan.base.batch_size, *reached.get("batch_sizes", ())],
            "tokens": [plan.base.tokens, *reached.get("tokens", ())],
        },
        objections=objections,
    )
    training = {
        "steps": recipe.steps(size),
        "batch_size": size.batch_size,
        "schedule": recipe.training.schedule,
        "warmup": plan.hyperparameters["warmup"],
        "clip": recipe.training.clip,
    }
    document = target_document(
        plan, evidence, recipe=recipe.name, training=training, provenance=_provenance(loaded, tuned)
    )
    proxy = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    prediction = registered_prediction(checked, recipe=recipe.name, proxy=proxy, size=size)
    return document | {"prediction": prediction, "spent": _spent(recipe, size, tuned, found)}


def _spent(recipe: Recipe, size: Size, tuned: Tuned, checked: Mapping[str, Any]) -> dict[str, Any]:
    """What tuning and checking cost, beside the run of this size."""
    from hptransfer.models.build import build_model
    from hptransfer.models.cost import training_flops

    earlier = checked.get("spent") or tuned.spent.model_dump()  # the check's holds tuning as well
    module = build_model(recipe.model, size.width, size.depth, "meta")
    target = training_flops(module, size.tokens, recipe.model.context)
    flops = float(earlier.get("flops") or 0.0)
    spent = Spent(
        trials=int(earlier.get("trials") or 0),
        flops=flops,
        seconds=float(earlier.get("seconds") or 0.0),
        target_flops=target,
        fraction_of_target=flops / target,
    )
    return spent.model_dump()


def _brief(axis: Mapping[str, Any]) -> dict[str, Any]:
    """One axis of the check without the curves behind it: those stay in transfer.json."""
    sizes = [size["value"] if isinstance(size, Mapping) else size for size in axis.get("sizes", ())]
    return {**axis, "sizes": sizes}


def _provenance(loaded: LoadedRecipe, tuned: Tuned) -> dict[str, object]:
    recipe, earlier = loaded.recipe, tuned.provenance.model_dump(mode="json")
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(*_PACKAGES),
        "recipe_hash": loaded.hash,
        "data_fingerprint": earlier.get("data"),
        "seeds": {
            "search": recipe.tune.seed,
            "confirmation": recipe.tune.confirm_seeds,
            "check": recipe.check.seeds,
            "coordinate_check": recipe.check.coordinate.seeds,
        },
        "tuned_at": asdict(tuned.size),
        "intervals": {name: list(ends) for name, ends in tuned.intervals.items()},
        "tuned_with": earlier,
    }


def _summary(path: Path, document: Mapping[str, Any]) -> str:
    verdict, size = document["verdict"], document["size"]
    lines = [
        f"{path}: width {size['width']}, depth {size['depth']}, {len(document['parameters'])} groups of parameters",
        f"{verdict['verdict'] or 'NOT CHECKED'}: {verdict['sentence']}",
        *(entry["sentence"] for entry in document["extrapolation"]),
        *([describe_prediction(document["prediction"])] if document["prediction"] else []),
        Spent(**document["spent"]).sentence,
        *(f"FORCED: {objection}" for objection in verdict["objections"]),
    ]
    return "\n".join(lines)
