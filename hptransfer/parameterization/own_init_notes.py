"""What a reader must know of a plan that scales a model's own init: where the tables' differs, what is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from hptransfer.parameterization.groups import layer_template
from hptransfer.parameterization.plan_parameter import PlannedParameter
from hptransfer.parameterization.roles import VECTORS, Parameter, Role

#: relative difference of two stds that is worth a word
_WORTH_SAYING = 0.02
_SHOWN = 5


def own_init_notes(rows: Sequence[PlannedParameter]) -> Iterator[str]:
    """One sentence each; none for a plan by the tables' init of a model that trains all its parameters.

    Args:
        rows: all of one plan.
    """
    parameters = [row.parameter for row in rows]
    yield from _frozen(parameters)
    scaled = [each for each in parameters if each.own_init_std is not None]
    kept = [row.parameter for row in rows if _is_kept(row)]
    if not scaled and not kept:
        return
    yield (
        "`init: own`: an init std is the model's own at the base times its rule; `init_` multiplies what the model's "
        "code drew, and at the base leaves it as it is"
    )
    differing = [
        f"{layer_template(each.name)} {each.base_init_std:.4g} ({rule_std(each):.4g})"
        for each in sorted(scaled, key=lambda each: each.role in VECTORS)
        if each.base_init_std is not None and not _close(each.base_init_std, rule_std(each))
    ]
    if differing:
        yield f"at the base the own init differs from the tables' (in brackets): {_listed(differing)}"
    zeros = [each.name for each in parameters if each.init == "zeros" and each.role not in (*VECTORS, Role.FROZEN)]
    if zeros:
        yield f"the model's own init is zero at every size: {_listed(map(layer_template, zeros))}"
    if kept:
        starts = [
            f"{layer_template(each.name)} {'(a structure)' if each.init_value is None else f'{each.init_value:.6g}'}"
            for each in kept
        ]
        yield f"kept at every size as the model starts them: {_listed(starts)}"


def rule_std(parameter: Parameter) -> float:
    """The std that the tables draw a parameter with at the base; 0 for gains and biases, which start at a constant."""
    return 0.0 if parameter.role in VECTORS else 1 / math.sqrt(parameter.base_fan_in)


def _frozen(parameters: Sequence[Parameter]) -> Iterator[str]:
    names = [each.name for each in parameters if each.role is Role.FROZEN]
    if names:
        yield (
            f"{len(names)} parameters take no gradient and are neither initialised nor given to the optimizer: "
            f"{_listed(map(layer_template, names))}"
        )


def _is_kept(row: PlannedParameter) -> bool:
    """Whether a parameter that is trained starts at a constant, or in a structure, that the plan does not move."""
    if row.parameter.role is Role.FROZEN or row.parameter.init not in ("constant", "kept"):
        return False
    return row.parameter.init == "kept" or row.factors.get("init_std") == 1


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_WORTH_SAYING)


def _listed(texts: Iterable[str]) -> str:
    unique = list(dict.fromkeys(texts))
    more = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
    return ", ".join(unique[:_SHOWN]) + more
