"""Verdicts on ladders whose truth is known."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hptransfer.artifacts.json_data import to_document
from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.transfer.criteria import TransferCriteria
from hptransfer.transfer.judge import AxisReport, judge, judge_axis
from hptransfer.trials.trial import Trial
from hptransfer.verdict import Verdict
from tests.support.oracles import LinearRegressionSgd, exact_optimum
from tests.support.synthetic_ladders import BEND, GRID, ladder, moved, parabola, trial

WIDTHS = (64, 128, 256, 512)
#: measured sweeps of other projects (its README says what they are)
DATA = Path(__file__).parents[1] / "data"


def _shifted(per_doubling: float, base: Callable[[float], float] = parabola) -> list[Callable[[float], float]]:
    return [moved(per_doubling * k, base) for k in range(4)]


def _judge(trials: Sequence[Trial], transferred: float = 2**-8, **options: Any) -> AxisReport:
    return judge_axis(
        trials, axis="width", hyperparameter="learning_rate", transferred=transferred, reference=64, **options
    )


def test_a_constant_optimum_transfers() -> None:
    """Four widths over 8x, two seeds, 0.1% noise and no drift."""
    report = _judge(ladder(_shifted(0.0), noise=0.001))
    assert report.verdict is Verdict.TRANSFERS
    assert report.drift.inside(0.15)
    assert report.cost.high < 0.25
    assert "costs at most" in report.sentence
    assert "doublings of width at width 64 to 512" in report.sentence


@pytest.mark.parametrize("seeds", [2, 3])
def test_one_spiked_run_at_the_transferred_value_is_no_drift(seeds: int) -> None:
    """A loss spike late in one run of the largest size: its seeds contradict each other, so they count for less."""
    trials = [
        replace(t, loss=t.loss + 0.1)
        if (t.size.width, t.seed) == (512, 1) and t.hyperparameters["learning_rate"] == 2**-8
        else t
        for t in ladder(_shifted(0.0), noise=0.001, seeds=seeds)
    ]
    report = _judge(trials)
    assert report.verdict is not Verdict.DRIFTS
    assert report.regret.low < 0.0025
    assert report.sizes[-1].spiked == (-8.0,)
    assert any("learning_rate 0.00391 seeds differ far more" in limit for limit in report.limits)


def test_seeds_that_agree_on_a_loss_are_believed() -> None:
    """The control: all seeds of the largest size lose as much at the transferred value, so it does cost that."""
    trials = [
        replace(t, loss=t.loss + 0.1) if t.size.width == 512 and t.hyperparameters["learning_rate"] == 2**-8 else t
        for t in ladder(_shifted(0.0), noise=0.001)
    ]
    report = _judge(trials)
    assert report.sizes[-1].spiked == ()
    assert report.regret.low > 0.0025


@pytest.mark.parametrize("per_doubling", [-0.5, 0.5])
def test_half_an_octave_per_doubling_drifts(per_doubling: float) -> None:
    """The negative control, as the standard parameterization shows it: 0.0195 nats where a doubling gains 0.02."""
    report = _judge(ladder(_shifted(per_doubling), noise=0.001, gain=0.02))
    assert report.verdict is Verdict.DRIFTS
    assert "does not carry over" in report.sentence
    assert report.would_decide is None


def test_a_drift_on_the_bound_is_inconclusive() -> None:
    """0.15 octaves per doubling lies neither inside nor outside +-0.15, where that was asked."""
    report = _judge(ladder(_shifted(0.15), noise=0.002), criteria=TransferCriteria(drift=0.15))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.would_decide


def test_a_drift_that_costs_nothing_is_no_drift() -> None:
    """Half an octave per doubling costs 0.02 nats at width 512, a fifth of what a doubling of width gains there.

    So the value carries over where a doubling of compute is allowed, half a doubling of a width, unless a drift was
    bounded as well.
    """
    trials = ladder(_shifted(0.5), noise=0.0005, seeds=3)
    report = _judge(trials, criteria=TransferCriteria(cost=1.0))

    assert report.drift.low > 0.4
    assert report.cost.contains(BEND * 1.5**2 / 0.1)
    assert report.verdict is Verdict.TRANSFERS
    assert _judge(trials, criteria=TransferCriteria(cost=1.0, drift=0.15)).verdict is Verdict.DRIFTS


def test_noise_makes_no_verdict() -> None:
    """At 2% noise nothing is settled, and the report says what would settle it."""
    report = _judge(ladder(_shifted(0.0), noise=0.02))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.would_decide


def test_one_seed_transfers_with_limits() -> None:
    """Four widths over 8x with values enough; what one seed cannot show is named, with where it was taken from."""
    report = _judge(ladder(_shifted(0.0), seeds=1, noise=0.0002))
    assert report.verdict is Verdict.TRANSFERS
    (limit,) = [limit for limit in report.limits if "One seed" in limit]
    assert "ladders of other recipes" in limit


def test_one_seed_may_transfer_when_noise_is_known() -> None:
    """Noise measured elsewhere takes the place of seeds."""
    assert _judge(ladder(_shifted(0.0), seeds=1, noise=0.0002), noise=0.001).verdict is Verdict.TRANSFERS


def test_two_sizes_never_transfer() -> None:
    """Trap 9: two sizes cannot show whether the optimum keeps moving."""
    report = _judge(ladder(_shifted(0.0)[:2], (64, 512), noise=0.0005))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("at least 3" in limit for limit in report.limits)


def test_a_short_ladder_never_transfers() -> None:
    """Three sizes within a factor of 2 say nothing about larger ones."""
    report = _judge(ladder(_shifted(0.0)[:3], (64, 96, 128), noise=0.0005))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "too few" in report.sentence


def test_two_sizes_may_drift() -> None:
    """A clear failure needs no long ladder."""
    assert _judge(ladder(_shifted(0.7)[::3], (64, 512), noise=0.001)).verdict is Verdict.DRIFTS


def test_divergence_at_the_transferred_value_drifts() -> None:
    """The proxy's learning rate blows up at the largest width."""
    losses = [*_shifted(0.0)[:3], lambda x: parabola(x + 2) if x < -8.3 else math.inf]
    report = _judge(ladder(losses, noise=0.001))
    assert report.verdict is Verdict.DRIFTS
    assert "training diverges at the proxy's value there" in report.sentence


