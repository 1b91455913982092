"""A group of parameters of a plan with its forward multiplier elsewhere: the same training in another form."""

from __future__ import annotations

from dataclasses import replace

from hptransfer.errors import UsageError
from hptransfer.parameterization.gauge import TRANSFORMATION
from hptransfer.parameterization.groups import ParameterGroup
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Quantity
from hptransfer.parameterization.tables import FAMILIES


def whole_multiplier(group: ParameterGroup) -> float:
    """The factor that `forward` has in the form with multipliers, Table 8 of Tensor Programs V, over the base's.

    Args:
        group: of a plan in any gauge.
    """
    return group.multiplier * (1.0 if group.absorbed is None else group.absorbed)


def with_multiplier(group: ParameterGroup, multiplier: float, optimizer: str) -> ParameterGroup:
    """The group for a `forward` that multiplies by another factor; init, rate, decay and eps follow, see gauge.py.

    Args:
        group: of a plan in any gauge.
        multiplier: factor that `forward` has, over the base's, positive.
        optimizer: the plan's; a group that names its own is trained by that one.

    Returns:
        A group whose `absorbed` says what remains moved into init and optimizer. Its texts of rules are unchanged.

    Raises:
        UsageError: the group is tied or starts at a constant, so that its multiplier cannot move.
    """
    theta = multiplier / group.multiplier
    if theta == 1:
        return group
    if group.role in (Role.TIED_EMBEDDING, Role.FROZEN) or (group.init_std is None and group.init != "zeros"):
        raise UsageError(
            "a multiplier can move only into a weight that is drawn, and that is not looked up as well",
            received=f"{group.pattern} ({group.role}): {group.multiplier!r} to {multiplier!r}",
            hint="choose a format whose models multiply there, or untie the weights",
        )
    powers = TRANSFORMATION[FAMILIES[group.optimizer or optimizer]]

    def moved(value: float, quantity: Quantity) -> float:
        return value * theta ** powers.get(quantity, 0)

    absorbed = whole_multiplier(group) / multiplier
    return replace(
        group,
        multiplier=multiplier,
        init_std=None if group.init_std is None else moved(group.init_std, Quantity.INIT_STD),
        learning_rate=moved(group.learning_rate, Quantity.LEARNING_RATE),
        weight_decay=moved(group.weight_decay, Quantity.WEIGHT_DECAY),
        eps=None if group.eps is None else moved(group.eps, Quantity.EPS),
        absorbed=None if absorbed == 1 else absorbed,
    )
