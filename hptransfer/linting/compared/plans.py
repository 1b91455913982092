"""The plans of two versions of a recipe at their targets, group by group; a stranger's code runs only where trusted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptransfer.engine.durations import with_durations
from hptransfer.errors import HptransferError
from hptransfer.linting.compared.facts import Evidence
from hptransfer.linting.weight import why_heavy
from hptransfer.models.planning import plan_recipe
from hptransfer.parameterization.groups import group_rows, readable
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.model_sections import ExternalModel, FactoryModel, HuggingFaceModel
from hptransfer.recipe.schema import Recipe

#: quantities of a group that are compared
QUANTITIES = ("learning_rate", "weight_decay", "eps", "init_std", "multiplier")
#: two values that differ by less are one value that was computed in two ways
_SAME = 1e-9
#: seconds that a trusted model may take to be read
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class PlannedVersion:
    """One version's plan at its target.

    Attributes:
        size: of the target, in words.
        values: which values it was planned with: "tuned", "tuned for another version", or "the recipe's".
        groups: name of a group of parameters -> its fields.
    """

    size: str
    values: str
    groups: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class GroupChange:
    """One group of parameters that differs.

    Attributes:
        name: of the parameters, with * for the indices of layers.
        only: "base" or "head" where the other version has no such group; None where both have it.
        role: of the parameters before and after; None where there is no such group.
        count: of parameters before and after.
        values: quantity -> its value before and after, of those that differ.
    """

    name: str
    only: str | None
    role: tuple[str | None, str | None]
    count: tuple[int, int]
    values: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What differs between the plans of two versions.

    Attributes:
        size: of the target before and after, in words.
        planned_with: which values before and after, as `PlannedVersion.values` has it.
        groups: those that differ, in the later plan's order.
        unchanged: number of groups that do not.
    """

    size: tuple[str, str]
    planned_with: tuple[str, str]
    groups: tuple[GroupChange, ...]
    unchanged: int


def planned(loaded: LoadedRecipe, evidence: Evidence, folder: Path | None, *, trust: bool) -> PlannedVersion | str:
    """The plan at the recipe's target, with tuned values where there are some; else why it is not decided.

    Args:
        loaded: the recipe, as that version has it.
        evidence: says what was tuned.
        folder: where the version lies on disk; None for a revision.
        trust: whether code that the recipe names may run, in a process of its own.
    """
    recipe = loaded.recipe
    if (why := _not_planned(recipe)) is not None:
        return why
    if (code := own_code(recipe)) is not None:
        if not trust:
            return f"code that a recipe names, {code}, runs with `--trust` only"
        if folder is None:
            return f"{code} is not checked out; name folders instead of revisions"
        return _in_a_process(loaded, folder)
    target = recipe.sizes.target
    values = defaults(recipe.training) if evidence.values is None else dict(evidence.values)
    try:
        counted = with_durations(loaded, further=[(target.width, target.depth)]).recipe
        plan = plan_recipe(counted, counted.target_size(), values)
    except HptransferError as error:
        return str(error).splitlines()[0]
    groups = {readable(group.pattern): group.as_mapping() for group in group_rows(plan.rows)}
    source = "tuned" if evidence.values_current else "tuned for another version"
    return PlannedVersion(_size(recipe), "the recipe's" if evidence.values is None else source, groups)


def _not_planned(recipe: Recipe) -> str | None:
    """Why a model is not planned, whatever else holds; None where it is."""
    if isinstance(recipe.model, ExternalModel):
        return "the trainer builds the model, so nothing of it is planned here"
    why = why_heavy(recipe)
    return None if why is None else f"its model is beyond what is planned here: {why}"


def own_code(recipe: Recipe) -> str | None:
    """Code of the recipe's own that a plan would run; None where there is none.

    Args:
        recipe: whose model may be a function of the user's, or be tried with one.
    """
    model = recipe.model
    if isinstance(model, FactoryModel):
        return model.factory
    return model.example if isinstance(model, HuggingFaceModel) else None


def _size(recipe: Recipe) -> str:
    target = recipe.sizes.target
    batch = target.batch_size or recipe.training.batch_size
    tokens = "" if target.tokens is None else f", {target.tokens:,} tokens"
    return f"width {target.width}, depth {target.depth}, batch {batch}{tokens}"


def _in_a_process(loaded: LoadedRecipe, folder: Path) -> PlannedVersion | str:
    """Two versions of one module cannot be imported into one process."""
    path = folder / loaded.path
    command = [sys.executable, "-m", "hptransfer", "plan", path.name, "--json"]
    try:
        done = subprocess.run(
            command, cwd=path.parent, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
        document = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return f"its model could not be planned: {str(error)[:200]}"
    if document is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:1]
        return f"its model could not be planned: {said[0][:300] if said else done.returncode}"
    groups = {readable(str(group["pattern"])): group for group in document["parameters"]}
    return PlannedVersion(_size(loaded.recipe), "the recipe's", groups)


def compared(before: PlannedVersion, after: PlannedVersion) -> PlanChange:
    """The groups of two plans that differ, in the later plan's order.

    Args:
        before: plan of the base.
        after: plan of the head.
    """
    found: list[GroupChange] = []
    names = [*after.groups, *(name for name in before.groups if name not in after.groups)]
    for name in names:
        old, new = before.groups.get(name), after.groups.get(name)
        pairs = {
            quantity: (_number(old, quantity), _number(new, quantity))
            for quantity in QUANTITIES
            if not _same(_number(old, quantity), _number(new, quantity))
        }
        role = (_text(old, "role"), _text(new, "role"))
        if pairs or role[0] != role[1] or _text(old, "init") != _text(new, "init"):
            only = "head" if old is None else "base" if new is None else None
            found.append(GroupChange(name, only, role, (_count(old), _count(new)), pairs))
    sizes, used = (before.size, after.size), (before.values, after.values)
    return PlanChange(sizes, used, tuple(found), len(names) - len(found))


def _number(group: Mapping[str, Any] | None, quantity: str) -> float | None:
    value = None if group is None else group.get(quantity)
    return float(value) if isinstance(value, int | float) else None


def _text(group: Mapping[str, Any] | None, key: str) -> str | None:
    return None if group is None else str(group.get(key))


def _count(group: Mapping[str, Any] | None) -> int:
    return 0 if group is None else int(group["count"])


def _same(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is after
    return abs(after - before) <= _SAME * max(abs(before), abs(after))
