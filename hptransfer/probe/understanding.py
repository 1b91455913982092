"""From an operation of torch to what it is in a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hptransfer.probe.operations import ADDS, MOVES, NORMS, PRODUCTS, RECURRENT, STATISTICS, SUMS
from hptransfer.probe.steps import Is, Step
from hptransfer.probe.trace import Kind, Node, Op

#: what made a tensor
StepOf = Callable[[Node], Step]


def understand(step: StepOf, op: Op) -> Step:
    """What an operation is.

    Args:
        step: tells what made a tensor.
        op: one operation of a run.
    """
    active = tuple(node for node in op.inputs if node.active)
    rule = _RULES.get(op.name)
    if rule is not None:
        return rule(step, op, active)
    if not active and any(node.parameters for node in op.inputs):
        return Step(Is.CURVE, parameters=_names(op.inputs))
    return Step(Is.CURVE, active)


def _attention(_step_of: StepOf, op: Op, _active: tuple[Node, ...]) -> Step:
    """Queries, keys and values; queries may be parameters."""
    scale = op.number("scale", op.inputs[0].shape[-1] ** -0.5)  # torch's default
    return Step(Is.FUSED, op.inputs[:3], numbers=((op.inputs[0], scale),))


def _names(nodes: tuple[Node, ...] | list[Node]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for node in nodes for name in node.parameters))


def _moved(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    first = op.inputs[0] if op.inputs else None
    if op.name in ("index", "index_select", "gather") and first is not None and first.parameters:
        return Step(Is.LOOKUP if op.outputs[0].kind is Kind.ACTIVATION else Is.MOVE, (), first.parameters)
    if op.name == "copy":
        active = tuple(node for node in (op.arguments.get("src"),) if isinstance(node, Node) and node.active)
    parameters = _names([node for node in op.inputs if node.kind is Kind.PARAMETER])
    if active and parameters:  # class tokens before patches, rows written into activations
        return Step(Is.MOVE, active, biases=parameters)
    return Step(Is.MOVE, active, parameters)


def _product(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
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
    if op.name in RECURRENT:
        return Step(Is.CURVE, active)
    if weights:
        kind = Is.WEIGHT
    elif len(sources) + len(more) > 1:
        kind = Is.PRODUCT
    else:
        kind = Is.FILTER
    pure = all(plain(node) for node in weights)
    return Step(kind, (*sources, *more), _names(weights), biases, tuple(numbers), length=length, plain=pure)


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


def _native_norm(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    weight, bias = op.arguments.get("weight"), op.arguments.get("bias")
    gains = [weight] if isinstance(weight, Node) and weight.kind is Kind.PARAMETER else []
    biases = [bias] if isinstance(bias, Node) and bias.kind is Kind.PARAMETER else []
    shifted, pure = any(map(centred, gains)), all(map(plain, gains))
    return Step(Is.NORM, active[:1], _names(gains), _names(biases), centred=shifted, plain=pure)


def _lookup(_step_of: StepOf, op: Op, _active: tuple[Node, ...]) -> Step:
    table = op.inputs[0]
    if table.kind is Kind.PARAMETER:
        return Step(Is.LOOKUP, (), table.parameters, plain=plain(table))
    return Step(Is.MOVE, (table,)) if table.active else Step(Is.INPUT)


def plain(node: Node) -> bool:
    """Whether a tensor of parameters is one parameter, but for views, casts and numbers that multiply it.

    Args:
        node: a tensor that depends on parameters alone.
    """
    while (op := node.producer) is not None:
        known = [each for each in op.inputs if each.kind is Kind.PARAMETER]
        numbers = all(each.value is not None for each in op.inputs if each.kind is Kind.CONSTANT)
        scaled = op.name in ("mul", "div", "neg") and numbers and node.shape == known[0].shape
        if len(known) != 1 or len(node.parameters) != 1 or not (op.name in MOVES or scaled):
            return False
        node = known[0]
    return len(node.parameters) == 1


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


def _add(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
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


def _mul(step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    sides = [op.arguments.get("self"), op.arguments.get("other")]
    numbers = [_number(side) for side in sides]
    nodes = [side for side in sides if isinstance(side, Node)]
    for side, number in zip(sides, numbers[::-1], strict=True):
        if isinstance(side, Node) and number is not None and side.kind is not Kind.CONSTANT:
            if side.kind is Kind.PARAMETER:
                return Step(Is.MOVE, parameters=side.parameters, numbers=((side, number),))
            return Step(Is.SCALE, (side,) if side.active else (), numbers=((side, number),))
    return _times(step_of, nodes, active)


def _times(step_of: StepOf, nodes: list[Node], active: tuple[Node, ...]) -> Step:
    parameters = [node for node in nodes if node.kind is Kind.PARAMETER]
    if not active:
        return Step(Is.CURVE, parameters=_names(parameters))
    if len(active) == 2 and active[0] is not active[1]:
        for main, size in (active, active[::-1]):
            if _statistic_of(step_of, main, size):
                return Step(Is.NORM, (main,), statistics=(size,))
        return Step(Is.GATE, active)
    if len(active) == 2:
        return Step(Is.CURVE, active[:1])
    if parameters:
        shifted, pure = any(map(centred, parameters)), all(map(plain, parameters))
        return Step(Is.GAIN, active, _names(parameters), centred=shifted, plain=pure)
    return Step(Is.FILTER, active)


def _div(step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    above, below = op.arguments.get("self"), op.arguments.get("other")
    number = _number(below)
    if isinstance(above, Node) and above.kind is not Kind.CONSTANT and number is not None:
        scale = ((above, 1.0 / number if number else math.inf),)
        if above.kind is Kind.PARAMETER:
            return Step(Is.MOVE, parameters=above.parameters, numbers=scale)
        return Step(Is.SCALE, (above,) if above.active else (), numbers=scale)
    if not isinstance(above, Node) or not isinstance(below, Node):
        return Step(Is.CURVE, active)
    return _quotient(step_of, above, below)


def _quotient(step_of: StepOf, above: Node, below: Node) -> Step:
    active = tuple(node for node in (above, below) if node.active)
    top = _number(above)
    if top is not None and below.kind is not Kind.CONSTANT:
        return Step(Is.CURVE, active, below.parameters, numbers=((below, top),))
    if above.active and below.active and _statistic_of(step_of, above, below):
        return Step(Is.NORM, (above,), statistics=(below,))
    if above.active and below.kind is Kind.CONSTANT:
        return Step(Is.FILTER, (above,))
    return Step(Is.CURVE, active, _names([node for node in (above, below) if node.kind is Kind.PARAMETER]))


def _number(value: object) -> float | None:
    if isinstance(value, Node):
        return value.value if value.kind is Kind.CONSTANT else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _statistic_of(step_of: StepOf, main: Node, size: Node) -> bool:
    """Whether a tensor is a statistic of another: reduced from it, and fewer entries."""
    roots = _roots(step_of, main)
    seen: set[int] = set()
    waiting = [(size, False, 0)]
    while waiting:
        node, reduced, depth = waiting.pop()
        if reduced and node.index in roots:
            return True
        op = node.producer
        if op is None or node.index in seen or depth > 24 or step_of(node).kind in (Is.WEIGHT, Is.PRODUCT, Is.FUSED):
            continue
        seen.add(node.index)
        shrinks = reduced or op.name in STATISTICS
        waiting += [(each, shrinks, depth + 1) for each in op.inputs if each.active]
    return False


def _roots(step_of: StepOf, node: Node) -> set[int]:
    """A tensor, and those that it is a cast, a view or a centred form of."""
    found = {node.index}
    for _ in range(8):
        step = step_of(node)
        op = node.producer
        centring = step.kind is Is.ADD and op is not None and op.name == "sub"
        if not centring and (step.kind not in (Is.MOVE, Is.SCALE) or len(step.sources) != 1):
            break
        node = step.sources[0]
        found.add(node.index)
    return found


def statistics_ops(step_of: StepOf, step: Step) -> set[int]:
    """Indices of the operations that compute a norm's statistic from what it divides.

    Args:
        step_of: tells what made a tensor.
        step: a norm.
    """
    found: set[int] = set()
    for main in step.sources:
        roots = _roots(step_of, main)
        earliest = min(roots)
        waiting = list(step.statistics)
        while waiting:
            node = waiting.pop()
            op = node.producer
            if op is None or op.index in found or node.index in roots or node.index < earliest:
                continue
            found.add(op.index)
            waiting += [each for each in op.inputs if each.active]
    return found


def _summing(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    if not active:
        return Step(Is.CURVE, parameters=_names(op.inputs))
    before, after = active[0].shape, op.outputs[0].shape
    length = _size(before) // max(_size(after), 1) if op.name != "cumsum" else 1
    return Step(Is.SUM, active[:1], length=length)


def _measure(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    """A norm over an axis: it grows with the axis as a sum of squares does."""
    length = _size(active[0].shape) // max(_size(op.outputs[0].shape), 1) if active else 1
    return Step(Is.CURVE, active, _names(op.inputs) if not active else (), length=length)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _negated(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    if not active:
        return Step(Is.MOVE, parameters=_names(op.inputs))
    return Step(Is.SCALE, active, numbers=((op.inputs[0], -1.0),))


def _interpolated(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    start, end, weight = op.arguments.get("self"), op.arguments.get("end"), _number(op.arguments.get("weight"))
    if weight is None or not isinstance(start, Node) or not isinstance(end, Node):
        return Step(Is.ADD if len(active) > 1 else Is.CURVE, active)
    return Step(Is.ADD if len(active) > 1 else Is.CURVE, active, numbers=((start, 1.0 - weight), (end, weight)))


def _fused_product(_step_of: StepOf, op: Op, active: tuple[Node, ...]) -> Step:
    """`addcmul` and `addcdiv`: a sum with a product whose factor is `value`."""
    product = [op.arguments.get("tensor1"), op.arguments.get("tensor2")]
    nodes = [node for node in product if isinstance(node, Node) and node.kind is not Kind.CONSTANT]
    numbers = tuple((node, op.number("value", 1.0)) for node in nodes[:1])
    if not active:
        return Step(Is.CURVE, parameters=_names(op.inputs))
    if len(active) > 1:
        return Step(Is.ADD, active, numbers=numbers)
    return Step(Is.SHIFT, active, numbers=numbers)


_Rule = Callable[[StepOf, Op, tuple[Node, ...]], Step]
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(MOVES, _moved),
    **dict.fromkeys(PRODUCTS, _product),
    **dict.fromkeys(NORMS, _native_norm),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("embedding", "embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"), _lookup),
    **dict.fromkeys(ADDS, _add),
    "mul": _mul,
    "div": _div,
    **dict.fromkeys(SUMS, _summing),
    **dict.fromkeys(("linalg_vector_norm", "norm", "frobenius_norm"), _measure),
    "neg": _negated,
    "lerp": _interpolated,
    "addcmul": _fused_product,
    "addcdiv": _fused_product,
}
