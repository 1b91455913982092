"""The target's configuration, from what `tune` found and what `check` concluded, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import TransferFile, read_transfer
from hptransfer.artifacts.tuned import Tuned, read_tuned
from hptransfer.engine.identity import identity_of_recipe
from hptransfer.errors import InconclusiveError, RefusedError, UsageError
from hptransfer.export.base import EXPORTERS, export_target
from hptransfer.hyperparameters import NAMES, log_coordinate, log_name
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.ahead import Ahead, Use, look_ahead
from hptransfer.scaling.groups import in_gauge
from hptransfer.scaling.horizon import objections_of_check
from hptransfer.scaling.target import build_target
from hptransfer.sizes import MODEL_AXES, Size
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.law import well_bounded
from hptransfer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """The target's configuration; nothing is written yet.

    Attributes:
        target: the content of `target.yaml`, in the recipe's gauge.
        text: the whole text of that file, with its header.
        exports: name of a further exporter -> path relative to its folder -> text.
        forced: whether the user insisted on a target that the evidence does not support.
    """

    target: TargetFile
    text: str
    exports: Mapping[str, Mapping[str, str]]
    forced: bool = False

    @property
    def exit_status(self) -> int:
        """0 where the check reaches the target, or the user insisted; 3 where it does not."""
        covered = self.target.scope is None or self.target.scope.covered
        return 0 if covered or self.forced else Verdict.INCONCLUSIVE.exit_status


def scale(
    loaded: LoadedRecipe,
    folder: RunFolder,
    name: str,
    *,
    force: bool,
    size: Size | None = None,
    formats: Sequence[str] = (),
    use: Use = "tuned",
) -> ScaleResult:
    """The configuration of one size, or a refusal.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        folder: where `tuned.yaml` and `transfer.json` lie.
        name: what the user called the recipe, for hints.
        force: go on although the evidence does not support it; the target then says so.
        size: width, depth, examples per step and tokens of the run; None for the recipe's target.
        formats: names of further exporters, as `--format` takes them.
        use: "predicted" for the optimum that the ladder's path predicts at the target in place of the tuned value.

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
    identity = identity_of_recipe(loaded, folder)
    ahead = look_ahead(loaded.recipe, loaded.root, size, checked, use)
    objections = tuple(_objections(loaded, tuned, checked, identity, ahead))
    if objections and not force:
        _refuse(objections, checked, name, ahead)
    if force and not ahead.covered and ahead.scope is not None:
        objections = (*objections, ahead.scope.sentence)
    target = build_target(loaded, size, tuned, checked, objections, identity, ahead)
    text = export_target("hptransfer", target)["target.yaml"]
    exports = {
        wanted: export_target(wanted, in_gauge(target, loaded.recipe, gauge)) for wanted, gauge in gauges.items()
    }
    return ScaleResult(target, text, exports, force)


def _require_larger(recipe: Recipe, size: Size) -> None:
    base = recipe.sizes.base
    for axis in MODEL_AXES:
        low, high = getattr(base, axis), getattr(size, axis)
        if high < low:
            raise UsageError(
                f"`target.{axis} >= base.{axis}` must hold",
                received=f"target.{axis}={high}, base.{axis}={low}",
                hint="transfer goes from small to large",
            )


def _objections(
    loaded: LoadedRecipe, tuned: Tuned, checked: TransferFile | None, identity: str, ahead: Ahead
) -> Iterator[str]:
    """Why the target should not be written; none when the check supports it."""
    if tuned.recipe_hash != loaded.hash:
        yield "the hyperparameters were tuned with another version of the recipe"
    elif tuned.identity != identity:
        yield "the hyperparameters were tuned under other rules, code or data"
    if missing := [name for name in loaded.recipe.tune.space if name not in tuned.hyperparameters]:
        yield f"tuned.yaml lacks {', '.join(missing)}"
    if checked is None:
        yield "transfer was never checked"
        return
    if checked.recipe_hash != loaded.hash:
        yield "transfer was checked with another version of the recipe"
    elif checked.identity != identity:
        yield "transfer was checked under other rules, code or data"
    yield from _other_values(tuned, checked)
    yield from objections_of_check(checked, ahead)


def _other_values(tuned: Tuned, checked: TransferFile) -> Iterator[str]:
    """Values that were tuned are those that were checked."""
    for each in checked.hyperparameters:
        # a check compares averages by their horizon, 1 / (1 - beta)
        name = next((name for name in NAMES if each.hyperparameter in (name, log_name(name))), None)
        value = None if name is None else tuned.hyperparameters.get(name)
        if name is None or value is None:
            yield f"transfer was checked for {each.hyperparameter}, which tuned.yaml does not have"
            continue
        carried = value if each.hyperparameter == name else 2.0 ** log_coordinate(name, value)
        if not math.isclose(carried, each.transferred, rel_tol=1e-9):
            yield f"transfer was checked at {each.hyperparameter} {each.transferred:.6g}, but {carried:.6g} is tuned"


def _refuse(objections: Sequence[str], checked: TransferFile | None, recipe: str, ahead: Ahead) -> None:
    received, rule = "; ".join(objections), "a target is written only for hyperparameters that were shown to transfer"
    force = "`--force` writes the target all the same and says so in it"
    if len(objections) == 1 and checked is not None and checked.verdict is Verdict.INCONCLUSIVE:
        hint = f"give the check more trials, seeds or sizes{_offer(ahead, recipe)}; {force}"
        raise InconclusiveError(rule, received=received, hint=hint)
    hint = f"run `hptransfer run {recipe}` to tune and check this recipe"
    if checked is not None and checked.verdict is Verdict.DRIFTS:
        hint = f"tune closer to the target's size or change the parameterization{_offer(ahead, recipe)}"
    raise RefusedError(rule, received=received, hint=f"{hint}; {force}")


def _offer(ahead: Ahead, recipe: str) -> str:
    """The predicted optimum, where it is bounded well enough to be used."""
    scope = ahead.scope
    if ahead.laws or scope is None or not well_bounded(scope.optimum.low, scope.optimum.high):
        return ""
    best = scope.optimum
    return (
        f"; or use the optimum that is predicted there, {scope.hyperparameter} {best.estimate:.3g} ({best.low:.3g} to "
        f"{best.high:.3g}): `hptransfer scale {recipe} --use predicted`"
    )
