"""Batches that functions of the user's give; whether they are pure functions is tried before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from hptransfer.data.base import BatchFunctions
from hptransfer.errors import UsageError
from hptransfer.registry import imported, users_code
from hptransfer.training.batches import Batch, described, equal, examples_in, first_examples, to_tensors


class PythonBatches:
    """Batches of `data: {kind: python}`.

    Args:
        functions: names of the functions, their arguments and the fingerprint of their code.

    Raises:
        UsageError: a function cannot be imported.
    """

    vocabulary = None

    def __init__(self, functions: BatchFunctions) -> None:
        self.fingerprint = functions.fingerprint
        self._training = _Function("source", functions.training, functions.arguments)
        self._evaluation = _Function("evaluation", functions.evaluation, functions.arguments)

    def batch(self, seed: int, step: int, batch_size: int, context: int) -> Batch:
        """As `Batches.batch`.

        Raises:
            UsageError: the function fails, gives no batch of this size, or two batches for one seed and step.
        """
        batch = self._training(seed, step, batch_size)
        if examples_in(batch) != batch_size:
            rule = "`data.source` must give `batch_size` examples along the first axis of every tensor"
            raise UsageError(rule, received=f"{self._training.name} at batch_size={batch_size}: {described(batch)}")
        return batch

    def validation_batches(
        self, count: int, batch_size: int, context: int, examples: int | None = None
    ) -> Iterator[Batch]:
        """As `Batches.validation_batches`; each batch is asked for whole, and the last one cut to what is left.

        Raises:
            UsageError: the function fails, gives too few examples, or two batches for one index.
        """
        left = count * batch_size if examples is None else min(examples, count * batch_size)
        for index in range(-(-left // batch_size)):
            batch, wanted = self._evaluation(index, batch_size), min(left, batch_size)
            given = examples_in(batch)
            if given < wanted or given > batch_size:
                raise UsageError(
                    "`data.evaluation` must give `batch_size` examples, fewer only where the set ends",
                    received=f"{self._evaluation.name} at index={index}, batch_size={batch_size}: {described(batch)}",
                    hint="say the set's size: `data: {evaluation_examples: N}`",
                )
            yield first_examples(batch, wanted)
            left -= wanted


class _Function:
    """One of the user's functions; its first call is repeated after another one, and must give the same."""

    def __init__(self, key: str, name: str, arguments: Mapping[str, Any]) -> None:
        self.name, self._key, self._arguments = name, key, arguments
        found = imported("a function that gives batches", name)
        if not callable(found):
            raise UsageError(f"`data.{key}` must name a function", received=f"{name}: {type(found).__name__}")
        self._function: Callable[..., object] = found
        self._tried = False

    def __call__(self, first: int, second: int, *rest: int) -> Batch:
        batch = self._call(first, second, *rest)
        if not self._tried:
            self._tried = True
            # another batch in between: what advances a state then shows
            self._call(*((first, second + 1, *rest) if rest else (first, second)))
            if not equal(batch, self._call(first, second, *rest)):
                what = "seed, step and batch size" if rest else "index and batch size"
                raise UsageError(
                    f"`data.{self._key}` must be a pure function of {what}: the same call must give the same batch",
                    received=f"{self.name} gave two batches for {(first, second, *rest)}",
                    hint="draw with a generator made from the arguments, for example "
                    "`numpy.random.default_rng((seed, step))`",
                )
        return batch

    def _call(self, *arguments: int) -> Batch:
        with users_code(f"`data.{self._key}` must give batches", self.name), torch.no_grad():
            return to_tensors(self._function(*arguments, **self._arguments), self.name)
