"""One forward and one backward pass before anything is trained: what cannot train is found, and where it lies."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hptransfer.errors import Finding, HptransferError, UsageError, printable
from hptransfer.recipe.registered import LOSSES
from hptransfer.registry import look_in
from hptransfer.trainers._data import accepted_batches, require_vocabulary
from hptransfer.trainers._planned_model import planned_model
from hptransfer.trials.messages import RehearsalMessage
from hptransfer.user_code import Raised, described_error, is_own

if TYPE_CHECKING:  # torch is imported only where a worker trains
    from torch import Tensor, nn

    from hptransfer.training.batches import Batch, Batches
    from hptransfer.training.losses.base import Loss

#: examples that go through the model, of the recipe's own batch; norms over a batch need more than one
_EXAMPLES = 8
_RUNS = "the model must run on the recipe's own data"
_OWN_LOSS = (
    "a loss is `f(model, batch) -> a positive scalar`; with data of inputs and targets for example `def my_loss(model, "
    "batch): return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])` (docs/data.md)"
)


class _FaultsError(Exception):
    """What was found.

    Args:
        key: of the recipe at which it lies, its parts joined by dots.
        findings: the faults, at least one.
    """

    def __init__(self, key: str, *findings: Finding) -> None:
        super().__init__(findings[0].rule)
        self.key, self.findings = key, findings


def rehearse(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run one forward and one backward pass as a trial's first step has them; an entry point of a worker.

    Args:
        payload: JSON-able data of a `RehearsalMessage`.

    Returns:
        "faults", a list of {"key", "rule", "received", "hint"}: why the run of the message could not train, empty where
        it could.
    """
    message = RehearsalMessage.parse(payload)
    look_in(message.root)
    try:
        _rehearse(message)
    except _FaultsError as error:
        kept = ("rule", "received", "hint")
        return {
            "faults": [
                {"key": error.key} | {name: value for name, value in asdict(found).items() if name in kept}
                for found in error.findings
            ]
        }
    return {"faults": []}


def _rehearse(message: RehearsalMessage) -> None:
    import torch

    from hptransfer.training.device import default_precision
    from hptransfer.training.losses.base import find_loss
    from hptransfer.training.step import autocast

    spec, training = message.spec, message.recipe.training
    with _refused("training.loss"):
        loss_of = find_loss(training.loss, training.loss_arguments)
    with _refused("data"):
        corpus = accepted_batches(message)
        batch, held_out = _first_batches(message, corpus)
    with default_precision(training.precision), _refused("model"):
        module, _ = planned_model(spec)
        require_vocabulary(module, corpus.vocabulary)
    torch.manual_seed(spec.seed)
    own_loss = LOSSES.reference(training.loss) is not None
    pass_ = _Pass(module, loss_of, own_loss)
    with pass_.watching():
        with torch.no_grad(), autocast(module.eval(), training.precision):
            pass_.loss(held_out)
        with autocast(module.train(), training.precision):
            loss = pass_.loss(batch)
        pass_.require_trainable(loss)
        pass_.backward(loss)


@contextmanager
def _refused(key: str) -> Iterator[None]:
    """What is refused in there lies at this key of the recipe."""
    try:
        yield
    except UsageError as error:
        raise _FaultsError(key, *error.findings) from error


def _first_batches(message: RehearsalMessage, corpus: Batches) -> tuple[Batch, Batch]:
    """The first examples of training and evaluation, as trials get them."""
    from hptransfer.training.batches import examples_in, first_examples

    size, context = message.size.batch_size, message.recipe.model.context
    asked = message.recipe.data.evaluation_examples
    found = (
        corpus.batch(message.seed, 0, size, context),
        next(iter(corpus.validation_batches(1, message.recipe.training.batch_size, context, asked))),
    )
    first, held_out = (first_examples(batch, min(_EXAMPLES, examples_in(batch))) for batch in found)
    return first, held_out


