"""How many FLOPs per second runs achieve: as given, or as finished trials did."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial

#: what a rate depends on: width, depth and batch
_Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Throughput:
    """FLOPs per second of a run of any size.

    Attributes:
        source: where the numbers come from, a clause.
        everywhere: FLOPs per second of sizes that nothing more is known of; None where nothing is known at all.
        by_shape: FLOPs per second by width, depth and batch, where it is known.
    """

    source: str
    everywhere: float | None
    by_shape: Mapping[_Shape, float] = field(default_factory=dict)

    def seconds(self, flops: float | None, size: Size) -> float | None:
        """Time of one run; None where its FLOPs or the rate are not known.

        Args:
            flops: floating point operations of the run.
            size: width, depth, batch and tokens of the run.
        """
        rate = self.by_shape.get(_shape(size), self.everywhere)
        return None if flops is None or rate is None else flops / rate


def given(flops_per_second: float) -> Throughput:
    """A rate that a person gives, for every size.

    Args:
        flops_per_second: of every run, positive and finite.

    Raises:
        UsageError: it is not.
    """
    if not 0 < flops_per_second < math.inf:
        raise UsageError("`--flops-per-second` must be positive and finite", received=str(flops_per_second))
    return Throughput(f"at {flops_per_second:.3g} FLOP/s, as given", flops_per_second)


def achieved(trials: Iterable[Trial]) -> Throughput:
    """The rates of finished trials: each size's own, and that of the size with most FLOPs per trial for all others.

    Args:
        trials: finished ones, divergences included.
    """
    spent: dict[_Shape, list[Trial]] = {}
    for trial in trials:
        if trial.flops > 0 and trial.seconds > 0:
            spent.setdefault(_shape(trial.size), []).append(trial)
    if not spent:
        return Throughput("no finished trial says how fast this machine is", None)
    rates = {shape: _total(of, "flops") / _total(of, "seconds") for shape, of in spent.items()}
    largest = max(spent, key=lambda shape: _total(spent[shape], "flops") / len(spent[shape]))
    label = spent[largest][0].size.label
    source = (
        f"at what finished trials achieved: each size's own FLOP/s, and {rates[largest]:.3g} FLOP/s, that of {label}, "
        "at sizes that were not trained"
    )
    return Throughput(source, rates[largest], rates)


def _shape(size: Size) -> _Shape:
    return size.width, size.depth, size.batch_size


def _total(trials: Iterable[Trial], name: str) -> float:
    return math.fsum(getattr(trial, name) for trial in trials)
