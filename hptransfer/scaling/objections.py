"""Why a target should not be written, and the refusal with what would do instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from hptransfer.artifacts.pasted import command, runs_of
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.errors import InconclusiveError, RefusedError, UsageError
from hptransfer.evidence.recomputed import other_values
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.scaling.horizon import objections_of_check
from hptransfer.sizes import MODEL_AXES, Size
from hptransfer.transfer.law import well_bounded
from hptransfer.transfer.scope import Outlook
from hptransfer.verdict import Verdict


def objections_to(
    loaded: LoadedRecipe,
    tuned: Tuned,
    checked: TransferFile | None,
    identity: str,
    ahead: Outlook,
    changed: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[str]:
    """Why the target should not be written; none when the check supports it.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        tuned: the content of `tuned.yaml`, with tuned values and where they come from.
        checked: the content of `transfer.json`; None without a check.
        identity: sha256 (hex) of the rules, code and data that hold now.
        ahead: what the check says of the target.
        changed: "tuned.yaml" and "transfer.json" -> what changed since each was written, where that is known.
    """
    yield from _otherwise(loaded, tuned, identity, changed)
    if missing := [name for name in loaded.recipe.tune.space if name not in tuned.hyperparameters]:
        yield f"tuned.yaml lacks {', '.join(missing)}"
    if checked is None:
        yield "transfer was never checked"
        return
    yield from _otherwise(loaded, checked, identity, changed)
    yield from other_values(tuned, checked)
    yield from objections_of_check(checked, ahead)


def outdated(
    loaded: LoadedRecipe, tuned: Tuned, checked: TransferFile, identity: str, changed: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Why files are not of the recipe, the rules, the code and the data as they are, or not of each other.

    Args:
        loaded: the recipe, with the hash of what evidence rests on.
        tuned: the content of `tuned.yaml`.
        checked: the content of `transfer.json`.
        identity: sha256 (hex) of the rules, code and data that hold now.
        changed: file -> what changed since it was written, as of `objections_to`.
    """
    yield from _otherwise(loaded, tuned, identity, changed)
    yield from _otherwise(loaded, checked, identity, changed)
    yield from other_values(tuned, checked)


def _otherwise(
    loaded: LoadedRecipe, written: Tuned | TransferFile, identity: str, changed: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    done, file = (
        ("the hyperparameters were tuned", "tuned.yaml")
        if isinstance(written, Tuned)
        else ("transfer was checked", "transfer.json")
    )
    if written.recipe_hash != loaded.hash:
        yield f"{done} with another version of the recipe"
    elif written.identity != identity:
        named = f" ({'; '.join(changed[file])})" if changed.get(file) else ""
        yield f"{done} under other rules, code or data{named}"


def refuse(
    objections: Sequence[str], checked: TransferFile | None, recipe: str, ahead: Outlook, given: Sequence[str] = ()
) -> None:
    """Say why no target is written, and what would do instead.

    Args:
        objections: at least one of them, a clause each.
        checked: the content of `transfer.json`; None without a check.
        recipe: what the user called it, for hints.
        ahead: what the check says of the target.
        given: the options of `scale` that name this target, as the user gave them.

    Raises:
        InconclusiveError: the check came to no conclusion, and nothing else is missing.
        RefusedError: the check failed, is missing, or is of something else.
    """
    received, rule = "; ".join(objections), "a target is written only for hyperparameters that were shown to transfer"
    force = "`--force` writes the target all the same and says so in it"
    broken = checked is not None and checked.coordinate is not None and checked.coordinate.fails
    if len(objections) == 1 and checked is not None and checked.verdict is Verdict.INCONCLUSIVE and not broken:
        hint = f"give the check more trials, seeds or sizes{_offer(ahead, recipe, given)}; {force}"
        raise InconclusiveError(rule, received=received, hint=hint)
    run = command("run", recipe, runs_of(given))
    hint = f"run {run} to tune and check this recipe"
    if checked is not None and checked.verdict is Verdict.DRIFTS:
        hint = f"tune closer to the target's size or change the parameterization{_offer(ahead, recipe, given)}"
    elif checked is not None and broken:
        hint = f"mend what the coordinate check names, then run {run}"
    raise RefusedError(rule, received=received, hint=f"{hint}; {force}")


def no_target(checked: TransferFile, ahead: Outlook, recipe: str, given: Sequence[str] = ()) -> str:
    """Why `run` wrote no target, and what the user may do.

    Args:
        checked: the content of `transfer.json`.
        ahead: what it says of the recipe's target.
        recipe: what the user called it.
        given: options that `scale` needs too.
    """
    force = "`--force` writes it all the same"
    said = f"the verdict {checked.verdict} does not support one"
    if checked.verdict is Verdict.TRANSFERS and checked.coordinate is not None and checked.coordinate.fails:
        return f"no target.yaml: the coordinate check FAILS; {force}"
    return f"no target.yaml: {said}; {force}{_offer(ahead, recipe, given)}"


def _offer(ahead: Outlook, recipe: str, given: Sequence[str] = ()) -> str:
    """What may be used instead: the predicted optimum, where it is bounded well enough; else nothing."""
    scope = ahead.scope
    if ahead.laws or scope is None or not well_bounded(scope.optimum.low, scope.optimum.high):
        return ""
    best, command = scope.optimum, shlex.join(["hptransfer", "scale", recipe, *given, "--use", "predicted"])
    return (
        f"; or use the optimum that is predicted there, {scope.hyperparameter} {best.estimate:.3g} ({best.low:.3g} to "
        f"{best.high:.3g}): `{command}`"
    )


def require_larger(recipe: Recipe, size: Size) -> None:
    """Transfer goes from small to large.

    Args:
        recipe: whose base the target is held against.
        size: width, depth, batch and tokens of the target.

    Raises:
        UsageError: the target is narrower or shallower than the base.
    """
    base = recipe.sizes.base
    for axis in MODEL_AXES:
        low, high = getattr(base, axis), getattr(size, axis)
        if high < low:
            raise UsageError(
                f"`target.{axis} >= base.{axis}` must hold",
                received=f"target.{axis}={high}, base.{axis}={low}",
                hint="transfer goes from small to large",
            )
