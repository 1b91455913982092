"""What training costs: counted by a worker, where torch lives, and remembered in the run folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptransfer.artifacts.spent import Spent
from hptransfer.engine.measurement_cache import MeasurementCache
from hptransfer.engine.readings import model_digest
from hptransfer.errors import HptransferError, MachineError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.messages import CostMessage
from hptransfer.trials.trial import Trial


def spent_on(trials: Iterable[Trial], target_flops: float | None) -> Spent:
    """The cost of trials, and its share of the target's.

    Args:
        trials: finished trials, complete or diverged.
        target_flops: floating point operations of the target's run; None where they are not known.
    """
    counted = list(trials)
    spent = Spent(
        trials=len(counted),
        flops=sum(trial.flops for trial in counted),
        seconds=sum(trial.seconds for trial in counted),
        target_flops=None,
        fraction_of_target=None,
    )
    return spent.share_of(target_flops)


def _is_count(_: str, value: Any) -> bool:
    """Whether a value of the cache may be a number of operations."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


class Costs:
    """FLOPs of one training run of each size.

    Args:
        recipe: gives the model whose FLOPs are counted.
        root: folder of the recipe, where a model's module is looked for.
        pool: of idle workers whose entry is `messages.ENTRY`; one starts only for sizes not seen.
        cache: a JSON file of earlier counts, by content; written whole. None remembers nothing.
    """

    def __init__(self, recipe: Recipe, root: Path, pool: TaskPool, cache: Path | None) -> None:
        self._recipe, self._root, self._pool = recipe, root, pool
        self._cache = MeasurementCache(cache)
        self._prefix: str | None = None

    def of(self, sizes: Sequence[Size]) -> dict[Size, float]:
        """The count for every size.

        Args:
            sizes: width, depth and tokens of each run.

        Raises:
            MachineError: a worker could not build the model.
        """
        keys = {size: self._key(size) for size in sizes}
        by_key = {key: size for size, key in keys.items()}
        known = self._cache.fill(
            keys.values(), lambda missing: self._count([by_key[key] for key in missing]), _is_count
        )
        return {size: known[key] for size, key in keys.items()}

    def of_target(self) -> float | None:
        """The count for the recipe's target; None where the model cannot be built at its size."""
        size = self._recipe.target_size()
        if self._recipe.model.kind == "external":
            return None
        try:
            return self.of([size])[size]
        except HptransferError:  # `scale` is where that is reported; here it is one number less
            return None

    def _count(self, sizes: Sequence[Size]) -> dict[str, float]:
        self._pool.submit(
            "cost", CostMessage(model=self._recipe.model, sizes=tuple(sizes), root=self._root).payload(), limited=False
        )
        outcome = self._pool.next_result()
        if outcome is None or isinstance(outcome, Failure):
            said = "no worker answered" if outcome is None else outcome.message
            raise MachineError("a worker must be able to build the model to count its FLOPs", received=said)
        counts = zip(sizes, outcome.value["flops"], strict=True)
        return {self._key(size): flops for size, flops in counts}

    def _key(self, size: Size) -> str:
        if self._prefix is None:
            self._prefix = model_digest(self._recipe, self._root)
        return hashlib.sha256(f"{self._prefix}:{json.dumps(asdict(size))}".encode()).hexdigest()