def test_a_badly_tuned_value_is_not_called_drift() -> None:
    """When the value is as wrong at the proxy as at the largest width, the optimum did transfer: tune again."""
    report = _judge(ladder(_shifted(0.0), noise=0.0005, gain=0.02), transferred=2**-6.2)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("Tune again" in limit for limit in report.limits)


def test_edges_are_named() -> None:
    """Trap 3: a size whose best value is the largest tried is listed, and the remedy is a longer grid."""
    report = _judge(ladder(_shifted(0.2), xs=GRID[:5], noise=0.001))
    assert any("largest value tried" in limit for limit in report.limits)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.would_decide == "Extend the grid to larger values at width 64, 128, 256, 512."


def test_a_cliff_close_to_the_optimum_is_named() -> None:
    """Trap 7: less than an octave of room above the optimum is a limit of the evidence."""
    near = [lambda x: parabola(x) if x < -7.4 else math.inf] * 4
    assert any("divergence begins" in limit for limit in _judge(ladder(near, noise=0.001)).limits)


def test_narrow_widths_are_named() -> None:
    """Widths under 64 are dominated by finite-width effects."""
    report = _judge(ladder(_shifted(0.0), (16, 32, 64, 128), noise=0.001))
    assert any("Width 16 is under 64" in limit for limit in report.limits)


def test_a_larger_size_that_trains_worse_is_named() -> None:
    """Discretisation only costs: at its own optimum a wider network must not be worse."""
    growing = [lambda x, k=k: parabola(x) * (1 + 0.05 * k) + 0.1 * k for k in range(4)]
    report = _judge(ladder(growing, noise=0.001))
    assert report.wider_is_not_worse is False
    assert any("scaling mistake" in limit for limit in report.limits)


