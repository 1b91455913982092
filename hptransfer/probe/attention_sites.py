"""Where queries meet keys: length of their common axis, scale, projections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hptransfer.probe.findings import Attention, Where
from hptransfer.probe.graph import Graph
from hptransfer.probe.steps import Is
from hptransfer.probe.trace import Node, Op
from hptransfer.probe.walks import PASSED, Walk, confined, number_of, weights_behind

_SOFTMAX = frozenset({"_softmax", "_safe_softmax", "softmax", "_masked_softmax", "sigmoid"})
#: curves with slope one at zero, and bounds, between a product and its softmax
_NEARLY_LINEAR = frozenset({"tanh", "clamp", "clamp_min", "clamp_max", "maximum", "minimum", "nan_to_num"})


@dataclass(frozen=True, slots=True)
class Site:
    """Queries meet keys here, in one run.

    Attributes:
        op: their product.
        head_dim: length of their common axis.
        scale: what the product is multiplied by before the softmax.
        queries: names of the weights and biases whose output is the queries alone.
        normed: whether a norm stands between those and the product.
        scaling: indices of the operations that scale.
    """

    op: Op
    head_dim: int
    scale: float
    queries: tuple[str, ...]
    normed: bool
    scaling: frozenset[int]


def sites(graph: Graph) -> list[Site]:
    """All places of one run where queries meet keys, in its order.

    Args:
        graph: the run.
    """
    found: dict[int, Site] = {}
    for op in graph.trace.ops:
        if op.index not in graph.live:
            continue
        if graph.of(op).kind is Is.FUSED:
            found[op.index] = _site(graph, op, number_of(graph.of(op), op.inputs[0]), frozenset({op.index}))
        elif op.name in _SOFTMAX:
            for product, scale, scaling in _products_before(graph, op.inputs[0]):
                found.setdefault(product.index, _site(graph, product, scale, scaling))
    return [found[index] for index in sorted(found)]


def _products_before(graph: Graph, logits: Node) -> list[tuple[Op, float, frozenset[int]]]:
    """Products of activations that logits are made of, with their factor and the operations that give it."""
    found: list[tuple[Op, float, frozenset[int]]] = []
    seen: set[int] = set()
    waiting: list[tuple[Node, float, frozenset[int]]] = [(logits, 1.0, frozenset())]
    while waiting:
        node, scale, scaling = waiting.pop()
        op = node.producer
        if op is None or node.index in seen:
            continue
        seen.add(node.index)
        step = graph.of(op)
        here = scaling | {op.index} if step.numbers else scaling
        if step.kind is Is.PRODUCT and len(step.sources) >= 2:
            found.append((op, scale * number_of(step, step.sources[0]), here))
            waiting += [(each, scale, here) for each in step.sources[2:]]
        elif (
            step.kind in (Is.MOVE, Is.SCALE, Is.SHIFT, Is.BIAS, Is.GAIN, Is.ADD, Is.FILTER) or op.name in _NEARLY_LINEAR
        ):
            waiting += [(each, scale * abs(number_of(step, each)), here) for each in step.sources]
    return found


def _site(graph: Graph, op: Op, scale: float, scaling: frozenset[int]) -> Site:
    step = graph.of(op)
    queries, keys = step.sources[0], step.sources[1]
    head_dim = queries.shape[-1] if step.kind is Is.FUSED else step.length
    before, other = (weights_behind(graph, node, PASSED) for node in (queries, keys))
    alone = [
        each
        for each in before.sources
        if each.step.kind is Is.WEIGHT and confined(graph, each.op, before, frozenset({op.index}))
    ]
    names = tuple(dict.fromkeys(name for each in alone for name in each.parameters)) or queries.parameters
    shared = {name for each in other.sources for name in each.parameters}
    return Site(
        op=op,
        head_dim=head_dim,
        scale=scale * _largest(before) * _largest(other),
        queries=tuple(name for name in names if name not in shared),
        normed=any(each.normed for each in before.sources),
        scaling=scaling | {each.index for walk in (before, other) for each in walk.scaling},
    )


def _largest(walk: Walk) -> float:
    """The factor of what is multiplied: paths of a rotation differ in sign alone."""
    scales = [each.scale for each in walk.sources] or [scale for _, scale in walk.ends]
    return max(scales, default=1.0)


def attention(base: list[Site], wide: list[Site], partners: Mapping[int, Op]) -> tuple[Attention, ...]:
    """Sites of the base and the wider model as findings; equal ones of several layers are one, with all their queries.

    Args:
        base: sites of the base model.
        wide: sites of the wider model.
        partners: the wider model's operation for an operation of the base, by the latter's index.
    """
    known = {site.op.index: site for site in wide}
    found: dict[tuple[object, ...], Attention] = {}
    for site in base:
        partner = partners.get(site.op.index)
        other = known.get(partner.index) if partner is not None else None
        if other is None:
            continue
        each = Attention(
            where=Where(site.op.where.module, site.op.where.code),
            head_dims=(site.head_dim, other.head_dim),
            scales=(site.scale, other.scale),
            queries=site.queries,
            normed=site.normed,
        )
        key = (
            each.where.code,
            each.head_dims,
            tuple(_rounded(scale) for scale in each.scales),
            each.normed,
            not each.queries,
        )
        first = found.get(key)
        found[key] = each if first is None else replace(first, queries=(*first.queries, *_new(each, first)))
    return tuple(found.values())


def _new(each: Attention, first: Attention) -> tuple[str, ...]:
    return tuple(name for name in each.queries if name not in first.queries)


def _rounded(scale: float) -> float:
    return round(math.log(scale), 6) if scale > 0 else scale
