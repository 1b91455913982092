"""Which of a folder's YAML files are recipes, however broken: by the keys at their top, which a bounded parse finds.

A line that looks like a key may stand in a text, and a key may be written in ways that no line shows (behind `?`, with
escapes, in braces, indented, between line ends of other systems). So nothing is told by lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    NodeEvent,
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
#: keys of a recipe that such files have at their top too
_OF_RESULTS = frozenset({"model", "parameterization", "trainer", "training"})
#: mappings of which the one at the top takes the keys
_MERGE = "<<"
#: how deep such a mapping may lie: in a list of them
_DEEPEST_MERGED = 3
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
    told = any(word in text for word in TELLING)
    seen = _Seen()
    broken = False
    if cut or told or _ESCAPE.search(text):  # no other file has such a key
        try:
            seen.read(text, only_recipes=cut and not told)
        except (ValueError, OverflowError, yaml.YAMLError):
            broken = not cut
    # what follows a fault of YAML is not known: a word that tells a recipe is enough there
    if (broken and told) or seen.tells_recipe or (cut and seen.may_begin_recipe(text)):
        return None
    if _ARTIFACT in seen.keys:
        return "a result, by its `format`"
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


@dataclass
class _Seen:
    """What the beginning of a text says, as far as it was read.

    Attributes:
        keys: of the mappings that are whole documents.
        below: of mappings within these, which they have as their own where one of them is merged.
        item: of the mapping that is the last item of a list that is a whole document.
        found: whether an item of a list is a whole recipe.
        opened: brackets and indentations that are open, from the top: whether a mapping, whether a key is next.
        listed: whether a document is a list.
        mixed: whether such a list has items that are texts.
        last: where in the text the last key, value or bracket begins.
    """

    keys: set[str] = field(default_factory=set)
    below: set[str] = field(default_factory=set)
    item: set[str] = field(default_factory=set)
    found: bool = False
    opened: list[list[bool]] = field(default_factory=list)
    listed: bool = False
    mixed: bool = False
    last: int = 0

    @property
    def tells_recipe(self) -> bool:
        """Whether the keys are a recipe's, and no result's."""
        every = self.keys | self.below if _MERGE in self.keys else self.keys
        own = every & _KEYS
        of_result = _ARTIFACT in every and own <= _OF_RESULTS
        return self.found or (bool(every & TELLING) and len(own) > 1 and not of_result)

    def may_begin_recipe(self, text: str) -> bool:
        """Whether little but comments, or one long text, stands there, and no key that a recipe has not.

        Args:
            text: the beginning of the file that was read.
        """
        return not self.listed and self.keys <= _KEYS and self.last < len(text) / 2

    def read(self, text: str, *, only_recipes: bool) -> None:
        """Reads on until it is known what the text is, or to its end.

        Args:
            text: of the file, or its beginning.
            only_recipes: whether a key that no recipe has, or a list, ends it.

        Raises:
            YAMLError: the text is no YAML from here on.
            ValueError, OverflowError: as the parser raises them of some escapes.
        """
        anchors: dict[str, str] = {}
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, NodeEvent) and event.start_mark is not None:
                self.last = event.start_mark.index
            if isinstance(event, ScalarEvent | AliasEvent):
                said = event.value if isinstance(event, ScalarEvent) else anchors.get(str(event.anchor), "")
                if isinstance(event, ScalarEvent) and event.anchor is not None:
                    anchors[event.anchor] = said
                self._said(said)
            elif isinstance(event, CollectionStartEvent):
                self._open(isinstance(event, MappingStartEvent))
            elif isinstance(event, CollectionEndEvent):
                self.opened.pop()
                self._next()
            if self.found or (self.keys & _OF_NO_RESULT and self.tells_recipe):
                return
            if only_recipes and (self.listed or not self.keys <= _KEYS):
                return

    def _said(self, said: str) -> None:
        depth = len(self.opened)
        if depth and all(self.opened[-1]):
            if depth == 1:
                self.keys.add(said)
            elif depth <= _DEEPEST_MERGED and self.opened[0][0]:
                self.below.add(said)
            elif depth == 2:
                self.item.add(said)
                # others' lists have items with names and sizes
                self.found = len(self.item & TELLING) > 1 and len(self.item & _KEYS) > 2 and not self.mixed
        self.mixed |= depth == 1 and not self.opened[0][0]
        self._next()

    def _open(self, of_mapping: bool) -> None:
        if len(self.opened) >= _DEEPEST:
            raise yaml.YAMLError
        if len(self.opened) == 1:
            self.item = set()
        self.listed |= not self.opened and not of_mapping
        self.opened.append([of_mapping, of_mapping])

    def _next(self) -> None:
        """What follows a whole key is its value, and the other way round."""
        if self.opened and self.opened[-1][0]:
            self.opened[-1][1] ^= True
