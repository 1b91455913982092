"""Where the model's answer comes from: weights that read out, or a product of activations."""

from __future__ import annotations

from collections import Counter

from hptransfer.probe.factors import Runs
from hptransfer.probe.findings import Where
from hptransfer.probe.steps import Graph, Is
from hptransfer.probe.trace import Node


def readouts(runs: Runs) -> tuple[tuple[str, ...], Where | None]:
    """Names of the weights with no other weight behind them, and the place of a product or sum that answers instead.

    Args:
        runs: the runs of all sizes.
    """
    graph = runs.base
    names: dict[str, None] = {}
    product: Where | None = None
    seen: set[int] = set()
    waiting: list[Node] = list(graph.trace.outputs)
    while waiting:
        node = waiting.pop()
        op = node.producer
        if op is None or node.index in seen or not node.floating:
            continue
        seen.add(node.index)
        step = graph.of(op)
        if step.kind in (Is.WEIGHT, Is.LOOKUP):
            names.update(dict.fromkeys(step.parameters))
        elif (step.kind in (Is.PRODUCT, Is.SUM) and runs.growth(op) > 1) or (
            op.name == "mean" and _shrinks(runs, node)
        ):
            product = product or op.where
        else:
            waiting += [*step.sources, *step.statistics]
    return tuple(names), product


def _shrinks(runs: Runs, node: Node) -> bool:
    """Whether a mean is taken over an axis that grows."""
    op = node.producer
    partner = runs.to_wide.get(op.index) if op is not None else None
    if op is None or partner is None or not op.inputs or not partner.inputs:
        return False
    before, after = op.inputs[0].shape, partner.inputs[0].shape
    return before != after and op.outputs[0].shape == partner.outputs[0].shape


def uses(graph: Graph) -> Counter[str]:
    """How often one run applies each parameter.

    Args:
        graph: the run.
    """
    counts: Counter[str] = Counter()
    for op in graph.trace.ops:
        step = graph.of(op)
        counts.update({name: 1 for name in (*step.parameters, *step.biases) if step.sources or step.kind is Is.LOOKUP})
    return counts
