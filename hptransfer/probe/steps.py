"""What each recorded operation is in a network: a weight, a bias, a gain, a norm, a sum, a factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from hptransfer.probe.trace import Kind, Node, Op, Trace


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
    """

    kind: Is
    sources: tuple[Node, ...] = ()
    parameters: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    numbers: tuple[tuple[Node, float], ...] = ()
    statistics: tuple[Node, ...] = ()
    length: int = 1
    centred: bool = False


#: the same numbers elsewhere, or linear in them with weights that no size changes
MOVES = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "permute",
        "transpose",
        "t",
        "expand",
        "expand_as",
        "squeeze",
        "unsqueeze",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "unsafe_split",
        "unsafe_chunk",
        "alias",
        "detach",
        "as_strided",
        "clone",
        "contiguous",
        "_to_copy",
        "to",
        "copy",
        "narrow",
        "unfold",
        "flatten",
        "roll",
        "flip",
        "repeat",
        "diagonal",
        "movedim",
        "swapaxes",
        "lift",
        "lift_fresh",
        "cat",
        "concat",
        "stack",
        "hstack",
        "vstack",
        "index_select",
        "index",
        "gather",
        "where",
        "masked_fill",
        "masked_scatter",
        "tril",
        "triu",
        "scatter",
        "index_put",
        "index_copy",
        "slice_scatter",
        "select_scatter",
        "constant_pad_nd",
        "reflection_pad1d",
        "reflection_pad2d",
        "replication_pad1d",
        "replication_pad2d",
        "replication_pad3d",
        "pixel_shuffle",
        "pixel_unshuffle",
        "native_dropout",
        "mean",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "_adaptive_avg_pool2d",
        "_adaptive_avg_pool3d",
        "mean",
        "max_pool2d_with_indices",
        "max_pool3d_with_indices",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "_upsample_nearest_exact2d",
        "upsample_linear1d",
        "upsample_bilinear2d",
        "upsample_trilinear3d",
        "upsample_bicubic2d",
        "im2col",
        "col2im",
        "topk",
        "sort",
        "view_as_complex",
        "view_as_real",
        "_conj",
        "resolve_conj",
        "real",
        "imag",
        "pad",
        "repeat_interleave",
        "nested_to_padded_tensor",
        "dropout",
        "view_as",
        "masked_select",
        "take",
        "index_fill",
        "unsqueeze_copy",
        "channel_shuffle",
        "native_channel_shuffle",
        "_pin_memory",
        "alias_copy",
        "positive",
        "square_moves",
    ]
)
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
SUMS = frozenset({"sum", "cumsum", "nansum"})
ADDS = frozenset({"add", "sub", "index_add", "scatter_add", "rsub"})


