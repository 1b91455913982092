"""A run as a graph: what each operation is, and what each tensor was computed from."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.probe.steps import Is, Step
from hptransfer.probe.trace import Node, Op, Trace
from hptransfer.probe.understanding import understand


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
            found = self._steps[op.index] = understand(self.step, op)
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
