"""Numbers in `forward` that change with the size, and what each does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hptransfer.probe.alignment import power, same
from hptransfer.probe.attention_sites import Site
from hptransfer.probe.attention_sites import sites as find_sites
from hptransfer.probe.findings import Factor, Purpose
from hptransfer.probe.graph import Graph
from hptransfer.probe.steps import Is
from hptransfer.probe.trace import Kind, Node, Op
from hptransfer.probe.walks import LINEAR, Walk, confined

#: sizes at the start are flat when their power of the width is below this
FLAT = 0.2
#: what may stand between a sum over a growing axis and the number that takes its size back
_LOCAL = frozenset({Is.MOVE, Is.SCALE, Is.SHIFT, Is.FILTER, Is.GAIN, Is.CURVE, Is.NORM, Is.GATE, Is.SUM, Is.BIAS})


@dataclass(frozen=True, slots=True)
class Changing:
    """A number that changes with width or depth.

    Attributes:
        op: its operation at the base.
        operand: what it multiplies.
        values: the number at the base, the wider, the deeper model.
        width: power of the width; None where it is none.
        depth: power of the depth; None where it is none.
    """

    op: Op
    operand: Node
    values: tuple[float | None, float | None, float | None]
    width: float | None
    depth: float | None


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What could take a number.

    Attributes:
        purpose: what the number does.
        parameters: names of what could take it.
        use: which use of them is meant.
        ops: the operations that apply these parameters, each covered by this number.
    """

    purpose: Purpose
    parameters: tuple[str, ...] = ()
    use: Literal["lookup", "matrix"] = "matrix"
    ops: tuple[Op, ...] = ()


@dataclass(frozen=True, slots=True)
class Runs:
    """Base, wider and deeper run, side by side.

    Attributes:
        base: the run of the base model.
        wide: the run of the wider one.
        deep: the run of the deeper one.
        to_wide: operations of the wider run by the index of those of the base.
        to_deep: operations of the deeper run by the index of those of the base.
        width_growth: ratio of the widths.
        depth_growth: ratio of the depths.
    """

    base: Graph
    wide: Graph | None
    deep: Graph | None
    to_wide: Mapping[int, Op]
    to_deep: Mapping[int, Op]
    width_growth: float
    depth_growth: float

    def growth(self, op: Op) -> float:
        """How many times as many terms an operation sums in the wider model.

        Args:
            op: an operation of the base.
        """
        partner = self.to_wide.get(op.index)
        if partner is None or self.wide is None:
            return 1.0
        return self.wide.of(partner).length / max(self.base.of(op).length, 1)


def changing(runs: Runs) -> list[Changing]:
    """Numbers that differ between the runs.

    Args:
        runs: the runs of all sizes.
    """
    found = []
    measured = runs.base.trace.measured
    for op in runs.base.trace.ops:
        step = runs.base.of(op)
        for slot, (operand, value) in enumerate(step.numbers):
            if operand.kind is Kind.CONSTANT or op.index not in runs.base.live or value in measured:
                continue
            wide = _partner(runs.wide, runs.to_wide, op, slot)
            deep = _partner(runs.deep, runs.to_deep, op, slot)
            if any(other is not None and not same(value, other) for other in (wide, deep)):
                powers = power(value, wide, runs.width_growth), power(value, deep, runs.depth_growth)
                found.append(Changing(op, operand, (value, wide, deep), *powers))
    return found


def appearing(runs: Runs, other: Graph, *, wider: bool) -> list[Changing]:
    """Numbers at a line that runs in a larger model alone: at the base it is left out, as if the number were one.

    Args:
        runs: the runs of all sizes.
        other: the larger run.
        wider: whether that is the wider one, not the deeper one.
    """
    places = {(op.where.module, op.where.code, op.name) for op in runs.base.trace.ops}
    found = []
    for op in other.trace.ops:
        if op.where.module not in runs.base.trace.called or (op.where.module, op.where.code, op.name) in places:
            continue
        for operand, value in other.of(op).numbers:
            if op.index in other.live and operand.kind is not Kind.CONSTANT and not same(abs(value), 1.0):
                values = (1.0, value, None) if wider else (1.0, None, value)
                width = power(1.0, value, runs.width_growth) if wider else 0.0
                depth = 0.0 if wider else power(1.0, value, runs.depth_growth)
                found.append(Changing(op, operand, values, width, depth))
    return found


