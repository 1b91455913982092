"""A role as a recipe or a caller names it, with what the module's type does not say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hptransfer.errors import UsageError
from hptransfer.parameterization.roles import Role

Init = Literal["normal", "ones", "zeros"]

_FORM = re.compile(r"(?P<role>[a-z ]+?)(?:, fan-in (?P<axis>\d+))?(?:, (?P<init>normal|ones|zeros))?", flags=re.ASCII)
_EXAMPLES = "for example `readout`, `hidden weight, fan-in 1` or `hidden vector, ones`"


@dataclass(frozen=True, slots=True)
class GivenRole:
    """A role that was named, not read.

    Attributes:
        role: of the parameter.
        fan_in_axis: axis of the tensor that is summed over; None where the module's type says it.
        init: None where the role or the module's type says it.
    """

    role: Role
    fan_in_axis: int | None = None
    init: Init | None = None


def parse_role(text: str) -> GivenRole:
    """Read `role[, fan-in AXIS][, normal|ones|zeros]`.

    Raises:
        UsageError: another form, or no such role.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or found["role"] not in {role.value for role in Role}:
        raise UsageError(
            f"a role must be one of {', '.join(Role)}; then, where the module does not say it, the axis summed over "
            "and the init",
            received=text,
            hint=_EXAMPLES,
        )
    init: Init | None = {"normal": "normal", "ones": "ones", "zeros": "zeros"}.get(found["init"])  # type: ignore[assignment]  # the pattern allows no other
    return GivenRole(Role(found["role"]), None if found["axis"] is None else int(found["axis"]), init)