def test_transfer_is_fast_when_regret_is_small_against_the_gain() -> None:
    """Rho is regret over the loss gained; losses here fall by 0.1 nats per doubling and regret is near zero."""
    report = _judge(ladder(_shifted(0.0), noise=0.001))
    assert report.rho is not None
    assert report.rho.high < 0.05


def test_rho_is_that_of_the_largest_size() -> None:
    """0.3 octaves per doubling: 0.9 octaves off at width 512, where 0.3 nats were gained on the way from width 64."""
    report = _judge(ladder(_shifted(0.3), noise=0.0002, seeds=3))
    assert report.rho is not None
    assert report.rho.contains(BEND * 0.9**2 / 0.3)
    assert not report.rho.contains(BEND * 0.6**2 / 0.2)  # width 256


def test_a_size_without_a_curve_leaves_open_whether_growing_helps() -> None:
    """Two usable values show no optimum: nothing is compared with it, and the other sizes are judged."""
    trials = [
        t
        for t in ladder(_shifted(0.0), noise=0.001)
        if t.size.width != 128 or t.hyperparameters["learning_rate"] < 2**-9
    ]
    few = {t.hyperparameters["learning_rate"] for t in trials if t.size.width == 128}
    report = _judge([t for t in trials if t.size.width != 128 or t.hyperparameters["learning_rate"] in sorted(few)[:2]])

    assert any("under three usable values" in limit for limit in report.limits)
    assert report.wider_is_not_worse is True  # from width 256 to 512


@pytest.mark.parametrize(("widths", "verdict"), [((64, 128, 256), "TRANSFERS"), ((64, 96, 128), "INCONCLUSIVE")])
def test_three_sizes_over_four_times_are_just_enough(widths: tuple[int, ...], verdict: str) -> None:
    """The rule's own numbers: at least 3 sizes over at least 4x."""
    assert _judge(ladder([parabola] * 3, widths, noise=0.0005, seeds=3)).verdict == verdict


def test_one_size_has_no_drift() -> None:
    """Nothing is known about it, and no number is made up."""
    drift = _judge([t for t in ladder(_shifted(0.0), noise=0.001) if t.size.width == 64]).drift

    assert (drift.estimate, drift.low, drift.high) == (0.0, -math.inf, math.inf)


def test_a_single_seed_is_named_as_what_is_missing() -> None:
    """And only a single one, and only where it cannot settle: three widths, where four are asked for."""
    said = "a single seed can tell only with 4 sizes over 8x and 5 values near each optimum"

    assert said in _judge(ladder(_shifted(0.0)[:3], (64, 128, 512), seeds=1, noise=0.0002)).sentence
    assert said not in _judge(ladder(_shifted(0.2), seeds=1, noise=0.001)).sentence
    assert said not in _judge(ladder(_shifted(0.2), seeds=2, noise=0.001)).sentence


def test_a_value_below_the_divergence_that_was_not_tried_is_open_and_not_lost() -> None:
    """Between the last value that trained and the first that diverged nobody knows; from there on it is lost."""
    cliff = [parabola, parabola, parabola, lambda x: parabola(x) if x < -7.9 else math.inf]
    trials = [
        t for t in ladder(cliff, noise=0.001) if t.size.width != 512 or t.hyperparameters["learning_rate"] != 2**-7.5
    ]
    between, beyond = _judge(trials, transferred=2**-7.8), _judge(trials, transferred=2**-7)

    assert between.regret.low < 0.0025
    assert between.regret.high == math.inf
    assert beyond.regret.low == math.inf


def test_rho_is_undefined_without_a_gain() -> None:
    """Trap 10: with no loss gained from size the ratio means nothing."""
    flat = [lambda x, k=k: parabola(x) + 0.1 * k for k in range(4)]
    assert _judge(ladder(flat, noise=0.001)).rho is None


def test_the_order_of_trials_does_not_matter() -> None:
    """A permuted trial list gives the same report."""
    trials = ladder(_shifted(0.1), noise=0.002)
    shuffled = trials.copy()
    random.Random(1).shuffle(shuffled)
    assert json.dumps(to_document(_judge(trials))) == json.dumps(to_document(_judge(shuffled)))


