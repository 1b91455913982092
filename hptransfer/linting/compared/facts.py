"""What committed evidence says of a recipe: tuned values, verdict, standing at the target, predicted loss.

It is what the files say. That an edited file passes here is no gap: `validate --level evidence` recomputes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from hptransfer.artifacts.scope import ScopeRecord
from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.errors import UsageError
from hptransfer.linting.compared.trees import FileTree
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.transfer.prediction import registered

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one version's files say of one recipe.

    Attributes:
        tuned: recommended values by hyperparameter; empty where nothing was tuned.
        values: base-size value of every hyperparameter, the tuned ones included; None where nothing was tuned.
        values_current: whether they were tuned for this version of the recipe.
        verdict: of the check, also where it was of another version of the recipe; None where there is none.
        current: whether the check was of this version of the recipe.
        scope: "covered", "accepted" or "not covered" at the recipe's target; None where that is not known.
        loss: predicted of the target, estimate and 95% interval; None where none is registered.
        optima: "learning_rate over width at 1024" -> the optimum at a ladder's largest size, own unit; None: open.
        coordinate: verdict of the coordinate check; None where there is none.
        digests: name of each file -> sha256 (hex) of its text, whose line ends are a checkout's matter.
        faults: what could not be read or does not fit, a sentence each.
    """

    tuned: Mapping[str, float]
    values: Mapping[str, float] | None = None
    values_current: bool = False
    verdict: str | None = None
    current: bool = False
    scope: str | None = None
    loss: tuple[float | None, float | None, float | None] | None = None
    optima: Mapping[str, float | None] = field(default_factory=dict)
    coordinate: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @property
    def standing(self) -> str | None:
        """The verdict on this version of the recipe; None where there is none."""
        return self.verdict if self.current else None


NONE = Evidence({})


@dataclass(frozen=True, slots=True)
class FileChange:
    """One committed file of evidence that is another.

    Attributes:
        file: its name in the run folder.
        how: what became of it.
    """

    file: str
    how: Literal["added", "removed", "edited"]


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value that evidence states, before and after.

    Attributes:
        name: of what it is: "verdict", "coordinate check", "optimum of learning_rate over width at 1024".
        base: None where there is none, or it is open.
        head: the same of the later version.
    """

    name: str
    base: str | float | None
    head: str | float | None


def changed_files(before: Evidence, after: Evidence) -> tuple[FileChange, ...]:
    """Files of evidence whose content differs, whatever it says.

    Args:
        before: evidence of the earlier version.
        after: evidence of the later version.
    """
    return tuple(
        FileChange(file, "added" if file not in before.digests else "edited" if file in after.digests else "removed")
        for file in dict.fromkeys((*before.digests, *after.digests))
        if before.digests.get(file) != after.digests.get(file)
    )


def changed_values(before: Evidence, after: Evidence) -> tuple[ValueChange, ...]:
    """Verdict, coordinate check and optima where they differ.

    Args:
        before: evidence of the earlier version.
        after: evidence of the later version.
    """
    first, second = dict(_values(before)), dict(_values(after))
    return tuple(
        ValueChange(name, first.get(name), second.get(name))
        for name in dict.fromkeys((*first, *second))
        if first.get(name) != second.get(name)
    )


def _values(evidence: Evidence) -> Iterator[tuple[str, str | float | None]]:
    yield "verdict", evidence.verdict
    yield "coordinate check", evidence.coordinate
    yield from ((f"optimum of {name}", value) for name, value in evidence.optima.items())


def evidence_of(tree: FileTree, path: str, loaded: LoadedRecipe) -> Evidence:
    """What the files of a version say of a recipe.

    Args:
        tree: all files of the version.
        path: of the recipe in it.
        loaded: the recipe, as that version has it.
    """
    faults: list[str] = []
    digests: dict[str, str] = {}

    def read(file: str, parse: Callable[[str, Path], Read]) -> Read | None:
        found = tree.beside(path, loaded.recipe.name, file)
        if found is None:
            return None
        where, content = found
        digests[file] = hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
        try:
            return parse(content.decode(), Path(where))
        except UnicodeDecodeError:
            faults.append(f"{where} is no UTF-8")
        except UsageError as error:
            faults.append(str(error).replace("\n", " "))
        return None

    tuned, transfer = read("tuned.yaml", Tuned.parse), read("transfer.json", TransferFile.parse)
    target = read("target.yaml", TargetFile.parse)
    loss = None
    try:
        loss = None if target is None else _loss(target.prediction)
    except UsageError as error:
        faults.append(str(error).replace("\n", " "))
    of_this = tuned is not None and tuned.recipe_hash == loaded.hash
    current = transfer is not None and transfer.recipe_hash == loaded.hash
    if transfer is not None and not current:
        faults.append("transfer.json is of another version of the recipe")
    if tuned is not None and not of_this:
        faults.append("tuned.yaml is of another version of the recipe")
    return Evidence(
        tuned=dict(tuned.recommended) if tuned is not None else {},
        values=None if tuned is None else dict(tuned.hyperparameters),
        values_current=of_this,
        verdict=None if transfer is None else str(transfer.verdict),
        current=current,
        scope=_scope(transfer.target, loaded) if transfer is not None and current else None,
        loss=loss,
        optima={} if transfer is None else _optima(transfer),
        coordinate=None if transfer is None or transfer.coordinate is None else str(transfer.coordinate.verdict),
        digests=digests,
        faults=tuple(faults),
    )


def _optima(transfer: TransferFile) -> dict[str, float | None]:
    found = {}
    for axis in transfer.axes:
        last = max(axis.sizes, key=lambda size: size.value, default=None)
        if last is not None:
            found[f"{axis.hyperparameter} over {axis.axis} at {last.value:g}"] = last.optimum.value
    return found


def _scope(scope: ScopeRecord | None, loaded: LoadedRecipe) -> str | None:
    """How the check stands to the target that the recipe has now, which is no part of its hash."""
    if scope is None:
        return None
    target, proxy = loaded.recipe.sizes.target, loaded.recipe.proxy
    batch = target.batch_size or loaded.recipe.training.batch_size
    sizes = {"width": (target.width, proxy.width), "depth": (target.depth, proxy.depth)}
    sizes["batch_size"] = (batch, loaded.recipe.training.batch_size)
    wanted = {axis: float(size) for axis, (size, start) in sizes.items() if size != start}
    judged = {each.axis: each.value for each in scope.axes if each.axis in sizes and each.standing != "unchanged"}
    if wanted != judged:
        return None
    return "covered" if scope.covered else "accepted" if scope.accepted else "not covered"


def _loss(prediction: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None] | None:
    """Of a registered prediction.

    Raises:
        UsageError: it was edited since it was registered.
    """
    loss = None if prediction is None else registered(dict(prediction)).get("loss")
    if not isinstance(loss, Mapping):
        return None
    estimate, low, high = (
        float(value) if isinstance(value := loss.get(name), int | float) else None
        for name in ("estimate", "low", "high")
    )
    return estimate, low, high
