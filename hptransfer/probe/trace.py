"""One forward, recorded: every operation with its operands, its numbers, its place, as a graph without tensors.

Recorded is what reaches the dispatcher, below autograd: `F.linear` is a transpose and a product there, `einsum` a
product of reshaped tensors, and what C++ does inside a fused module is seen too.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hptransfer.probe.findings import Where
from hptransfer.probe.operations import LOOKUPS, RANDOM, SHAPES
from hptransfer.probe.places import user_line


class Kind(Enum):
    """What a tensor depends on."""

    CONSTANT = "constant"  # neither on inputs nor on parameters
    PARAMETER = "parameter"  # on parameters alone
    ACTIVATION = "activation"  # on inputs, or on rows that were looked up


@dataclass(eq=False, slots=True)
class Node:
    """A tensor at one moment: an operation in place makes a new one.

    Attributes:
        index: position in the order of making.
        kind: what it depends on.
        shape: lengths of its axes.
        floating: whether its entries are floating-point or complex numbers.
        value: what all its entries are, where it is a constant with equal entries.
        rms: root mean square of its entries, where it is an activation and sizes were measured.
        parameters: names of the parameters it depends on, where it depends on nothing else.
        producer: the operation that made it; None for inputs, parameters, buffers.
        readers: the operations that read it.
    """

    index: int
    kind: Kind
    shape: tuple[int, ...]
    floating: bool
    value: float | None = None
    rms: float | None = None
    parameters: tuple[str, ...] = ()
    producer: Op | None = None
    readers: list[Op] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """Whether it is an activation of floating-point numbers."""
        return self.kind is Kind.ACTIVATION and self.floating


@dataclass(eq=False, slots=True)
class Op:
    """One operation.

    Attributes:
        index: position in the run.
        name: its name without overload and without the underscore of operations in place, such as "mul".
        arguments: by the names of its schema; tensors as nodes.
        where: the module that runs it and the user's line.
        inputs: its tensors, in the schema's order.
        outputs: what it makes, or changes in place.
    """

    index: int
    name: str
    arguments: Mapping[str, Any]
    where: Where
    inputs: tuple[Node, ...] = ()
    outputs: tuple[Node, ...] = ()

    def number(self, name: str, default: float) -> float:
        """A scalar argument.

        Args:
            name: its name in the schema of the operation.
            default: its value where it was not given.
        """
        value = self.arguments.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run recorded.

    Attributes:
        ops: operations in the order of the run.
        outputs: tensors that the model returned.
        parameters: the node of each parameter, by name.
        shapes: shape of each parameter, by name.
        called: paths of the modules that ran.
        measured: numbers that `forward` read out of activations or parameters (`item()`); they are no constants.
    """

    ops: tuple[Op, ...]
    outputs: tuple[Node, ...]
    parameters: Mapping[str, Node]
    shapes: Mapping[str, tuple[int, ...]]
    called: frozenset[str] = frozenset()
    measured: frozenset[float] = frozenset()


#: activations of more entries are not compared one by one
LARGEST_CONSTANT = 1 << 20


class FailedRunError(Exception):
    """A model's forward raised something.

    Args:
        error: what the forward raised.
        reached: how many operations ran before.
    """

    def __init__(self, error: BaseException, reached: int) -> None:
        super().__init__(str(error))
        self.error, self.reached = error, reached


def trace(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, measure: bool = False) -> Trace:
    """Run the module once, without gradients, and record it.

    Args:
        module: the model, on the CPU; hooks are removed afterwards.
        args: positional arguments of its forward.
        kwargs: arguments of its forward by name.
        measure: whether the sizes of activations are wanted too, which takes longer than all else.

    Raises:
        FailedRunError: the model raised something.
    """
    recorder = Recorder(module, measure=measure)
    recorder.take_inputs((args, dict(kwargs)))
    try:
        with torch.no_grad(), _unfused(module), _eager(), recorder.paths(module), recorder:
            result = module(*args, **kwargs)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise FailedRunError(error, len(recorder.ops)) from error
    return recorder.finish(result)


