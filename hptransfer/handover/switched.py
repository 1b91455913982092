"""What formats share whose frameworks scale by a switch of their own: base values are written, and nothing is doubled.

A record of the framework's rules says what it makes of a configuration; that must be the plan, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from hptransfer.artifacts.target import TargetFile
from hptransfer.artifacts.yaml_keys import yaml_content
from hptransfer.errors import UsageError
from hptransfer.handover.header import commented
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.planned_values import tuned_names
from hptransfer.handover.trained import EXACT, Difference, Reading, Trained, differences
from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.rules import Options, Quantity
from hptransfer.user_code import described_error


class SwitchedFormat:
    """What formats have in common whose framework scales everything by itself.

    Attributes:
        gauge: multipliers, as such frameworks have them.
        applies: every quantity, by its switch.
        holds: no quantity of a group by itself.
    """

    gauge: Gauge = "multipliers"
    applies: frozenset[Quantity] = frozenset(Quantity)
    holds: frozenset[Quantity] = frozenset()


#: the name under which attention's factor of q k is compared: that over 1/sqrt(head_dim), which models have
ATTENTION = "(attention logits)"
#: the name under which the factor on what a tied table looks up is compared
LOOKED_UP = "(embedding, looked up)"


def near(one: float | None, other: float | None) -> bool:
    """Whether two values are equal but for rounding.

    Args:
        one: of the two; None equals None alone.
        other: of the two, likewise.
    """
    if one is None or other is None:
        return one is other
    return abs(one - other) <= EXACT * max(abs(one), abs(other))


def tidy(value: float) -> float:
    """The value with 15 digits, so that what rounding added is not written: 0.02 for 0.019999999999999997.

    Args:
        value: computed from a plan's.
    """
    return float(f"{value:.15g}")


def require_claimed(target: TargetFile, framework: str, made: Options) -> None:
    """What a recipe without a model says of the program's own rules must be what the framework does.

    Args:
        target: of a recipe that names no model.
        framework: its name, for people.
        made: the choices among published rules that its code makes.

    Raises:
        UsageError: the recipe claims others.
    """
    known = {name: choice for name, choice in asdict(made).items() if choice is not None}
    other = {name: target.options[name] for name in known if target.options.get(name, known[name]) != known[name]}
    if other:
        raise UsageError(
            f"the recipe must claim the rules that {framework} has",
            received=", ".join(f"{name}: {choice}" for name, choice in other.items()),
            hint="write " + ", ".join(f"`{name}: {str(known[name]).lower()}`" for name in other) + ", or leave it out",
        )


def require_keys(target: TargetFile, framework: str, keys: Iterable[str]) -> None:
    """Every tuned value of a recipe without a model must have a key in the framework's configuration.

    Args:
        target: of a recipe that names no model.
        framework: its name, for people.
        keys: hyperparameters that have one.

    Raises:
        UsageError: one has none.
    """
    known = sorted(keys)
    if lost := sorted(tuned_names(target) - set(known)):
        raise UsageError(
            f"only values that {framework} has a key for can be written where the recipe names no model",
            received=", ".join(lost),
            hint=f"known are {', '.join(known)}; name the model, or give the command those values by hand",
        )


def require_same(
    framework: str, planned: Sequence[Trained], made: Sequence[Trained], ways: Mapping[str, str], target: TargetFile
) -> None:
    """What the framework makes of the configuration must be the plan, row by row.

    Args:
        framework: its name, for people.
        planned: the plan in the framework's names.
        made: what its rules make of what would be written.
        ways: quantity -> the nearest thing that it holds.
        target: the one that is written.

    Raises:
        UsageError: something would be trained otherwise; the message names rows, and what can be done.
    """
    found = differences(planned, Reading(made, framework))
    if not found:
        return
    quantities = dict.fromkeys(each.quantity for each in found)
    tuned = [name for name in MULTIPLIERS if target.hyperparameters.get(name, 1.0) != 1]
    hints = [ways[name] for name in quantities if name in ways]
    if tuned:
        hints.append(f"no {', '.join(tuned)}")
    raise UsageError(
        f"{framework} must train every parameter as planned",
        received="; ".join(each.sentence for each in found[:6]) + (" and more" if len(found) > 6 else ""),
        hint=f"it holds {'; '.join(hints)}; `--format torch`, `huggingface` or `olmo-core` hold a value for each row"
        if hints
        else "choose another format",
    )


def without_open(rows: Iterable[Trained], decays: bool, eps: bool) -> tuple[Trained, ...]:
    """Rows without what the user's own configuration decides: inits always, decay and eps where nobody wrote them.

    Args:
        rows: what the framework trains each parameter with.
        decays: whether the weight decay is written.
        eps: whether Adam's eps is.
    """
    return tuple(
        replace(
            row,
            init_std=None,
            weight_decay=row.weight_decay if decays else None,
            eps=row.eps if eps else None,
        )
        for row in rows
    )


def leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text of a configuration with its place, as in `model.blocks[0].dropout`.

    Args:
        content: mappings and lists of plain data.
        place: where the content itself is.
    """
    if isinstance(content, Mapping):
        for key, inner in content.items():
            yield from leaves(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(content, list | tuple):
        for number, inner in enumerate(content):
            yield from leaves(inner, f"{place}[{number}]")
    else:
        yield place, content


_MOST_LAYERS = 4096


def require_layers(count: Any, key: str) -> None:
    """A file that was edited may ask for layers without end.

    Args:
        count: of layers, as the file says it.
        key: under which it does.

    Raises:
        UsageError: it is no whole number from 1 to 4096.
    """
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_LAYERS:
        raise UsageError(f"`{key}` must be a whole number from 1 to {_MOST_LAYERS}", received=repr(count))


def in_sections(content: Any, written: Mapping[str, Any], sections: tuple[str, ...]) -> dict[str, Any]:
    """Places and values of a file that an export decides: what it wrote, and what was added to its own sections.

    Args:
        content: of the file that was read.
        written: place -> value, as the exporter writes it.
        sections: places with everything in them, for example "optimizer."; other additions are the user's own.
    """
    return {place: value for place, value in leaves(content) if place in written or place.startswith(sections)}


def key_of(place: str) -> str:
    """The last key of a place, without its number in a list.

    Args:
        place: in the form of `leaves`.
    """
    return place.rpartition(".")[2].partition("[")[0]


_NOTHING = "left out"


def unlike(used: Mapping[str, Any], written: Mapping[str, Any], compared: Callable[[str], bool]) -> list[Difference]:
    """What a file has otherwise than its exporter writes it, of what neither rows nor values of a reading say.

    Args:
        used: name -> value, of the file.
        written: name -> value, as the exporter writes it for the plan.
        compared: whether a name is one that rows or values say.
    """
    found = []
    for name in dict.fromkeys((*written, *used)):
        mine, theirs = used.get(name, _NOTHING), written.get(name, _NOTHING)
        numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (mine, theirs))
        if not compared(name) and not (near(mine, theirs) if numbers else _plain(mine) == _plain(theirs)):
            found.append(Difference((), name, _plain(theirs), _plain(mine)))
    return found


def _plain(value: Any) -> float | str:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def yaml_file(lines: Iterable[str], content: Mapping[str, Any]) -> str:
    """A YAML file with its header; floats read back bit for bit.

    Args:
        lines: of the header, without comment signs.
        content: of the file, plain data.
    """
    return commented(lines) + "\n" + yaml.safe_dump(dict(content), sort_keys=False, width=120)


def read_with(path: Path, framework: str, reading: Callable[[dict[str, Any]], Reading]) -> Reading:
    """What a framework makes of an exported YAML file, which may have been edited into anything.

    Args:
        path: of the file that was exported.
        framework: its name, for people.
        reading: of the file's content.

    Raises:
        UsageError: the file is missing or damaged, or the framework would refuse it.
    """
    text = exported_text(path)
    try:
        content = yaml_content(text)
        if not isinstance(content, dict):
            raise TypeError("no mapping")
        return reading(content)
    except UsageError:
        raise
    except Exception as error:  # whatever an edit left
        raise UsageError(
            f"{framework} must take the exported configuration", received=f"{path}: {described_error(error)}"
        ) from error
