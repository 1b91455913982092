"""Which modules of a model a coordinate check looks at, and what their outputs are, from the roles of parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hptransfer.parameterization.roles import Parameter, Role

#: up to the first index in a name: the block that repeats
_BLOCK = re.compile(r"(.*?\.\d+)(?:\..*)?$|^(\d+)(?:\..*)?$")


def layer_kinds(parameters: Sequence[Parameter]) -> dict[str, str]:
    """Module name -> what its output is.

    Args:
        parameters: of one model.

    Returns:
        Modules with a weight: "embedding", "hidden" (pre-activations), "branch" (added to the residual stream) or
        "logits"; and the blocks that repeat, "residual". Modules of norms and routers are left out.
    """
    kinds: dict[str, str] = {}
    for parameter in parameters:
        module, _, local = parameter.name.rpartition(".")
        block = _BLOCK.match(parameter.name)
        if parameter.in_block and block:
            kinds.setdefault(block[1] or block[2], "residual")
        if local != "weight":
            continue
        if parameter.writes_residual:
            kinds[module] = "branch"
        elif parameter.role is Role.HIDDEN_WEIGHT:
            kinds[module] = "hidden"
        elif parameter.role is Role.EMBEDDING:
            kinds[module] = "embedding"
        elif parameter.role is Role.READOUT and not parameter.in_block:
            kinds[module] = "logits"
    return kinds
