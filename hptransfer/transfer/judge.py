"""Does the optimum carry over to larger sizes? An equivalence test on what it costs there, with three outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from hptransfer.errors import UsageError
from hptransfer.sizes import AXES, MODEL_AXES, Size, SizeAxis
from hptransfer.statistics.curve import CurveDraws
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import quantiles
from hptransfer.statistics.path import Path, drift_and_path
from hptransfer.statistics.seed_means import Point, SeedMeans
from hptransfer.transfer.advice import next_steps
from hptransfer.transfer.cost import COMPUTE, CostUnit, LentRate
from hptransfer.transfer.criteria import Ladder, SizeEvidence, TransferCriteria, bounds_of
from hptransfer.transfer.evidence import MeasuredLadder
from hptransfer.transfer.slices import CORNER, on_axis, on_slice, points_at_corner, points_by_size
from hptransfer.transfer.verdict_text import evidence_limits, excluded_by_proxy, sentence_of
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
        criteria: bounds that were asked for.
        sizes: evidence per size, increasing.
        unit: what costs are counted in, with what a doubling buys and how much one run differs between seeds.
        cost: what the transferred value costs at the size where it may cost most, in that unit.
        dearest: the size at which it may cost that.
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
    unit: CostUnit
    cost: Interval
    dearest: float
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

    @property
    def affordable(self) -> bool:
        """Whether what the value costs is for sure within every bound, at every size."""
        bounds = bounds_of(self.criteria, self.unit)
        return not any(bound.of(size).high > bound.most for bound in bounds for size in self.sizes)

    @property
    def allowed_loss(self) -> float:
        """Loss that the criteria allow at the largest size, in its unit; nan where none of them says it there."""
        asked, unit, last = self.criteria, self.unit, self.sizes[-1]
        by_bound = (
            unit.loss_of(unit.allowed(asked.cost)) if asked.cost is not None and unit.known else math.nan,
            asked.deviations * unit.deviation.estimate if asked.deviations is not None else math.nan,
            asked.regret * abs(last.optimum.loss.estimate) if asked.regret is not None else math.nan,
        )
        return min((loss for loss in by_bound if math.isfinite(loss)), default=math.nan)

    def lend(self) -> LentRate | None:
        """What this axis says of compute, for axes that do not show it; None where it has no clear rate."""
        values = [size.value for size in self.sizes]
        if self.reference not in values or any(math.isnan(size.optimum.curvature) for size in self.sizes):
            return None
        return LentRate.of(self.axis, self.unit, values.index(self.reference))


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
    judged = partial(judge_axis, hyperparameter=hyperparameter, transferred=transferred, criteria=criteria, noise=noise)
    asked = {axis: {"reference": getattr(proxy, axis), "following": following[axis]} for axis in axes}
    first = [judged(slices[axis], axis=axis, **asked[axis]) for axis in axes]
    lent = next((rate for report in first if (rate := report.lend()) is not None), None)
    reports = tuple(
        # runs that do not differ in compute say nothing of what it buys
        judged(slices[axis], axis=axis, lent=lent, **asked[axis])
        if lent is not None and report.unit.of != COMPUTE
        else report
        for axis, report in zip(axes, first, strict=True)
    )
    if ray is not None:
        reports = tuple(_on_ray(report, ray) if report.axis in MODEL_AXES else report for report in reports)
    if corner is not None:
        reports += (
            judge_ladder(
                points_at_corner(kept, proxy, corner, hyperparameter),
                axis=CORNER,
                hyperparameter=hyperparameter,
                transferred=transferred,
                reference=proxy.width * proxy.depth,
                criteria=criteria,
                noise=noise,
                lent=lent,
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
    lent: LentRate | None = None,
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
        lent: what another axis of the check says of compute.

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
        lent=lent,
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
    compute: Mapping[float, float] | None = None,
    lent: LentRate | None = None,
    regret_alone: bool = False,
    limits: Sequence[str] = (),
    drawn: Sequence[CurveDraws | None] | None = None,
    tables: Sequence[SeedMeans] | None = None,
) -> AxisReport:
    """Judge runs that are already sorted by size, whatever the size is.

    Args:
        groups: size -> its runs, increasing; only ratios of sizes matter, so a fraction is a size too.
        axis: what the size is called.
        hyperparameter: name of the hyperparameter that is judged.
        transferred: its value tuned at the reference, positive.
        reference: the size at which it was tuned.
        criteria: what counts as transfer; None for the defaults of `TransferCriteria`.
        noise: standard deviation of one run in nats where it is known from elsewhere; None for that of the criteria.
        compute: size -> floating point operations of a run, up to a factor, where runs do not count them; None where
            nothing is known of it: costs are then in doublings of the size.
        lent: what another axis of the check says of compute, for sizes that do not differ in it.
        regret_alone: whether drift does not count, as at a corner of width and depth.
        limits: what the runs cannot show because of how they were made, one sentence each.
        drawn: each size's curve with its loss at `transferred`, where it was not drawn from these runs alone, as from
            a surface over several hyperparameters; None draws them.
        tables: seed means of each size, where these runs were averaged before; None averages them.

    Raises:
        UsageError: a size has no finite loss.
    """
    criteria = criteria or TransferCriteria()
    by_size: dict[float, Sequence[Point]] = dict(groups.items())
    noise = criteria.noise if noise is None else noise
    measured = MeasuredLadder.of(by_size, axis, math.log2(transferred), noise, drawn, tables)
    unit = measured.unit(compute, lent)
    sizes = measured.sizes(unit, criteria)
    seen = [(value, draws) for value, draws in zip(by_size, measured.drawn, strict=True) if draws is not None]
    drift, path = drift_and_path(seen)
    ladder = Ladder(axis, hyperparameter, transferred, reference, criteria, unit, sizes, drift, regret_alone)
    not_worse, growth, other = _not_worse(measured), measured.growth, excluded_by_proxy(ladder)
    instead = None if other is None else measured.carrying(other).sizes(unit, criteria)
    return AxisReport(
        axis=axis,
        hyperparameter=hyperparameter,
        transferred=transferred,
        reference=reference,
        criteria=criteria,
        sizes=sizes,
        unit=unit,
        cost=ladder.dearest.cost,
        dearest=ladder.dearest.value,
        drift=drift,
        path=path,
        regret=sizes[-1].relative_regret,
        rho=_rho(measured, list(by_size).index(reference) if reference in by_size else None),
        wider_is_not_worse=not_worse,
        sensitivity_growth=growth,
        verdict=ladder.verdict,
        sentence=sentence_of(ladder),
        limits=(
            *evidence_limits(ladder, worse=not_worse is False, growth=growth, path=path, instead=instead),
            *limits,
        ),
        would_decide=next_steps(ladder) if ladder.verdict is Verdict.INCONCLUSIVE else None,
    )


def _rho(measured: MeasuredLadder, proxy: int | None) -> Interval | None:
    """Regret at the largest size over the loss gained on the way to it; None unless the gain is clearly positive."""
    last = len(measured.drawn) - 1
    largest, there = measured.drawn[last], measured.best(last)
    here = None if proxy is None or proxy == last else measured.best(proxy)
    if here is None or there is None or largest is None or not np.isfinite(largest.at).all():
        return None
    gain = here - there
    if np.quantile(gain, 0.025) <= 0:
        return None
    return quantiles((largest.at - largest.loss) / gain)


def _not_worse(measured: MeasuredLadder) -> bool | None:
    """Whether growing never costs loss at the tuned optimum: True, False, or None where noise hides it."""
    best = [measured.best(place) for place in range(len(measured.drawn))]
    steps = [quantiles(b - a) for a, b in pairwise(best) if a is not None and b is not None]
    if any(step.low > 0 for step in steps):
        return False
    return True if steps and all(step.high <= 0 for step in steps) else None