@dataclass
class _Pass:
    """One pass through model and loss, watched.

    Attributes:
        module: the model, initialised by its plan.
        loss_of: the recipe's loss, with its arguments.
        own_loss: whether the loss is the user's.
    """

    module: nn.Module
    loss_of: Loss
    own_loss: bool
    _names: dict[int, str] = field(default_factory=dict)
    _inside: list[str] = field(default_factory=list)
    _inputs: str = ""
    _not_finite: str | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Knows in which layer a pass is, and where the first number is not finite."""
        handles = []
        for name, layer in self.module.named_modules():
            self._names[id(layer)] = f"`{name}` ({type(layer).__name__})" if name else f"`{type(layer).__name__}`"
            handles.append(layer.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(layer.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        from hptransfer.training.batches import described

        if not self._inside:
            every = (*inputs, *named.values())
            self._inputs = described(every[0] if len(every) == 1 else every)
        self._inside.append(self._names[id(layer)])
        _require_known_rows(self._inside[-1], layer, inputs)

    def _leave(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        if self._not_finite is None and any(not bool(each.isfinite().all()) for each in _floats(output)):
            self._not_finite = self._inside[-1]
        self._inside.pop()

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch.

        Args:
            batch: as the data give it.
        """
        self._inside.clear()
        try:
            return self.loss_of(self.module, batch)
        except HptransferError as error:
            key = "model" if self._inside else "training.loss"
            findings = [replace(found, received=self._with_place(found.received)) for found in error.findings]
            raise _FaultsError(key, *findings) from error
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> _FaultsError:
        said = printable(described_error(error))
        if self._inside:
            received = f"{said}; in {self._inside[-1]}, the model was given {self._inputs}"
            return _FaultsError("model", Finding(_RUNS, received, self._input_hint()))
        if isinstance(error, IndexError) and "out of bounds" in str(error) and not self.own_loss:
            rule = "the model must return a logit for every token or class of the data"
            hint = "give it as many classes as the data have (`vocabulary`, `vocab_size`, ... in `model`)"
            return _FaultsError("model", Finding(rule, f"{error}{self._returned_by()}", hint))
        rule = "the loss must take what model and data give"
        given = f"; the model was given {self._inputs}" if self._inputs else "; it failed before it called the model"
        return _FaultsError("training.loss", Finding(rule, f"{said}{given}", _OWN_LOSS if self.own_loss else None))

    def _input_hint(self) -> str:
        if self._inputs.startswith("int64 ("):
            return (
                "these data are tokens; for a model of something else name data that give it, "
                "`data: {kind: python, ...}`, and a loss (docs/data.md)"
            )
        return "let the data give what `forward` takes, or `forward` take what they give (docs/data.md)"

    def _with_place(self, received: str | None) -> str | None:
        return None if received is None else f"{received}{self._returned_by()}"

    def _returned_by(self) -> str:
        """Where the user's `forward` begins; empty where it is torch's own or a library's."""
        function = inspect.unwrap(type(self.module).forward)
        code = getattr(function, "__code__", None)
        if code is None or not is_own(code.co_filename):
            return ""
        return f"; from {Raised(code.co_filename, code.co_firstlineno, function.__name__)}"

    def require_trainable(self, loss: Tensor) -> None:
        """Refuses a loss that no optimizer could make smaller.

        Args:
            loss: of the first batch, before any step.
        """
        value = loss.item()
        whose = "training.loss" if self.own_loss else "model"
        if not math.isfinite(value):
            where = "the loss itself" if self._not_finite is None else self._not_finite
            hint = "look at what this layer is given and how it starts; `hptransfer plan` prints every init"
            rule = "the loss must be a finite number before the first step"
            raise _FaultsError("model", Finding(rule, f"{value}, first in {where}{self._returned_by()}", hint))
        if value <= 0:
            rule = "the loss must be positive before the first step: transfer is judged by shares of it"
            hint = "add a constant to a loss that falls below zero; one of exactly zero has nothing to train"
            raise _FaultsError(whose, Finding(rule, f"{value:g}{self._returned_by()}", hint))
        if not loss.requires_grad:
            rule = "the loss must have a gradient with respect to the model's parameters"
            hint = "look for `no_grad`, `detach`, `item`, `argmax` or frozen parameters in model and loss"
            raise _FaultsError(whose, Finding(rule, f"a number without a gradient{self._returned_by()}", hint))

    def backward(self, loss: Tensor) -> None:
        """Refuses a model whose gradients cannot be computed, or are no numbers.

        Args:
            loss: of the first batch, with its graph.
        """
        try:
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        except (Exception, SystemExit) as error:  # functions with a backward of their own may raise anything
            rule = "the loss must have a gradient with respect to the model's parameters"
            said = f"{printable(described_error(error))}{self._returned_by()}"
            raise _FaultsError("model", Finding(rule, said)) from error
        gradients = {name: each.grad for name, each in self.module.named_parameters() if each.grad is not None}
        wrong = [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]
        rule = "gradients must be finite numbers before the first step"
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise _FaultsError("model", Finding(rule, f"not finite: {', '.join(wrong[:3])}{more}{self._returned_by()}"))
        if not any(bool(gradient.count_nonzero()) for gradient in gradients.values()):
            rule = "some parameter must have a gradient that is not zero before the first step"
            raise _FaultsError("model", Finding(rule, f"none of {len(gradients)}{self._returned_by()}"))


def _floats(output: object) -> Iterator[Tensor]:
    """Floating tensors in whatever a layer returned."""
    from torch import Tensor

    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        yield from _floats(tuple(output.values()))
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _floats(part)


def _require_known_rows(name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """A table of embeddings that is shorter than the data's vocabulary: torch's own words name neither."""
    from torch import Tensor, nn

    if not isinstance(layer, nn.Embedding) or not inputs or not isinstance(inputs[0], Tensor):
        return
    indices = inputs[0]
    if not indices.numel() or indices.is_floating_point() or indices.is_meta:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= layer.num_embeddings:
        raise UsageError(
            "the model must have an embedding for every token of the data",
            received=f"{name} has {layer.num_embeddings:,} rows and is asked for row {high if low >= 0 else low:,}",
            hint="give the model the data's vocabulary (bytes: 256) or context, or name other data",
        )
