"""What training costs: counted by a worker, where torch lives, and remembered in the run folder."""

from __future__ import annotations

import gc
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from hptransfer.artifacts.spent import Spent
from hptransfer.engine.measurement_cache import MeasurementCache
from hptransfer.engine.readings import cost_digest
from hptransfer.errors import HptransferError, MachineError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.schema import Recipe
from hptransfer.sizes import Size
from hptransfer.trials.messages import ENTRY, CostMessage
from hptransfer.trials.run_cost import RUN_COSTS, RunCost
from hptransfer.trials.trial import Trial


def spent_on(trials: Iterable[Trial], target_flops: float | None, *, short: bool = False) -> Spent:
    """The cost of trials, and its share of the target's.

    Args:
        trials: finished trials, complete or diverged.
        target_flops: floating point operations of the target's run; None where they are not known.
        short: whether that run has the proxy's tokens, because the recipe gives the target none.
    """
    counted = list(trials)
    spent = Spent(
        trials=len(counted),
        flops=sum(trial.flops for trial in counted if 0 <= trial.flops < math.inf),  # a plug-in may say anything
        seconds=sum(trial.seconds for trial in counted),
        target_flops=None,
        fraction_of_target=None,
    )
    return spent.share_of(target_flops, short=short)


def is_short(recipe: Recipe, target: Size) -> bool:
    """Whether a target trains only as long as the proxy because nobody says how long; its cost then means little.

    Args:
        recipe: which may give the target tokens of its own.
        target: the size that is compared with what was spent.
    """
    return recipe.sizes.target.tokens is None and target.tokens == recipe.proxy_size.tokens


def target_tokens_note(recipe: Recipe, parameters: int | None = None) -> str | None:
    """A sentence where the target trains only as long as the proxy, so that shares of its cost mislead; else None.

    Args:
        recipe: whose target is compared.
        parameters: number of the target's parameters, for the hint; None where it is not known.
    """
    target = recipe.target_size()
    if not is_short(recipe, target):
        return None
    tokens = 20 * parameters if parameters else 1_000_000_000
    example = "20 per parameter" if parameters else "for example"
    return (
        f"the recipe gives the target no tokens of its own, so it is counted with the proxy's {target.tokens:,}, and "
        f"shares are of a run that short; set `sizes.target.tokens`, {example}: `tokens: {tokens}`"
    )


def _is_count(_: str, value: Any) -> bool:
    """Whether a value of the cache may be a number of operations."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def run_flops(recipe: Recipe, root: Path, size: Size) -> float | None:
    """FLOPs of one run, counted in this process, which imports torch for it; None where the trainer builds the model.

    Args:
        recipe: gives the model and the loss.
        root: the recipe's folder, where modules are looked for too.
        size: width, depth, batch and tokens of the run.

    Raises:
        UsageError: the model cannot be built at this size.
    """
    if recipe.model.kind == "external":
        return None
    (flops,) = _counted(CostMessage(recipe=recipe, root=root, sizes=(size,)))["flops"]
    return float(flops)


def run_costs(
    recipe: Recipe,
    root: Path,
    sizes: Sequence[Size],
    examples: int | None = None,
    parameters: Mapping[str, int] | None = None,
) -> dict[Size, RunCost]:
    """FLOPs and memory of one run of each size, counted in this process, which imports torch for it.

    Args:
        recipe: gives model, loss, optimizer and parameterization.
        root: the recipe's folder, where modules are looked for too.
        sizes: width, depth, batch and tokens of each run.
        examples: that go through the model at once; None: the whole batch.
        parameters: number of parameters by label of a size, for models that the trainer builds; FLOPs are then 6 per
            parameter and token (Kaplan et al., arXiv 2001.08361), and without it not known.

    Raises:
        UsageError: the model cannot be built at one of the sizes.
    """
    wanted = tuple(dict.fromkeys(sizes))
    if recipe.model.kind == "external":
        return {size: _declared(size, examples, (parameters or {}).get(size.label)) for size in wanted}
    answer = _counted(CostMessage(recipe=recipe, root=root, sizes=wanted, memory=True, examples=examples))
    costs = RUN_COSTS.validate_json(json.dumps(answer["costs"]))
    return {cost.size: cost for cost in costs}


def _declared(size: Size, examples: int | None, parameters: int | None) -> RunCost:
    """What is known of a run whose trainer builds the model."""
    note = "the trainer builds the model: its memory is not known"
    if parameters is not None:
        note = f"{note}, and FLOPs are 6 for each parameter and token"
    return RunCost(
        size=size,
        flops=None if parameters is None else 6.0 * parameters * size.tokens,
        parameters=parameters,
        weights=None,
        gradients=None,
        optimizer=None,
        activations=None,
        examples=min(size.batch_size, examples or size.batch_size),
        notes=(note,),
    )


def _counted(message: CostMessage) -> Mapping[str, Any]:
    """What a worker would answer, from this process."""
    module, _, function = ENTRY.partition(":")
    with _collector_paused():
        answer: Mapping[str, Any] = getattr(import_module(module), function)(message.payload())
    return answer


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Looks for no garbage meanwhile: importing torch and transformers makes none, and takes a quarter less time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


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
        return self.of_one(self._recipe.target_size())

    def of_one(self, size: Size) -> float | None:
        """The count for one size; None where the model cannot be built at it.

        Args:
            size: width, depth, batch and tokens of the run.
        """
        if self._recipe.model.kind == "external":
            return None
        try:
            return self.of([size])[size]
        except HptransferError:  # `scale` is where that is reported; here it is one number less
            return None

    def _count(self, sizes: Sequence[Size]) -> dict[str, float]:
        message = CostMessage(recipe=self._recipe, root=self._root, sizes=tuple(sizes))
        self._pool.submit("cost", message.payload(), limited=False)
        outcome = self._pool.next_result()
        if outcome is None or isinstance(outcome, Failure):
            said = "no worker answered" if outcome is None else outcome.message
            raise MachineError("a worker must be able to build the model to count its FLOPs", received=said)
        counts = zip(sizes, outcome.value["flops"], strict=True)
        return {self._key(size): flops for size, flops in counts}

    def _key(self, size: Size) -> str:
        if self._prefix is None:
            self._prefix = cost_digest(self._recipe, self._root)
        return hashlib.sha256(f"{self._prefix}:{json.dumps(asdict(size))}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AskedCosts:
    """FLOPs by size, with those kept that were asked for: the judgement of the target can be computed again.

    Attributes:
        count: FLOPs of one run of a size; None where they are not known.
        asked: what it said so far.
    """

    count: Callable[[Size], float | None]
    asked: dict[Size, float | None] = field(default_factory=dict)

    def of(self, size: Size) -> float | None:
        """The count for one size; None where it is not known.

        Args:
            size: width, depth, batch and tokens of the run.
        """
        if size not in self.asked:
            self.asked[size] = self.count(size)
        return self.asked[size]
