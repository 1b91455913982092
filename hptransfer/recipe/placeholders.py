"""What the texts of a command may name in braces, such as `{width}` or `{plan.hidden.learning_rate}`.

Braces around anything else stay as they are, so awk programs and JSON need no care; `{{width}}` is the text `{width}`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hptransfer.hyperparameters import NAMES
from hptransfer.recipe import suggestion
from hptransfer.recipe.sections import Setting

#: of the run: examples per step, predictions over the run, optimizer steps
SIZE = ("width", "depth", "batch_size", "tokens", "steps")
#: the size at which hyperparameters hold as they are
BASE = tuple(f"base_{name}" for name in SIZE)
#: ratios of the run's size to the base
MULTIPLES = ("width_mult", "depth_mult", "batch_mult", "token_mult")
#: absolute paths
PATHS = ("trial_dir", "recipe_dir", "config", "results", "plan_file", "watch_file")
#: of the lease, and the interpreter that runs hptransfer
OTHER = ("seed", "processes", "gpus", "nodes", "python")
#: every name without a dot
PLAIN: tuple[str, ...] = (*SIZE, *BASE, *MULTIPLES, *NAMES, *OTHER, *PATHS)

#: kinds of parameters that a plan's values are asked for by; the last ones are sets of others
KINDS = ("embedding", "input", "hidden", "readout", "router", "hidden_vectors", "outer_vectors", "readout_bias")
UNIONS: Mapping[str, tuple[str, ...]] = {"vectors": KINDS[-3:], "all": KINDS}
QUANTITIES = ("learning_rate", "weight_decay", "eps", "init_std", "multiplier")
#: of the optimizer, the same for every parameter, at the run's size
OPTIMIZER_VALUES = ("beta1", "beta2", "momentum")
#: in `accepts`: the program reads the whole plan
WHOLE_PLAN = "plan"

_NAME = re.compile(r"\{\{(?P<literal>[A-Za-z_][\w.+]*)\}\}|\{(?P<name>[A-Za-z_][\w.+]*)\}")

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Planned:
    """A value of the plan that a text asks for.

    Attributes:
        kinds: of parameters that share the value, among `KINDS`.
        quantity: which of the plan's values, one of `QUANTITIES`.
    """

    kinds: tuple[str, ...]
    quantity: str


def names_in(text: str) -> tuple[str, ...]:
    """What a text names in braces, in order.

    Args:
        text: a part of a command, or a value of its configuration or environment.
    """
    return tuple(match["name"] for match in _NAME.finditer(text) if match["name"] is not None)


def literals_in(text: str) -> tuple[str, ...]:
    """What a text has in double braces, which reaches the program in single ones, in order.

    Args:
        text: a part of a command, or a value of its configuration or environment.
    """
    return tuple(match["literal"] for match in _NAME.finditer(text) if match["literal"] is not None)


def meant(name: str) -> str:
    """The known name that was probably meant by one that is not known; the name itself where none is near.

    Args:
        name: as a text has it, without its braces.
    """
    return name if is_known(name) else suggestion.closest(name, PLAIN) or name


def planned(name: str) -> Planned | None:
    """What a name asks the plan for; None where it is no such name.

    Args:
        name: `plan.KIND.QUANTITY`, with several kinds joined by `+`.
    """
    first, *rest = name.split(".")
    if first != WHOLE_PLAN or len(rest) != 2 or rest[1] not in QUANTITIES:
        return None
    kinds: dict[str, None] = {}
    for kind in rest[0].split("+"):
        if kind not in KINDS and kind not in UNIONS:
            return None
        kinds |= dict.fromkeys(UNIONS.get(kind, (kind,)))
    return Planned(tuple(kinds), rest[1])


def is_known(name: str) -> bool:
    """Whether a text may name it in braces.

    Args:
        name: as a text has it, without its braces.
    """
    return name in PLAIN or name in _OPTIMIZER or planned(name) is not None


_OPTIMIZER = tuple(f"{WHOLE_PLAN}.{name}" for name in OPTIMIZER_VALUES)


def hint(name: str) -> str:
    """What was probably meant by a name that is not known.

    Args:
        name: as a text has it, without its braces.
    """
    if name.startswith(f"{WHOLE_PLAN}."):
        kinds = (*KINDS, *UNIONS)
        parts = name.split(".")
        if len(parts) == 3:
            meant = [_nearest(kind, kinds) for kind in parts[1].split("+")], _nearest(parts[2], QUANTITIES)
            if None not in meant[0] and meant[1]:
                return f"did you mean `{{plan.{'+'.join(filter(None, meant[0]))}.{meant[1]}}}`?"
        return f"`{{plan.KIND.QUANTITY}}`: kinds {', '.join(kinds)}; quantities {', '.join(QUANTITIES)}"
    guess = suggestion.closest(name, PLAIN)
    literal = f"`{{{{{name}}}}}` is the text `{{{name}}}`"
    return f"did you mean `{{{guess}}}`? {literal}" if guess else f"{suggestion.hint(name, PLAIN, 'names')}; {literal}"


def _nearest(word: str, words: Sequence[str]) -> str | None:
    return word if word in words else suggestion.closest(word, words)


def as_text(value: Value) -> str:
    """A value as a command line has it; a float with as few digits as give it back exactly.

    Args:
        value: of a placeholder, a number or a text.
    """
    return value if isinstance(value, str) else repr(value)


def rendered(text: str, values: Mapping[str, Value], quoted: Callable[[str], str] = str) -> str:
    """A text with values in the place of names.

    Args:
        text: whose names are all known.
        values: of all that the text names, by name.
        quoted: applied to each value's text.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match["name"]
        return f"{{{match['literal']}}}" if name is None else quoted(as_text(values[name]))

    return _NAME.sub(value_of, text)


def for_a_shell(text: str, values: Mapping[str, Value]) -> str:
    """A text for a shell; values are quoted where they need it.

    Args:
        text: whose names are all known.
        values: of all that the text names, by name.
    """
    return rendered(text, values, shlex.quote)


def rendered_setting(setting: Setting, values: Mapping[str, Value]) -> Setting:
    """A value of a configuration: a text that is one name alone becomes the value itself, so numbers stay numbers.

    Args:
        setting: as the recipe gives it.
        values: of all that the text names, by name.
    """
    if not isinstance(setting, str):
        return setting
    alone = _NAME.fullmatch(setting)
    if alone and alone["name"] is not None:
        return values[alone["name"]]
    return rendered(setting, values)


def names_in_all(texts: Sequence[Setting]) -> Iterator[str]:
    """What any of several texts names.

    Args:
        texts: parts of a command, or values of its configuration; what is no text names nothing.
    """
    for text in texts:
        if isinstance(text, str):
            yield from names_in(text)
