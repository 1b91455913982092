"""Regular expressions of a recipe's texts, each with what it asks for in words and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hptransfer.recipe.sections import NAME
from hptransfer.recipe.yaml.gate import KeyPath, Plain, plain_scalar
from hptransfer.registry import written_as_file
from hptransfer.sizes import SHAPE_LABEL

#: `model_type` of a configuration of transformers
CONFIGURATION = r"^[a-z0-9_-]+$"
#: `module:function`
REFERENCE = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"
#: argument of a function
ARGUMENT = r"^[A-Za-z_]\w*$"
#: of the environment
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
#: what may be made of the values of a run: the last one, the best one, or the mean of the last few
FINAL = r"^(last|best|mean-of-last-[1-9][0-9]{0,5})$"

_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True)
class Form:
    """What a regular expression of the schema asks for, in words.

    Attributes:
        rule: what a value must do, after "must".
        hint: what to write instead of a value at a place.
    """

    rule: str
    hint: Callable[[KeyPath, Plain], str]


def _file_name(path: KeyPath, value: Plain) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._") if isinstance(value, str) else ""
    if slug and plain_scalar(slug[:64]) != slug[:64]:  # the YAML would be a number
        slug = f'"{slug}"'
    return f"write `{slug}`" if slug else "it names the run folder, for example `name: small`"


def _configuration(path: KeyPath, value: Plain) -> str:
    small = value.lower() if isinstance(value, str) else ""
    return f"write `{small}`" if re.fullmatch(r"[a-z0-9_-]+", small) else "for example `llama`"


def _reference(path: KeyPath, value: Plain) -> str:
    """`package.module.name` is how Python names it elsewhere, and `models/net.py:make` is a file."""
    module, colon, attribute = value.partition(":") if isinstance(value, str) else ("", "", "")
    if colon and re.fullmatch(_IDENTIFIER, attribute) and (said := written_as_file(module, attribute)) is not None:
        return said
    package, dot, name = module.rpartition(".")
    if not colon and dot and re.fullmatch(rf"{_IDENTIFIER}(\.{_IDENTIFIER})*", module):
        return f"the function is named after a colon: write `{package}:{name}` where `{name}` is the function"
    return f"for example `{path[-1]}: my_package.models:build`"


#: regular expression of a field, as the schema has it -> what it asks for
FORMS: Mapping[str, Form] = {
    NAME: Form("start with a letter or digit and hold only letters, digits, `.`, `_` and `-`", _file_name),
    CONFIGURATION: Form("hold only small letters, digits, `_` and `-`", _configuration),
    REFERENCE: Form("name a module and, after a colon, what it defines", _reference),
    ARGUMENT: Form("be the name of an argument", lambda path, value: f"for example `{path[-1]}: width`"),
    VARIABLE: Form(
        "hold only names of variables: letters, digits and `_`, no digit first",
        lambda path, value: "for example `OMP_NUM_THREADS`",
    ),
    SHAPE_LABEL: Form("name shapes", lambda path, value: "for example `w64-d2: 41000`: width 64, depth 2"),
    FINAL: Form(
        "be `last`, `best` or `mean-of-last-K`",
        lambda path, value: "for example `mean-of-last-10`, the mean of the last ten values",
    ),
}
