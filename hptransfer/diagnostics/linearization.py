"""Does every layer learn features at any depth? The distance from linearised training must not vanish as depth grows.

A parameterization can pass every check on activations and still be lazy in depth: with residual multiplier L^-1/2 the
relative distance falls as L^-1/2, with L^-1 (CompleteP) it does not fall (Dey et al. 2505.01618, their third
desideratum). Distances are near 1e-5: they must be computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hptransfer.diagnostics.base import Bench, Diagnostic, Facts, Line, Request, Stage
from hptransfer.errors import UsageError
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import RowVerdict

#: halfway between a distance that stays and one that falls as L^-1/2
BOUNDARY = -0.25
_BOOTSTRAPS = 1000
_FEWEST_DEPTHS = 3


@dataclass(frozen=True, slots=True)
class LazinessReport:
    """How the distance from linearisation goes with depth.

    Attributes:
        slope: d log2(distance) / d log2(depth).
        verdict: HOLDS when features are learned at any depth, FAILS when training becomes lazy.
        sentence: slope and outcome in words.
        depths: numbers of layers, increasing.
        distances: median over seeds at each depth; nan where training was not finite.
    """

    slope: Interval
    verdict: RowVerdict
    sentence: str
    depths: tuple[int, ...]
    distances: tuple[float, ...]


def judge_laziness(distances: Array, depths: Sequence[int]) -> LazinessReport:
    """Judge distances |change - linearised change| / |value| over depths and seeds.

    The median over seeds is fitted, its error bootstrapped over seeds: single distances scatter over decades and can
    underflow to 0.

    Args:
        distances: (seeds, depths), at least 0.
        depths: numbers of layers, increasing.

    Raises:
        UsageError: too few depths or seeds, or distances that are no numbers or 0 for most seeds.
    """
    if distances.ndim != 2 or distances.shape[1] != len(depths) or len(depths) < _FEWEST_DEPTHS or len(distances) < 2:
        raise UsageError(
            f"distances from linearisation are needed for 2 seeds and {_FEWEST_DEPTHS} depths",
            received=f"shape {distances.shape} for {len(depths)} depths",
        )
    if not (np.isfinite(distances).all() and (distances >= 0).all() and (np.median(distances, axis=0) > 0).all()):
        raise UsageError(
            "distances from linearisation must be finite and, for most seeds, positive",
            received=f"{int((~np.isfinite(distances)).sum())} not finite, {int((distances == 0).sum())} zero",
            hint="compute them in float64, and leave out depths that blow up: those fail before laziness matters",
        )
    arm = np.log2(np.asarray(depths, dtype=float))
    arm -= arm.mean()
    rng = np.random.default_rng(0)
    picks = rng.integers(len(distances), size=(_BOOTSTRAPS, len(distances)))
    medians = np.median(distances[picks], axis=1)
    slopes = np.log2(np.maximum(medians, np.finfo(float).tiny)) @ arm / (arm @ arm)
    estimate = float(np.log2(np.median(distances, axis=0)) @ arm / (arm @ arm))
    low, high = (float(q) for q in np.quantile(slopes, (0.025, 0.975)))
    slope = Interval(estimate, min(low, estimate), max(high, estimate))
    verdict, said = _verdict(slope)
    numbers = f"distance from linearisation goes as depth^{slope.estimate:+.2f} ({slope.low:+.2f} to {slope.high:+.2f})"
    return LazinessReport(slope, verdict, f"{numbers}: {said}.", tuple(depths), _medians(distances))


def judge_linearisation(runs: Iterable[Mapping[str, Any]]) -> LazinessReport:
    """Judge what workers measured: distances of every block, averaged over the blocks of a model.

    Args:
        runs: each with "size", "seed" and "linearisation" (distance by block, None where it is not finite); every depth
            with the same seeds.

    Returns:
        The report; INCONCLUSIVE with an open slope where a depth could not be measured, because training that blows up
        or does not move is no matter of laziness.

    Raises:
        UsageError: too few depths or seeds.
    """
    found: dict[tuple[int, int], float] = {}
    for run in runs:
        values = [math.nan if value is None else value for value in run["linearisation"].values()]
        found[run["seed"], run["size"]["depth"]] = float(np.mean(values)) if values else math.nan
    seeds, depths = (sorted(set(column)) for column in zip(*found, strict=True))
    distances = np.array([[found[seed, depth] for depth in depths] for seed in seeds])
    unknown = [depth for depth, column in zip(depths, distances.T, strict=True) if not (column > 0).all()]
    if not unknown:
        return judge_laziness(distances, depths)
    where = ", ".join(map(str, unknown))
    sentence = f"distance from linearisation is not known at depth {where}: blocks do not move there, or blow up."
    open_slope = Interval(0.0, -math.inf, math.inf)
    return LazinessReport(open_slope, RowVerdict.INCONCLUSIVE, sentence, tuple(depths), _medians(distances))


def _medians(distances: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in np.median(distances, axis=0))


def _verdict(slope: Interval) -> tuple[RowVerdict, str]:
    if slope.low > BOUNDARY:
        return RowVerdict.HOLDS, "features are learned at any depth"
    if slope.high < BOUNDARY:
        return RowVerdict.FAILS, "deep networks train lazily, however well their activations behave"
    return RowVerdict.INCONCLUSIVE, "more seeds or deeper networks would decide whether training becomes lazy"


class Linearization(Diagnostic[LazinessReport]):
    """Distance of residual blocks from being linear in their own weights, over the ladder of depths, in float64."""

    stage = Stage.BEFORE_LADDER
    rule = "distance from linearisation must be measurable at every depth"

    def requests(self, facts: Facts) -> list[Request]:
        """Every depth, with the seeds of the coordinate check."""
        seeds = range(facts.recipe.check.coordinate.seeds)
        return [Request(facts.spec(size, seed)) for size in facts.ladders["depth"] for seed in seeds]

    def measure(self, bench: Bench) -> dict[str, Any]:
        """The distance of every block; see `measure_linearisation`."""
        from hptransfer.models.shape_reading import layer_kinds
        from hptransfer.training.coordinates import layer_kind
        from hptransfer.training.linearisation import measure_linearisation

        module, groups = bench.model()
        own = bench.spec.recipe.model.kind in ("mlp", "gpt")
        kinds = {} if own else layer_kinds([row.parameter for row in bench.plan.rows])
        names = [name for name, _ in module.named_modules()] if own else list(kinds)
        blocks = [name for name in names if (layer_kind(name) if own else kinds[name]) == "residual"]
        distances = measure_linearisation(module, groups, bench.corpus, bench.settings, bench.spec.seed, blocks)
        return {"linearisation": distances}

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> LazinessReport:
        """The power of depth of the distance."""
        return judge_linearisation(measured)

    def show(self, report: LazinessReport) -> Iterator[Line]:
        """The distance at every depth, and the outcome."""
        numbers = zip(report.depths, report.distances, strict=True)
        yield Line("linearisation: " + ", ".join(f"{value:.2g} at depth {depth}" for depth, value in numbers))
        yield Line(f"{report.verdict.value}: {report.sentence}")
        yield Line("")


DIAGNOSTIC = Linearization()