class Graph:
    """A trace, understood.

    Args:
        trace: what was recorded.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._steps: dict[int, Step] = {}
        self._masks: dict[int, int] = {}
        for op in trace.ops:
            mask = 0
            for node in op.inputs:
                mask |= self.mask(node)
            for node in op.outputs:
                self._masks[node.index] = mask | (1 << node.index)
        self.live = self._live()

    def mask(self, node: Node) -> int:
        """A bit for each tensor that a tensor was computed from, itself included.

        Args:
            node: the tensor in question.
        """
        return self._masks.get(node.index, 1 << node.index)

    def descends(self, node: Node, ancestor: Node) -> bool:
        """Whether a tensor was computed from another, or is it.

        Args:
            node: the later one.
            ancestor: the earlier one.
        """
        return bool(self.mask(node) >> ancestor.index & 1)

    def step(self, node: Node) -> Step:
        """What made a tensor.

        Args:
            node: the tensor in question.
        """
        return Step(Is.INPUT) if node.producer is None else self.of(node.producer)

    def of(self, op: Op) -> Step:
        """What an operation is.

        Args:
            op: one operation of the trace.
        """
        found = self._steps.get(op.index)
        if found is None:
            found = self._steps[op.index] = _understand(self, op)
        return found

    def readers(self, node: Node) -> list[Op]:
        """The operations that read a tensor and matter for what the model returns.

        Args:
            node: the tensor in question.
        """
        return [op for op in node.readers if op.index in self.live]

    def steps(self, *kinds: Is) -> Iterator[tuple[Op, Step]]:
        """The operations of some kinds, in the order of the run.

        Args:
            kinds: which kinds are wanted.
        """
        for op in self.trace.ops:
            if op.index in self.live and (step := self.of(op)).kind in kinds:
                yield op, step

    def _live(self) -> frozenset[int]:
        wanted = 0
        for node in self.trace.outputs:
            wanted |= self.mask(node)
        return frozenset(op.index for op in self.trace.ops if any(wanted >> node.index & 1 for node in op.outputs))


def _understand(graph: Graph, op: Op) -> Step:
    active = tuple(node for node in op.inputs if node.active)
    rule = _RULES.get(op.name)
    if op.name == "scaled_dot_product_attention":
        scale = op.number("scale", op.inputs[0].shape[-1] ** -0.5)  # torch's default
        return Step(Is.FUSED, active, numbers=((op.inputs[0], scale),))
    if rule is not None:
        return rule(graph, op, active)
    if op.name in PRODUCTS:
        return _product(op, active)
    if op.name in NORMS:
        return _native_norm(op, active)
    if op.name in MOVES or op.name == "alias":
        return _moved(op, active)
    if not active and any(node.parameters for node in op.inputs):
        return Step(Is.CURVE, parameters=_names(op.inputs))
    return Step(Is.CURVE, active)


def _names(nodes: tuple[Node, ...] | list[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for node in nodes for name in node.parameters))


def _moved(op: Op, active: tuple[Node, ...]) -> Step:
    first = op.inputs[0] if op.inputs else None
    if op.name in ("index", "index_select", "gather") and first is not None and first.parameters:
        return Step(Is.LOOKUP if op.outputs[0].kind is Kind.ACTIVATION else Is.MOVE, (), first.parameters)
    if op.name == "copy":
        active = tuple(node for node in (op.arguments.get("src"),) if isinstance(node, Node) and node.active)
    parameters = _names([node for node in op.inputs if node.kind is Kind.PARAMETER])
    if active and parameters:  # class tokens before patches, rows written into activations
        return Step(Is.MOVE, active, biases=parameters)
    return Step(Is.MOVE, active, parameters)


def _product(op: Op, active: tuple[Node, ...]) -> Step:
    added = (
        op.arguments.get("self")
        if op.name in ("addmm", "baddbmm", "addmv", "addbmm", "addr")
        else op.arguments.get("bias")
    )
    added = added if isinstance(added, Node) else None
    factors = [node for node in op.inputs if node is not added and node.floating]
    length = _summed(op, factors)
    numbers: list[tuple[Node, float]] = []
    if "alpha" in op.arguments and factors:
        numbers.append((factors[0], op.number("alpha", 1.0)))
    if "beta" in op.arguments and added is not None:
        numbers.append((added, op.number("beta", 1.0)))
    weights = [node for node in factors if node.kind is Kind.PARAMETER]
    sources = tuple(node for node in factors if node.active)
    biases = added.parameters if added is not None and added.kind is Kind.PARAMETER else ()
    more = (added,) if added is not None and added.active and op.number("beta", 1.0) else ()
    if not sources:
        return Step(Is.CURVE, parameters=_names(weights))
    if op.name in ("mkldnn_rnn_layer", "lstm", "gru", "rnn_tanh", "rnn_relu"):
        return Step(Is.CURVE, active)
    kind = (
        Is.WEIGHT
        if weights
        else Is.PRODUCT
        if len(sources) > 1 or (len(factors) > 1 and len(sources) + len(more) > 1)
        else Is.MOVE
    )
    if kind is Is.MOVE and any(node.kind is Kind.CONSTANT for node in factors):
        kind = Is.FILTER
    return Step(kind, (*sources, *more), _names(weights), biases, tuple(numbers), length=length)


def _summed(op: Op, factors: list[Node]) -> int:
    """How many products go into one entry."""
    if "convolution" in op.name or op.name.startswith("conv"):
        weight = op.arguments.get("weight")
        if not isinstance(weight, Node):
            return 1
        length = 1
        for size in weight.shape[1:]:
            length *= size
        return length if not op.arguments.get("transposed") else weight.shape[0] // max(int(op.number("groups", 1)), 1)
    if not factors or not factors[0].shape:
        return 1
    return factors[0].shape[-1]


def _native_norm(op: Op, active: tuple[Node, ...]) -> Step:
    weight, bias = op.arguments.get("weight"), op.arguments.get("bias")
    gains = [weight] if isinstance(weight, Node) and weight.kind is Kind.PARAMETER else []
    biases = [bias] if isinstance(bias, Node) and bias.kind is Kind.PARAMETER else []
    return Step(Is.NORM, active[:1], _names(gains), _names(biases), centred=any(centred(node) for node in gains))


def _lookup(_graph: Graph, op: Op, _active: tuple[Node, ...]) -> Step:
    table = op.inputs[0]
    if table.kind is Kind.PARAMETER:
        return Step(Is.LOOKUP, (), table.parameters)
    return Step(Is.MOVE, (table,)) if table.active else Step(Is.INPUT)


def centred(node: Node) -> bool:
    """Whether a tensor of parameters is one plus what is trained.

    Args:
        node: a tensor that depends on parameters alone.
    """
    for _ in range(8):
        op = node.producer
        if op is None:
            return False
        if op.name in ("add", "rsub", "sub"):
            others = [each.value for each in op.inputs if each.kind is Kind.CONSTANT]
            return 1.0 in [*others, op.arguments.get("other"), op.arguments.get("self")]
        known = [each for each in op.inputs if each.kind is Kind.PARAMETER]
        if len(known) != 1:
            return False
        node = known[0]
    return False


def _add(_graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    first = op.arguments.get("self")
    second = op.arguments.get("source", op.arguments.get("src", op.arguments.get("other")))
    alpha = op.number("alpha", 1.0)
    if op.name == "rsub":
        first, second = second, first
    signs = {"sub": -alpha, "rsub": -alpha}
    numbers = [(second, signs.get(op.name, alpha))] if isinstance(second, Node) else []
    terms = [node for node in (first, second) if isinstance(node, Node)]
    parameters = _names([node for node in terms if node.kind is Kind.PARAMETER])
    constant = [each for each in (first, second) if _is_zero(each)]
    if not active:
        return Step(Is.CURVE, parameters=parameters)
    given = [(node, number) for node, number in numbers if isinstance(node, Node)]
    if len(active) > 1:
        return Step(Is.ADD, active, numbers=tuple(given))
    if parameters:
        return Step(Is.BIAS, active, biases=parameters, numbers=tuple(given))
    return Step(Is.MOVE if constant else Is.SHIFT, active, numbers=tuple(given))


def _is_zero(value: object) -> bool:
    return value.value == 0.0 if isinstance(value, Node) else value == 0


def _mul(graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    sides = [op.arguments.get("self"), op.arguments.get("other")]
    numbers = [_number(side) for side in sides]
    nodes = [side for side in sides if isinstance(side, Node)]
    if op.name == "div":
        return _div(graph, op, active)
    for (side, other), number in zip((sides, sides[::-1]), numbers[::-1], strict=True):
        if isinstance(side, Node) and number is not None and side.kind is not Kind.CONSTANT:
            if side.kind is Kind.PARAMETER:
                return Step(Is.MOVE, parameters=side.parameters, numbers=((side, number),))
            return Step(Is.SCALE, (side,) if side.active else (), numbers=((side, number),))
    del other
    return _times(graph, nodes, active)


def _times(graph: Graph, nodes: list[Node], active: tuple[Node, ...]) -> Step:
    parameters = [node for node in nodes if node.kind is Kind.PARAMETER]
    if not active:
        return Step(Is.CURVE, parameters=_names(parameters))
    if len(active) == 2 and active[0] is not active[1]:
        for main, size in (active, active[::-1]):
            if _statistic_of(graph, main, size):
                return Step(Is.NORM, (main,), statistics=(size,))
        return Step(Is.GATE, active)
    if len(active) == 2:
        return Step(Is.CURVE, active[:1])
    if parameters:
        return Step(Is.GAIN, active, _names(parameters), centred=any(centred(node) for node in parameters))
    return Step(Is.FILTER, active)


def _div(graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    above, below = op.arguments.get("self"), op.arguments.get("other")
    number = _number(below)
    if isinstance(above, Node) and above.kind is not Kind.CONSTANT and number is not None:
        scale = 1.0 / number if number else float("inf")
        if above.kind is Kind.PARAMETER:
            return Step(Is.MOVE, parameters=above.parameters, numbers=((above, scale),))
        return Step(Is.SCALE, (above,) if above.active else (), numbers=((above, scale),))
    if not isinstance(above, Node) or not isinstance(below, Node):
        return Step(Is.CURVE, active)
    top = _number(above)
    if top is not None and below.kind is not Kind.CONSTANT:
        return Step(Is.CURVE, active, below.parameters, numbers=((below, top),))
    if above.active and below.active:
        if _statistic_of(graph, above, below):
            return Step(Is.NORM, (above,), statistics=(below,))
        return Step(Is.CURVE, active)
    if above.active and below.kind is Kind.CONSTANT:
        return Step(Is.FILTER, (above,))
    return Step(Is.CURVE, active, _names([node for node in (above, below) if node.kind is Kind.PARAMETER]))


def _number(value: object) -> float | None:
    if isinstance(value, Node):
        return value.value if value.kind is Kind.CONSTANT else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _statistic_of(graph: Graph, main: Node, size: Node) -> bool:
    """Whether a tensor is a statistic of another: reduced from it, and fewer entries."""
    roots = _roots(graph, main)
    seen: set[int] = set()
    waiting = [(size, False, 0)]
    while waiting:
        node, reduced, depth = waiting.pop()
        if reduced and node.index in roots:
            return True
        op = node.producer
        if op is None or node.index in seen or depth > 24 or graph.of(op).kind in (Is.WEIGHT, Is.PRODUCT, Is.FUSED):
            continue
        seen.add(node.index)
        shrinks = reduced or op.name in STATISTICS
        waiting += [(each, shrinks, depth + 1) for each in op.inputs if each.active]
    return False


def _roots(graph: Graph, node: Node) -> set[int]:
    """A tensor, and those that it is a cast, a view or a centred form of."""
    found = {node.index}
    for _ in range(8):
        step = graph.step(node)
        op = node.producer
        centring = step.kind is Is.ADD and op is not None and op.name == "sub"
        if not centring and (step.kind not in (Is.MOVE, Is.SCALE) or len(step.sources) != 1):
            break
        node = step.sources[0]
        found.add(node.index)
    return found


def _summing(_graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    if not active:
        return Step(Is.CURVE, parameters=_names(op.inputs))
    before, after = active[0].shape, op.outputs[0].shape
    length = _size(before) // max(_size(after), 1) if op.name != "cumsum" else 1
    return Step(Is.SUM, active[:1], length=length)


def _measure(_graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    """A norm over an axis: it grows with the axis as a sum of squares does."""
    length = _size(active[0].shape) // max(_size(op.outputs[0].shape), 1) if active else 1
    return Step(Is.CURVE, active, _names(op.inputs) if not active else (), length=length)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _negated(_graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    if not active:
        return Step(Is.MOVE, parameters=_names(op.inputs))
    return Step(Is.SCALE, active, numbers=((op.inputs[0], -1.0),))


def _interpolated(_graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    start, end, weight = op.arguments.get("self"), op.arguments.get("end"), _number(op.arguments.get("weight"))
    if weight is None or not isinstance(start, Node) or not isinstance(end, Node):
        return Step(Is.ADD if len(active) > 1 else Is.CURVE, active)
    return Step(Is.ADD if len(active) > 1 else Is.CURVE, active, numbers=((start, 1.0 - weight), (end, weight)))


def _fused_product(_graph: Graph, op: Op, active: tuple[Node, ...]) -> Step:
    """`addcmul` and `addcdiv`: a sum with a product whose factor is `value`."""
    product = [op.arguments.get("tensor1"), op.arguments.get("tensor2")]
    nodes = [node for node in product if isinstance(node, Node) and node.kind is not Kind.CONSTANT]
    numbers = tuple((node, op.number("value", 1.0)) for node in nodes[:1])
    if not active:
        return Step(Is.CURVE, parameters=_names(op.inputs))
    if len(active) > 1:
        return Step(Is.ADD, active, numbers=numbers)
    return Step(Is.SHIFT, active, numbers=numbers)


_Rule = Callable[[Graph, Op, tuple[Node, ...]], Step]
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("embedding", "embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"), _lookup),
    **dict.fromkeys(ADDS, _add),
    **dict.fromkeys(("mul", "div", "multiply", "true_divide"), _mul),
    **dict.fromkeys(SUMS, _summing),
    **dict.fromkeys(("linalg_vector_norm", "norm", "frobenius_norm"), _measure),
    "neg": _negated,
    "lerp": _interpolated,
    "addcmul": _fused_product,
    "addcdiv": _fused_product,
}
