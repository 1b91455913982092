"""What determines a recipe's trials now, as far as it can be told without running code that the recipe names."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hptransfer.data.base import DATA_SOURCES, fingerprint_of
from hptransfer.engine.durations import with_durations
from hptransfer.engine.readings import Readings
from hptransfer.errors import Finding, HptransferError
from hptransfer.evidence.files import Evidence
from hptransfer.execution.limits import UNLIMITED
from hptransfer.execution.pool import WorkerPool
from hptransfer.parameterization.roles import Parameter
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.own_code import model_code
from hptransfer.sizes import Size
from hptransfer.trainers.base import TRAINERS, trainer_identity
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import ENTRY


@dataclass(frozen=True, slots=True)
class Present:
    """What holds now.

    Attributes:
        loaded: the recipe, with the durations of its sizes where they could be told.
        parts: `Identity.shared`, or the parts of it that could be told.
        rules_at: sha256 (hex) of the rules at the sizes that were asked for, by their label.
        undecided: what could not be told, a clause each with the reason.
        faults: why code that the recipe names cannot be that of any evidence.
        parameters: of the model at each width and depth that was asked for; none where it was not read.
    """

    loaded: LoadedRecipe
    parts: Mapping[str, Any]
    rules_at: Mapping[str, str]
    undecided: tuple[str, ...] = ()
    faults: tuple[Finding, ...] = ()
    parameters: Mapping[tuple[int, int], Sequence[Parameter]] = field(default_factory=dict)


def present(loaded: LoadedRecipe, sizes: Mapping[str, Size], gathered: str, *, trust: bool) -> Present:
    """What determines the recipe's trials now.

    Args:
        loaded: the recipe with its file.
        sizes: at which the rules are wanted, by their label.
        gathered: sha256 (hex) of the data that the evidence was gathered on, for where they are not here.
        trust: whether code that the recipe names may run, in a process of its own.
    """
    recipe = loaded.recipe
    if named := _own(recipe.trainer.name, recipe.data.kind):
        return Present(loaded, {}, {}, (f"whether {named} gives what it gave: its code runs where it is trained",))
    try:
        trainer = trainer_identity(recipe, loaded.root)
    except HptransferError as error:
        faults = tuple(replace(each, code="evidence/stale-code") for each in error.findings)
        return Present(loaded, {}, {}, faults=faults)
    absent: tuple[str, ...] = ()
    try:
        fingerprint = fingerprint_of(recipe.data, loaded.root)
    except HptransferError as error:  # they may be too large to be committed
        fingerprint, absent = gathered, (f"whether the data are those of the evidence: {_said(error)}",)

    def read(pool: WorkerPool | None) -> Present:
        timed = with_durations(loaded, pool)
        readings = Readings(timed.recipe, loaded.root, pool, None)
        identity = Identity(timed.recipe, fingerprint, trainer, readings)
        rules_at = {label: identity.rules_at(size) for label, size in sizes.items()}
        shapes = {(size.width, size.depth) for size in sizes.values()} if trainer.follows_rules else set()
        parameters = {shape: readings.at(*shape).parameters for shape in sorted(shapes)}
        return Present(timed, identity.shared(), rules_at, parameters=parameters)

    def unread(reason: str) -> Present:
        # the reader is not asked for what is stated
        identity = Identity(recipe, fingerprint, trainer, Readings(recipe, loaded.root, None, None))
        return Present(loaded, identity.stated(), {}, (f"whether the model and its rules are as they were: {reason}",))

    found = _read(loaded, read, unread, follows_rules=trainer.follows_rules, trust=trust)
    return replace(found, undecided=(*absent, *found.undecided))


def _read(
    loaded: LoadedRecipe,
    read: Callable[[WorkerPool | None], Present],
    unread: Callable[[str], Present],
    *,
    follows_rules: bool,
    trust: bool,
) -> Present:
    own = model_code(loaded.recipe)
    if not follows_rules:
        return read(None)
    if own and not trust:
        return unread("code that a recipe names runs with `--trust` only")
    if importlib.util.find_spec("torch") is None:
        return unread("torch, which reads it, is not installed")
    try:
        if not own:
            return read(None)
        with WorkerPool(ENTRY, 1, UNLIMITED) as pool:
            return read(pool)
    except HptransferError as error:
        return unread(_said(error))


def _own(trainer: str, data: str) -> str | None:
    """What the recipe names of its own that would have to be imported to be asked; installed packages are no such."""
    if ":" in trainer and trainer not in TRAINERS.built_in:
        return f"the trainer {trainer}"
    return f"the data source {data}" if ":" in data and data not in DATA_SOURCES.built_in else None


def unmeasured(now: Present, evidence: Evidence) -> tuple[str, ...]:
    """What must be said of a coordinate check whose layers and parameters could not be held to the model.

    Args:
        now: what holds now, the model's parameters where it was read.
        evidence: what a run folder holds, as it was read.
    """
    made = evidence.transfer is not None and evidence.transfer.diagnostics.get("coordinate")
    if not made or now.parameters:
        return ()
    return ("whether the coordinate check has every layer and parameter of the model: the model was not read",)


def _said(error: HptransferError) -> str:
    finding = error.findings[0]
    return f"{finding.rule}; received: {finding.received}"
