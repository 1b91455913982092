"""What a module's type says of its parameters: which axis is summed over, and how they are initialised."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Literal

from mup.infshape import InfDim, InfShape
from torch import nn

from hptransfer.parameterization.roles import Init

Kind = Literal["matrix", "lookup", "norm gain", "bias"]

ONE = InfDim(None, 1)

#: norms that multiply by 1 + gain, so that their gain starts at zero
_ZERO_CENTRED = re.compile(r"Gemma\d*(Text)?RMSNorm|Qwen3NextRMSNorm|.*ZeroCentred.*Norm")


@dataclass(frozen=True, slots=True)
class Fans:
    """What a parameter's module says of it.

    Attributes:
        kind: matrices sum over an axis, lookups and vectors do not.
        fan_in: inputs summed into one output, as mup's dimension; finite 1 for lookups and vectors.
        fan_out: number of outputs, as mup's dimension (length at the base and here).
        init: distribution whose scale a plan sets.
    """

    kind: Kind
    fan_in: InfDim
    fan_out: InfDim
    init: Init = "normal"


def fans_of(owner: nn.Module, local: str, infshape: InfShape) -> Fans | None:
    """Fan-in and fan-out of the parameter `owner.local`.

    Args:
        owner: the module that holds the parameter itself.
        local: the parameter's name in it.
        infshape: base and actual length of each axis.

    Returns:
        None where the module's type does not say it: raw parameters, unknown modules, transposed convolutions.
    """
    is_norm = "norm" in type(owner).__name__.lower()
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag) and local == "weight":
        return Fans("lookup", ONE, infshape[1])
    if len(infshape) == 1 and local == "weight" and is_norm:
        zero_centred = _ZERO_CENTRED.fullmatch(type(owner).__name__) is not None
        return Fans("norm gain", ONE, infshape[0], "zeros" if zero_centred else "ones")
    if len(infshape) == 1 and (local == "bias" or _is_bias(owner, local)):
        return Fans("bias", ONE, infshape[0], "zeros")
    axes = _matrix_axes(owner, local, infshape)
    return None if axes is None else Fans("matrix", *axes)


def _is_bias(owner: nn.Module, local: str) -> bool:
    """Biases under another name: of the fused projection of attention, and of recurrent layers."""
    attention = isinstance(owner, nn.MultiheadAttention) and local == "in_proj_bias"
    return attention or (isinstance(owner, nn.RNNBase) and local.startswith("bias_"))


def _matrix_axes(owner: nn.Module, local: str, infshape: InfShape) -> tuple[InfDim, InfDim] | None:
    """(fan-in, fan-out) of a weight."""
    rows_are_outputs = (
        (isinstance(owner, nn.Linear) and local == "weight")
        or (isinstance(owner, nn.MultiheadAttention) and local.endswith("proj_weight"))
        or (isinstance(owner, nn.RNNBase) and local.startswith("weight_"))
    )
    if rows_are_outputs and len(infshape) == 2:
        return infshape[1], infshape[0]
    if isinstance(owner, nn.Conv1d | nn.Conv2d | nn.Conv3d) and local == "weight":
        return times(infshape[1], prod(dim.dim for dim in infshape[2:])), infshape[0]
    if type(owner).__name__ == "Conv1D" and hasattr(owner, "nf") and local == "weight":
        return infshape[0], infshape[1]  # transformers' GPT-2: a linear layer that stores inputs x outputs
    return None


def times(dim: InfDim, factor: int) -> InfDim:
    """The dimension with every length multiplied, for inputs that are summed over several axes."""
    return InfDim(dim.base_dim * factor if dim.isinf() else None, dim.dim * factor)


def base_dim(dim: InfDim) -> int:
    """Length at the base size."""
    return int(dim.base_dim if dim.isinf() else dim.dim)
