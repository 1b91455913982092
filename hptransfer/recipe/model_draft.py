"""A recipe written from what was found of a model: what is certain as entries, what is open as lines to choose from."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hptransfer.recipe.sections import Setting

_WIDE = 118


@dataclass(frozen=True, slots=True)
class Line:
    """An entry, or one that is commented out.

    Attributes:
        text: of the entry, for example "context: 64".
        why: said behind it; empty for nothing.
        open: whether it is commented out, for a person to choose.
    """

    text: str
    why: str = ""
    open: bool = False

    def written(self, indent: str) -> str:
        """As it stands in the file.

        Args:
            indent: blanks that stand before it.
        """
        text = f"{indent}{'# ' if self.open else ''}{self.text}"
        return f"{text}{'  # ' if self.why else ''}{self.why}"


@dataclass(frozen=True, slots=True)
class ModelDraft:
    """What the recipe says.

    Attributes:
        name: of the recipe and its run folder.
        command: with which the recipe was written.
        remarks: sentences for the recipe's head.
        model: lines of the section `model`.
        data: lines of the section `data`.
        training: lines of the section `training` besides steps, batch and learning rate.
        parameterization: name of the table, and why.
        base: width and depth where hyperparameters hold as they are.
        widths: ladder of widths, the base's first.
        depths: ladder of depths; empty for none.
        target: width and depth, and where they come from.
        roles: lines on groups of parameters.
        notes: sentences of the plan.
    """

    name: str
    command: str
    remarks: Sequence[str]
    model: Sequence[Line]
    data: Sequence[Line]
    training: Sequence[Line]
    parameterization: tuple[str, str]
    base: tuple[int, int]
    widths: Sequence[int]
    depths: Sequence[int]
    target: tuple[int, int, str]
    roles: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())

    def text(self) -> str:
        """The recipe as commented YAML."""
        return "\n".join([*self._head(), *self._sections(), *self._sizes(), *self._tail()]) + "\n"

    def _head(self) -> Iterator[str]:
        yield f"# Written by `{self.command}`. Look at what is marked with `guess` and at lines that are commented"
        yield "# out; then `hptransfer validate --trust`, `hptransfer plan` and `hptransfer run` this file."
        if self.remarks:
            yield "#"
        for remark in self.remarks:
            yield from comment(remark)
        yield ""
        yield f"name: {self.name}"
        yield ""

    def _sections(self) -> Iterator[str]:
        yield "model:"
        yield from (line.written("  ") for line in self.model)
        if self.roles:
            yield "  # What a plan takes each parameter for, and how it starts (`hptransfer plan` prints all of it):"
            yield from (f"  #   {line}" for line in self.roles)
            yield "  # another role: `roles: {'PATTERN': 'ROLE'}` (docs/models.md)"
        yield ""
        yield "data:"
        yield from (line.written("  ") for line in self.data)
        yield ""
        yield "training:"
        yield "  steps: 300              # guess: of one trial, at the proxy"
        yield "  batch_size: 32          # guess: examples per step"
        yield from (line.written("  ") for line in self.training)
        yield "  optimizer: adamw"
        yield "  learning_rate: 0.004    # where `tune.space` does not name it"
        yield ""
        yield "parameterization:"
        name, why = self.parameterization
        yield f"  name: {name}{f'  # {why}' if why else ''}"
        for note in self.notes:
            yield from comment(f"the plan's note: {note}", "  ")
        yield ""

    def _sizes(self) -> Iterator[str]:
        yield "sizes:"
        yield f"  base: {{width: {self.base[0]}, depth: {self.base[1]}}}  # where hyperparameters hold as they are"
        yield f"  widths: [{', '.join(map(str, self.widths))}]"
        if self.depths:
            yield f"  depths: [{', '.join(map(str, self.depths))}]"
        width, depth, why = self.target
        yield f"  target: {{width: {width}, depth: {depth}}}  # {why}"
        yield ""

    def _tail(self) -> Iterator[str]:
        yield "tune:"
        yield "  space:"
        yield "    learning_rate: {low: 0.000244140625, high: 0.0625}  # guess: 2^-12 to 2^-4"
        yield "    # weight_decay: {low: 0.001, high: 1.0}"
        yield "  trials: 16"
        yield ""
        yield "check:"
        yield "  hyperparameter: learning_rate"
        yield "  seeds: 3"


def comment(sentence: str, indent: str = "") -> list[str]:
    """A sentence as lines of comment.

    Args:
        sentence: of any length, on one line.
        indent: blanks before each line.
    """
    flat = " ".join(sentence.split())
    return textwrap.wrap(
        flat, _WIDE, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ", break_on_hyphens=False
    )


def written(value: Setting | Sequence[str] | Mapping[str, Setting]) -> str:
    """A value in YAML, on one line.

    Args:
        value: a number, a text, or a list or mapping of such.
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{quoted(key)}: {written(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(quoted, value))}]"
    return json.dumps(value)


def quoted(word: str) -> str:
    """A text in YAML: in single quotes, which change nothing in patterns, where it is more than a plain word.

    Args:
        word: of any characters that YAML allows.
    """
    plain = word.replace(".", "").replace("_", "").replace("-", "").isalnum() and word[0].isalpha()
    if plain and word.isascii() and word.lower() not in ("true", "false", "null", "yes", "no", "on", "off"):
        return word
    doubled = word.replace("'", "''")
    return f"'{doubled}'"