def test_any_positive_hyperparameter_is_judged() -> None:
    """Nothing is particular to the learning rate."""
    trials = ladder(_shifted(0.0), noise=0.001, name="weight_decay")
    report = judge_axis(trials, axis="width", hyperparameter="weight_decay", transferred=2**-8, reference=64)
    assert report.verdict is Verdict.TRANSFERS


def test_criteria_move_the_verdict() -> None:
    """A drift of 0.3 costs 0.35 doublings where each gains 0.02 nats: within 2, and beyond 0.1."""
    trials = ladder(_shifted(0.3), noise=0.0005, gain=0.02, seeds=3)
    assert _judge(trials, criteria=TransferCriteria(cost=0.1)).verdict is Verdict.DRIFTS
    assert _judge(trials, criteria=TransferCriteria(cost=2, drift=0.6, regret=0.05)).verdict is Verdict.TRANSFERS


@pytest.mark.parametrize("name", ["cost", "deviations", "drift", "regret", "noise"])
def test_criteria_must_be_positive(name: str) -> None:
    """A band without width can never hold."""
    with pytest.raises(UsageError, match=f"{name} > 0"):
        TransferCriteria(**{name: 0.0})


def test_criteria_must_bound_the_cost() -> None:
    """A drift alone says nothing of what a value costs."""
    with pytest.raises(UsageError, match="bound what a value may cost"):
        TransferCriteria(cost=None, drift=0.15)
    assert TransferCriteria(cost=None, deviations=1.0).cost is None


def test_axes_are_judged_apart_and_combined() -> None:
    """Width holds, depth drifts: the whole drifts, and says so about depth."""
    trials = ladder(_shifted(0.0), noise=0.001)
    deeper = [
        replace(t, size=Size(64, t.size.width // 32, 64, 64_000))
        for t in ladder(_shifted(1.3), noise=0.001)
        if t.size.width > 64
    ]
    report = judge([*trials, *deeper], proxy=Size(64, 2, 64, 64_000), hyperparameter="learning_rate", transferred=2**-8)
    assert {axis.axis: axis.verdict for axis in report.axes} == {"width": Verdict.TRANSFERS, "depth": Verdict.DRIFTS}
    assert report.verdict is Verdict.DRIFTS
    assert "depth 16" in report.sentence


def test_other_hyperparameters_are_held() -> None:
    """A search over weight decay as well is cut to the tuned slice, or refused when the slice is not named."""
    trials = [replace(t, hyperparameters={**t.hyperparameters, "weight_decay": 0.1}) for t in ladder(_shifted(0.0))]
    strays = [replace(t, hyperparameters={**t.hyperparameters, "weight_decay": 0.3}) for t in trials]
    options: dict[str, Any] = {
        "proxy": Size(64, 2, 64, 64_000),
        "hyperparameter": "learning_rate",
        "transferred": 2**-8,
    }
    with pytest.raises(UsageError, match="only learning_rate may vary"):
        judge([*trials, *strays], **options)
    assert judge([*trials, *strays], held={"weight_decay": 0.1}, **options) == judge(trials, **options)


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([], "at least two sizes"),
        ([trial(2**-8, 3.0)], "at least two sizes"),
    ],
)
def test_nothing_to_judge_is_refused(trials: list[Trial], message: str) -> None:
    """One size has no drift."""
    with pytest.raises(UsageError, match=message):
        judge(trials, proxy=Size(64, 2, 64, 64_000), hyperparameter="learning_rate", transferred=2**-8)


def test_a_value_of_zero_is_refused() -> None:
    """There is no octave below zero."""
    with pytest.raises(UsageError, match="weight_decay > 0"):
        judge_axis(
            [trial(0.0, 3.0, name="weight_decay")],
            axis="width",
            hyperparameter="weight_decay",
            transferred=0.1,
            reference=64,
        )


def _oracle_trials(widths: Sequence[int], spacing: float = 0.5, seeds: int = 2) -> list[Trial]:
    """O2: SGD on the first modes of a power-law spectrum, 0.3% noise."""
    rng = np.random.default_rng(0)
    xs = np.arange(-4, 0.1, spacing)
    return [
        trial(float(2**x), float(y * (1 + 0.003 * rng.standard_normal())), width=width, seed=seed)
        for width in widths
        for x, y in zip(xs, LinearRegressionSgd(width, 200, 4).losses(np.exp2(xs)), strict=True)
        for seed in range(seeds)
    ]


