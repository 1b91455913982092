"""How large tensors are, and how that moves with the width."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from hptransfer.probe.alignment import align
from hptransfer.probe.graph import Graph
from hptransfer.probe.steps import Is
from hptransfer.probe.trace import Trace, tensors_of


def output_sizes(module: nn.Module, inputs: object) -> dict[str, float]:
    """Root mean square of what each module returns, by its path; the first tensor where it returns several.

    Args:
        module: the model; it is run once, without gradients, as it is.
        inputs: what its forward takes: a tensor, a tuple of arguments or a dict of them by name.

    Raises:
        Exception: whatever the model raises.
    """
    sizes: dict[str, float] = {}
    args, kwargs = arguments_of(inputs)
    with torch.no_grad(), _measuring(module, sizes):
        module(*args, **kwargs)
    return sizes


def arguments_of(inputs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional arguments and arguments by name.

    Args:
        inputs: a value, a tuple of them, or a dict of them by name.
    """
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple):
        if len(inputs) == 2 and isinstance(inputs[0], tuple) and isinstance(inputs[1], dict):
            return inputs[0], inputs[1]
        return inputs, {}
    return (inputs,), {}


@contextlib.contextmanager
def _measuring(module: nn.Module, sizes: dict[str, float]) -> Iterator[None]:
    handles = []
    for path, each in module.named_modules():

        def measure(_module: nn.Module, _args: object, output: object, path: str = path) -> None:
            tensor = next((each for each in tensors_of(output) if each.dtype.is_floating_point), None)
            if tensor is not None and tensor.numel() and path not in sizes:
                norm = torch.linalg.vector_norm(tensor, dtype=torch.float64)
                sizes[path] = float(norm) / math.sqrt(tensor.numel())

        handles.append(each.register_forward_hook(measure))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def stds(module: nn.Module) -> dict[str, float]:
    """Standard deviation of each parameter's entries, by name.

    Args:
        module: the model, on the CPU.
    """
    return {
        name: float(parameter.detach().double().std(correction=0)) if parameter.numel() else 0.0
        for name, parameter in module.named_parameters()
    }


def preserve_sizes(module: nn.Module, base: Mapping[str, float], growth: Mapping[str, float]) -> None:
    """Scale the weights of a wider model in place so that each preserves sizes as it does at the base.

    A weight whose sum has g times as many terms gets the base's standard deviation times g^-1/2; looked-up rows, gains
    and biases get the base's. Constants (std 0) stay.

    Args:
        module: the wider model; its values are not to be used for anything else afterwards.
        base: standard deviation of each parameter of the base model, by name.
        growth: how many times as many terms each weight sums, by name; one where it is left out.
    """
    with torch.no_grad():
        for name, own in stds(module).items():
            wanted = base.get(name, 0.0) * growth.get(name, 1.0) ** -0.5
            if own > 0 and wanted > 0:
                module.get_parameter(name).mul_(wanted / own)


def growth_of(base: Graph, wide: Graph) -> dict[str, float]:
    """How many times as many terms each weight sums in the wider model, by name; not of tables that are looked up too.

    Args:
        base: the run of the base model.
        wide: the run of the wider one.
    """
    lengths: dict[str, int] = {}
    looked_up = {name for _, step in base.steps(Is.LOOKUP) for name in step.parameters}
    for _, step in base.steps(Is.WEIGHT):
        lengths.update(dict.fromkeys(step.parameters, step.length))
    return {
        name: step.length / lengths[name]
        for _, step in wide.steps(Is.WEIGHT)
        for name in step.parameters
        if lengths.get(name) and name not in looked_up
    }


def size_powers(base: Trace, wide: Trace, growth: float) -> dict[int, float]:
    """Power of the width that each tensor's size follows, by its index in the run of the base.

    Args:
        base: the run of the base model.
        wide: the run of the wider one, its weights scaled by `preserve_sizes`.
        growth: ratio of the widths, not one.
    """
    partners = align(base, wide)
    powers: dict[int, float] = {}
    for op in base.ops:
        partner = partners.get(op.index)
        for node, other in zip(op.outputs, partner.outputs if partner is not None else (), strict=False):
            # masked attention logits have infinite entries
            if node.rms and other.rms and math.isfinite(node.rms * other.rms):
                powers[node.index] = math.log(other.rms / node.rms) / math.log(growth)
    return powers
