"""Whether evidence is of another target, or of other accepted axes, than the recipe names now.

Neither is part of what evidence rests on (`recipe_hash`), so both may change while every trial still fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hptransfer.artifacts.transfer import TransferFile
from hptransfer.errors import Finding, HptransferError, Place
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe, Target
from hptransfer.sizes import AXES


@dataclass(frozen=True, slots=True)
class Former:
    """The target that evidence says was judged, where the recipe names another now.

    Attributes:
        loaded: the recipe with that target and those accepted axes.
        changes: what differs, `key: old -> new` each.
    """

    loaded: LoadedRecipe
    changes: tuple[str, ...]


def former(loaded: LoadedRecipe, written: TransferFile) -> Former | None:
    """What `transfer.json` says was judged; None where that is what the recipe names, or cannot be told.

    Args:
        loaded: the recipe as it is now, with the durations of its sizes.
        written: the content of the file; what it says of its target is not yet borne out.
    """
    try:
        judged = _as_judged(loaded.recipe, written)
        changes = tuple(_changes(judged, loaded.recipe))
    except (HptransferError, ValueError):  # a size of which nobody knows how long it trains, or no recipe's
        return None
    return Former(replace(loaded, recipe=judged), changes) if changes else None


def _as_judged(recipe: Recipe, written: TransferFile) -> Recipe:
    target, size, proxy = recipe.sizes.target, recipe.target_size(), recipe.proxy_size
    axes = {each.axis: each for each in written.target.axes} if written.target else {}
    changed: dict[str, object] = {}
    for axis in AXES:
        value = axes[axis].value if axis in axes else getattr(proxy, axis)
        along_ray = axis == "tokens" and axis not in axes and recipe.ray is not None
        if not along_ray and value is not None and math.isfinite(value) and value != getattr(size, axis):
            changed[axis] = int(value)
    if written.spent.short_target and target.tokens is not None:
        changed["tokens"] = None
    refused = {name for name, each in axes.items() if each.standing == "not covered"}
    accepted = [name for name, each in axes.items() if each.standing == "accepted"]
    accept = tuple(dict.fromkeys([*(name for name in target.accept if name not in refused), *accepted]))
    if set(accept) != set(target.accept):
        changed["accept"] = accept
    # anybody may have written the file: no other target than a recipe may name is judged
    sizes = recipe.sizes.model_copy(update={"target": Target.model_validate(target.model_dump() | changed)})
    return recipe.model_copy(update={"sizes": sizes})


def _changes(judged: Recipe, now: Recipe) -> Iterator[str]:
    was, is_ = judged.target_size(), now.target_size()
    for axis in AXES:
        if getattr(was, axis) != getattr(is_, axis):
            yield f"sizes.target.{axis}: {getattr(was, axis)} -> {getattr(is_, axis)}"
    before, after = judged.sizes.target, now.sizes.target
    if was.tokens == is_.tokens and before.tokens != after.tokens:
        yield f"sizes.target.tokens: {before.tokens or 'as at the proxy'} -> {after.tokens or 'as at the proxy'}"
    if set(before.accept) != set(after.accept):
        yield f"sizes.target.accept: [{', '.join(before.accept)}] -> [{', '.join(after.accept)}]"


def of_former_target(path: Path, changes: tuple[str, ...], command: str) -> Finding:
    """The finding on a file that was written for another target.

    Args:
        path: of that file, tuned.yaml or transfer.json.
        changes: what the recipe names otherwise now, a clause each.
        command: what writes the file for the target as it is now.
    """
    rule = f"{path.name} must be of the target, and of the accepted axes, that the recipe names now"
    return Finding(rule, "; ".join(changes), command, Place(str(path)), "evidence/former-target")
