"""What one way of scaling costs against another: best loss against best loss at every size, and at infinite size.

Two parameterizations may both transfer and still not train equally well. Kalra & Barkeshli (arXiv 2605.21486) call what
is left at infinite size the asymptotic loss penalty, R(inf). Here R(n) = R(inf) + c n^-b is fitted to the differences,
its power averaged over.

Where the same seeds ran in both groups they are compared seed by seed, so what a seed does in both (its batches, its
initial draws) cancels: how much that is, is measured by how far the seeds' differences lie apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hptransfer.sizes import size_text
from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.exchange import ExchangeRate, exchange_rate
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles
from hptransfer.statistics.seed_offsets import offsets_of
from hptransfer.statistics.wiener_process import DRAWS
from hptransfer.transfer.criteria import SizeEvidence
from hptransfer.transfer.judge import AxisReport

#: an asymptote needs a size more than its law has shapes
FEWEST_SIZES = 3
#: powers b of n^-b with equal weights; width at fixed data saturates like 1/n, scaling laws fall more slowly
_POWERS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
#: differences need not lie on the law: scatter as a share of their own size, with prior weights
_SCATTER, _SCATTER_WEIGHT = (0.0, 0.05, 0.1, 0.3), (0.4, 0.25, 0.2, 0.15)
#: streams of random numbers of their own
_FIRST, _SECOND, _PICK, _OFF, _END = 80, 81, 82, 83, 84
#: streams of what seeds do lie so far beyond those of the groups
_APART = 70


@dataclass(frozen=True, slots=True)
class SizePenalty:
    """At one size that both groups have.

    Attributes:
        size: its value along the axis.
        loss: best loss of the one minus that of the other, in the loss's unit; open where an optimum is on an edge.
        doublings: by how many the other may be smaller and still train to the same loss, negative where the other is
            worse; None where growing does not clearly gain.
    """

    size: float
    loss: Interval
    doublings: Interval | None


@dataclass(frozen=True, slots=True)
class Penalty:
    """One group against another.

    Attributes:
        group: the one whose penalty it is.
        against: the one with the lowest best loss at the largest common size.
        axis: along which sizes differ.
        sizes: those that both have, increasing.
        unit: what a doubling doubles: "compute", or the name of the axis.
        asymptote: R(inf), with 95% interval; None with fewer than three sizes that are known on both sides.
    """

    group: str
    against: str
    axis: str
    sizes: tuple[SizePenalty, ...]
    unit: str
    asymptote: Interval | None

    @property
    def sentence(self) -> str:
        """One line for a person."""
        last = self.sizes[-1]
        said = (
            f"{self.group} against {self.against}, best loss against best loss: "
            f"{_ends(last.loss)} at {self.axis} {size_text(last.size)}"
        )
        if last.doublings is not None:
            said += f", {_ends(last.doublings)} doublings of {self.unit}"
        if self.asymptote is None:
            return said
        sign = "above" if self.asymptote.low > 0 else "below" if self.asymptote.high < 0 else None
        end = f"stays {sign} at infinite {self.axis}" if sign else f"what is left at infinite {self.axis} is open"
        return f"{said}; {end}: {_ends(self.asymptote)}"


def penalties(reports: Mapping[str, AxisReport]) -> tuple[Penalty, ...]:
    """Every group against the best one; none with fewer than two groups, or without a size in common.

    Args:
        reports: name of a group -> its judgement, all along one axis.
    """
    if len(reports) < 2:
        return ()
    by_group = {name: {size.value: size for size in report.sizes} for name, report in reports.items()}
    common = sorted(set.intersection(*(set(sizes) for sizes in by_group.values())))
    if not common:
        return ()
    best = min(by_group, key=lambda name: by_group[name][common[-1]].optimum.loss.estimate)
    return tuple(_penalty(reports[name], reports[best], name, best) for name in reports if name != best)


def _penalty(worse: AxisReport, better: AxisReport, name: str, against: str) -> Penalty:
    rates = (_rate(worse), _rate(better))
    unit = "compute" if all(_compute(report) is not None for report in (worse, better)) else worse.axis
    places = [{size.value: place for place, size in enumerate(report.sizes)} for report in (worse, better)]
    sizes: list[SizePenalty] = []
    draws: list[tuple[float, Array]] = []
    common = sorted(places[0].keys() & places[1].keys())
    both = [(worse.sizes[places[0][value]], better.sizes[places[1][value]]) for value in common]
    others = _by_seeds(both)
    for row, (value, (here, there)) in enumerate(zip(common, both, strict=True)):
        first, second = _best(here, seeds=others is None), _best(there, seeds=others is None)
        low = math.hypot(first.estimate - first.low, second.high - second.estimate)
        high = math.hypot(first.high - first.estimate, second.estimate - second.low)
        drawn = _drawn(first, _FIRST, row) - _drawn(second, _SECOND, row)
        if others is not None:
            drawn = drawn + others[row]
            by_seeds = quantiles(others[row])
            low, high = math.hypot(low, by_seeds.low), math.hypot(high, by_seeds.high)
        middle = first.estimate - second.estimate
        loss = Interval(middle, middle - low, middle + high)
        known = loss.bounded and all(rate is not None and rate.known for rate in rates)
        doublings = None
        if known and rates[0] is not None and rates[1] is not None:
            more = rates[1].doublings(places[1][value], np.maximum(drawn, 0))
            less = rates[0].doublings(places[0][value], np.maximum(-drawn, 0))
            doublings = quantiles(more - less)
        sizes.append(SizePenalty(value, loss, doublings))
        if loss.bounded:
            draws.append((value, drawn))
    return Penalty(name, against, worse.axis, tuple(sizes), unit, _asymptote(draws))


def _by_seeds(both: Sequence[tuple[SizeEvidence, SizeEvidence]]) -> Array | None:
    """(K, DRAWS) what other seeds would add to the difference at each size; None where that is not seen.

    Where the same seeds ran in both groups, those of a pair are subtracted; otherwise each group's seeds speak for it.

    Args:
        both: the two groups at each size.
    """
    first, second = (_offsets([pair[group] for pair in both]) for group in (0, 1))
    if first is None or second is None:
        return None
    if first[0] == second[0]:
        return _of_others(first[1] - second[1], _FIRST)
    return np.asarray(_of_others(first[1], _FIRST) - _of_others(second[1], _SECOND))


def _offsets(sizes: Sequence[SizeEvidence]) -> tuple[list[int], Array] | None:
    """Seeds and their (K, seeds) offsets; None unless the same ones, two or more, were compared at every size."""
    found = [offsets_of(size.points) for size in sizes]
    if not found or len(found[0].of) < 2:
        return None
    seeds = sorted(found[0].of)
    if any(sorted(each.of) != seeds or each.n_seeds > len(seeds) for each in found):
        return None
    return seeds, np.array([[each.of[seed] for seed in seeds] for each in found])


def _of_others(table: Array, stream: int) -> Array:
    """(K, DRAWS) what the mean over other seeds would differ by, from a two-way table of sizes and seeds.

    A seed adds something at all sizes alike, and something at one of them. Both variances are chi-squared about those
    of the table, so few seeds leave intervals of Student's kind.

    Args:
        table: (K, seeds) offsets from the mean over seeds at each size.
        stream: number of the random streams.
    """
    sizes, count = table.shape
    shared = table.mean(axis=0) - table.mean()
    freedom = (sizes - 1) * (count - 1)
    between = sizes * float((shared**2).sum()) / wiener_process.chi_square(stream, float(count - 1))
    own = np.zeros(DRAWS)
    if freedom:
        left = table - table.mean(axis=1, keepdims=True) - shared
        own = float((left**2).sum()) / wiener_process.chi_square(stream + _APART, float(freedom))
    alike = np.maximum(between - own, 0.0) / sizes
    noise = wiener_process.normal(stream + _APART, sizes + 1)
    return np.asarray((np.sqrt(alike) * noise[0] + np.sqrt(own) * noise[1:]) / math.sqrt(count))


def _best(size: SizeEvidence, *, seeds: bool = True) -> Interval:
    """The best loss at a size; on an edge of its grid there may be a better one beyond.

    Args:
        size: what is known there.
        seeds: whether its interval holds what other seeds would add to all losses.
    """
    loss, of_seeds = size.optimum.loss, 1.96 * size.optimum.seed_error
    if not seeds and math.isfinite(of_seeds):
        below, above = (
            math.sqrt(max((loss.estimate - end) ** 2 - of_seeds**2, 0.0)) if math.isfinite(end) else math.inf
            for end in (loss.low, loss.high)
        )
        loss = Interval(loss.estimate, loss.estimate - below, loss.estimate + above)
    return loss if size.optimum.edge is None else Interval(loss.estimate, -math.inf, loss.high)


def _drawn(loss: Interval, stream: int, row: int) -> Array:
    """(DRAWS,) normal draws of a loss, by half of its interval on either side."""
    noise = wiener_process.normal(stream, row + 1)[row]
    up, down = (loss.high - loss.estimate) / 1.96, (loss.estimate - loss.low) / 1.96
    return np.asarray(loss.estimate + np.where(noise > 0, up if math.isfinite(up) else 0.0,
                                               down if math.isfinite(down) else 0.0) * noise)  # fmt: skip


def _compute(report: AxisReport) -> list[float] | None:
    """Mean FLOPs of a run at every size; None where a run does not say them."""
    found = []
    for size in report.sizes:
        flops = [point.flops for point in size.points if not point.diverged]
        if not flops or min(flops) <= 0:
            return None
        found.append(math.fsum(flops) / len(flops))
    return found if all(low < high for low, high in pairwise(found)) else None


def _rate(report: AxisReport) -> ExchangeRate | None:
    """What growing buys along a ladder, per doubling of compute where runs say it; None where a best is open."""
    losses = [_best(size) for size in report.sizes]
    if not all(loss.bounded for loss in losses):
        return None
    at = np.log2(_compute(report) or [size.value for size in report.sizes])
    return exchange_rate(at, np.stack([_drawn(loss, _END, row) for row, loss in enumerate(losses)]))


def _asymptote(draws: Sequence[tuple[float, Array]]) -> Interval | None:
    """R(inf) of R(n) = R(inf) + c n^-b, its power and scatter averaged by how well they explain the differences."""
    if len(draws) < FEWEST_SIZES:
        return None
    ratio = np.array([size for size, _ in draws]) / draws[-1][0]
    found = np.stack([each for _, each in draws])
    middle = np.median(found, axis=1)
    scale = float(np.abs(middle).max()) or float(found.std()) or 1.0
    covariance = np.cov(found) + (1e-9 * scale) ** 2 * np.eye(len(ratio))
    fits, scores, scatters = [], [], []
    for power in _POWERS:
        design = np.stack([np.ones(len(ratio)), ratio**-power], axis=1)
        for share, weight in zip(_SCATTER, _SCATTER_WEIGHT, strict=True):
            inverse = np.linalg.inv(covariance + (share * scale) ** 2 * np.eye(len(ratio)))
            gram = design.T @ inverse @ design
            fit = np.linalg.solve(gram, design.T @ inverse)
            rest = middle - design @ (fit @ middle)
            evidence = np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(gram)[1] - rest @ inverse @ rest
            fits.append(fit[0])
            scores.append(0.5 * float(evidence) + math.log(weight))
            scatters.append(share * scale)
    odds = np.exp(np.array(scores) - max(scores))
    chosen = np.searchsorted(np.cumsum(odds) / odds.sum(), wiener_process.uniform(_PICK)).clip(0, len(odds) - 1)
    scattered = found + np.array(scatters)[chosen] * wiener_process.normal(_OFF, len(ratio))
    return quantiles(np.einsum("dk,kd->d", np.stack(fits)[chosen], scattered))


def _ends(interval: Interval) -> str:
    low, high = ("open" if math.isinf(end) else f"{end:+.3g}" for end in (interval.low, interval.high))
    return f"{interval.estimate:+.3g} ({low} to {high})"
