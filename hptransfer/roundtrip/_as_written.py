"""An exported Python file beside the same file as it is written anew: what was edited that no row of a plan shows."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import UsageError
from hptransfer.export.base import export_target
from hptransfer.parameterization.groups import ParameterGroup, collapsed_names
from hptransfer.roundtrip.torch import load_module


def written_anew(exporter: str, file: str, target: TargetFile) -> ModuleType:
    """The module that the exporter writes for a target, imported.

    Args:
        exporter: name of the format to write.
        file: which of its files.
        target: in the exporter's gauge.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_text(export_target(exporter, target)[file], encoding="utf-8")
        return load_module(path)


def leaves(value: object, skip: Collection[str] = (), place: str = "") -> Iterator[tuple[str, object]]:
    """Every number, text and name of a configuration with its place.

    Args:
        value: dataclasses, mappings and lists of them.
        skip: names of fields that are left out, with all inside.
        place: of the value itself.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield f"{place}.class", type(value).__qualname__
        # what was set and is no field, too: whoever set it meant something
        own = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        value = own | getattr(value, "__dict__", {})
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in skip:
                yield from leaves(inner, skip, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from leaves(inner, skip, f"{place}[{number}]")
    elif isinstance(value, partial):
        yield from leaves({"of": value.func, "args": value.args, **value.keywords}, skip, place)
    else:
        yield place, getattr(value, "__qualname__", value)


def edited(used: object, written: object, skip: Collection[str] = ()) -> tuple[str, ...]:
    """Where a configuration is not what was written, a clause each.

    Args:
        used: by the file, as it is.
        written: by the same file, written anew.
        skip: names of fields that are compared elsewhere, or that change nothing.
    """
    here, there = dict(leaves(used, skip)), dict(leaves(written, skip))
    return tuple(
        f"{place.lstrip('.')} {here.get(place, 'left out')!r}, written {there.get(place, 'left out')!r}"
        for place in dict.fromkeys((*here, *there))
        if not _same(here.get(place, _MISSING), there.get(place, _MISSING))
    )


_MISSING = object()


def _same(one: object, other: object) -> bool:
    return one == other or (
        isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    )


def require_unedited(framework: str, clauses: Iterable[str]) -> None:
    """Refuses what trains otherwise and is no value of the plan.

    Args:
        framework: its name, for people.
        clauses: what `edited` found, a clause each.

    Raises:
        UsageError: there are any.
    """
    found = tuple(clauses)
    if found:
        raise UsageError(
            f"what the file gives {framework} besides the plan's values must be as it was written",
            received="; ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else ""),
            hint="export again, and change such things in the training script, where they are seen",
        )


def require_starts(planned: Mapping[str, ParameterGroup], means: Mapping[str, float]) -> None:
    """Refuses constants that are not the plan's, and draws around something else than 0.

    Args:
        planned: name in the framework's model -> the plan's group.
        means: name -> mean of the entries; a constant's value.

    Raises:
        UsageError: there are any.
    """
    wrong: dict[tuple[float, float], list[str]] = {}
    for name, group in planned.items():
        constant = {"ones": 1.0, "zeros": 0.0}.get(group.init, group.init_value)
        wanted = 0.0 if group.init_std is not None else constant
        used = means.get(name, math.nan)
        # a mean that is not known belongs to a draw whose std is not known either, which is an error before this
        if wanted is not None and not math.isnan(used) and used != wanted:
            wrong.setdefault((used, wanted), []).append(name)
    if wrong:
        raise UsageError(
            "constants must start at the plan's value, and draws around 0",
            received="; ".join(
                f"{collapsed_names(names)} at {used:g}, planned {wanted:g}" for (used, wanted), names in wrong.items()
            ),
        )


def require_shapes(planned: Mapping[str, tuple[int, ...]], used: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses a model whose parameters have other shapes than the rows of the plan.

    Args:
        planned: name in the framework's model -> shape in the plan.
        used: name -> shape in the model that the framework built.

    Raises:
        UsageError: there are any; names that only one of them has are differences of the plan itself.
    """
    odd = [f"{name} {used[name]}, planned {shape}" for name, shape in planned.items() if used.get(name, shape) != shape]
    if odd:
        raise UsageError("the exported model must have the size of the plan", received="; ".join(odd[:3]))


def odd_one(used: Sequence[float], planned: float | None) -> float:
    """Of a value that groups may have each for itself one that is not the plan's, where there is one.

    Args:
        used: by each group, at least one.
        planned: for all; None where nothing was.
    """
    return next((value for value in used if value != planned), used[0])
