"""Where a size begins to move with the width, where weights preserve it and no number of `forward` says why.

Sizes of two runs are noisy: a layer of 64 is a small sample, and what one layer is off by, all behind it are. So only
what one operation does is believed: its result's power of the width, less that of what it reads, where that is no
small number. These changes are added up along the run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hptransfer.probe.attention_sites import Site
from hptransfer.probe.factors import Runs
from hptransfer.probe.findings import Movement, Where
from hptransfer.probe.graph import Graph
from hptransfer.probe.readouts import shrinks
from hptransfer.probe.residual import Sum
from hptransfer.probe.steps import Is, Step
from hptransfer.probe.trace import Node, Op

#: a size moves when its power of the width is further from zero: rules are powers of 1/2 and 1
MOVES = 0.25
#: no power is larger: what a recurrence multiplies again and again would be
_MOST = 8.0
#: what these change is chance: terms of a sum may cancel or agree, and a bias is more or less of what it is added to
_CHANCE = frozenset({Is.BIAS, Is.SHIFT, Is.GAIN, Is.FILTER})
#: products of what they read
_TIMES = frozenset({Is.GATE, Is.PRODUCT})


@dataclass(frozen=True, slots=True)
class _Moved:
    """How a tensor's size moves, chance taken away.

    Attributes:
        power: power of the width.
        begins: the operation that moves it; None where nothing does.
    """

    power: float = 0.0
    begins: Op | None = None


def movements(
    runs: Runs,
    powers: Mapping[int, float],
    sums: Sequence[Sum],
    sites: Sequence[Site],
    explained: Collection[tuple[Where, str]],
) -> tuple[Movement, ...]:
    """Operations at which what the stream holds, a weight reads or the model answers begins to move; each line once.

    Args:
        runs: base and wider run, with measured sizes.
        powers: power of the width of each tensor's size, by its index in the run of the base, where the weights of the
            wider model preserve sizes as those of the base do.
        sums: additions to the residual stream in the run of the base.
        sites: places where queries meet keys in it.
        explained: place and name of operations about which something else is said.
    """
    attention = {index for site in sites for index in (site.op.index, *site.scaling)}
    moved = _moved(runs, powers)
    found: dict[tuple[str, str, str], Movement] = {}
    for node, reaches in _ends(runs.base, sums):
        each = moved.get(node.index, _Moved())
        op = each.begins
        if op is None or abs(each.power) <= MOVES or op.index in attention or (op.where, op.name) in explained:
            continue
        if op.name == "mean" and shrinks(runs, op.outputs[0]):
            continue  # independent terms average out, and aligned ones do not: as in a readout, that is right
        power = moved[op.outputs[0].index].power
        found.setdefault(_line(op.where, op.name), Movement(op.where, op.name, power, reaches))
    return tuple(found.values())


def agreed(first: Sequence[Movement], others: Sequence[Sequence[Movement]]) -> tuple[Movement, ...]:
    """Movements that runs with other draws show too, with the mean of their powers, to a tenth.

    Args:
        first: what the first run showed.
        others: what each of the others showed.
    """
    kept = []
    for each in first:
        line = _line(each.where, each.operation)
        same = [one for other in others for one in other if _line(one.where, one.operation) == line]
        if len(same) == len(others) and all(one.power * each.power > 0 for one in same):
            mean = statistics.fmean([each.power, *(one.power for one in same)])
            kept.append(replace(each, power=round(mean, 1)))
    return tuple(kept)


def _line(where: Where, operation: str) -> tuple[str, str, str]:
    """Where the line is known the module is left out: the same line of all layers is one place."""
    return ("" if where.code else where.module, where.code, operation)


def _ends(graph: Graph, sums: Sequence[Sum]) -> Iterator[tuple[Node, str]]:
    """The stream after each addition, what each weight reads, part by part, and the answers."""
    for each in sums:
        yield each.op.outputs[0], "the residual stream"
    for _, step in graph.steps(Is.WEIGHT):
        named = ", ".join(step.parameters)
        yield from ((part, f"what {named} reads") for source in step.sources for part in _parts(graph, source))
    yield from ((node, "an output") for node in graph.trace.outputs if node.active)


def _parts(graph: Graph, node: Node) -> Iterator[Node]:
    """A tensor, and what was put side by side in it."""
    yield node
    step = graph.step(node)
    if step.kind is Is.MOVE and len(step.sources) > 1:
        for source in step.sources:
            yield from _parts(graph, source)


def _moved(runs: Runs, powers: Mapping[int, float]) -> dict[int, _Moved]:
    """How the size of each tensor moves, by its index."""
    found: dict[int, _Moved] = {}
    for op in runs.base.trace.ops:
        if op.index in runs.base.live and op.outputs:
            moved = _of_step(runs, op, runs.base.of(op), powers, found)
            found.update((node.index, moved) for node in op.outputs)
    return found


def _of_step(runs: Runs, op: Op, step: Step, powers: Mapping[int, float], known: Mapping[int, _Moved]) -> _Moved:
    read = [node for node in (*step.sources, *step.statistics) if node.active]
    before = [known.get(node.index, _Moved()) for node in read]
    if not read or step.kind is Is.LOOKUP:
        return _Moved()
    if step.kind is Is.WEIGHT:
        return before[0]
    if step.kind is Is.FUSED:  # a mean of values
        return before[-1]
    if step.kind is Is.ADD or (step.kind is Is.MOVE and len(read) > 1):
        return _together(read, before, entries=step.kind is Is.MOVE, growth=runs.width_growth)
    return _of_sizes(op, step, powers, [*zip(before, read, strict=True)])


def _of_sizes(op: Op, step: Step, powers: Mapping[int, float], read: Sequence[tuple[_Moved, Node]]) -> _Moved:
    """What one operation makes of what it reads, by the sizes that were measured."""
    before = [each for each, _ in read]
    power = powers.get(op.outputs[0].index)
    if power is None:
        return max(before, key=lambda each: abs(each.power))
    if step.kind is Is.NORM:  # as large as it is, whatever it reads
        return _next(op, _Moved(), power)
    if step.kind in _TIMES:
        reference = _Moved(
            _bounded(sum(each.power for each in before)), max(before, key=lambda each: abs(each.power)).begins
        )
        change = power - sum(powers.get(node.index, 0.0) for _, node in read)
    else:
        reference, source = max(read, key=lambda each: (abs(each[0].power), _finite(each[1].rms)))
        change = power - powers.get(source.index, 0.0)
    if step.kind in _CHANCE and change * reference.power >= 0:
        change = 0.0
    return _next(op, reference, change)


def _next(op: Op, before: _Moved, change: float) -> _Moved:
    """What an operation makes of a size that moved before."""
    if abs(change) <= MOVES:
        return before
    after = _bounded(before.power + change)
    if abs(after) <= MOVES:
        return _Moved()
    begins = before.begins if before.begins is not None and before.power * after > 0 else op
    return _Moved(after, begins)


def _finite(size: float | None) -> float:
    return size if size is not None and math.isfinite(size) else 0.0


def _bounded(power: float) -> float:
    return min(max(power, -_MOST), _MOST)


def _together(read: Sequence[Node], before: Sequence[_Moved], *, entries: bool, growth: float) -> _Moved:
    """What tensors that are added, or put side by side, are together: the larger ones count."""
    squares = [_finite(node.rms) ** 2 * (math.prod(node.shape) if entries else 1) for node in read]
    if not sum(squares):
        return max(before, key=lambda each: abs(each.power))
    grown = sum(square * growth ** (2 * each.power) for square, each in zip(squares, before, strict=True))
    power = math.log(grown / sum(squares)) / (2 * math.log(growth))
    sign = math.copysign(1.0, power)
    leading = max(zip(squares, before, strict=True), key=lambda each: each[0] * sign * each[1].power)[1]
    return _Moved(power, leading.begins if sign * leading.power > 0 else None)
