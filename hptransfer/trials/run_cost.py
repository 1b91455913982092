"""What one training run costs: a worker counts it, everybody else adds it up."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from hptransfer.sizes import Size


@dataclass(frozen=True, slots=True)
class RunCost:
    """FLOPs and memory of one run, from arithmetic; None where a number is not known.

    Attributes:
        size: width, depth, batch and tokens of the run.
        flops: floating point operations of the whole run.
        parameters: number of the model's parameters, shared ones once.
        weights: bytes of parameters and buffers.
        gradients: bytes of the gradients of what is trained.
        optimizer: bytes that the optimizer keeps.
        activations: bytes that autograd keeps from forward to backward, of `examples` examples; an estimate of what a
            step needs besides the rest.
        examples: examples that go through the model at once.
        notes: what a number leaves out, and why one is not known.
    """

    size: Size
    flops: float | None
    parameters: int | None
    weights: int | None
    gradients: int | None
    optimizer: int | None
    activations: int | None
    examples: int
    notes: tuple[str, ...] = ()

    @property
    def memory(self) -> int | None:
        """Bytes of all of it; None where a part is not known."""
        parts = (self.weights, self.gradients, self.optimizer, self.activations)
        return sum(part for part in parts if part is not None) if None not in parts else None


#: reads and writes the costs of several runs as plain data
RUN_COSTS: TypeAdapter[list[RunCost]] = TypeAdapter(list[RunCost])
