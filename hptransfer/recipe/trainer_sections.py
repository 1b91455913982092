"""Who trains: `trainer: torch`, `trainer: {function: ...}` or `trainer: {command: [...]}`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from hptransfer.recipe.command_sections import CommandTrainer
from hptransfer.recipe.registered import TRAINERS, registered
from hptransfer.recipe.sections import Section, Setting, refused
from hptransfer.recipe.text_forms import REFERENCE


class NamedTrainer(Section):
    """A trainer by its name; `trainer: torch` is short for `trainer: {name: torch}`."""

    name: Annotated[str, Field(max_length=200), registered(TRAINERS)] = "torch"
    """`torch`, the name that an installed package gives its own, or `module:attribute` (docs/trainers.md)"""
    arguments: dict[str, Setting] = Field(default_factory=dict)
    """what a trainer of your own is asked for; it reads them itself"""

    @property
    def watches(self) -> bool:
        """Whether its loops call `hptransfer.watch`: a trainer with diagnostics needs none."""
        return False

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _complete(cls, name: str) -> str:
        """Trainers with sections of their own are named by the key that the section has."""
        if name in SECTIONS:
            hint = f"write `trainer: {{{name}: {_EXAMPLES[name]}}}`"
            raise refused("recipe/type", f"the trainer `{name}` must be told what to run", hint)
        return name


class FunctionTrainer(Section):
    """Your own training loop in Python: `function(trial) -> float` (docs/trainers.md)."""

    function: Annotated[str, Field(pattern=REFERENCE, max_length=200)]
    """`module:function`; it gets a `hptransfer.TrialRun` and returns the final value of the objective"""
    arguments: dict[str, Setting] = Field(default_factory=dict)
    """what it finds in `trial.arguments`, the same at every size"""
    watches: bool = False
    """whether its loop calls `hptransfer.watch`: `check` then makes the coordinate check of it (docs/watch.md)"""

    @property
    def name(self) -> str:
        """Of the trainer that reads the section."""
        return "function"


#: key that marks a trainer's section -> the section
SECTIONS: Mapping[str, type[Section]] = MappingProxyType({"function": FunctionTrainer, "command": CommandTrainer})
_EXAMPLES = {
    "function": '"package.module:train"',
    "command": "[python, train.py, --width, '{width}'], results: {stdout: 'loss (.*)'}",
}
#: of trainers that are named alone
NAMED = "name"
#: every form of the section by the tag that tells them apart
FORMS: Mapping[str, type[Section]] = MappingProxyType({NAMED: NamedTrainer, **SECTIONS})


def form_of(data: object) -> str:
    """Which of `FORMS` a `trainer` section or its raw data is to be read as.

    Args:
        data: text, a mapping, or a section.
    """
    if isinstance(data, Section):
        return next(form for form, section in FORMS.items() if isinstance(data, section))
    keys: Any = data if isinstance(data, Mapping) else ()
    return next((form for form in SECTIONS if form in keys), NAMED)


if TYPE_CHECKING:
    TrainerChoice = NamedTrainer | FunctionTrainer | CommandTrainer
else:
    _TAGGED = tuple(Annotated[section, Tag(form)] for form, section in FORMS.items())
    TrainerChoice = Annotated[Union[_TAGGED], Discriminator(form_of)]  # noqa: UP007  # made from the mapping
