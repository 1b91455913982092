"""Which arguments of a user's function are width and depth: found by name, confirmed by building without memory."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from hptransfer.errors import UsageError
from hptransfer.models.configuration_object import wrapper_hint
from hptransfer.models.factory import built, load_function
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.recipe.sections import Setting
from hptransfer.recipe.size_names import named

#: what is asked, and the names to choose from -> the chosen one; None where nobody can be asked
Ask = Callable[[str, Sequence[str]], str]

#: names of arguments that must be given -> value that is tried, and why; a pattern matches the whole name
_GUESSES: Sequence[tuple[str, Setting, str]] = (
    (r"(n_?|num_?)?vocab(ulary)?(_?size)?|(n_?|num_?)tokens?", 256, "of bytes"),
    (r"(block|ctx|context|window)(_?(size|len|length))?|n_?ctx|(max_?)?(seq|sequence)?_?(len|length)", 64, "positions"),
    (r"(n_?|num_?)?(attention_?)?heads?|n_?head", 4, "heads"),
    (
        r"(n_?|num_?)?(classes|labels)|(n_?|num_?)outputs?|(out|output|target)(_?(dim|size|features|channels))",
        10,
        "outputs",
    ),
    (r"in_?(channels|planes|ch)|(n_?|num_?)?(image|input)_?channels", 3, "colours"),
    (r"(n_?|num_?)?(inputs?|features)|(in|input|data)_?(dim|size|features|width)", 16, "inputs"),
    (r".*drop(out|_?path)?(_?(p|rate|prob))?", 0.0, "none"),
    (r"bias|causal|.*norm.*bias", True, ""),
)
#: starting values that are tried for a width and a depth without a default
_WIDTHS, _DEPTHS = (128, 256, 512, 64, 96, 768), (2, 4, 3, 6)
#: defaults of widths and depths that may be meant
_LEAST_WIDTH, _MOST_DEPTH = 8, 256


@dataclass(frozen=True, slots=True)
class SizeArguments:
    """A function's arguments, as a recipe's `model` section names them.

    Attributes:
        section: what a recipe says of the model.
        width: default of the width argument; None where it has none.
        depth: default of the depth argument; None where it has none, or changes nothing.
        other_widths: further arguments that change the widths of layers and nothing else.
        other_depths: further arguments that change how many parameters there are.
        has_depth: whether the depth argument changes how many parameters there are.
        guessed: arguments of the section whose value was guessed -> what it stands for.
        limits: defaults of further arguments, by name.
    """

    section: FactoryModel
    width: int | None
    depth: int | None
    other_widths: tuple[str, ...] = ()
    other_depths: tuple[str, ...] = ()
    has_depth: bool = True
    guessed: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Setting] = field(default_factory=dict)


def size_arguments(reference: str, ask: Ask | None = None) -> SizeArguments:
    """Find width and depth among a function's arguments.

    Args:
        reference: of the function, `module:function`.
        ask: chooses where several arguments could be meant; None takes the likeliest and keeps the others.

    Raises:
        UsageError: it cannot be imported, or no argument of it is a width.
    """
    function = load_function(reference)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise UsageError("the function must say what arguments it takes", received=reference) from None
    usable = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    search = _Search(reference, {each.name: each.default for each in usable}, function)
    width = search.chosen("width", ask)
    if width is None:
        raise search.none_found()
    depth = search.chosen("depth", ask)
    own, rest = search.defaults, {name: why for name, why in search.guessed.items() if name not in (width, depth)}
    return SizeArguments(
        search.section(width, depth),
        own[width] if _is_whole(own[width]) else None,
        own[depth] if search.found["depth"] and depth is not None and _is_whole(own[depth]) else None,
        other_widths=tuple(name for name in search.found["width"] if name not in (width, depth)),
        other_depths=tuple(name for name in search.found["depth"] if name not in (width, depth)),
        has_depth=bool(search.found["depth"]),
        guessed=rest,
        limits={name: value for name, value in own.items() if _is_whole(value) and name not in (width, depth)},
    )


class _Search:
    """The arguments, and what building with them shows."""

    def __init__(self, reference: str, defaults: Mapping[str, Any], function: Callable[..., Any]) -> None:
        self.reference, self.defaults, self.function = reference, dict(defaults), function
        self.found: dict[str, list[str]] = {"width": [], "depth": []}
        self.guessed: dict[str, str] = {}
        numbers = [name for name, value in defaults.items() if value is inspect.Parameter.empty or _is_whole(value)]
        self._sizes = {size: named(size, numbers) for size in ("width", "depth")}
        self._others = [name for name in numbers if not _guess(name) and name not in self._named]
        self._values = {name: self._value(name) for name in numbers if self._is_required(name)}

    @property
    def _named(self) -> list[str]:
        return [name for names in self._sizes.values() for name in names]

    def _is_required(self, name: str) -> bool:
        return self.defaults[name] is inspect.Parameter.empty

    def _value(self, name: str) -> Setting:
        """What a required argument gets while another one is tried."""
        for size, values in (("width", _WIDTHS), ("depth", _DEPTHS)):
            if name in self._sizes[size]:
                return values[0]
        guess = _guess(name)
        if guess is None:
            return 16
        self.guessed[name] = guess[1]
        return guess[0]

    def chosen(self, size: str, ask: Ask | None) -> str | None:
        """The argument that is a size, None where none is; all that could be are in `found`.

        Args:
            size: which one, "width" or "depth".
            ask: chooses among several, as of `size_arguments`.
        """
        taken = self.found["width"] if size == "depth" else []
        candidates = [*self._sizes[size], *(name for name in self._others if name not in self._named)]
        confirmed = [name for name in dict.fromkeys(candidates) if name not in taken and self._changes(size, name)]
        by_name = [name for name in self._sizes[size] if name in confirmed]
        self.found[size] = confirmed
        if not confirmed and size == "depth" and self._sizes[size]:
            return self._sizes[size][0]  # a network without layers that repeat, which takes a depth all the same
        if not confirmed:
            return None
        if len(confirmed) > 1 and len(by_name) != 1 and ask is not None:
            return ask(f"which argument of {self.reference} is the {size}?", confirmed)
        return (by_name or confirmed)[0]

    def _changes(self, size: str, name: str) -> bool:
        """Whether an argument changes widths alone, or the number of parameters."""
        default = self.defaults[name]
        own = (default,) if _is_whole(default) else ()
        if own and not (own[0] >= _LEAST_WIDTH if size == "width" else 1 <= own[0] <= _MOST_DEPTH):
            return False
        for start in (*own, *(_WIDTHS if size == "width" else _DEPTHS)):
            small, large = self._shapes({name: start}), self._shapes({name: 2 * start})
            if small is None or large is None:
                continue
            if size == "width":
                return small.keys() == large.keys() and small != large
            return len(large) > len(small)
        return False

    def _shapes(self, changed: Mapping[str, Setting]) -> dict[str, tuple[int, ...]] | None:
        """Shapes of the parameters, built without memory; None where it cannot be built."""
        try:
            with torch.device("meta"):
                module = built(self.function, {**self._values, **changed}, self.reference)
        except UsageError:
            return None
        return {name: tuple(each.shape) for name, each in module.named_parameters()}

    def section(self, width: str, depth: str | None) -> FactoryModel:
        """The recipe's section with these two arguments.

        Args:
            width: name of the width argument.
            depth: name of the depth argument; None for none.
        """
        rest = {name: value for name, value in self._values.items() if name not in (width, depth)}
        return FactoryModel(
            kind="factory", factory=self.reference, width_argument=width, depth_argument=depth, arguments=rest
        )

    def none_found(self) -> UsageError:
        """Why there is no width, with the function to write where that is known."""
        module, _, name = self.reference.partition(":")
        return UsageError(
            "the model's function must have an argument that changes the widths of layers",
            received=f"{self.reference} takes ({', '.join(self.defaults)})",
            hint=wrapper_hint(self.function, self.reference, lambda name: (_guess(name) or (None,))[0])
            or f"write a function `build(width, depth)` in {module} that returns {name} with layers of that width and "
            f"number, and name it `{module}:build`",
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _guess(name: str) -> tuple[Setting, str] | None:
    """A value for an argument that must be given; None where its name says nothing."""
    return next(((value, why) for pattern, value, why in _GUESSES if re.fullmatch(pattern, name.lower())), None)
