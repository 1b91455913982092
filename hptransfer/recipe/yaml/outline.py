"""The recipe's keys as data: which section is at a path, what its keys are and mean, where a key belongs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import get_args, get_origin

from hptransfer.hyperparameters import NAMES
from hptransfer.recipe.command_sections import RESULT_FORMS, result_form_of
from hptransfer.recipe.model_sections import Model
from hptransfer.recipe.registered import DATA_SOURCES
from hptransfer.recipe.schema import (
    DATA_SECTIONS,
    OWN_KIND,
    Range,
    Recipe,
)
from hptransfer.recipe.sections import Section
from hptransfer.recipe.trainer_sections import FORMS, form_of
from hptransfer.recipe.yaml.gate import KeyPath, Plain

SEARCHABLE: tuple[str, ...] = NAMES

_MODELS: tuple[type[Section], ...] = get_args(get_args(Model)[0])
#: sections whose keys depend on their `kind`
KINDS: dict[str, dict[str, type[Section]]] = {
    "model": {get_args(section.model_fields["kind"].annotation)[0]: section for section in _MODELS},
    "data": dict(DATA_SECTIONS),
    "trainer": dict(FORMS),
}


def dotted(path: KeyPath) -> str:
    """A path as users write it: `sizes.widths[2]`.

    Args:
        path: keys and list indices from the top of the recipe; empty for the recipe itself.
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the recipe"


def entry(data: Plain, path: KeyPath) -> Plain:
    """The value at `path`; None where there is none.

    Args:
        data: the recipe as plain data.
        path: keys and list indices that lead to it from the top of the recipe.
    """
    value = data
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def without(data: Plain, paths: Collection[KeyPath], path: KeyPath = ()) -> Plain:
    """A copy of `data` that lacks the entries at `paths`.

    Args:
        data: the recipe as plain data.
        paths: keys that lead to the mappings' entries to leave out.
        path: where `data` itself stands in the recipe.
    """
    if isinstance(data, list):  # its entries keep their places
        return [without(value, paths, (*path, index)) for index, value in enumerate(data)]
    if not isinstance(data, dict):
        return data
    kept = {key: value for key, value in data.items() if (*path, key) not in paths}
    return {key: without(value, paths, (*path, key)) for key, value in kept.items()}


def section_at(path: KeyPath, data: Plain) -> type[Section] | None:
    """The section of the schema that belongs at `path`; None where the schema has none.

    Args:
        path: keys and list indices that lead to it from the top of the recipe.
        data: the recipe as plain data, whose `kind` decides among variants.
    """
    section: type[Section] | None = Recipe
    entries: type[Section] | None = None  # of a list or a mapping whose key was the part before
    for depth, part in enumerate(path):
        if entries is not None:
            section, entries = entries, None
        elif depth == 0 and part in KINDS:
            kind = form_of(entry(data, (part,))) if part == "trainer" else entry(data, (part, "kind"))
            section = _section_of_kind(part, kind) if isinstance(kind, str) else None
        elif path[:2] == ("tune", "space"):
            return Range if len(path) == 3 else None
        elif path[: depth + 1] == ("trainer", "results"):
            section = RESULT_FORMS.get(result_form_of(entry(data, ("trainer", "results"))) or "")
        else:
            inner = _child(section, part) if section else None
            several = inner is not None and section is not None and _holds_several(section, part)
            section, entries = (None, inner) if several else (inner, None)
    return section


def _holds_several(section: type[Section], key: str | int) -> bool:
    """Whether a key holds a list or a mapping of sections."""
    return get_origin(section.model_fields[str(key)].annotation) in (dict, tuple)


def _section_of_kind(name: str, kind: str) -> type[Section] | None:
    if name == "data" and kind not in KINDS[name] and DATA_SOURCES.accepts(kind):
        kind = OWN_KIND
    return KINDS[name].get(kind)


def _child(section: type[Section], key: str | int) -> type[Section] | None:
    field = section.model_fields.get(str(key))
    if field is None:
        return None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def keys_at(path: KeyPath, data: Plain) -> tuple[str, ...]:
    """The keys allowed at `path`, in the schema's order; empty where the schema knows none.

    Args:
        path: keys and list indices that lead to it from the top of the recipe.
        data: the recipe as plain data, whose `kind` decides among variants.
    """
    if path == ("tune", "space"):
        return SEARCHABLE
    section = section_at(path, data)
    return tuple(section.model_fields) if section else ()


def value_type_at(path: KeyPath, data: Plain) -> str | None:
    """One clause on what the key at `path` means, from the schema.

    Args:
        path: keys and list indices that lead to it from the top of the recipe.
        data: the recipe as plain data, whose `kind` decides among variants.
    """
    section = section_at(path[:-1], data) if path else None
    field = section.model_fields.get(str(path[-1])) if section else None
    return field.description if field else None


def sections_with_key(key: str) -> tuple[str, ...]:
    """The sections that do have `key`, as a message names them: "`tune`", "`model` with `kind: gpt`".

    Args:
        key: name of a key, without the sections around it.
    """
    found = [f"`{name}`" for name, section in _sections("", Recipe) if name and key in section.model_fields]
    for name, variants in KINDS.items():
        having = [kind for kind, section in variants.items() if key in section.model_fields]
        told = "`{}` with `{}`" if name == "trainer" else "`{}` with `kind: {}`"
        every = len(having) == len(variants)
        found += [f"`{name}`"] if every else [told.format(name, kind) for kind in having]
    return tuple(found)


def _sections(name: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """Dotted name and section, depth first; those that depend on a `kind` are left out."""
    yield name, section
    for key in section.model_fields:
        if (child := _child(section, key)) is not None and key not in KINDS:
            yield from _sections(f"{name}.{key}" if name else key, child)
