"""Paths through a run: which weights a tensor is linear in, and what stands between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hptransfer.probe.graph import Graph
from hptransfer.probe.steps import Is, Step
from hptransfer.probe.trace import Node, Op
from hptransfer.probe.understanding import statistics_ops

#: a factor of what they read is a factor of what they make
LINEAR = frozenset({Is.MOVE, Is.SCALE, Is.FILTER, Is.BIAS, Is.GAIN, Is.ADD, Is.SUM})
#: what may stand between a weight and the stream, or between a weight and attention logits
PASSED = LINEAR | {Is.SHIFT, Is.GATE, Is.NORM}


@dataclass(frozen=True, slots=True)
class _Between:
    """What was passed since the start of a walk, towards the input."""

    biases: tuple[str, ...] = ()
    gains: tuple[str, ...] = ()
    centred: bool = False
    norm: tuple[str, ...] = ()
    norm_centred: bool = False
    normed: bool = False
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """A weight whose output a tensor is linear in, but for a norm.

    Attributes:
        op: the product with the weight.
        step: the same, understood.
        parameters: names of the weight and its bias.
        norm: names of gain and bias of the norm behind it.
        centred: whether that norm multiplies by one plus its gain.
        normed: whether a norm stands behind it.
        scale: what numbers multiply its output by, up to the norm where one stands behind it.
    """

    op: Op
    step: Step
    parameters: tuple[str, ...]
    norm: tuple[str, ...]
    centred: bool
    normed: bool
    scale: float


@dataclass(slots=True)
class Walk:
    """A walk from a tensor towards the input.

    Attributes:
        sources: weights at which it ended.
        ends: (tensor, factor) of other ends: inputs, curves, products of activations.
        nodes: indices of the tensors that it passed, the start included.
        ops: indices of the operations that it passed, those of `sources` included.
        scaling: passed operations that have numbers, with no norm behind them.
        curves: operations at which it ended because they are curves.
    """

    sources: list[Source] = field(default_factory=list)
    ends: list[tuple[Node, float]] = field(default_factory=list)
    nodes: set[int] = field(default_factory=set)
    ops: set[int] = field(default_factory=set)
    scaling: list[Op] = field(default_factory=list)
    curves: list[Op] = field(default_factory=list)


def number_of(step: Step, node: Node) -> float:
    """What a step multiplies one of its operands by.

    Args:
        step: the operation, understood.
        node: one of its operands.
    """
    product = 1.0
    for operand, number in step.numbers:
        if operand is node:
            product *= number
    return product


def weights_behind(
    graph: Graph, start: Node, passed: frozenset[Is] = PASSED, stop: frozenset[int] = frozenset()
) -> Walk:
    """Walk from a tensor to the weights that it is made of.

    Args:
        graph: the run.
        start: where the walk starts.
        passed: kinds of steps that are passed; others end it.
        stop: indices of tensors at which it ends.
    """
    walk = Walk()
    waiting: list[tuple[Node, _Between]] = [(start, _Between())]
    while waiting:
        node, between = waiting.pop()
        if node.index in walk.nodes or node.index in stop:
            continue
        walk.nodes.add(node.index)
        op = node.producer
        step = graph.step(node)
        if op is not None and step.kind in (Is.WEIGHT, Is.LOOKUP):
            walk.ops.add(op.index)
            walk.sources.append(_source(op, step, between))
            if step.numbers and not between.normed:
                walk.scaling.append(op)
        elif op is not None and step.kind in passed and step.sources:
            walk.ops.add(op.index)
            if step.numbers and not between.normed:
                walk.scaling.append(op)
            if step.statistics:
                walk.ops |= statistics_ops(graph.step, step)
            for source in _carried(step):
                waiting.append((source, _behind(step, source, between)))
        else:
            walk.ends.append((node, between.scale))
            if op is not None and step.kind is Is.CURVE:
                walk.curves.append(op)
    return walk


def _carried(step: Step) -> tuple[Node, ...]:
    """What a step carries on linearly: of attention the values."""
    if step.kind is Is.FUSED:
        return step.sources[2:3]
    return step.sources


def _behind(step: Step, source: Node, between: _Between) -> _Between:
    scale = between.scale if between.normed else between.scale * abs(number_of(step, source))
    after = replace(between, scale=scale, biases=between.biases + step.biases)
    if step.kind is Is.GAIN:
        return replace(after, gains=after.gains + step.parameters, centred=after.centred or step.centred)
    if step.kind is not Is.NORM:
        return after
    if between.normed:
        return replace(after, biases=(), gains=(), centred=False)
    return replace(
        after,
        biases=(),
        gains=(),
        centred=False,
        normed=True,
        norm=(*after.gains, *step.parameters, *after.biases),
        norm_centred=after.centred or step.centred,
    )


def _source(op: Op, step: Step, between: _Between) -> Source:
    number = 1.0
    for operand, value in step.numbers:
        number *= abs(value) if operand.active else 1.0
    return Source(
        op=op,
        step=step,
        parameters=tuple(dict.fromkeys((*step.parameters, *step.biases, *between.biases))),
        norm=between.norm,
        centred=between.norm_centred,
        normed=between.normed,
        scale=between.scale * (1.0 if between.normed else number),
    )


def confined(graph: Graph, start: Op, walk: Walk, end: frozenset[int]) -> bool:
    """Whether all that reads an operation's output, directly or not, lies on a walk up to its start.

    Args:
        graph: the run.
        start: the operation whose output is followed.
        walk: the walk that found it.
        end: indices of operations that may read what the walk started from.
    """
    outputs = {node.index for node in graph.trace.outputs}
    waiting = [start]
    seen: set[int] = set()
    while waiting:
        op = waiting.pop()
        if op.index in seen:
            continue
        seen.add(op.index)
        for node in op.outputs:
            if not node.floating:
                continue
            readers = graph.readers(node)
            if node.index in outputs or any(each.index not in walk.ops and each.index not in end for each in readers):
                return False
            waiting += [each for each in readers if each.index not in end]
    return True
