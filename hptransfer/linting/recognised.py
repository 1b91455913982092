"""Which of a folder's YAML files are recipes, however broken: by the keys at their top, which a bounded parse finds.

A line that looks like a key may stand in a text, and a key may be written in ways that no line shows (behind `?`, with
escapes, in braces, indented, between line ends of other systems). So nothing is told by lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from hptransfer.recipe.schema import Recipe
from hptransfer.recipe.yaml.gate import MAX_BYTES, forbidden

#: keys of which a recipe has one at its top, besides others of a recipe
TELLING = frozenset({"sizes", "tune", "parameterization"})
#: those of them that no file which a command writes has at its top
_OF_NO_RESULT = frozenset({"sizes", "tune"})
_KEYS = frozenset(Recipe.model_fields)
#: what every file that a command of this tool writes has at its top, and no recipe
_ARTIFACT = "format"
#: folders of brackets within each other, beyond which the parser would take long; a recipe may have a quarter of it
_DEEPEST = 64
#: marks of byte order -> encoding; the longer first, because one begins with another
_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
#: line ends of other systems, which separate lines for a parser of YAML
_LINE_ENDS = "\x85\u2028\u2029"
#: an escape that can stand for a letter of a key, or joins two parts of one
_ESCAPE = re.compile(r"\\[xuU\r\n\x85\u2028\u2029]")


def or_(names: frozenset[str]) -> str:
    """Names as a list with "or", in the order of the alphabet.

    Args:
        names: of keys, two or more.
    """
    *others, last = (f"`{name}`" for name in sorted(names))
    return f"{', '.join(others)} or {last}"


def why_no_recipe(content: bytes) -> str | None:
    """Why a YAML file is not taken for a recipe; None where it is one, however broken.

    Args:
        content: of the file; of a longer one than a recipe may be, its first bytes, one more than that.
    """
    text, cut = _text(content), len(content) > MAX_BYTES
    keys: set[str] = set()
    broken = False
    if _ESCAPE.search(text) or any(word in text for word in TELLING):  # no other file has such a key
        try:
            for key in _top_keys(text):
                keys.add(key)
                if keys & _OF_NO_RESULT and len(keys & _KEYS) > 1:
                    return None
        except (ValueError, OverflowError, yaml.YAMLError):
            broken = not cut
    if _ARTIFACT in keys:
        return "a result, by its `format`"
    # what follows a fault of YAML is not known: a word that tells a recipe is enough there
    hidden = broken and any(word in text for word in TELLING)
    if hidden or (keys & TELLING and len(keys & _KEYS) > 1):
        return None
    return f"no recipe: none of {or_(TELLING)} among two keys of a recipe at its top"


def _text(content: bytes) -> str:
    """The text of a file in whatever encoding, without what an editor does not show; the gate refuses what it must."""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding, "strict" if encoding == "utf-8" else "ignore")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(each for each in text if each in _LINE_ENDS or not forbidden(each))


def _top_keys(text: str) -> Iterator[str]:
    """Keys of the mappings that are whole documents, one by one.

    Raises:
        YAMLError: the text is no YAML from here on.
        ValueError, OverflowError: as the parser raises them of some escapes.
    """
    depth, of_mapping, at_key = 0, False, False
    anchors: dict[str, str] = {}
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, ScalarEvent | AliasEvent):
            said = event.value if isinstance(event, ScalarEvent) else anchors.get(str(event.anchor), "")
            if isinstance(event, ScalarEvent) and event.anchor is not None:
                anchors[event.anchor] = said
            if depth == 1 and of_mapping and at_key:
                yield said
            at_key ^= depth == 1
        elif isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise yaml.YAMLError
            if depth == 1:
                of_mapping, at_key = isinstance(event, MappingStartEvent), True
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
            at_key ^= depth == 1
