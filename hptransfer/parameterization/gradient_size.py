"""How large each parameter's gradient is expected at a size, relative to the base: what makes one clip mean one thing.

The global gradient norm changes with the size (embeddings and readouts shrink or grow beside hidden weights) and with
the gauge (a weight behind a multiplier A has A times the gradient). Divided by what the rules expect, each parameter
keeps its share: the sum of squares at any size compares with the ordinary global norm at the base, in every gauge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hptransfer.hyperparameters import MULTIPLIERS
from hptransfer.parameterization.gauge import Gauge
from hptransfer.parameterization.plan import plan
from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Options
from hptransfer.parameterization.tables import ParameterizationSpec
from hptransfer.sizes import Size

#: Adam's eps at the base; with the choice `gradient` it follows the size of an entry of the gradient
_UNIT = {"learning_rate": 1.0, "weight_decay": 0.0, "init_scale": 1.0, "eps": 1.0}
_OPTIONS = Options(eps="gradient", batch_rule="none", betas="none")


def gradient_sizes(
    parameterization: ParameterizationSpec,
    base: Size,
    size: Size,
    parameters: Sequence[Parameter],
    hyperparameters: Mapping[str, float],
    gauge: Gauge = "plain",
) -> dict[str, float]:
    """The expected norm of each parameter's gradient over that at the base, by name; 1 at the base.

    An entry's size is that which Adam's eps follows (`eps: gradient`, exponents measured by tests/parameterization);
    the norm also grows with the root of the number of entries, and of the layers among which a model's norm is shared.
    Batch size and training change gradients too: what is expected is their dependence on width and depth alone.

    Args:
        parameterization: name and alpha; a recipe's section will do.
        base: size at which every factor is 1.
        size: size of the model, any.
        parameters: the model's parameters at `size`, each with its role.
        hyperparameters: base values; multipliers of roles are read, 1 where left out.
        gauge: where multipliers live in the model whose gradients are meant.

    Raises:
        UsageError: the parameterization has no rule for a parameter.
    """
    tuned = {name: hyperparameters[name] for name in MULTIPLIERS if name in hyperparameters}
    at_base = [replace(each, fan_in=each.base_fan_in, fan_out=each.base_fan_out) for each in parameters]

    def entries(at: Size, of: Sequence[Parameter], values: Mapping[str, float]) -> list[float]:
        planned = plan(parameterization, base, at, of, values, optimizer="adamw", gauge=gauge, options=_OPTIONS)
        return [float(row.eps or 0.0) for row in planned.rows]

    layers = size.depth / base.depth
    # multipliers of roles scale gradients by the same factor at every size; of the base's gradient they are no part
    large, small = entries(size, parameters, _UNIT | tuned), entries(base, at_base, _UNIT)
    return {
        parameter.name: 1.0
        if parameter.role is Role.FROZEN
        else entry / before * math.sqrt(_growth(parameter) * (layers if parameter.in_block else 1.0))
        for parameter, entry, before in zip(parameters, large, small, strict=True)
    }


def _growth(parameter: Parameter) -> float:
    """Number of entries over that at the base."""
    return parameter.fan_in * parameter.fan_out / (parameter.base_fan_in * parameter.base_fan_out)
