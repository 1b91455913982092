"""The budget of a command: what the recipe and the options allow, and when no further trial may start."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hptransfer.engine.flops import Costs
from hptransfer.engine.options import BudgetOptions
from hptransfer.errors import UsageError
from hptransfer.execution.limits import UNLIMITED, TaskLimits
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.quantities import memory, seconds
from hptransfer.recipe.schema import Budget, Recipe
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """A budget in plain numbers; None is no limit.

    Attributes:
        trials: finished trials in all, over all interruptions.
        flops: of finished trials in all, over all interruptions.
        seconds: of wall time of this command.
        trial: time and memory of each trial.
    """

    trials: int | None = None
    flops: float | None = None
    seconds: float | None = None
    trial: TaskLimits = UNLIMITED


def limits_of(budget: Budget, options: BudgetOptions) -> Limits:
    """The limits of one command.

    Raises:
        UsageError: an option is not an amount.
    """
    if options.max_flops is not None and not 0 < options.max_flops < float("inf"):
        raise UsageError("`--max-flops` must be positive and finite", received=str(options.max_flops))
    amount = _amount(options.trial_memory or budget.trial_memory, memory, "--trial-memory")
    return Limits(
        trials=options.max_trials or budget.trials,
        flops=options.max_flops or budget.flops,
        seconds=_amount(options.max_time or budget.time, seconds, "--max-time"),
        trial=TaskLimits(_amount(options.trial_time or budget.trial_time, seconds, "--trial-time"), amount),
    )


def _amount(text: str | None, read: Callable[[str], T], option: str) -> T | None:
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise UsageError(f"`{option}` {error}", received=text) from None


class Meter:
    """Says whether one more trial may start. Its clock starts when it is made.

    Args:
        limits: the budget of the command.
        costs: FLOPs by size; asked only where FLOPs are limited.
    """

    def __init__(self, limits: Limits, costs: Costs | None = None) -> None:
        self.limits, self._costs = limits, costs
        self._flops: dict[Size, float] = {}
        self._end = None if limits.seconds is None else time.monotonic() + limits.seconds

    @property
    def out_of_time(self) -> bool:
        """Whether the wall time is over."""
        return self._end is not None and time.monotonic() >= self._end

    def prepare(self, sizes: Iterable[Size]) -> None:
        """Learn what trials of these sizes cost, while no worker is busy."""
        unknown = [size for size in dict.fromkeys(sizes) if size not in self._flops]
        if self.limits.flops is not None and self._costs is not None and unknown:
            self._flops |= self._costs.of(unknown)

    def blocking_limit(self, finished: Collection[Trial], running: Collection[Size], wanted: Size) -> str | None:
        """Why one more trial may not start now.

        Args:
            finished: trials that the budget has paid for.
            running: sizes of the trials under way.
            wanted: size of the trial that should start.

        Returns:
            The limit that it would exceed, as a phrase; None where it may start.
        """
        limits = self.limits
        if self.out_of_time:
            return f"{limits.seconds:g} s of wall time are over"
        if limits.trials is not None and len(finished) + len(running) >= limits.trials:
            return f"{len(finished) + len(running)} of {limits.trials} trials"
        if limits.flops is not None:
            spent = sum(trial.flops for trial in finished) + sum(self._flops[size] for size in running)
            if spent + self._flops[wanted] > limits.flops:
                share = f"{spent:.3g} of {limits.flops:.3g} FLOPs"
                return f"{share}, and the next trial ({wanted.label}) needs {self._flops[wanted]:.3g}"
        return None


def meter_of(limits: Limits, recipe: Recipe, root: Path, pool: TaskPool, cache: Path | None) -> Meter:
    """A meter that asks workers for FLOPs.

    Args:
        limits: what the command may use in all.
        recipe: gives the model whose FLOPs are counted.
        root: folder of the recipe, where a model's module is looked for.
        pool: idle workers that count FLOPs.
        cache: a JSON file of earlier counts; None remembers nothing.
    """
    return Meter(limits, Costs(recipe, root, pool, cache))
