"""How every parameter of a model starts by the model's own code: read while the model is built, on any device.

A mode of torch's dispatcher sees each operation that draws, fills, scales or copies, and keeps the law of every memory
instead of numbers. So a model on the meta device tells its init exactly, at any size, and nothing is allocated.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from hptransfer.parameterization.roles import Init
from hptransfer.probe.init_operations import Operation
from hptransfer.probe.laws import FIXED, Content, Law, constant, truncated_normal


@dataclass(frozen=True, slots=True)
class OwnInit:
    """How one parameter starts by the model's own code.

    Attributes:
        kind: the distribution or the constant; "kept" for a start with a structure; None where the operations that
            made it were not followed, and it must be measured.
        std: root mean square of the entries that are drawn, all but zeros; None where none are.
        value: of a constant, its value.
        frozen: whether it takes no gradient.
    """

    kind: Init | None
    std: float | None = None
    value: float | None = None
    frozen: bool = False


def own_inits(build: Callable[[], nn.Module]) -> tuple[nn.Module, Mapping[str, OwnInit]]:
    """Build a model and read how its parameters start.

    transformers leaves weights alone on the meta device; its init is run here, where it only tells its laws.

    Args:
        build: makes the module, on the current device.

    Returns:
        The module, and the start of every parameter by its name in `named_parameters()`.
    """
    before = "transformers.modeling_utils" in sys.modules
    module, recorder = _recorded(build)
    if not before and "transformers.modeling_utils" in sys.modules:
        module, recorder = _recorded(build)  # imported only by what was built, so its init could not be seen
    named = module.named_parameters() if isinstance(module, nn.Module) else ()  # the caller says what must be built
    return module, {name: recorder.start_of(tensor) for name, tensor in named}


def _recorded(build: Callable[[], nn.Module]) -> tuple[nn.Module, _Recorder]:
    recorder = _Recorder()
    with recorder, recorder.truncated_normals(), _inits_on_meta(), _transformers_on_meta(), _Numbers(recorder):
        return build(), recorder


class _Numbers(TorchFunctionMode):
    """Numbers that are made tensors: on the meta device nothing else tells their value."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch, and note the number behind a tensor."""
        out = func(*args, **(kwargs or {}))
        if func is torch.tensor and args and isinstance(args[0], bool | int | float):
            self._recorder.fill(out, float(args[0]))
        return out


@contextlib.contextmanager
def _inits_on_meta() -> Iterator[None]:
    """Torch's inits that return at once on the meta device run there: their operations tell what they would draw."""
    found = [
        each
        for each in vars(nn.init).values()
        if isinstance(each, FunctionType) and "is_meta" in each.__code__.co_names
    ]
    inits = {each: each.__code__ for each in found if each.__name__ != "_no_grad_trunc_normal_"}
    for each, code in inits.items():
        # another question that every dense tensor answers with no; users may hold these functions by any name
        each.__code__ = code.replace(
            co_names=tuple("is_sparse" if name == "is_meta" else name for name in code.co_names)
        )
    try:
        yield
    finally:
        for each, code in inits.items():
            each.__code__ = code


@contextlib.contextmanager
def _transformers_on_meta() -> Iterator[None]:
    """Transformers runs its init where it does elsewhere: when a model is complete, before the user's code goes on."""
    known = getattr(sys.modules.get("transformers.modeling_utils"), "PreTrainedModel", None)
    original = getattr(known, "init_weights", None)
    if known is None or original is None or not hasattr(known, "initialize_weights"):
        yield
        return

    def init_weights(self: Any) -> None:
        if torch.get_default_device().type == "meta":
            self.initialize_weights()
        original(self)

    known.init_weights = init_weights
    try:
        yield
    finally:
        known.init_weights = original


