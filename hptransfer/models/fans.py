"""What a module's type says of its parameters: which axes are summed over, and how they are initialised."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from mup.infshape import InfDim, InfShape
from torch import nn

from hptransfer.parameterization.roles import Init

Kind = Literal["matrix", "lookup", "norm gain", "bias", "elementwise"]

ONE = InfDim(None, 1)

#: norms that multiply by 1 + gain, so that their gain starts at zero
_ZERO_CENTRED = re.compile(r"Gemma\d*(Text)?RMSNorm|Qwen3NextRMSNorm|.*ZeroCentred.*Norm")
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True)
class Fans:
    """What a parameter's module says of it.

    Attributes:
        kind: matrices sum over an axis, lookups, vectors and what is multiplied element by element do not.
        fan_in: inputs summed into one output, as mup's dimension; finite 1 for all but matrices.
        fan_out: number of outputs, as mup's dimension (length at the base and here).
        init: distribution whose scale a plan sets, or "kept".
    """

    kind: Kind
    fan_in: InfDim
    fan_out: InfDim
    init: Init = "normal"


def lengths(owner: nn.Module, local: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Lengths of a parameter's axes as fans count them: a transposed convolution's are per group on the other side.

    Args:
        owner: the module that holds the parameter itself.
        local: the parameter's name in it.
        shape: the tensor's shape in this model.
    """
    if isinstance(owner, _TRANSPOSED) and local == "weight" and len(shape) > 2:
        return (shape[0] // owner.groups, shape[1] * owner.groups, *shape[2:])
    return tuple(shape)


def fans_of(owner: nn.Module, local: str, infshape: InfShape) -> Fans | None:
    """Fan-in and fan-out of the parameter `owner.local`.

    Args:
        owner: the module that holds the parameter itself.
        local: the parameter's name in it.
        infshape: base and actual length of each axis, as `lengths` counts them.

    Returns:
        None where the module's type does not say it: raw parameters and unknown modules.
    """
    is_norm = "norm" in type(owner).__name__.lower()
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag) and local == "weight":
        return Fans("lookup", ONE, infshape[1])
    if is_norm and local in ("weight", "bias") and (len(infshape) == 1 or hasattr(owner, "normalized_shape")):
        zero_centred = _ZERO_CENTRED.fullmatch(type(owner).__name__) is not None
        if local == "bias":
            return Fans("bias", ONE, product(infshape), "zeros")
        return Fans("norm gain", ONE, product(infshape), "zeros" if zero_centred else "ones")
    if _is_bias(owner, local, infshape):
        return Fans("bias", ONE, infshape[-1], "zeros")
    if isinstance(owner, nn.PReLU):
        return Fans("elementwise", ONE, infshape[-1], "kept")
    axes = _matrix_axes(owner, local, infshape)
    return None if axes is None else Fans("matrix", *axes)


def _is_bias(owner: nn.Module, local: str, infshape: InfShape) -> bool:
    """Biases under other names too: of attention, where two are one more key and value, and of recurrent layers."""
    if isinstance(owner, nn.MultiheadAttention):
        return local in ("in_proj_bias", "bias_k", "bias_v")
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        return local.startswith("bias_")
    return len(infshape) == 1 and local == "bias"


def _matrix_axes(owner: nn.Module, local: str, infshape: InfShape) -> tuple[InfDim, InfDim] | None:
    """(fan-in, fan-out) of a weight."""
    attention = isinstance(owner, nn.MultiheadAttention) and local.endswith("proj_weight")
    recurrent = isinstance(owner, nn.RNNBase | nn.RNNCellBase) and local.startswith("weight_")
    if attention or recurrent:
        return infshape[1], infshape[0]
    if local != "weight":
        return None
    # a bilinear layer's are outputs x inputs of one side x inputs of the other
    if isinstance(owner, (*_CONVOLUTIONS, nn.Bilinear)):
        return product(infshape[1:]), infshape[0]
    if isinstance(owner, _TRANSPOSED):  # inputs per group x outputs x kernel: `lengths` has counted the groups
        return product([infshape[0], *infshape[2:]]), infshape[1]
    if type(owner).__name__ == "Conv1D" and hasattr(owner, "nf"):
        return infshape[0], infshape[1]  # transformers' GPT-2: a linear layer that stores inputs x outputs
    return _linear_axes(owner, infshape)


def _linear_axes(owner: nn.Module, infshape: InfShape) -> tuple[InfDim, InfDim] | None:
    """(fan-in, fan-out) of torch's linear layer, and of other classes that count their features under its names."""
    if len(infshape) != 2:
        return None
    if isinstance(owner, nn.Linear):
        return infshape[1], infshape[0]
    features = (getattr(owner, "out_features", None), getattr(owner, "in_features", None))
    if features == tuple(infshape.shape()):
        return infshape[1], infshape[0]
    return (infshape[0], infshape[1]) if features[::-1] == tuple(infshape.shape()) else None


def product(dims: Iterable[InfDim]) -> InfDim:
    """Axes that are counted together; they grow when one of them does."""
    dims = tuple(dims)
    grows = any(dim.isinf() for dim in dims)
    return InfDim(prod(map(base_dim, dims)) if grows else None, prod(int(dim.dim) for dim in dims))


def base_dim(dim: InfDim) -> int:
    """Length at the base size."""
    return int(dim.base_dim if dim.isinf() else dim.dim)


def summed(infshape: InfShape, axes: Sequence[int]) -> Fans:
    """The fans of a tensor that is summed over the given axes.

    Args:
        infshape: base and actual length of each axis.
        axes: numbers of the axes that are summed over; none: it is multiplied element by element.
    """
    others = [dim for axis, dim in enumerate(infshape) if axis not in axes]
    growing = [dim for dim in others if dim.isinf()]
    fan_out = product(growing) if growing else (others[-1] if others else ONE)
    if not axes:
        return Fans("elementwise", ONE, fan_out, "kept")
    return Fans("matrix", product(infshape[axis] for axis in axes), fan_out)
