"""Groups of an exported file against the plan: each parameter's rate and decay, in the framework's own names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hptransfer.errors import Place
from hptransfer.linting.foreign.base import Example, ForeignRule, Trap
from hptransfer.linting.planned import same
from hptransfer.linting.reading.settings import ForeignFile
from hptransfer.linting.reading.text import shown


@dataclass(frozen=True, slots=True)
class GroupValue:
    """One value that a file gives to a group of parameters.

    Attributes:
        names: parameters that get it, by the framework's names.
        said: the group, as the file names it.
        quantity: which one it is, "learning_rate" or "weight_decay".
        value: the number that is written.
        place: where the value is written.
        planned: what it must be, where that is no parameter's own value.
    """

    names: Iterable[str]
    said: str
    quantity: str
    value: float | None
    place: Place
    planned: float | None = None


def group_rule(framework: str, example: Example, values: Callable[[ForeignFile], Iterator[GroupValue]]) -> ForeignRule:
    """Values of groups in a file that hptransfer exported are those of the plan.

    Args:
        framework: its name, for the code.
        example: with the header of an export, for `EXAMPLE_PLAN`.
        values: what a file gives its groups; asked of exported files only, for in others another tuning may be meant.
    """

    def check(file: ForeignFile) -> Iterator[Trap]:
        if file.plan is None or file.exporter is None:
            return
        for each in values(file):
            rows = [file.plan.trained[name] for name in each.names if name in file.plan.trained]
            found = sorted({row[each.quantity] for row in rows if each.quantity in row})
            found += [] if each.planned is None else [each.planned]
            value = each.value
            if value is not None and any(not same(value, planned) and value != planned for planned in found):
                words = each.quantity.replace("_", " ")
                needed = ", ".join(f"{planned:.6g}" for planned in found[:4])
                yield Trap(each.place, f"{words} {value:.6g} for {shown(each.said)}, planned {needed}")

    return ForeignRule(
        f"{framework}/group-values",
        "rates and decays of an exported file's groups are the plan's",
        "The file says that hptransfer wrote it, and what it gives these parameters is not what was planned.",
        "write the planned value, or export the plan again",
        example,
        check,
        needs_plan=True,
    )


def base_values(file: ForeignFile, rate: str, decay: str | None = None) -> Iterator[GroupValue]:
    """What a file says of the base, which everything else in it moves with.

    Args:
        file: an export, whatever its form.
        rate: name of the setting that is the base's learning rate.
        decay: name of the one that is its weight decay; None where the format writes another value there.
    """
    plan = file.plan
    if plan is None:
        return
    pairs = ((rate, "learning_rate", plan.learning_rate), (decay, "weight_decay", plan.weight_decay))
    for name, quantity, planned in pairs:
        setting = None if name is None else file.get(name)
        if setting is not None and planned is not None:
            yield GroupValue((), "the base", quantity, setting.number, setting.place, planned)