#: operations in place that change a tensor's form alone
_FORMS = frozenset(
    {"t", "transpose", "squeeze", "unsqueeze", "swapaxes", "swapdims", "as_strided", "detach", "set", "resize"}
)
#: operations that write single entries, found by an index
_PARTIAL = frozenset(
    {"index_put", "index_fill", "masked_fill", "scatter", "fill_diagonal", "index_copy", "masked_scatter"}
)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own is not typed
    """Keeps the law of every memory that operations write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own is not typed
        # a weak reference keeps the address of a freed memory from being given to another
        self._contents: dict[StorageWeakRef, Content] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, then note what it wrote."""
        kwargs = kwargs or {}
        random = torch.Tag.nondeterministic_seeded in func.tags
        law = Operation(_name(func), args, kwargs, self._law_of, random).law
        out = func(*args, **kwargs)
        self._note(func, args, kwargs, out, law)
        return out

    @contextlib.contextmanager
    def truncated_normals(self) -> Iterator[None]:
        """Torch's `trunc_normal_` does nothing on the meta device and draws until it fits elsewhere: noted whole."""
        original = nn.init._no_grad_trunc_normal_

        def noted(tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any = None) -> Tensor:
            result: Tensor = original(tensor, mean, std, a, b, generator)
            self._write(tensor, truncated_normal(mean, std, a, b))
            return result

        nn.init._no_grad_trunc_normal_ = noted
        try:
            yield
        finally:
            nn.init._no_grad_trunc_normal_ = original

    def fill(self, tensor: Tensor, value: float) -> None:
        """All entries of a tensor are one number."""
        self._contents[_memory(tensor)] = Content(constant(value))

    def start_of(self, tensor: Tensor) -> OwnInit:
        """How a parameter starts."""
        frozen = not tensor.requires_grad
        content = self._contents.get(_memory(tensor))
        span = _span(tensor)
        if content is None or span is None:
            return OwnInit(None, frozen=frozen)
        return _start(content.within(*span), content.zeros, frozen)

    def _law_of(self, value: Any) -> Law | None:
        """The law of an operand: a number, or a tensor."""
        if isinstance(value, bool | int | float):
            return constant(float(value))
        if not isinstance(value, Tensor):
            return None
        content = self._contents.get(_memory(value))
        span = _span(value)
        if content is None:
            # made outside the dispatcher, as `torch.tensor(2.0)` is
            number = value.numel() == 1 and not (value.is_meta or value.is_complex())
            return constant(float(value)) if number else None
        return None if span is None or content.zeros else content.at(*span)

    def _note(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, law: Law | None) -> None:
        written = _written(func, args, kwargs)
        if written:
            name = _name(func)
            for tensor in written if name not in _FORMS else ():
                if name in _PARTIAL:
                    self._write_some(tensor, self._law_of(_values(name, args, kwargs)))
                else:
                    self._write(tensor, law)
            return
        if any(result.alias_info is not None for result in func._schema.returns):
            return  # a view: the same memory
        outputs = out if isinstance(out, list | tuple) else (out,)
        for place, tensor in enumerate(outputs):
            if isinstance(tensor, Tensor):
                self._contents[_memory(tensor)] = Content(law if place == 0 else None)

    def _write(self, tensor: Tensor, law: Law | None) -> None:
        """Note that all entries of a tensor were written."""
        memory, span = _memory(tensor), _span(tensor)
        if _is_whole(tensor):
            self._contents[memory] = Content(law)
            return
        content = self._contents.setdefault(memory, Content(None))
        if span is not None:
            content.write(*span, law)
        else:
            self._write_some(tensor, law)

    def _write_some(self, tensor: Tensor, law: Law | None) -> None:
        """Note that entries were written whose places are not one range."""
        content = self._contents.setdefault(_memory(tensor), Content(None))
        laws = {law for _, law in content.within(0, _entries(tensor))}
        if law == constant(0.0):
            content.zeros = True
        elif {None if each is None else each.kind for each in (*laws, law)} <= {"constant", "fixed"}:
            self._contents[_memory(tensor)] = Content(FIXED)
        elif laws != {law}:
            self._contents[_memory(tensor)] = Content(None)


def _start(pieces: Sequence[tuple[int, Law | None]], zeros: bool, frozen: bool) -> OwnInit:
    laws = {law for _, law in pieces if law != constant(0.0)}
    if not laws:
        return OwnInit("zeros", value=0.0, frozen=frozen)
    known = [law for law in laws if law is not None and law.kind not in ("sign", "unwritten")]
    if len(known) < len(laws):
        return OwnInit(None, frozen=frozen)
    drawn = [law for law in known if law.kind not in ("constant", "fixed")]
    if not drawn:
        same = len(pieces) == 1 and not zeros and known[0].kind == "constant"
        value = known[0].mean if same else None
        return OwnInit("kept" if value is None else _constant_kind(value), value=value, frozen=frozen)
    if len(drawn) < len(known) or any(abs(law.mean) > 1e-9 * law.std for law in drawn):
        return OwnInit("kept", frozen=frozen)
    if len(drawn) == 1:
        return OwnInit(_kind(drawn[0]), drawn[0].std, frozen=frozen)
    counts = {law: sum(count for count, of in pieces if of == law) for law in drawn}
    square = sum(count * law.std**2 for law, count in counts.items()) / sum(counts.values())
    return OwnInit(_kind(drawn[0]), math.sqrt(square), frozen=frozen)


def _kind(law: Law) -> Init:
    if law.kind in ("uniform", "truncated normal"):
        return law.kind
    return "normal"


def _constant_kind(value: float) -> Init:
    return "zeros" if value == 0 else "ones" if value == 1 else "constant"


def _values(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What is written into single entries."""
    place = {"index_put": 2, "index_fill": 3, "masked_fill": 2, "scatter": 3, "fill_diagonal": 1, "index_copy": 3}.get(
        name, 2
    )
    return args[place] if len(args) > place else kwargs.get("values", kwargs.get("value"))


def _name(func: Any) -> str:
    """Name of an operation, without the underscore of those in place."""
    name: str = func.overloadpacket.__name__
    return name.rstrip("_")


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that an operation writes."""
    found = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = kwargs.get(argument.name) if argument.name in kwargs else args[place] if place < len(args) else None
            found += [
                each for each in (value if isinstance(value, list | tuple) else [value]) if isinstance(each, Tensor)
            ]
    return found


def _memory(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _entries(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes() // max(tensor.element_size(), 1)


def _is_whole(tensor: Tensor) -> bool:
    return tensor.numel() >= _entries(tensor)


def _span(tensor: Tensor) -> tuple[int, int] | None:
    """The range of entries in memory; None where they are not one range."""
    if _is_whole(tensor):
        return 0, _entries(tensor)
    if not tensor.is_contiguous():
        return None
    start = int(tensor.storage_offset())
    return start, start + tensor.numel()
