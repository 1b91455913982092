"""Names in a recipe that a registry knows: `Annotated[str, registered(REGISTRY)]`.

A registry that a recipe's keys name is made here when its room stands above recipes: it holds the room's name as text,
so nothing is imported, and the room's `base.py` gives it its Protocol. So the list of names is the room's folder alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hptransfer.hyperparameters import OPTIMIZER_VALUES
from hptransfer.recipe.sections import DataSection, Section, Setting
from hptransfer.registry import Registry

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

#: of `tune.sampler`; `hptransfer.search.base` says what a sampler is
SAMPLERS: Registry[Any] = Registry("sampler", "hptransfer.search.samplers", "SAMPLER")

#: pydantic's error type of an unknown name; `recipe/faults.py` explains it
UNREGISTERED = "unregistered"


@dataclass(frozen=True, slots=True)
class _Registered:
    """Annotation of a string; see `registered`."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # built-in names only: the page of docs that is written from it is the same on every machine
        names = {"type": "string", "enum": list(self.registry.built_in)}
        return names if self.registry.group is None else {"anyOf": [names, {"type": "string", "pattern": ":"}]}

    def _known(self, value: object) -> object:
        if isinstance(value, str) and self.registry.accepts(value):
            return value
        extensible = self.registry.group is not None
        raise PydanticCustomError(
            UNREGISTERED,
            "must be the name of a {kind}",
            {"kind": self.registry.kind, "names": list(self.registry.names), "extensible": extensible},
        )


def registered(registry: Registry[Any]) -> _Registered:
    """The annotation that makes a string of a recipe the name of an entry.

    Names are looked up when a recipe is validated, so an installed package adds its own; a `module:attribute` is
    accepted as text where the registry takes one. Nothing is imported.

    Args:
        registry: the one whose names are allowed.
    """
    return _Registered(registry)


class ReadsValues(Protocol):
    """What a recipe needs to know of an optimizer; `training.optimizers.base` has the whole Protocol."""

    @property
    def reads(self) -> frozenset[str]:
        """Those of `hyperparameters.OPTIMIZER_VALUES` on which its steps depend."""


class HasSection(Protocol):
    """What a recipe needs to know of a data source that ships; `data.base` has the whole Protocol."""

    @property
    def section(self) -> type[DataSection]:
        """What a `data` section of this kind holds."""


class HasResultsSection(Protocol):
    """What a recipe needs to know of a reader of results; `trainers.results.base` has the whole Protocol."""

    @property
    def section(self) -> type[Section]:
        """What a `results` section of this form holds."""


OPTIMIZERS: Registry[ReadsValues] = Registry("optimizer", "hptransfer.training.optimizers", "OPTIMIZER")
DIAGNOSTICS: Registry[Any] = Registry(
    "diagnostic", "hptransfer.diagnostics", "DIAGNOSTIC", group="hptransfer.diagnostics"
)
DATA_SOURCES: Registry[HasSection] = Registry(
    "data source", "hptransfer.data", "SOURCE", group="hptransfer.data_sources"
)
TRAINERS: Registry[object] = Registry("trainer", "hptransfer.trainers", "TRAINER", group="hptransfer.trainers")
RESULT_READERS: Registry[HasResultsSection] = Registry("form of results", "hptransfer.trainers.results", "READER")
LOSSES: Registry[Any] = Registry("loss", "hptransfer.training.losses", "LOSS", group="hptransfer.losses")


def unread(optimizer: str) -> tuple[str, ...]:
    """Hyperparameters that an optimizer does not read.

    Args:
        optimizer: its name in `OPTIMIZERS`.
    """
    reads = OPTIMIZERS.look_up(optimizer).reads
    return tuple(name for name in OPTIMIZER_VALUES if name not in reads)


def argument_fault(loss: Callable[..., Any], arguments: Mapping[str, Setting]) -> str | None:
    """Why a loss cannot be called with these keyword arguments; None where it can, or does not say what it takes.

    Args:
        loss: an entry of `LOSSES`, a function of a module and a batch.
        arguments: values by the argument's name.
    """
    try:
        inspect.signature(loss).bind(None, None, **arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # written in C, without a signature
        return None
    return None
