"""Where the model's answer comes from: weights that read out, or a product of activations."""

from __future__ import annotations

import math
from collections import Counter

from hptransfer.probe.factors import Runs
from hptransfer.probe.findings import Where
from hptransfer.probe.graph import Graph
from hptransfer.probe.steps import Is, Step
from hptransfer.probe.trace import Node, Op


def readouts(runs: Runs) -> tuple[tuple[str, ...], Where | None, float | None]:
    """What answers: weights with no other weight behind them, or a product or a sum over a growing axis.

    Args:
        runs: the runs of all sizes.

    Returns:
        Names of the weights; the place of a product or sum; the power of the width that its size follows at the start,
        None where norms keep it.
    """
    graph = runs.base
    names: dict[str, None] = {}
    product: Where | None = None
    grows: float | None = None
    seen: set[int] = set()
    waiting: list[tuple[Node, float]] = [(node, 0.0) for node in graph.trace.outputs]
    while waiting:
        node, power = waiting.pop()
        op = node.producer
        if op is None or node.index in seen or not node.floating:
            continue
        seen.add(node.index)
        step = graph.of(op)
        if step.kind in (Is.WEIGHT, Is.LOOKUP):
            names.update(dict.fromkeys(step.parameters))
        elif step.kind in (Is.PRODUCT, Is.SUM) and runs.growth(op) > 1:
            terms = math.log(runs.growth(op)) / math.log(runs.width_growth)
            product, grows = product or op.where, None if _normed(graph, step) else power + terms / 2
        elif op.name == "mean" and shrinks(runs, node):
            product, grows = product or op.where, power - 0.5
        else:
            waiting += [(each, power + _moved(runs, op)) for each in (*step.sources, *step.statistics)]
    return tuple(names), product, grows


def _moved(runs: Runs, op: Op) -> float:
    """The power of the width of an operation's own numbers."""
    partner = runs.to_wide.get(op.index)
    numbers = runs.wide.of(partner).numbers if runs.wide is not None and partner is not None else ()
    moved = 0.0
    for (operand, value), (_, other) in zip(runs.base.of(op).numbers, numbers, strict=False):
        if operand.active and value * other > 0:
            moved += math.log(other / value) / math.log(runs.width_growth)
    return moved


def _normed(graph: Graph, step: Step) -> bool:
    """Whether norms stand before all factors of a product, with nothing but moves in between."""
    waiting = list(step.sources)
    found: list[Step] = []
    while waiting and len(found) < 8:
        each = graph.step(waiting.pop())
        if each.kind in (Is.MOVE, Is.SCALE, Is.GATE) and each.sources:
            waiting += each.sources
        else:
            found.append(each)
    return bool(found) and all(each.kind is Is.NORM for each in found)


def shrinks(runs: Runs, node: Node) -> bool:
    """Whether a mean is taken over an axis that grows.

    Args:
        runs: the runs of all sizes.
        node: what the mean gives, in the run of the base.
    """
    op = node.producer
    partner = runs.to_wide.get(op.index) if op is not None else None
    if op is None or partner is None or not op.inputs or not partner.inputs:
        return False
    before, after = op.inputs[0].shape, partner.inputs[0].shape
    return before != after and op.outputs[0].shape == partner.outputs[0].shape


def uses(graph: Graph) -> Counter[str]:
    """How often one run applies each parameter.

    Args:
        graph: one run of a model.
    """
    counts: Counter[str] = Counter()
    for op in graph.trace.ops:
        step = graph.of(op)
        counts.update({name: 1 for name in (*step.parameters, *step.biases) if step.sources or step.kind is Is.LOOKUP})
    return counts


def looked_up(graph: Graph) -> tuple[str, ...]:
    """Weights that products take and whose rows are looked up too.

    Args:
        graph: one run of a model.
    """
    lookups = [name for _, step in graph.steps(Is.LOOKUP) for name in step.parameters]
    products = {name for _, step in graph.steps(Is.WEIGHT) for name in step.parameters}
    return tuple(dict.fromkeys(name for name in lookups if name in products))


def both_ways(graph: Graph) -> tuple[str, ...]:
    """Weights of which two products sum over different numbers of entries: one of them takes the weight transposed.

    Args:
        graph: one run of a model.
    """
    lengths: dict[str, set[int]] = {}
    for _, step in graph.steps(Is.WEIGHT):
        for name in step.parameters:
            lengths.setdefault(name, set()).add(step.length)
    return tuple(name for name, of in lengths.items() if len(of) > 1)
