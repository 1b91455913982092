"""Is training as far from instability at every width? Sharpness against its threshold, and its power of width.

Under a parameterization that transfers, the largest curvature along training does not depend on width (super
consistency, Noci et al., arXiv 2402.17457), and it is what the learning rate has to respect. Training on the whole data
settles at the threshold; minibatches keep it below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hptransfer.diagnostics.base import Bench, Diagnostic, Facts, Line, Request
from hptransfer.errors import UsageError
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import RowVerdict, fit_slope

#: |slope| of log sharpness against log width, with its whole interval
CONSISTENT = 0.05
#: one seed has no error
_FEWEST_SEEDS = 2


@dataclass(frozen=True, slots=True)
class SharpnessRow:
    """One width.

    Attributes:
        width: of the models that were measured.
        sharpness: top eigenvalue times effective rate at the end of training, geometric mean over seeds; nan where a
            seed diverged.
        ratio: sharpness as a share of the threshold.
    """

    width: int
    sharpness: float
    ratio: float


@dataclass(frozen=True, slots=True)
class SharpnessReport:
    """How far from instability, at which width.

    Attributes:
        threshold: above it, a quadratic with a frozen preconditioner diverges.
        rows: one per width, increasing.
        slope: d log sharpness / d log width with its 95% interval.
        verdict: HOLDS when sharpness does not depend on width.
        sentence: slope and outcome in words.
    """

    threshold: float
    rows: tuple[SharpnessRow, ...]
    slope: Interval
    verdict: RowVerdict
    sentence: str


def judge_sharpness(runs: Iterable[Mapping[str, Any]], limit: float) -> SharpnessReport:
    """Judge what workers measured.

    Args:
        runs: each with "size", "seed", "sharpness" (None where training was not finite) and "converged"; every width
            with the same seeds.
        limit: the optimizer's threshold, a pure number (`Optimizer.threshold`).

    Raises:
        UsageError: fewer than two widths or seeds.
    """
    listed = list(runs)
    found = {(run["seed"], run["size"]["width"]): run["sharpness"] for run in listed}
    seeds, widths = (sorted(set(column)) for column in zip(*found, strict=True)) if found else ([], [])
    if len(widths) < 2 or len(seeds) < 2:
        raise UsageError(
            "sharpness is compared over at least two widths and two seeds",
            received=f"{len(widths)} widths, {len(seeds)} seeds",
        )
    table = np.array([[found[seed, width] or math.nan for width in widths] for seed in seeds], dtype=float)
    table[table <= 0] = math.nan
    means = np.exp2(np.log2(table).mean(axis=0))
    rows = tuple(SharpnessRow(w, float(m), float(m / limit)) for w, m in zip(widths, means, strict=True))
    fitted = fit_slope(table, np.log2(np.array(widths)))
    if math.isnan(fitted.estimate):
        where = ", ".join(str(row.width) for row in rows if math.isnan(row.sharpness))
        said = f"sharpness is not known at width {where}: training diverged, or its curvature is nowhere positive."
        return SharpnessReport(limit, rows, Interval(0.0, -math.inf, math.inf), RowVerdict.INCONCLUSIVE, said)
    half = 1.96 * fitted.standard_error
    slope = Interval(fitted.estimate, fitted.estimate - half, fitted.estimate + half)
    verdict = fitted.against(0.0, CONSISTENT)
    rough = sum(not run["converged"] for run in listed)
    said = _SAID[verdict] + (f" ({rough} of {len(listed)} eigenvalues are known less well than 1%)" if rough else "")
    numbers = f"sharpness goes as width^{slope.estimate:+.3f} ({slope.low:+.3f} to {slope.high:+.3f})"
    return SharpnessReport(limit, rows, slope, verdict, f"{numbers}: {said}.")


_SAID = {
    RowVerdict.HOLDS: "every width is as far from instability",
    RowVerdict.FAILS: "the room for the learning rate changes with width",
    RowVerdict.INCONCLUSIVE: "more seeds or widths would decide whether it depends on width",
}


class Sharpness(Diagnostic[SharpnessReport]):
    """Top eigenvalue of the Hessian at the tuned values; each width is trained once more per seed, without decay."""

    rule = "sharpness is measured after training at every width"

    def requests(self, facts: Facts) -> list[Request]:
        """Every width with every seed of the check.

        Raises:
            UsageError: no threshold is known for the optimizer.
        """
        from hptransfer.training.optimizers.base import OPTIMIZERS

        training = facts.recipe.training
        values = {"beta1": training.beta1, "beta2": training.beta2, "momentum": training.momentum}
        OPTIMIZERS.look_up(training.optimizer).threshold(values)  # before anything is trained
        seeds = range(max(_FEWEST_SEEDS, facts.recipe.check.seeds))
        return [Request(facts.spec(size, seed)) for size in facts.ladders["width"] for seed in seeds]

    def measure(self, bench: Bench) -> dict[str, Any]:
        """The eigenvalue after training; see `measure_sharpness`."""
        from hptransfer.training.sharpness import measure_sharpness

        return measure_sharpness(*bench.model(), bench.corpus, bench.settings, bench.spec.seed)

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> SharpnessReport:
        """Sharpness against the threshold of the optimizer, with its values at the largest width."""
        from hptransfer.trainers._torch_runs import training_settings
        from hptransfer.training.optimizers.base import OPTIMIZERS

        settings = training_settings(self.requests(facts)[-1].spec)
        return judge_sharpness(measured, OPTIMIZERS.look_up(settings.optimizer).threshold(settings.optimizer_values))

    def show(self, report: SharpnessReport) -> Iterator[Line]:
        """Sharpness against its threshold at every width, and the outcome."""
        shares = ", ".join(f"{row.sharpness:.3g} ({row.ratio:.0%}) at width {row.width}" for row in report.rows)
        yield Line(f"sharpness x rate, and its share of the threshold {report.threshold:.3g}: {shares}")
        yield Line(f"{report.verdict.value}: {report.sentence}")
        yield Line("")


DIAGNOSTIC = Sharpness()
