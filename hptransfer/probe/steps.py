"""What each recorded operation is in a network: a weight, a bias, a gain, a norm, a sum, a factor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hptransfer.probe.trace import Node


class Is(Enum):
    """Kinds of steps. Linear ones carry a factor of what they read to what they make."""

    INPUT = "input"
    MOVE = "move"  # the same numbers elsewhere: views, casts, concatenations, averages
    SCALE = "scale"  # times a number
    SHIFT = "shift"  # plus constants
    FILTER = "filter"  # times constants that differ
    BIAS = "bias"  # plus a parameter
    GAIN = "gain"  # times a parameter
    ADD = "add"  # a sum of activations
    GATE = "gate"  # a product of activations, entry by entry
    NORM = "norm"  # divided by a statistic of itself
    WEIGHT = "weight"  # a product with a parameter, summed over an axis
    LOOKUP = "lookup"  # rows of a parameter
    PRODUCT = "product"  # a product of activations, summed over an axis
    FUSED = "fused attention"  # queries, keys, values
    SUM = "sum"  # over an axis of itself
    CURVE = "curve"  # anything else


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, understood.

    Attributes:
        kind: what it is.
        sources: activations that it carries on.
        parameters: names of the parameters that it applies, biases left out.
        biases: names of the parameters that it adds.
        numbers: (operand, number that multiplies it) for each number that multiplies an operand.
        statistics: activations that only set the size, in norms.
        length: how many products or entries are summed into one, where something is.
        centred: whether parameters that it applies are one plus what is trained.
        plain: whether each parameter that it applies is itself its factor, but for views and numbers.
    """

    kind: Is
    sources: tuple[Node, ...] = ()
    parameters: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    numbers: tuple[tuple[Node, float], ...] = ()
    statistics: tuple[Node, ...] = ()
    length: int = 1
    centred: bool = False
    plain: bool = True


#: a parameter is on one side and an activation on the other
PRODUCTS = frozenset(
    [
        "mm",
        "bmm",
        "mv",
        "dot",
        "matmul",
        "linear",
        "addmm",
        "baddbmm",
        "addmv",
        "addbmm",
        "addr",
        "convolution",
        "_convolution",
        "convolution_overrideable",
        "mkldnn_convolution",
        "_grouped_mm",
        "_scaled_mm",
        "_weight_int8pack_mm",
        "bilinear",
        "_trilinear",
        "mkldnn_linear",
        "einsum",
        "inner",
        "outer",
        "ger",
        "conv1d",
        "conv2d",
        "conv3d",
        "thnn_conv2d",
        "slow_conv3d",
        "conv_depthwise3d",
        "_slow_conv2d_forward",
        "conv_transpose2d",
        "_addmm_activation",
        "linalg_vecdot",
        "vdot",
        "mkldnn_rnn_layer",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "_linalg_matmul",
        "grouped_mm",
    ]
)
NORMS = frozenset(
    [
        "native_layer_norm",
        "native_group_norm",
        "native_batch_norm",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_functional",
        "_native_batch_norm_legit_no_training",
        "_batch_norm_with_update",
        "_batch_norm_impl_index",
        "_fused_rms_norm",
        "rms_norm",
        "layer_norm",
        "batch_norm",
        "cudnn_batch_norm",
        "group_norm",
        "instance_norm",
        "local_response_norm",
    ]
)
STATISTICS = frozenset(
    [
        "sum",
        "mean",
        "linalg_vector_norm",
        "norm",
        "var",
        "std",
        "var_mean",
        "std_mean",
        "amax",
        "amin",
        "max",
        "logsumexp",
        "frobenius_norm",
        "nansum",
        "prod",
    ]
)