def _partner(graph: Graph | None, partners: Mapping[int, Op], op: Op, slot: int) -> float | None:
    partner = partners.get(op.index)
    if graph is None or partner is None:
        return None
    numbers = graph.of(partner).numbers
    return numbers[slot][1] if slot < len(numbers) else None


def factors(runs: Runs, sites: list[Site], sizes: Callable[[], Mapping[int, float] | None]) -> tuple[Factor, ...]:
    """Every number that changes, with its purpose; equal ones at one place once.

    Args:
        runs: the runs of all sizes.
        sites: places where queries meet keys in the base model.
        sizes: power of the width of each tensor's size by its index in the base run, in a wider model whose weights
            preserve sizes as those of the base do; measured when first asked for, None where it could not be.
    """
    result = dict.fromkeys(_named(runs, changing(runs), sites, sizes))
    for other, wider in ((runs.wide, True), (runs.deep, False)):
        if other is not None and (more := appearing(runs, other, wider=wider)):
            alone = replace(runs, base=other, wide=None, deep=None, to_wide={}, to_deep={})
            result.update(dict.fromkeys(_named(alone, more, find_sites(other), lambda: None)))
    return tuple(result)


def _named(
    runs: Runs, numbers: list[Changing], sites: list[Site], sizes: Callable[[], Mapping[int, float] | None]
) -> list[Factor]:
    found = [(each, _absorbed(runs, each, sites, sizes)) for each in numbers]
    covered = _covered(found)
    uses = _uses(runs.base)
    result = []
    for each, absorbed in found:
        purpose, parameters = absorbed.purpose, absorbed.parameters
        key = (each.values, absorbed.use)
        if purpose in ("output", "input") and any(
            uses.get((name, absorbed.use), set()) - covered.get((name, *key), set()) for name in parameters
        ):
            purpose, parameters = "open", ()
        result.append(
            Factor(each.op.where, each.op.name, each.values, each.width, each.depth, purpose, parameters, absorbed.use)
        )
    return result


def _covered(found: list[tuple[Changing, Absorbed]]) -> dict[tuple[object, ...], set[int]]:
    covered: dict[tuple[object, ...], set[int]] = {}
    for each, absorbed in found:
        for op in absorbed.ops:
            for name in absorbed.parameters:
                covered.setdefault((name, each.values, absorbed.use), set()).add(op.index)
    return covered


def _uses(graph: Graph) -> dict[tuple[str, str], set[int]]:
    """The operations that apply each parameter, by name and use."""
    uses: dict[tuple[str, str], set[int]] = {}
    for op, step in graph.steps(Is.WEIGHT, Is.LOOKUP, Is.GAIN, Is.NORM):
        use = "lookup" if step.kind is Is.LOOKUP else "matrix"
        for name in step.parameters:
            uses.setdefault((name, use), set()).add(op.index)
    return uses


def _absorbed(
    runs: Runs, each: Changing, sites: list[Site], sizes: Callable[[], Mapping[int, float] | None]
) -> Absorbed:
    graph = runs.base
    if any(each.op.index in site.scaling for site in sites):
        return Absorbed("attention")
    if each.operand.kind is Kind.PARAMETER:
        return _of_parameter(graph, each)
    if _normalizes(runs, each, sizes):
        return Absorbed("normalizer")
    step = graph.of(each.op)
    if step.kind is Is.CURVE:
        return Absorbed("open")
    before = _output_of(graph, each, frozenset({Is.WEIGHT, Is.LOOKUP}))
    behind = _input_of(graph, each)
    return (
        before
        or behind
        or _output_of(graph, each, frozenset({Is.WEIGHT, Is.LOOKUP, Is.GAIN, Is.NORM}))
        or Absorbed("open")
    )


def _of_parameter(graph: Graph, each: Changing) -> Absorbed:
    """A number that multiplies a parameter itself: the parameter takes it, where it is used linearly."""
    linear = each.operand
    for _ in range(16):
        step = graph.step(linear)
        if linear.producer is None:
            break
        known = [node for node in linear.producer.inputs if node.kind is Kind.PARAMETER]
        if step.kind is not Is.MOVE or len(known) != 1:
            return Absorbed("open")
        linear = known[0]
    ops: list[Op] = []
    waiting = list(each.op.outputs) if graph.of(each.op).kind is Is.MOVE else []
    kinds = {Is.WEIGHT, Is.LOOKUP, Is.GAIN, Is.BIAS}
    while waiting:
        for op in graph.readers(waiting.pop()):
            kind = graph.of(op).kind
            if kind in kinds:
                ops.append(op)
            elif kind is Is.MOVE:
                waiting += op.outputs
            else:
                return Absorbed("open")
    if graph.of(each.op).kind in kinds:
        ops.append(each.op)
    lookup = any(graph.of(op).kind is Is.LOOKUP for op in ops)
    names = each.operand.parameters
    return Absorbed("output", names, "lookup" if lookup else "matrix", tuple(ops)) if ops else Absorbed("open")


