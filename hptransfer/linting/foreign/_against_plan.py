"""What is decided by comparing a file with a plan: a rate that is scaled twice, or by nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hptransfer.linting.foreign.base import Example, ForeignRule, Trap
from hptransfer.linting.planned import Planned, same
from hptransfer.linting.reading.settings import ForeignFile, Setting
from hptransfer.linting.reading.text import shown


@dataclass(frozen=True, slots=True)
class Applied:
    """How a framework that has muP by itself says so.

    Attributes:
        framework: its name, for codes.
        switch: whether a file, or a command, has the rules switched on.
        rate: what sets the learning rate.
        std: what sets the init std of hidden weights.
        multiplier: what the framework divides by; None where that is not known.
        elsewhere: whether a file says that its rates are given in another.
    """

    framework: str
    switch: Callable[[ForeignFile], bool]
    rate: str
    std: str
    multiplier: Callable[[ForeignFile], float | None]
    elsewhere: Callable[[ForeignFile], bool] = lambda file: False


def number(value: float) -> str:
    """A number for a message, with the digits that tell rates apart.

    Args:
        value: rate, std or factor.
    """
    return f"{value:.6g}"


def applied_rules(applied: Applied, twice: Example, none: Example, std: Example) -> tuple[ForeignRule, ...]:
    """The rules of a framework that scales by itself where it is told to.

    Args:
        applied: how it is told.
        twice: switch on, and the plan's scaled rate.
        none: switch off, and the base rate.
        std: switch on, and the plan's scaled std.
    """

    def scaled_twice(file: ForeignFile) -> Iterator[Trap]:
        plan, setting = file.plan, file.get(applied.rate)
        if plan is None or setting is None or not applied.switch(file) or applied.multiplier(file) == 1:
            return
        rate = setting.number
        if any(same(rate, scaled) for scaled in plan.hidden) and not same(rate, plan.learning_rate):
            base = number(plan.learning_rate or 0.0)
            yield Trap(setting.place, _said(setting), f"write the base rate, {base}: the switch divides it")

    def not_scaled(file: ForeignFile) -> Iterator[Trap]:
        plan, setting = file.plan, file.get(applied.rate)
        if plan is None or setting is None or not plan.hidden or not file.complete or not setting.certain:
            return
        if applied.elsewhere(file):
            return
        off = not applied.switch(file) or applied.multiplier(file) == 1
        if off and same(setting.number, plan.learning_rate):
            needed = ", ".join(number(rate) for rate in plan.hidden)
            yield Trap(setting.place, f"{_said(setting)}, where hidden weights need {needed}, and nothing scales it")

    def std_twice(file: ForeignFile) -> Iterator[Trap]:
        plan, setting = file.plan, file.get(applied.std)
        if plan is None or setting is None or not applied.switch(file) or plan.width_mult == 1:
            return
        scaled = [std for std in plan.init_stds if same(setting.number, std)]
        if scaled and applied.multiplier(file) != 1:
            base = number(scaled[0] * plan.width_mult**0.5)
            yield Trap(setting.place, _said(setting), f"write the base's std, {base}: the switch divides it")

    name = applied.framework
    return (
        ForeignRule(
            f"{name}/scaled-twice",
            "a rate is scaled by the framework or by hand, not both",
            "The file has the rate that hidden weights are to be trained with at this size, and the framework divides "
            "it by the width multiplier once more.",
            "write the rate of the base size, and leave the switch on",
            twice,
            scaled_twice,
            needs_plan=True,
        ),
        ForeignRule(
            f"{name}/not-scaled",
            "a rate of the base size is scaled by something",
            "The file has the rate of the base size and no rule is switched on, so hidden weights are trained with a "
            "rate that is too large by the width multiplier.",
            "switch the framework's rules on with the base's sizes, or export the plan for a framework with groups",
            none,
            not_scaled,
            needs_plan=True,
        ),
        ForeignRule(
            f"{name}/init-scaled-twice",
            "an init std is scaled by the framework or by hand, not both",
            "The file has the std that hidden weights are to start with at this size, and the framework divides it by "
            "the root of the width multiplier once more.",
            "write the std of the base size, and leave the switch on",
            std,
            std_twice,
            needs_plan=True,
        ),
    )


def beta2_rule(
    framework: str, name: str, default: float, applies: Callable[[ForeignFile], bool], example: Example
) -> ForeignRule:
    """Adam's beta2 that is left to the framework's default, where the plan has another.

    Args:
        framework: its name, for the code.
        name: of the setting, as files give it.
        default: value that the framework takes where nothing is written.
        applies: whether a file, or a command, trains with Adam.
        example: of a plan with beta2 0.95.
    """

    def check(file: ForeignFile) -> Iterator[Trap]:
        plan = file.plan
        if plan is None or plan.beta2 is None or not applies(file) or not file.settings:
            return
        setting = file.get(name)
        if setting is not None and setting.number is not None and not same(setting.number, plan.beta2):
            yield Trap(setting.place, f"{_said(setting)}, planned {plan.beta2:g}")
        elif file.missing(name) and not same(default, plan.beta2):
            place = file.settings[0].place
            yield Trap(place, f"no `{name}`: {default:g}, planned {plan.beta2:g}")

    return ForeignRule(
        f"{framework}/beta2",
        "Adam's beta2 is the plan's",
        f"Where nothing is written the framework takes {default:g}.",
        f"write the plan's beta2 as `{name}`",
        example,
        check,
        needs_plan=True,
    )


def single_rate(plan: Planned | None, setting: Setting | None, where: str) -> Iterator[Trap]:
    """A framework that trains all parameters with one rate, against a plan with several.

    Args:
        plan: the target's; None says nothing.
        setting: the rate of the file.
        where: what gives all groups that rate, for the message.
    """
    if plan is not None and plan.several and setting is not None and setting.number is not None:
        rates = sorted({rate for role, found in plan.rates.items() for rate in found})
        yield Trap(setting.place, f"{_said(setting)} for all parameters by {where}; planned {_several(rates)}")


def _several(rates: list[float]) -> str:
    return ", ".join(number(rate) for rate in rates[:6])


def _said(setting: Setting) -> str:
    return shown(setting.written)
