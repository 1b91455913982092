"""The residual stream: what is added to it, and the norms that it passes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hptransfer.parameterization.groups import without_numbers
from hptransfer.probe.findings import Writer
from hptransfer.probe.graph import Graph
from hptransfer.probe.steps import Is, Step
from hptransfer.probe.trace import Node, Op
from hptransfer.probe.walks import LINEAR, PASSED, Source, Walk, weights_behind

#: what a stream passes and is still the stream
_CARRIES = frozenset({Is.MOVE, Is.SCALE, Is.SHIFT, Is.BIAS, Is.GAIN, Is.FILTER, Is.ADD, Is.GATE})
#: what a stream passes between two sums
_BETWEEN_SUMS = frozenset({Is.MOVE, Is.SCALE, Is.SHIFT, Is.BIAS, Is.GAIN, Is.FILTER, Is.NORM, Is.CURVE, Is.GATE})
#: what may stand between a writer and the stream: attention without an output projection too
_BRANCH = PASSED | {Is.PRODUCT, Is.FUSED}
#: a weight that is added more often in one run, at any depth, belongs to a recurrence over time
_FEW = 3
#: curves that a positive factor passes through
_HOMOGENEOUS = frozenset({"relu", "leaky_relu", "prelu", "threshold", "clamp_min"})


@dataclass(frozen=True, slots=True)
class Sum:
    """An addition to the stream.

    Attributes:
        op: the operation that adds.
        stream: the operand that is the stream.
        branch: the operand that is added.
        writers: the weights whose output is added.
        curves: weights of which a curve is added, so that they cannot take its factor.
    """

    op: Op
    stream: Node
    branch: Node
    writers: tuple[Source, ...]
    curves: tuple[Source, ...] = ()


def sums(graph: Graph, repeated: frozenset[str]) -> list[Sum]:
    """Every addition to a residual stream, in the order of the run; the steps of a recurrence over time are none.

    Args:
        graph: one run of a model.
        repeated: names of weights that one run uses more often the deeper the model.
    """
    found: list[Sum] = []
    for op, step in graph.steps(Is.ADD):
        each = _sum_of(graph, op, step)
        if each is not None:
            found.append(each)
    found = _without_recurrence(found, repeated)
    ops = {each.op.index for each in found}
    before = {each.op.index: _sums_before(graph, each.stream, ops) for each in found}
    linked = {index for index, earlier in before.items() if earlier}
    linked |= {index for earlier in before.values() for index in earlier}
    return [each for each in found if each.op.index in linked] if linked else found


def _without_recurrence(found: list[Sum], repeated: frozenset[str]) -> list[Sum]:
    """The sums but for those whose weights come back again and again however deep the model is."""
    counts: Counter[str] = Counter()
    for each in found:
        counts.update({name for source in (*each.writers, *each.curves) for name in source.parameters})
    again = {name for name, count in counts.items() if count > _FEW and name not in repeated}
    return [
        each for each in found if not all(set(source.parameters) & again for source in (*each.writers, *each.curves))
    ]


def _sum_of(graph: Graph, op: Op, step: Step) -> Sum | None:
    if len(step.sources) != 2 or not op.outputs or any(node.shape != op.outputs[0].shape for node in step.sources):
        return None
    first, second = step.sources
    for stream, branch in ((first, second), (second, first)):
        chain = _chain(graph, stream)
        if not any(graph.descends(branch, node) for node in chain):
            continue
        walk = weights_behind(graph, branch, _BRANCH, frozenset(node.index for node in chain))
        writers = [each for each in walk.sources if any(_reads(graph, each, node) for node in chain)]
        wrapped, curves = _through_curves(graph, branch, chain)
        if writers or wrapped or curves:
            return Sum(op, stream, branch, (*writers, *wrapped), curves)
    for stream, branch in ((first, second), (second, first)):
        writers = _behind_projected_shortcut(graph, stream, branch)
        if writers:
            return Sum(op, stream, branch, tuple(writers))
    return None


def _chain(graph: Graph, node: Node) -> list[Node]:
    """A tensor and the earlier forms of the stream that it is."""
    found: list[Node] = []
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.index in seen:
            continue
        seen.add(each.index)
        found.append(each)
        step = graph.step(each)
        if step.kind in _CARRIES:
            waiting += step.sources
    return found


def _reads(graph: Graph, source: Source, node: Node) -> bool:
    return any(graph.descends(each, node) for each in source.step.sources)


def _through_curves(graph: Graph, branch: Node, chain: list[Node]) -> tuple[list[Source], tuple[Source, ...]]:
    """Weights behind a curve that a positive factor passes (relu), and those behind others, right before the sum."""
    found: list[Source] = []
    curves: list[Source] = []
    stop = frozenset(node.index for node in chain)
    for op in weights_behind(graph, branch, LINEAR, stop).curves:
        behind = weights_behind(graph, op.inputs[0], PASSED, stop) if op.inputs[0].active else Walk()
        reading = [each for each in behind.sources if any(_reads(graph, each, node) for node in chain)]
        if op.name in _HOMOGENEOUS:
            found += reading
        else:
            curves += reading
    return found, tuple(curves)


def _behind_projected_shortcut(graph: Graph, shortcut: Node, branch: Node) -> list[Source]:
    """Writers of a block whose stream changes its width: the shortcut is one weight, the branch has several."""
    short = weights_behind(graph, shortcut, PASSED)
    if len(short.sources) != 1 or short.ends or short.sources[0].step.kind is not Is.WEIGHT:
        return []
    root = _root(graph, short.sources[0].step.sources[0])
    if root.producer is None or graph.step(root).kind is Is.LOOKUP:
        return []
    long = weights_behind(graph, branch, PASSED)
    return [each for each in long.sources if _is_deeper(graph, each, root)]


def _root(graph: Graph, node: Node) -> Node:
    while (step := graph.step(node)).kind is Is.MOVE and len(step.sources) == 1:
        node = step.sources[0]
    return node


def _is_deeper(graph: Graph, source: Source, root: Node) -> bool:
    """Whether a weight's input was computed from a tensor through another weight and a curve."""
    if source.step.kind is not Is.WEIGHT or not source.step.sources or not graph.descends(source.step.sources[0], root):
        return False
    kinds: set[Is] = set()
    seen: set[int] = set()
    waiting = [source.step.sources[0]]
    while waiting:
        node = waiting.pop()
        if node.index in seen or node.index == root.index or not graph.descends(node, root):
            continue
        seen.add(node.index)
        step = graph.step(node)
        kinds.add(step.kind)
        if step.kind is Is.WEIGHT or step.kind in (Is.CURVE, Is.FUSED):
            kinds.add(step.kind)
        waiting += [*step.sources, *step.statistics]
    return Is.WEIGHT in kinds and bool(kinds & {Is.CURVE, Is.FUSED, Is.GATE, Is.PRODUCT})


