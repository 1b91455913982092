"""What a running model told, as plain values: names are those of the model at the base size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: what becomes of a number in `forward` that changes with the size
#: output: it multiplies the output of weights alone, which can absorb it
#: input: it multiplies the input of weights alone, which can absorb it
#: attention: it scales attention logits
#: normalizer: it takes back the size of a sum or a norm over as many elements; nothing is wrong with it
#: open: nothing linear stands before or behind it, so nothing can absorb it
Purpose = Literal["output", "input", "attention", "normalizer", "open"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in `forward`.

    Attributes:
        module: path of the innermost module, "" for the model itself.
        code: file and line of the user's code, such as "model.py:41"; "" where it is not known.
    """

    module: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Factor:
    """A number in `forward` that changes with width or depth.

    Attributes:
        where: place of the operation.
        operation: name of the operation, such as "mul".
        values: what its output is multiplied by, at the base, a wider and a deeper model; None where it was not seen.
        width_power: power of the width that it follows exactly; None where it is none.
        depth_power: power of the depth that it follows exactly; None where it is none.
        purpose: what it does, and whether weights can absorb it.
        parameters: names of the weights and biases that can absorb it: before it ("output") or behind it ("input").
        use: which use of them is meant, where a tensor is looked up and also reads out.
    """

    where: Where
    operation: str
    values: tuple[float | None, float | None, float | None]
    width_power: float | None
    depth_power: float | None
    purpose: Purpose
    parameters: tuple[str, ...] = ()
    use: Literal["lookup", "matrix"] = "matrix"


@dataclass(frozen=True, slots=True)
class Attention:
    """A place where queries meet keys.

    Attributes:
        where: place of the operation.
        head_dims: length of the axis that queries and keys share, at the base and in the wider model.
        scales: what their product is multiplied by before the softmax, at both.
        queries: names of the weights and biases whose output is the queries alone; empty where one matrix makes queries
            and keys.
        normed: whether a norm stands between these weights and the product.
    """

    where: Where
    head_dims: tuple[int, int]
    scales: tuple[float, float]
    queries: tuple[str, ...] = ()
    normed: bool = False


@dataclass(frozen=True, slots=True)
class Writer:
    """Parameters whose output is added to a residual stream.

    Attributes:
        parameters: names of the weight and its bias.
        norm: names of the gain and bias of a norm that stands between them and the stream; empty where none does.
        zero_centred: whether that norm multiplies by one plus its gain.
        normed: whether a norm stands between them and the stream, with a gain or without.
    """

    parameters: tuple[str, ...]
    norm: tuple[str, ...] = ()
    zero_centred: bool = False
    normed: bool = False


@dataclass(frozen=True, slots=True)
class Movement:
    """A size that moves with the width though weights preserve sizes and no number of `forward` moves it.

    Attributes:
        where: place of the operation at which it begins.
        operation: name of the operation, such as "sum".
        power: power of the width that its result was measured to follow, to a tenth.
        reaches: what moves in the end: "the residual stream", "what head.weight reads" or "an output".
    """

    where: Where
    operation: str
    power: float
    reaches: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What the runs of a base model, a wider one and a deeper one told.

    Attributes:
        base: width and depth of the first.
        wide: width and depth of the second.
        deep: width and depth of the third.
        example: how its input was made, one clause.
        unknown: what could not be found and why, one sentence each; a plan says them.
        factors: numbers that change with width or depth, normalizers included.
        attention: places where queries meet keys.
        writers: what is added to the residual stream.
        stream_norms: names of parameters of norms that the stream itself passes through between blocks (post-norm).
        readouts: names of the weights whose output becomes an output of the model with no other weight in between.
        product: where an output is a product of two activations or a sum over an axis that grows, and no weight stands
            behind that; None elsewhere. Other outputs may still have readouts.
        product_power: power of the width that the size of such an answer follows at the start, numbers of `forward`
            included; None where norms keep it, and where there is none.
        repeated_use: names of weights that one run uses more often the deeper the model: layers that are shared.
        looked_up: names of weights that products take and whose rows are looked up too.
        both_ways: names of weights of which products sum over different axes: they are used transposed too.
        unused: names of parameters that the run did not use.
        summed_axes: name of a parameter -> its axes over which the product that it enters sums.
        movements: sizes that move with the width, and that nothing else here explains.
    """

    base: tuple[int, int]
    wide: tuple[int, int]
    deep: tuple[int, int]
    example: str = ""
    unknown: tuple[str, ...] = ()
    factors: tuple[Factor, ...] = ()
    attention: tuple[Attention, ...] = ()
    writers: tuple[Writer, ...] = ()
    stream_norms: tuple[str, ...] = ()
    readouts: tuple[str, ...] = ()
    product: Where | None = None
    product_power: float | None = None
    repeated_use: tuple[str, ...] = ()
    looked_up: tuple[str, ...] = ()
    both_ways: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    summed_axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    movements: tuple[Movement, ...] = ()