def _normalizes(runs: Runs, each: Changing, sizes: Callable[[], Mapping[int, float] | None]) -> bool:
    """Whether the number takes back the size of a sum over a growing axis."""
    if not each.width:
        return False
    found = _growing_sum(runs, each.operand)
    if found is None:
        return False
    direct, growth = found
    exact = power(1.0, growth, runs.width_growth)
    if direct and exact and each.width in (-exact, -exact / 2):
        return True
    moved = sizes()
    before = moved.get(each.operand.index) if moved is not None else None
    after = moved.get(each.op.outputs[0].index) if moved is not None else None
    if before is None or after is None:
        return False
    return abs(after) < FLAT and abs(before + each.width) < FLAT


def _growing_sum(runs: Runs, start: Node) -> tuple[bool, float] | None:
    """Whether a sum over a growing axis stands right before a tensor, and its growth; None where none stands."""
    graph = runs.base
    seen: set[int] = set()
    waiting = [(start, True)]
    while waiting:
        node, direct = waiting.pop(0)
        op = node.producer
        if op is None or node.index in seen or len(seen) > 64:
            continue
        seen.add(node.index)
        step = graph.of(op)
        summed = step.kind in (Is.SUM, Is.PRODUCT) or (step.kind is Is.CURVE and step.length > 1)
        if summed and (growth := runs.growth(op)) > 1:
            return direct, growth
        if step.kind in _LOCAL:
            still = direct and step.kind in (Is.MOVE, Is.SHIFT, Is.SCALE)
            waiting += [(source, still) for source in (*step.sources, *step.statistics)]
    return None


def _output_of(graph: Graph, each: Changing, ends: frozenset[Is]) -> Absorbed | None:
    """The weights whose output the number multiplies, all of it and nothing else."""
    walk = _to_ends(graph, each.operand, ends)
    if walk is None:
        return None
    for op in walk[0]:
        if not confined(graph, op, Walk(ops=walk[2]), frozenset({each.op.index})):
            return None
    names = walk[1]
    lookup = any(graph.of(op).kind is Is.LOOKUP for op in walk[0])
    return Absorbed("output", names, "lookup" if lookup else "matrix", tuple(walk[0])) if names else None


def _to_ends(graph: Graph, start: Node, ends: frozenset[Is]) -> tuple[list[Op], tuple[str, ...], set[int]] | None:
    """Operations at which every path from a tensor ends, names of their parameters and of biases on the way."""
    found: list[Op] = []
    names: dict[str, None] = {}
    passed: set[int] = set()
    waiting = [start]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node.index in seen:
            continue
        seen.add(node.index)
        op, step = node.producer, graph.step(node)
        if op is None:
            return None
        passed.add(op.index)
        if step.kind in ends and step.parameters and step.plain:
            found.append(op)
            names.update(dict.fromkeys((*step.parameters, *step.biases)))
        elif step.kind in LINEAR and step.sources and step.plain:
            names.update(dict.fromkeys(step.biases))
            waiting += step.sources
        else:
            return None
    return found, tuple(names), passed


def _input_of(graph: Graph, each: Changing) -> Absorbed | None:
    """The weights that read the product, where nothing else does."""
    outputs = {node.index for node in graph.trace.outputs}
    names: dict[str, None] = {}
    ops: list[Op] = []
    waiting = list(each.op.outputs)
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node.index in seen:
            continue
        seen.add(node.index)
        if node.index in outputs:
            return None
        for op in graph.readers(node):
            step = graph.of(op)
            if step.kind in (Is.WEIGHT, Is.GAIN) and node in step.sources and step.plain:
                names.update(dict.fromkeys(step.parameters))
                ops.append(op)
            elif step.kind in (Is.MOVE, Is.SCALE, Is.FILTER, Is.SUM) and len(step.sources) == 1 and not step.biases:
                waiting += op.outputs
            else:
                return None
    return Absorbed("input", tuple(names), "matrix", tuple(ops)) if names else None
