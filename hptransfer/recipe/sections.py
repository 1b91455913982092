"""What sections of a recipe are made of, for those that are defined in the rooms which read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

#: regular expression of a recipe's name, which is also that of its run folder
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
#: a value of a configuration or of a function's argument
Setting = bool | int | float | str | None

#: pydantic's error type of `refused`; `recipe/faults.py` explains it
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class EditorPattern:
    """Annotation of a text whose form a function checks: a regular expression that says the same in the JSON Schema.

    Attributes:
        pattern: in the syntax that ECMAScript and Python share.
    """

    pattern: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"pattern": self.pattern}


#: what `stays_below` asks, for editors
BELOW = EditorPattern(r"^(?![/\\])(?![A-Za-z]:)(?!(?:[\s\S]*[/\\])?\.\.(?:[/\\]|$))[\s\S]*\S")


class Section(BaseModel):
    """A mapping of the recipe: unknown keys, loose types and non-finite numbers are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class DataSection(Section):
    """What `data` sections have in common; each data source defines its own (`hptransfer/data`)."""

    kind: str
    evaluation_examples: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """size of the fixed evaluation set, the same for every trial; default: `training.evaluation_batches` batches of
    `training.batch_size`"""

    def predictions(self) -> int | None:
        """What one example counts for where durations are in tokens; None where the model says it."""
        return None

    def __hash__(self) -> int:
        """By content, as equality is; sections may hold mappings."""
        return hash(self.model_dump_json())


class ExternalData(DataSection):
    """Data that the trainer reads by itself: nothing of them is read here, so their content is in no trial's key.

    The default where the trainer is a function or a command.
    """

    kind: Literal["external"]
    version: Annotated[str, Field(max_length=200)] = ""
    """in your words; change it with the data, and trials are trained anew"""
    predictions_per_example: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """what one example counts for where sizes and durations are in tokens: the length of a sequence; default: 1"""

    def predictions(self) -> int | None:
        """What one example counts for; None where the recipe does not say it."""
        return self.predictions_per_example


def refused(code: str, rule: str, hint: str) -> PydanticCustomError:
    """The exception by which a section's validator refuses a value; the message gets its place in the file.

    Args:
        code: stable identifier of the rule, a key of `recipe.faults.CODES`.
        rule: what must hold, one sentence without a full stop.
        hint: what the user can do about it.
    """
    return PydanticCustomError(REFUSED, "{rule}", {"code": code, "rule": rule, "hint": hint})


def stays_below(name: str) -> bool:
    """Whether a path or a pattern is relative and has no `..`, so that it stays below the folder where it starts.

    Args:
        name: as a recipe has it, with slashes of either kind.
    """
    pure = PurePosixPath(name.replace("\\", "/"))
    outside = pure.is_absolute() or PureWindowsPath(name).drive or ".." in pure.parts
    return not outside and bool(name.strip()) and "\0" not in name
