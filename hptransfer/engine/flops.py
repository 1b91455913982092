"""What training costs: counted by a worker, where torch lives, and remembered in the run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptransfer.artifacts.spent import Spent
from hptransfer.errors import HptransferError, MachineError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.files import write_atomically
from hptransfer.recipe.schema import MODEL, Recipe
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial


def spent_on(trials: Iterable[Trial], target_flops: float | None) -> Spent:
    """The cost of these trials beside that of the target."""
    counted = list(trials)
    flops = sum(trial.flops for trial in counted)
    fraction = flops / target_flops if target_flops else None
    return Spent(
        trials=len(counted),
        flops=flops,
        seconds=sum(trial.seconds for trial in counted),
        target_flops=target_flops,
        fraction_of_target=fraction,
    )


class Costs:
    """FLOPs of one training run of each size.

    Args:
        recipe: gives the model.
        root: the recipe's folder.
        pool: of idle workers whose entry is `hptransfer.trainers.tasks:work`; one starts only for sizes not seen.
        cache: a JSON file of earlier counts, by content; written whole. None remembers nothing.
    """

    def __init__(self, recipe: Recipe, root: Path, pool: TaskPool, cache: Path | None) -> None:
        self._recipe, self._root, self._pool, self._cache = recipe, root, pool, cache

    def of(self, sizes: Sequence[Size]) -> dict[Size, float]:
        """The count for every size.

        Raises:
            MachineError: a worker could not build the model.
        """
        keys = {size: self._key(size) for size in sizes}
        known = _read(self._cache)
        missing = [size for size, key in keys.items() if key not in known]
        if missing:
            known |= {keys[size]: flops for size, flops in self._count(missing).items()}
            if self._cache is not None:
                write_atomically(self._cache, json.dumps(known))
        return {size: known[key] for size, key in keys.items()}

    def of_target(self) -> float | None:
        """The count for the recipe's target; None where the model cannot be built at its size."""
        target = self._recipe.sizes.target
        size = self._recipe.size(target.width, target.depth, batch_size=target.batch_size, tokens=target.tokens)
        try:
            return self.of([size])[size]
        except HptransferError:  # `scale` is where that is told; here it is one number less
            return None

    def _count(self, sizes: Sequence[Size]) -> dict[Size, float]:
        payload = {
            "task": "cost",
            "recipe": self._recipe.model_dump(mode="json"),
            "root": str(self._root),
            "sizes": [asdict(size) for size in sizes],
        }
        self._pool.submit("cost", payload)
        outcome = self._pool.next_result()
        if outcome is None or isinstance(outcome, Failure):
            said = "no worker answered" if outcome is None else outcome.message
            raise MachineError("a worker must be able to build the model to count its FLOPs", received=said)
        return dict(zip(sizes, outcome.value["flops"], strict=True))

    def _key(self, size: Size) -> str:
        model = self._recipe.model.model_dump_json()
        return hashlib.sha256(f"{model}:{json.dumps(asdict(size))}".encode()).hexdigest()


def _read(cache: Path | None) -> dict[str, float]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8")) if cache is not None else {}
    except (OSError, ValueError):  # a cache: what cannot be read is counted again
        return {}
    return known if isinstance(known, dict) else {}


def count_costs(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Count FLOPs on the meta device; an entry point of a worker.

    Args:
        payload: "recipe" and "sizes".

    Returns:
        "flops", one number per size.
    """
    from hptransfer.models.build import build_model
    from hptransfer.models.cost import training_flops

    model = MODEL.validate_json(json.dumps(payload["recipe"]["model"]))
    sizes = [Size(**size) for size in payload["sizes"]]
    return {
        "flops": [
            training_flops(build_model(model, size.width, size.depth, "meta"), size.tokens, model.context)
            for size in sizes
        ]
    }