def test_truncated_features_drift_at_first() -> None:
    """O2: from 8 to 64 modes the exact optimum rises by 0.6 octaves per doubling."""
    widths = (8, 16, 32, 64)
    truth = [exact_optimum(LinearRegressionSgd(width, 200, 4).losses, -8, 1) for width in widths]
    report = judge_axis(
        _oracle_trials(widths), axis="width", hyperparameter="learning_rate", transferred=2 ** truth[0], reference=8
    )
    assert report.verdict is Verdict.DRIFTS
    assert report.drift.contains(float(np.polyfit(np.log2(widths), truth, 1)[0]))


def test_truncated_features_recover() -> None:
    """O2: from 128 modes on the truncation stops to matter (exact drift under 0.02), and a wider one gains little.

    128 modes lose 0.0009 more than 1024, 512 only 0.00003, a ninth of what a run scatters by: the cost is small in
    deviations between seeds, and whether it is small in doublings of such a width is open.
    """
    truth = exact_optimum(LinearRegressionSgd(128, 200, 4).losses, -8, 1)
    options: dict[str, Any] = {
        "axis": "width",
        "hyperparameter": "learning_rate",
        "transferred": 2**truth,
        "reference": 128,
    }
    trials = _oracle_trials((128, 256, 512, 1024), spacing=0.25)
    chosen = TransferCriteria(cost=None, deviations=1.0)

    assert judge_axis(trials, **options).verdict is Verdict.INCONCLUSIVE
    assert judge_axis(trials, criteria=chosen, **options).verdict is Verdict.TRANSFERS


def test_gemstones_wide_shapes_do_not_take_the_narrow_rate() -> None:
    """Gemstones preflight (MIT): the best of six rates falls from 5e-3 at width 256 to 5e-4 at 3072.

    Six rates over nine octaves and one seed leave the end of the interval within 0.15; what it excludes is no drift.
    """
    lines = (DATA / "gemstones" / "gemstones_preflight.csv").read_text().splitlines()[1:]
    trials = [trial(float(lr), float(loss), width=int(w)) for w, _, lr, loss in (line.split(",") for line in lines)]
    report = judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=0.005, reference=256)
    assert report.verdict is Verdict.DRIFTS
    assert report.drift.high < 0
    assert report.drift.estimate < -1


def _one_seed(largest: Callable[[float], float]) -> AxisReport:
    trials = ladder([parabola] * 3 + [largest], seeds=1, noise=0.001)
    return judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=2**-8, reference=64)


def test_one_seed_proves_a_drift_by_a_flank_and_not_by_one_run() -> None:
    """A flank of blown-up runs below which the optimum lies is drift; one blown-up run may be an accident."""
    assert _one_seed(lambda x: parabola(x + 1.5) if x < -8.1 else 7.8).verdict is Verdict.DRIFTS
    report = _one_seed(lambda x: 7.8 if x == -8 else parabola(x))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.sizes[-1].spiked == (-8.0,)
    assert math.isinf(report.sizes[-1].cost.high)
    assert any("the only run lies far off what the values beside it lead to" in limit for limit in report.limits)
    assert "Run learning_rate 0.00391 with another seed at width 512" in (report.would_decide or "")


def test_one_wrong_run_beside_the_carried_value_decides_nothing() -> None:
    """A lucky run an octave off at the largest of five sizes, far below all others, changes no verdict."""

    def lucky(x: float) -> float:
        return parabola(x) - 0.1 if x == -7 else parabola(x)

    wide = [-8 + 0.5 * step for step in range(-6, 7)]
    trials = ladder([parabola] * 4 + [lucky], (64, 128, 256, 512, 1024), wide, seeds=1, noise=0.0002)
    report = judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=2**-8, reference=64)
    assert report.sizes[-1].spiked == (-7.0,)
    assert report.verdict is Verdict.TRANSFERS
    assert report.sizes[-1].optimum.interval.contains(-8)