def _sums_before(graph: Graph, node: Node, ops: set[int]) -> set[int]:
    """The sums that a stream comes from directly."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        op = each.producer
        if op is None or each.index in seen:
            continue
        seen.add(each.index)
        step = graph.of(op)
        if op.index in ops:
            found.add(op.index)
        elif step.kind in _BETWEEN_SUMS:
            waiting += step.sources
        elif step.kind is Is.WEIGHT and not found:
            waiting += _projected(graph, step, ops)
    return found


def _projected(graph: Graph, step: Step, ops: set[int]) -> list[Node]:
    """What a shortcut's own weight reads, where that is a sum or follows one."""
    near = [_root(graph, source) for source in step.sources[:1]]
    return [node for node in near if node.producer is not None and _follows_sum(graph, node, ops)]


def _follows_sum(graph: Graph, node: Node, ops: set[int]) -> bool:
    for _ in range(6):
        op = node.producer
        if op is None:
            return False
        if op.index in ops:
            return True
        step = graph.of(op)
        if step.kind not in _BETWEEN_SUMS or len(step.sources) != 1:
            return False
        node = step.sources[0]
    return False


def writers(found: list[Sum]) -> tuple[Writer, ...]:
    """What is added to the stream, each once.

    Args:
        found: the additions of one run.
    """
    each = {
        (source.parameters, source.norm): Writer(source.parameters, source.norm, source.centred, source.normed)
        for addition in found
        for source in addition.writers
    }
    return tuple(each.values())


def stream_norms(graph: Graph, found: list[Sum]) -> tuple[str, ...]:
    """Norms that the stream itself passes between blocks.

    Args:
        graph: one run of a model.
        found: the additions of that run.
    """
    behind = {each.op.index: _norm_behind(graph, each.op) for each in found}
    certain: dict[str, None] = {}
    possible: dict[str, None] = {}
    streams = [{node.index for node in _chain(graph, each.stream)} for each in found]
    for norm in behind.values():
        if norm is None:
            continue
        nodes, names = norm
        carried = any(node.index in stream for node in nodes for stream in streams)
        (certain if carried else possible).update(dict.fromkeys(names))
    patterns = {without_numbers(name) for name in certain}
    return tuple(name for name in (*certain, *possible) if name in certain or without_numbers(name) in patterns)


def _norm_behind(graph: Graph, op: Op) -> tuple[list[Node], tuple[str, ...]] | None:
    """The forms of a norm's output, and the names of its gain and bias, where a sum is read by a norm alone."""
    nodes = [op.outputs[0]]
    names: list[str] = []
    normed: list[Node] = []
    norm: Op | None = None
    for _ in range(12):
        following = [each for each in graph.readers(nodes[-1]) if graph.of(each).kind is not Is.INPUT]
        if norm is None:
            candidates = [each for each in following if graph.of(each).kind is Is.NORM]
            if candidates and all(each in candidates or _sizes(graph, each, candidates) for each in following):
                norm = candidates[0]
                names += [*graph.of(norm).parameters, *graph.of(norm).biases]
                nodes.append(norm.outputs[0])
                normed.append(norm.outputs[0])
                continue
        elif len(following) != 1:
            break
        nexts = [each for each in following if graph.of(each).kind in (Is.MOVE, Is.GAIN, Is.BIAS, Is.SCALE)]
        if len(nexts) != 1 or (norm is None and len(following) != 1):
            break
        names += [*graph.of(nexts[0]).parameters, *graph.of(nexts[0]).biases]
        nodes.append(nexts[0].outputs[0])
        if norm is not None:
            normed.append(nexts[0].outputs[0])
    return (normed, tuple(dict.fromkeys(names))) if norm is not None else None


def _sizes(graph: Graph, op: Op, norms: list[Op]) -> bool:
    """Whether an operation only computes the statistic of one of these norms."""
    return any(graph.descends(size, op.outputs[0]) for norm in norms for size in graph.of(norm).statistics)
