"""Does the optimum carry over to larger sizes? Equivalence tests on drift and regret, with three outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.sizes import AXES, MODEL_AXES, Size, SizeAxis
from hptransfer.statistics.curve import CurveDraws, growth_per_doubling, octave_cost, sample_curves
from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles, summarise
from hptransfer.statistics.path import Path, path_of
from hptransfer.statistics.seed_means import Point, SeedMeans, average_seeds
from hptransfer.transfer.criteria import Ladder, SizeEvidence, TransferCriteria
from hptransfer.transfer.path_text import path_limits
from hptransfer.transfer.slices import CORNER, on_axis, on_slice, points_at_corner, points_by_size
from hptransfer.transfer.verdict_text import evidence_limits, next_steps, sentence_of
from hptransfer.trials.trial import Trial
from hptransfer.verdict import Verdict


@dataclass(frozen=True, slots=True)
class AxisReport:
    """The judgement along one axis of size for one hyperparameter.

    Attributes:
        axis: "width", "depth", "batch_size" or "tokens", or what a table of results calls its size.
        hyperparameter: name of the hyperparameter that is judged.
        transferred: the value that was tuned on the proxy.
        reference: the proxy's value on the axis.
        criteria: bounds on drift and regret that were asked for.
        sizes: evidence per size, increasing.
        drift: octaves per doubling; open on both sides with fewer than two sizes.
        path: how the optimum moves from size to size.
        regret: relative regret at the largest size.
        rho: regret over the loss gained from reference to largest size (fast transfer is well under 0.1); None where
            the gain is not clearly positive.
        wider_is_not_worse: False where a larger size is clearly worse at its own optimum, None where that is open.
        sensitivity_growth: factor, less 1, by which the cost of being an octave off grows per doubling of the size;
            None where that was not sampled at two sizes.
        verdict: what the evidence says: TRANSFERS, DRIFTS or INCONCLUSIVE.
        sentence: the outcome in words.
        limits: what the evidence cannot show, one sentence each.
        would_decide: what would decide an INCONCLUSIVE verdict, as a sentence; None for the other verdicts.
    """

    axis: str
    hyperparameter: str
    transferred: float
    reference: float
    criteria: TransferCriteria
    sizes: tuple[SizeEvidence, ...]
    drift: Interval
    path: Path
    regret: Interval
    rho: Interval | None
    wider_is_not_worse: bool | None
    sensitivity_growth: Interval | None
    verdict: Verdict
    sentence: str
    limits: tuple[str, ...]
    would_decide: str | None


@dataclass(frozen=True, slots=True)
class TransferReport:
    """The judgement over all axes that were varied.

    Attributes:
        axes: one report per axis.
        verdict: any DRIFTS decides, then any INCONCLUSIVE.
        sentence: the sentences of the axes that decided.
    """

    axes: tuple[AxisReport, ...]
    verdict: Verdict
    sentence: str


def combine_reports(reports: Sequence[TransferReport]) -> TransferReport:
    """One judgement over several hyperparameters, the worst verdict overall; one report stays as it is."""
    if len(reports) == 1:
        return reports[0]
    axes = tuple(axis for report in reports for axis in report.axes)
    verdict = Verdict.combine(report.verdict for report in reports)
    return TransferReport(axes, verdict, " ".join(axis.sentence for axis in axes if axis.verdict is verdict))


def judge(
    trials: Sequence[Trial],
    *,
    proxy: Size,
    hyperparameter: str,
    transferred: float,
    criteria: TransferCriteria | None = None,
    axes: Sequence[SizeAxis] | None = None,
    corner: Size | None = None,
    held: Mapping[str, float] | None = None,
    noise: float | None = None,
    ray: str | None = None,
) -> TransferReport:
    """Judge every axis along which sizes vary; the order of `trials` does not matter.

    Args:
        trials: finished runs of all sizes, the proxy's among them.
        proxy: where `transferred` was tuned; an axis is judged on the sizes that differ from it along that axis only.
        hyperparameter: the one that is judged.
        transferred: its value tuned at the proxy.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.
        axes: default: every axis with at least two sizes.
        corner: a size that differs from the proxy in width and depth; what the value costs there is judged as well.
        held: values of the other hyperparameters; trials with others are left out.
        noise: standard deviation of one run in nats where it is known from elsewhere.
        ray: what tokens are in proportion to, for example "20 tokens per parameter", where they grow with the model:
            width and depth are then judged with the tokens that belong to them, and tokens are no axis of their own.

    Raises:
        UsageError: no axis varies, trials mix slices, or a size has no finite loss.
    """
    kept = on_slice(trials, held or {})
    following = {axis: _FOLLOWING if ray is not None and axis in MODEL_AXES else () for axis in AXES}
    slices = {axis: on_axis(kept, proxy, axis, following[axis]) for axis in AXES if ray is None or axis != "tokens"}
    if axes is None:
        axes = [axis for axis in slices if len({getattr(t.size, axis) for t in slices[axis]}) > 1]
    if not axes:
        raise UsageError(
            "at least two sizes must differ from each other along one axis",
            received=f"{len(kept)} trials of {len({t.size for t in kept})} sizes",
            hint="add widths or depths to the ladder",
        )
    reports = tuple(
        judge_axis(
            slices[axis],
            axis=axis,
            hyperparameter=hyperparameter,
            transferred=transferred,
            reference=getattr(proxy, axis),
            criteria=criteria,
            noise=noise,
            following=following[axis],
        )
        for axis in axes
    )
    if ray is not None:
        reports = tuple(_on_ray(report, ray) if report.axis in MODEL_AXES else report for report in reports)
    if corner is not None:
        groups = points_at_corner(kept, proxy, corner, hyperparameter)
        reference = proxy.width * proxy.depth
        reports += (
            judge_ladder(
                groups,
                axis=CORNER,
                hyperparameter=hyperparameter,
                transferred=transferred,
                reference=reference,
                criteria=criteria,
                noise=noise,
                regret_alone=True,
            ),
        )
    verdict = Verdict.combine(report.verdict for report in reports)
    return TransferReport(reports, verdict, " ".join(r.sentence for r in reports if r.verdict is verdict))


#: what grows with the model where a ray is judged
_FOLLOWING: Sequence[SizeAxis] = ("tokens",)


def _on_ray(report: AxisReport, ray: str) -> AxisReport:
    """The report with what a joint axis cannot show."""
    limit = (
        f"Tokens grow with the {report.axis} here ({ray}): both are covered along that ray only, and nothing is said "
        "of a target with other tokens for its size."
    )
    return replace(report, limits=(*report.limits, limit))


def judge_axis(
    trials: Sequence[Trial],
    *,
    axis: SizeAxis,
    hyperparameter: str,
    transferred: float,
    reference: int,
    criteria: TransferCriteria | None = None,
    noise: float | None = None,
    following: Sequence[SizeAxis] = (),
) -> AxisReport:
    """Judge one hyperparameter along one axis of size.

    Args:
        trials: one slice: nothing but the axis, the hyperparameter and the seed varies.
        axis: which field of the size varies.
        hyperparameter: the one that is judged.
        transferred: its value tuned at the proxy, positive.
        reference: the proxy's value on the axis.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.
        noise: standard deviation of one run in nats where it is known from elsewhere.
        following: fields of the size that grow along with the axis.

    Raises:
        UsageError: no trials, trials that mix slices, or a size without any finite loss.
    """
    groups = points_by_size(trials, axis, hyperparameter, following)
    if not groups:
        raise UsageError(f"at least one finished trial must exist to judge {axis}", received="none")
    return judge_ladder(
        groups,
        axis=axis,
        hyperparameter=hyperparameter,
        transferred=transferred,
        reference=reference,
        criteria=criteria,
        noise=noise,
    )


def judge_ladder(
    groups: Mapping[int, Sequence[Point]] | Mapping[float, Sequence[Point]],
    *,
    axis: str,
    hyperparameter: str,
    transferred: float,
    reference: float,
    criteria: TransferCriteria | None = None,
    noise: float | None = None,
    regret_alone: bool = False,
    limits: Sequence[str] = (),
) -> AxisReport:
    """Judge runs that are already sorted by size, whatever the size is.

    Args:
        groups: size -> its runs, increasing; only ratios of sizes matter, so a fraction is a size too.
        axis: what the size is called.
        hyperparameter: name of the hyperparameter that is judged.
        transferred: its value tuned at the reference, positive.
        reference: the size at which it was tuned.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.
        noise: standard deviation of one run in nats where it is known from elsewhere.
        regret_alone: whether drift does not count, as at a corner of width and depth.
        limits: what the runs cannot show because of how they were made, one sentence each.

    Raises:
        UsageError: a size has no finite loss.
    """
    criteria = criteria or TransferCriteria()
    at = math.log2(transferred)
    tables = [average_seeds(points) for points in groups.values()]
    drawn = sample_curves(tables, doublings=[math.log2(value) for value in groups], at=at, noise=noise)
    sizes = tuple(
        _evidence(value, points, table, draws, at, noise, criteria.regret)
        for (value, points), table, draws in zip(groups.items(), tables, drawn, strict=True)
    )
    known = [KnownOptimum.of(value, draws) for value, draws in zip(groups, drawn, strict=True) if draws is not None]
    drift = drift_per_doubling(known) if len(known) > 1 else Interval(0.0, -math.inf, math.inf)
    path = path_of(known)
    ladder = Ladder(axis, hyperparameter, transferred, reference, criteria, sizes, drift, regret_alone)
    verdict = _verdict(ladder)
    not_worse = _not_worse(drawn)
    seen = [
        (math.log2(value), draws.octave_off) for value, draws in zip(groups, drawn, strict=True) if draws is not None
    ]
    growth = growth_per_doubling([at for at, _ in seen], [cost for _, cost in seen])
    by_size = dict(zip(groups, drawn, strict=True))
    return AxisReport(
        axis=axis,
        hyperparameter=hyperparameter,
        transferred=transferred,
        reference=reference,
        criteria=criteria,
        sizes=sizes,
        drift=drift,
        path=path,
        regret=sizes[-1].relative_regret,
        rho=_rho(by_size.get(reference), by_size[sizes[-1].value]),
        wider_is_not_worse=not_worse,
        sensitivity_growth=growth,
        verdict=verdict,
        sentence=sentence_of(ladder, verdict),
        limits=(*evidence_limits(ladder, worse=not_worse is False, growth=growth), *path_limits(path, ladder), *limits),
        would_decide=next_steps(ladder) if verdict is Verdict.INCONCLUSIVE else None,
    )


def _verdict(ladder: Ladder) -> Verdict:
    """TRANSFERS needs both equivalence tests; DRIFTS one clear violation; everything else is INCONCLUSIVE.

    A clear regret at the largest size counts as drift only if the value is clearly better placed at the proxy: a value
    that was badly tuned at the proxy to begin with says nothing about transfer. At a corner the regret alone decides.
    """
    asked = ladder.criteria
    if ladder.regret_grew or (ladder.drift.outside(asked.drift) and not ladder.regret_alone):
        return Verdict.DRIFTS
    stays = ladder.drift.inside(asked.drift) or ladder.regret_alone
    equivalent = stays and ladder.largest.relative_regret.high <= asked.regret
    return Verdict.TRANSFERS if equivalent and ladder.enough else Verdict.INCONCLUSIVE


def _evidence(
    value: float,
    points: Sequence[Point],
    table: SeedMeans,
    draws: CurveDraws | None,
    at: float,
    noise: float | None,
    tolerance: float,
) -> SizeEvidence:
    lost, regret, relative = _at_transferred(table, draws, at)
    return SizeEvidence(
        value=value,
        optimum=summarise(table, draws, noise, tolerance=tolerance),
        best_loss=float(table.mean.min()),
        transferred_loss=lost,
        regret=regret,
        relative_regret=relative,
        octave_off=Interval(math.inf, 0.0, math.inf) if draws is None else octave_cost(draws.octave_off),
        spiked=table.spiked,
        measured=bool(np.isclose(table.x, at, atol=1e-6).any() or np.isclose(table.diverged, at, atol=1e-6).any()),
        points=tuple(sorted(points, key=lambda p: (p.x, p.seed, p.diverged, p.loss if not p.diverged else 0.0))),
    )


def _at_transferred(table: SeedMeans, draws: CurveDraws | None, at: float) -> tuple[Interval, Interval, Interval]:
    """(loss, regret, relative regret) at the transferred value."""
    never = Interval(math.inf, math.inf, math.inf)
    if table.diverged and at >= min(table.diverged) - 1e-9 and at > table.x[-1]:
        return never, never, never
    if draws is None or np.isnan(draws.at).any():
        # outside the sampled region: nothing is known but that loss and regret are what they are
        return Interval(math.inf, 0.0, math.inf), Interval(math.inf, 0.0, math.inf), Interval(math.inf, 0.0, math.inf)
    regret = draws.at - draws.loss
    absolute, relative = quantiles(regret), quantiles(regret / np.abs(draws.loss))
    if draws.below.mean() > 0.025 or draws.above.mean() > 0.025:
        # a better loss may lie beyond the region: regret is at least what is seen
        absolute, relative = replace(absolute, high=math.inf), replace(relative, high=math.inf)
    return quantiles(draws.at), absolute, relative


def _rho(reference: CurveDraws | None, largest: CurveDraws | None) -> Interval | None:
    """Regret at the largest size over the loss gained on the way to it; None unless the gain is clearly positive."""
    if reference is None or largest is None or reference is largest or not np.isfinite(largest.at).all():
        return None
    gain = reference.loss + reference.seed_effect - largest.loss - largest.seed_effect
    if np.quantile(gain, 0.025) <= 0:
        return None
    return quantiles((largest.at - largest.loss) / gain)


def _not_worse(drawn: Sequence[CurveDraws | None]) -> bool | None:
    """Whether growing never costs loss at the tuned optimum: True, False, or None where noise hides it."""
    steps = [
        quantiles(b.loss + b.seed_effect - a.loss - a.seed_effect)
        for a, b in pairwise(drawn)
        if a is not None and b is not None
    ]
    if any(step.low > 0 for step in steps):
        return False
    return True if steps and all(step.high <= 0 for step in steps) else None
