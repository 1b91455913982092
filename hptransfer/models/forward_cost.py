"""What one forward pass takes, counted while it runs on the meta device: operations, and what autograd keeps of it.

Tensor names carry their shape: B batch, H heads, T and S positions of queries and keys, K head_dim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True, slots=True)
class ForwardCost:
    """What one forward pass takes.

    Attributes:
        flops: floating point operations of its products of matrices, convolutions and attention; a product of M x K
            and K x N counts 2 M K N, attention is counted whole, also where it is causal.
        kept: bytes that autograd keeps from forward to backward, without parameters and buffers.
    """

    flops: float
    kept: int


def forward_cost(module: nn.Module, run: Callable[[], Tensor]) -> ForwardCost:
    """Count one forward pass.

    torch's own table says what an operation costs. `scaled_dot_product_attention` keeps what fused kernels keep (its
    inputs, its output and a logarithm per head and position), because the kernel that runs on the meta device would
    keep the T x S weights. What is counted is what is kept at the end of the pass: what an operation needs while it
    runs comes on top.

    Args:
        module: a model on the meta device; parameters and buffers are not counted among what is kept.
        run: calls it and returns the loss.

    Returns:
        The counts.

    Raises:
        Exception: whatever the model raises on the meta device.
    """
    own = {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(_storage(tensor), tensor)  # held, so that no other storage gets its address
        return tensor

    counter = _Operations()
    # what the model makes on the way, such as positions, is made on its device
    with (
        torch.device("meta"),
        _FusedAttention(),
        counter,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        run()
    sizes = (tensor.untyped_storage().nbytes() for storage, tensor in kept.items() if storage not in own)
    return ForwardCost(float(counter.flops), sum(sizes))


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up what torch's table of operations says."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        options = dict(kwargs or {})
        result = func(*args, **options)
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += int(count(*args, **options, out_val=result))
        return result


class _FusedAttention(TorchFunctionMode):
    """Attention as fused kernels keep it, on a device that has none."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        options = dict(kwargs or {})
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **options)
        named = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | options
        with torch._C.DisableTorchFunction():
            inputs = (named.get(name) for name in ("query", "key", "value", "attn_mask"))
            return _Attention.apply(*inputs)  # type: ignore[no-untyped-call]  # torch leaves it untyped


class _Attention(torch.autograd.Function):
    """The products of attention, for their shapes and counts; it is never differentiated."""

    @staticmethod
    def forward(ctx: Any, q_BxHxTxK: Tensor, k_BxHxSxK: Tensor, v_BxHxSxK: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q k^T) v without the softmax; keys and values may have fewer heads."""
        repeats = q_BxHxTxK.shape[-3] // k_BxHxSxK.shape[-3] if q_BxHxTxK.ndim > 2 else 1
        keys, values = (x.repeat_interleave(repeats, -3) if repeats > 1 else x for x in (k_BxHxSxK, v_BxHxSxK))
        out_BxHxTxK = (q_BxHxTxK @ keys.transpose(-1, -2)) @ values
        if out_BxHxTxK.ndim > 2:  # fused kernels write heads side by side, so joining them needs no copy
            out_BxHxTxK = out_BxHxTxK.transpose(-2, -3).contiguous().transpose(-2, -3)
        logarithms_BxHxT = q_BxHxTxK.new_empty(q_BxHxTxK.shape[:-1], dtype=torch.float32)
        given = (q_BxHxTxK, k_BxHxSxK, v_BxHxSxK, out_BxHxTxK, logarithms_BxHxT)
        ctx.save_for_backward(*given, *(() if mask is None else (mask,)))
        return out_BxHxTxK


def state_bytes(
    groups: Iterable[Mapping[str, Any]], build: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
) -> int:
    """Bytes that an optimizer keeps after its first step, from a step without memory.

    An optimizer treats parameters of one shape in one group alike, so one of each takes the step.

    Args:
        groups: parameter groups as the optimizer takes them, their parameters on any device.
        build: makes the optimizer of such groups.

    Raises:
        Exception: whatever the optimizer raises where tensors have shapes and no values.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    counts: dict[Tensor, int] = {}
    with FakeTensorMode(), _AnyNumber():
        chosen = []
        for group in groups:
            examples: dict[tuple[torch.Size, torch.dtype], Tensor] = {}
            for tensor in group["params"]:
                if not tensor.requires_grad:
                    continue
                key = (tensor.shape, tensor.dtype)
                if key not in examples:
                    examples[key] = nn.Parameter(torch.empty(tensor.shape, dtype=tensor.dtype))
                    examples[key].grad = torch.zeros_like(examples[key])
                counts[examples[key]] = counts.get(examples[key], 0) + 1
            chosen.append({**group, "params": list(examples.values())})
        optimizer = build(chosen)
        optimizer.step()
        return sum(counts.get(tensor, 1) * _bytes(state) for tensor, state in optimizer.state.items())


class _AnyNumber(TorchFunctionMode):
    """Tensors without content say 1 where a number is asked for: the shapes of a state do not depend on it."""

    _ANSWERS: Mapping[Any, object] = {
        Tensor.item: 1.0,
        Tensor.__float__: 1.0,
        Tensor.__int__: 1,
        Tensor.__bool__: True,
    }

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of `func`."""
        return self._ANSWERS[func] if func in self._ANSWERS else func(*args, **dict(kwargs or {}))


def _bytes(state: Any) -> int:
    """Of all tensors in nested containers."""
    if isinstance(state, Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, list | tuple) else 0