def _unfused(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Recurrent layers as their operations: oneDNN's hide the weights."""
    if any(isinstance(each, nn.RNNBase) for each in module.modules()):
        return torch.backends.mkldnn.flags(enabled=False)
    return contextlib.nullcontext()


def _eager() -> contextlib.AbstractContextManager[object]:
    """Compiled functions run as they are written."""
    stance = getattr(torch.compiler, "set_stance", None)
    return stance("force_eager") if stance is not None else contextlib.nullcontext()


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own is not typed
    """Records operations; keeps their tensors alive while it runs, so that an identity is not used twice.

    Args:
        module: the model whose parameters are to be known.
        measure: whether the sizes of activations are wanted too.
    """

    def __init__(self, module: nn.Module, *, measure: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own is not typed
        self._measure = measure
        self.ops: list[Op] = []
        self._nodes: dict[int, Node] = {}
        self._kept: list[torch.Tensor] = []
        self._storages: dict[int, list[torch.Tensor]] = {}
        self._writes: dict[int, list[Node]] = {}
        self._count = 0
        self._stack: list[str] = [""]
        self._called: set[str] = {""}
        self._measured: set[float] = set()
        self._parameters: dict[str, Node] = {}
        for name, parameter in module.named_parameters():
            self._parameters[name] = self._add(parameter, Kind.PARAMETER, parameters=(name,))
        self._shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}

    def take_inputs(self, inputs: object) -> None:
        """Know these tensors as inputs.

        Args:
            inputs: nested tuples, lists and dicts of tensors.
        """
        for tensor in tensors_of(inputs):
            self._add(tensor, Kind.ACTIVATION)

    @contextlib.contextmanager
    def paths(self, module: nn.Module) -> Iterator[None]:
        """Follow which module runs.

        Args:
            module: the model, whose submodules get hooks for the time of the context.
        """
        handles = []
        for path, each in module.named_modules():

            def enter(_module: nn.Module, _args: object, path: str = path) -> None:
                self._stack.append(path)
                self._called.add(path)

            def leave(_module: nn.Module, _args: object, _output: object) -> None:
                self._stack.pop()

            handles += [
                each.register_forward_pre_hook(enter),
                each.register_forward_hook(leave, always_call=True),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and record it; dropout keeps everything."""
        kwargs = kwargs or {}
        name = func._schema.name.rpartition("::")[2]
        arguments, inputs, written = self._operands(func, args, kwargs)
        if name in ("bernoulli_", "native_dropout"):
            result = _without_dropout(name, args, kwargs)
        else:
            result = func(*args, **kwargs)
        self._record(name, arguments, inputs, written, result)
        return result

    def finish(self, result: object) -> Trace:
        """The graph of what was recorded.

        Args:
            result: what the model returned.
        """
        found = [self._nodes[id(tensor)] for tensor in _answers(result) if id(tensor) in self._nodes]
        for held in (self._kept, self._storages, self._nodes):
            held.clear()
        called, measured = frozenset(self._called), frozenset(self._measured)
        return Trace(tuple(self.ops), tuple(found), self._parameters, self._shapes, called, measured)

    def _operands(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[Node, ...], list[torch.Tensor]]:
        arguments: dict[str, Any] = {}
        inputs: list[Node] = []
        written: list[torch.Tensor] = []
        schema = func._schema.arguments
        given = {each.name: value for each, value in zip(schema, args, strict=False)} | dict(kwargs)
        changed = {each.name for each in schema if each.alias_info is not None and each.alias_info.is_write}
        for name, value in given.items():
            if isinstance(value, torch.Tensor):
                arguments[name] = self._node(value)
                inputs.append(arguments[name])
                if name in changed:
                    written.append(value)
            elif isinstance(value, list | tuple) and any(isinstance(each, torch.Tensor) for each in value):
                arguments[name] = [self._node(each) if isinstance(each, torch.Tensor) else each for each in value]
                inputs += [each for each in arguments[name] if isinstance(each, Node)]
                if name in changed:
                    written += [each for each in value if isinstance(each, torch.Tensor)]
            else:
                arguments[name] = value
        return arguments, tuple(inputs), written

    def _record(
        self,
        name: str,
        arguments: dict[str, Any],
        inputs: tuple[Node, ...],
        written: list[torch.Tensor],
        result: object,
    ) -> None:
        if name == "_local_scalar_dense":
            if inputs and inputs[0].kind is not Kind.CONSTANT and isinstance(result, float):
                self._measured.add(result)
            return
        name = "scaled_dot_product_attention" if name.startswith("_scaled_dot_product") else name.rstrip("_")
        op = Op(len(self.ops), name, arguments, Where(self._stack[-1], user_line()), inputs)
        kind, parameters = _kind_of(op)
        fresh = [each for each in tensors_of(result) if not any(each is other for other in written)]
        op.outputs = tuple(self._add(tensor, kind, parameters=parameters, producer=op) for tensor in [*written, *fresh])
        self.ops.append(op)
        for node in dict.fromkeys(inputs):
            node.readers.append(op)
        for tensor, node in zip(written, op.outputs, strict=False):
            storage = tensor.untyped_storage()._cdata
            if len(self._storages.get(storage, ())) > 1:
                self._writes.setdefault(storage, []).append(node)

    def _node(self, tensor: torch.Tensor) -> Node:
        """The present version of a tensor: a write to what shares its memory is seen when it is read next."""
        known = self._nodes.get(id(tensor))
        storage = tensor.untyped_storage()._cdata
        if known is not None:
            since = [node for node in self._writes.get(storage, ()) if node.index > known.index]
            return self._written(tensor, known, since) if since and known.kind is not Kind.PARAMETER else known
        for other in self._storages.get(storage, ()):
            source = self._nodes[id(other)]
            if source.kind is Kind.PARAMETER and source.producer is None:  # a view that the module made of it
                return self._add(tensor, Kind.PARAMETER, parameters=source.parameters)
        return self._add(tensor, Kind.CONSTANT)

    def _written(self, tensor: torch.Tensor, old: Node, since: list[Node]) -> Node:
        whole = math.prod(since[-1].shape) == tensor.numel()
        inputs = (since[-1],) if whole else (old, *since)
        place = since[-1].producer.where if since[-1].producer else Where("")
        op = Op(len(self.ops), "alias", {"tensors": list(inputs)}, place, inputs)
        kind, parameters = _kind_of(op)
        op.outputs = (self._add(tensor, kind, parameters=parameters, producer=op),)
        self.ops.append(op)
        for each in inputs:
            each.readers.append(op)
        return op.outputs[0]

    def _add(
        self, tensor: torch.Tensor, kind: Kind, *, parameters: tuple[str, ...] = (), producer: Op | None = None
    ) -> Node:
        floating = tensor.dtype.is_floating_point or tensor.dtype.is_complex
        node = Node(self._count, kind, tuple(tensor.shape), floating, parameters=parameters, producer=producer)
        self._count += 1
        if kind is Kind.CONSTANT:
            node.value = _value(tensor)
        elif self._measure and kind is Kind.ACTIVATION and tensor.dtype.is_floating_point and tensor.numel():
            node.rms = float(torch.linalg.vector_norm(tensor.detach())) / math.sqrt(tensor.numel())
        if id(tensor) not in self._nodes:
            self._kept.append(tensor)
            self._storages.setdefault(tensor.untyped_storage()._cdata, []).append(tensor)
        self._nodes[id(tensor)] = node
        return node


def _kind_of(op: Op) -> tuple[Kind, tuple[str, ...]]:
    """What a result depends on, and the parameters where it depends on those alone."""
    names = tuple(dict.fromkeys(name for node in op.inputs for name in node.parameters))
    if op.name in SHAPES and not any(node.kind is not Kind.CONSTANT for node in op.inputs[1:]):
        return Kind.CONSTANT, ()
    if op.name in RANDOM or any(node.kind is Kind.ACTIVATION for node in op.inputs):
        kept = op.name in ("index", "index_select") and len(op.inputs[0].shape) > 2 and op.inputs[0].parameters
        return (Kind.PARAMETER, op.inputs[0].parameters) if kept else (Kind.ACTIVATION, ())
    if op.name in LOOKUPS and names and op.inputs[0].parameters and len(op.inputs[0].shape) == 2:
        return Kind.ACTIVATION, ()
    return (Kind.PARAMETER, names) if names else (Kind.CONSTANT, ())


def _value(tensor: torch.Tensor) -> float | None:
    if not 0 < tensor.numel() <= LARGEST_CONSTANT or tensor.dtype.is_complex or tensor.dtype is torch.bool:
        return None
    first = tensor.detach().reshape(-1)[0]
    if tensor.numel() > 1 and not bool((tensor == first).all()):
        return None
    return float(first)


def _without_dropout(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a draw of kept entries gives when all are kept: one, after the division by the share of those kept."""
    if name == "native_dropout":
        return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
    share = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
    return args[0].copy_(share) if isinstance(share, torch.Tensor) else args[0].fill_(share)


def tensors_of(value: object) -> Iterator[torch.Tensor]:
    """All tensors in nested tuples, lists, dicts and dataclasses.

    Args:
        value: what holds them, however deep.
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_of(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from tensors_of(each)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from tensors_of(getattr(value, name, None))


def _answers(result: object) -> list[torch.Tensor]:
    """The tensors of a result that are answers: logits where it has some, not caches and hidden states."""
    named: dict[str, object] = {}
    if isinstance(result, Mapping):
        named = {str(key): value for key, value in result.items()}
    elif hasattr(result, "__dataclass_fields__"):
        named = {key: getattr(result, key, None) for key in result.__dataclass_fields__}
    logits = [value for key, value in named.items() if key.endswith(("logits", "logits_per_image"))]
    logits = [value for value in logits if isinstance(value, torch.Tensor)]
    if "logits" in named and isinstance(named["logits"], torch.Tensor):
        logits = [named["logits"]]
    states = ("past_key_values", "hidden_states", "attentions", "encoder_last_hidden_state", "cache_params")
    answers = logits or [value for key, value in named.items() if not key.endswith(states)] or result
    return [tensor for tensor in tensors_of(answers) if tensor.dtype.is_floating_point]
