"""How large a batch is large? The gradient noise scale, from squared norms of gradients at two batch sizes.

The gradient of a batch of B examples has the expected square |G|^2 + tr S / B, G the mean gradient and S the covariance
of one example's. Two batch sizes give both terms without bias, and B_simple = tr S / |G|^2 is the batch at which they
are equal (McCandlish et al., arXiv 1812.06162, appendix A.1). Numerator and denominator are averaged separately: a mean
of ratios is biased, and means nothing where |G|^2 came out negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from hptransfer.diagnostics.base import Bench, Diagnostic, Facts, Line, Request
from hptransfer.errors import UsageError
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import student

#: one seed would take its own path for training
_FEWEST_SEEDS = 2


@dataclass(frozen=True, slots=True)
class GradientPair:
    """Squared norms of gradients at one point, from batches that are independent of other pairs'.

    Attributes:
        small_batch: examples behind a small gradient, at least 1.
        big_batch: examples behind the big one, more.
        small: squared norm of a small gradient, or the mean of several.
        big: squared norm of the big gradient; it may be the mean of those small ones.
    """

    small_batch: int
    big_batch: int
    small: float
    big: float

    @property
    def signal(self) -> float:
        """Unbiased estimate of |G|^2; below zero where noise has it so."""
        return (self.big_batch * self.big - self.small_batch * self.small) / (self.big_batch - self.small_batch)

    @property
    def noise(self) -> float:
        """Unbiased estimate of tr S."""
        return (self.small - self.big) / (1 / self.small_batch - 1 / self.big_batch)


class BatchPosition(StrEnum):
    """Where a batch lies."""

    BELOW = "below"
    ABOVE = "above"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class NoiseScaleRow:
    """One moment of training.

    Attributes:
        progress: share of training done, in (0, 1].
        simple: B_simple of the plain gradients, examples.
        adapted: the same for gradients in the optimizer's own metric: each entry times the root of its effective rate.
            It equals `simple` for SGD with one rate, and does not change with the gauge in which a plan is written.
    """

    progress: float
    simple: Interval
    adapted: Interval


@dataclass(frozen=True, slots=True)
class NoiseScaleReport:
    """The noise scale along training, and where the batch lies that was trained with.

    Attributes:
        batch_size: number of examples per optimizer step.
        rows: by moment; empty where training was not finite.
        position: of the batch: below or above the 95% intervals of all moments in both metrics, or open.
        sentence: where the batch lies, in words.
    """

    batch_size: int
    rows: tuple[NoiseScaleRow, ...]
    position: BatchPosition
    sentence: str


def noise_scale(pairs: Sequence[GradientPair]) -> Interval:
    """B_simple in examples with its 95% interval: Fieller's, for a ratio of two means that vary together.

    Args:
        pairs: independent, at least two.

    Returns:
        Ends within [0, inf]; the upper one is infinite where |G|^2 cannot be distinguished from zero.

    Raises:
        UsageError: fewer than two pairs, or norms that are not finite.
    """
    noise, signal = (np.array([getattr(pair, name) for pair in pairs]) for name in ("noise", "signal"))
    if len(pairs) < 2 or not (np.isfinite(noise).all() and np.isfinite(signal).all()):
        raise UsageError(
            "the noise scale needs two pairs of finite gradient norms at least", received=f"{len(pairs)} pairs"
        )
    top, bottom = float(noise.mean()), float(signal.mean())
    spread = np.cov(noise, signal) / len(pairs) * student(len(pairs) - 1) ** 2
    # all ratios r for which noise - r * signal is compatible with zero: a r^2 - 2 b r + c <= 0
    a, b, c = (float(x) for x in (bottom**2 - spread[1, 1], top * bottom - spread[0, 1], top**2 - spread[0, 0]))
    root = math.sqrt(max(float(b * b - a * c), 0.0))
    estimate = max(top, 0.0) / bottom if bottom > 0 else math.inf
    if a > 0 and bottom > 0:
        low, high = (b - root) / a, (b + root) / a
    else:
        low, high = c / (b + root) if b + root > 0 else 0.0, math.inf
    return Interval(estimate, min(max(low, 0.0), estimate), max(high, estimate))


def judge_noise_scale(runs: Iterable[Mapping[str, Any]], batch_size: int) -> NoiseScaleReport:
    """Judge what workers measured, seeds together.

    Args:
        runs: each with "moments": per moment "progress", "small_batch", "big_batch" and "pairs", which holds "small",
            "big", "adapted_small" and "adapted_big"; none where training was not finite.
        batch_size: number of examples per optimizer step.

    Raises:
        UsageError: there are no runs.
    """
    listed = list(runs)
    if not listed:
        raise UsageError("the noise scale is judged from runs", received="none")
    if any(not run["moments"] for run in listed):
        said = "the noise scale is not known: training was not finite."
        return NoiseScaleReport(batch_size, (), BatchPosition.OPEN, said)
    rows = []
    for moments in zip(*(run["moments"] for run in listed), strict=True):
        plain, adapted = (
            [
                GradientPair(moment["small_batch"], moment["big_batch"], pair[f"{kind}small"], pair[f"{kind}big"])
                for moment in moments
                for pair in moment["pairs"]
            ]
            for kind in ("", "adapted_")
        )
        rows.append(NoiseScaleRow(moments[0]["progress"], noise_scale(plain), noise_scale(adapted)))
    # which moment and which metric sets the critical batch is not known: what is said holds for all of them
    scales = [scale for row in rows for scale in (row.simple, row.adapted)]
    low, high = min(scale.low for scale in scales), max(scale.high for scale in scales)
    position = BatchPosition.OPEN
    if low > batch_size:
        position = BatchPosition.BELOW
    elif high < batch_size:
        position = BatchPosition.ABOVE
    return NoiseScaleReport(batch_size, tuple(rows), position, _sentence(batch_size, low, high, position))


def _sentence(batch: int, low: float, high: float, position: BatchPosition) -> str:
    known = f"{low:.3g} to {high:.3g}" if math.isfinite(high) else f"{low:.3g} or more"
    return f"batch {batch} is {_SAID[position]} the gradient noise scale, {known} examples{_trade(batch, low, high)}."


def _trade(batch: int, low: float, high: float) -> str:
    """What twice the batch would change, were the noise scale the critical batch: steps 1 + C / B, examples 1 + B / C.

    McCandlish et al., arXiv 1812.06162, equation 2.11: (S / S_min - 1) (E / E_min - 1) = 1. The learning rate has to be
    tuned again for it: how it goes with the batch is measured, not assumed.
    """
    if not (low > 0 and math.isfinite(high)):
        return ""
    fewer = [1 - (1 + size / batch / 2) / (1 + size / batch) for size in (low, high)]
    more = [(1 + 2 * batch / size) / (1 + batch / size) - 1 for size in (high, low)]
    return (
        f"; were that the critical batch, twice the batch would take {_percent(fewer)} fewer steps for "
        f"{_percent(more)} more examples, at a learning rate tuned for it"
    )


def _percent(ends: Sequence[float]) -> str:
    low, high = (f"{end:.0%}" for end in ends)
    return low if low == high else f"{low} to {high}"


_SAID = {
    BatchPosition.BELOW: "below",
    BatchPosition.ABOVE: "above",
    BatchPosition.OPEN: "not distinguishable from",
}


class NoiseScale(Diagnostic[NoiseScaleReport]):
    """The gradient noise scale while the proxy is trained once more per seed at the tuned values."""

    rule = "the noise scale is measured while the proxy trains"

    def requests(self, facts: Facts) -> list[Request]:
        """The proxy with every seed of the check."""
        seeds = range(max(_FEWEST_SEEDS, facts.recipe.check.seeds))
        return [Request(facts.spec(facts.proxy, seed)) for seed in seeds]

    def measure(self, bench: Bench) -> dict[str, Any]:
        """Squared norms of gradients at two batch sizes along training; see `measure_noise_scale`."""
        from hptransfer.training.noise_scale import measure_noise_scale

        return measure_noise_scale(*bench.model(), bench.corpus, bench.settings, bench.spec.seed)

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> NoiseScaleReport:
        """The noise scale along training, and where the proxy's batch lies."""
        return judge_noise_scale(measured, facts.proxy.batch_size)

    def show(self, report: NoiseScaleReport) -> Iterator[Line]:
        """The noise scale at each moment, and where the batch lies."""
        for row in report.rows:
            yield Line(
                f"gradient noise scale after {row.progress:.0%} of training: {_examples(row.adapted)} in the "
                f"optimizer's metric, {_examples(row.simple)} plain"
            )
        yield Line(report.sentence)
        yield Line("")


def _examples(scale: Interval) -> str:
    if not scale.bounded:
        return f"{scale.low:.3g} examples or more"
    return f"{scale.estimate:.3g} examples ({scale.low:.3g} to {scale.high:.3g})"


DIAGNOSTIC = NoiseScale()
