"""Predictions for a larger size hold the truth of synthetic ladders, and survive being written down."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from hptransfer.artifacts.facts import facts_of_record
from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.transfer import AxisRecord
from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.transfer.axis_facts import AxisFacts, Rung, SeedScatter, axis_facts_from_report, seed_scatter
from hptransfer.transfer.judge import AxisReport, judge_axis
from hptransfer.transfer.prediction import predict, prediction_document, register, registered
from hptransfer.trials.trial import Trial, TrialState

FLOOR, GAIN, EXPONENT, CURVATURE = 1.5, 8.0, 0.5, 0.03


def truth(width: int, x: float, drift: float) -> float:
    """Loss at log2 value x: a power law at the optimum, which starts at -8 and drifts, and a parabola about it."""
    best = -8 + drift * math.log2(width / 64)
    return float(FLOOR + GAIN * width**-EXPONENT + CURVATURE * (x - best) ** 2)


def report(drift: float) -> AxisReport:
    """Widths 64 to 512, three seeds of 0.2% noise, judged at the value that is best at 64."""
    rng = np.random.default_rng(3)
    trials = [
        Trial(
            f"{width}{k}{seed}",
            Size(width, 1, 1, 1),
            {"learning_rate": 2.0**k},
            seed,
            TrialState.COMPLETE,
            truth(width, k, drift) * (1 + 0.002 * float(rng.standard_normal())),
        )
        for width in (64, 128, 256, 512)
        for k in range(-12, -4)
        for seed in range(3)
    ]
    return judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=2.0**-8, reference=64)


@pytest.mark.parametrize("drift", [0.0, -0.3, 0.4])
def test_optimum_and_loss_eight_times_beyond_the_ladder(drift: float) -> None:
    """With and without drift: the true optimum and the true loss at the transferred value lie inside."""
    found = predict(
        [axis_facts_from_report(report(drift))], {"width": 4096}, hyperparameter="learning_rate", value=2.0**-8
    )

    assert found.optimum.contains(-8 + 6 * drift)
    assert found.loss is not None
    assert found.loss.contains(truth(4096, -8, drift))


def test_the_penalty_of_a_drift_is_foreseen() -> None:
    """At -0.3 octaves per doubling the value is 1.8 octaves off at width 4096, a penalty of 0.03 * 1.8^2 = 0.097."""
    found = predict(
        [axis_facts_from_report(report(-0.3))], {"width": 4096}, hyperparameter="learning_rate", value=2.0**-8
    )

    assert found.penalty is not None
    assert found.penalty.contains(0.097)
    assert found.penalty.low > 0


def test_facts_read_back_from_json_predict_the_same() -> None:
    """What `check` writes is enough: the prediction from transfer.json is that from the report."""
    fresh = report(0.0)
    stored = AxisRecord.model_validate_json(json.dumps(to_document(fresh)))
    one, other = (
        predict([facts], {"width": 4096}, hyperparameter="learning_rate", value=2.0**-8)
        for facts in (axis_facts_from_report(fresh), facts_of_record(stored))
    )

    assert prediction_document(one) == prediction_document(other)


def rungs(sizes: tuple[int, ...], gain: float) -> tuple[Rung, ...]:
    """Exact rungs: optimum -8 everywhere, loss 2 + gain / sqrt(size)."""
    losses = [2 + gain * size**-0.5 for size in sizes]
    return tuple(Rung(size, -8.0, 0.05, loss, loss, 0.03) for size, loss in zip(sizes, losses, strict=True))


def test_two_axes_add_up() -> None:
    """Width and depth both grow: gains from the proxy's loss add, and so do shifts of the optimum."""
    still = Interval(0.0, -0.05, 0.05)
    width = AxisFacts("width", 64, rungs((64, 128, 256, 512), 8), still)
    depth = AxisFacts("depth", 4, tuple(
        Rung(r.size, r.optimum, r.spread, r.best + 0.5, (r.loss or 0) + 0.5, 0.03) for r in rungs((4, 8, 16, 32), 1)
    ), still)  # fmt: skip
    found = predict([width, depth], {"width": 1024, "depth": 64}, hyperparameter="learning_rate", value=2.0**-8)
    alone = predict([width], {"width": 1024}, hyperparameter="learning_rate", value=2.0**-8)

    # at the proxy both ladders have loss 3; width gains 8/8 - 8/32, depth 1/2 - 1/8
    assert found.loss is not None
    assert alone.loss is not None
    assert found.loss.estimate == pytest.approx(3 - 0.75 - 0.375, abs=0.02)
    assert found.loss.high - found.loss.low > alone.loss.high - alone.loss.low
    assert found.optimum.high - found.optimum.low > alone.optimum.high - alone.optimum.low


def test_optima_that_are_known_exactly_still_scatter_about_their_path() -> None:
    """Four optima, each known to 0.001 octaves, and no drift: the next one is known to some hundredths, not better."""
    exact = tuple(replace(rung, spread=0.001) for rung in rungs((64, 128, 256, 512), 8))
    facts = AxisFacts("width", 64, exact, Interval(0.0, 0.0, 0.0))
    near, far = (
        predict([facts], {"width": width}, hyperparameter="learning_rate", value=2.0**-8).optimum
        for width in (1024, 4096)
    )

    assert near.estimate == pytest.approx(-8, abs=0.02)
    assert 0.02 < near.high - near.estimate < 0.3
    assert near.high - near.low < far.high - far.low


def test_a_size_whose_optimum_is_less_known_leaves_more_open() -> None:
    """Errors of 0.1 octaves against 0.001: a wider interval about the same optimum."""
    widths = []
    for error in (0.001, 0.1):
        given = tuple(replace(rung, spread=error) for rung in rungs((64, 128, 256, 512), 8))
        facts = AxisFacts("width", 64, given, Interval(0.0, 0.0, 0.0))
        found = predict([facts], {"width": 1024}, hyperparameter="learning_rate", value=2.0**-8).optimum
        assert found.contains(-8)
        widths.append(found.high - found.low)

    assert widths[1] > 1.5 * widths[0]


def test_the_penalty_is_curvature_times_squared_octaves() -> None:
    """Two octaves off the optimum at 0.03 nats per squared octave are 0.12 nats; the ends follow from the optimum's."""
    exact = tuple(replace(rung, spread=0.001) for rung in rungs((64, 128, 256, 512), 8))
    facts = AxisFacts("width", 64, exact, Interval(0.0, 0.0, 0.0))
    found = predict([facts], {"width": 1024}, hyperparameter="learning_rate", value=2.0**-6)

    assert found.penalty is not None
    assert found.penalty.estimate == pytest.approx(0.12, abs=0.002)
    assert found.penalty.low == pytest.approx(0.03 * (-6 - found.optimum.high) ** 2, rel=0.02)
    assert found.penalty.high == pytest.approx(0.03 * (-6 - found.optimum.low) ** 2, rel=0.02)


def test_optima_that_are_only_bounded_leave_the_target_open() -> None:
    """One known optimum shows no path: what is not known is not predicted, and no loss of a value that may drift."""
    known, *others = rungs((64, 128, 256), 8)
    facts = AxisFacts(
        "width", 64, (known, *(replace(rung, spread=math.inf) for rung in others)), Interval(0.0, -math.inf, 0.1)
    )
    found = predict([facts], {"width": 1024}, hyperparameter="learning_rate", value=2.0**-8)

    assert prediction_document(found)["optimum"]["low"] is None
    assert found.penalty is None
    assert found.loss is None
    assert "is open" in found.basis[-1]


def test_an_axis_that_was_not_checked_is_not_extrapolated() -> None:
    """More tokens than any checked run: no loss, and the reason."""
    facts = AxisFacts("width", 64, rungs((64, 128, 256), 8), Interval(0.0, -0.1, 0.1))
    found = predict([facts], {"width": 1024, "tokens": 10**9}, hyperparameter="learning_rate", value=2.0**-8)

    assert found.loss is None
    assert "tokens was not checked" in found.basis[-1]


@pytest.mark.parametrize("change", [{"loss": 2.0}, {"written": "2030-01-01"}, {"extra": 1}, {"sha256": "0" * 64}])
def test_an_edit_is_seen(change: dict[str, object]) -> None:
    """Another number, another date, another key, another hash."""
    document = register({"loss": 1.0, "target": {"width": 64}}, written="2026-01-01T00:00:00+00:00")

    assert registered(document) == document
    with pytest.raises(UsageError, match="as it was written"):
        registered(document | change)


def test_the_scatter_between_seeds_is_pooled_over_sizes_and_values() -> None:
    """By hand: deviations +-0.1 and +-0.3 of two pairs have the pooled variance (0.02 + 0.18) / 2."""
    runs = [
        (64, 0.0, 0, 2.1),
        (64, 0.0, 1, 1.9),
        (128, 0.5, 0, 2.3),
        (128, 0.5, 1, 1.7),
        (64, 3.0, 0, 9.0),
        (64, 3.0, 1, 2),
    ]

    found = seed_scatter(runs, 0.0)

    assert found is not None
    assert found.seeds == 2
    assert found.deviation == pytest.approx(0.1**0.5)
    assert seed_scatter([(64, 0.0, 0, 2.0), (128, 0.0, 0, 1.9)], 0.0) is None


def test_the_interval_is_that_of_one_run() -> None:
    """Fresh seeds of the quickstart ended outside an interval of the law alone, five of five at width 256."""
    exact = rungs((64, 128, 256, 512), 8)
    alone, scattered = (
        predict(
            [AxisFacts("width", 64, exact, Interval(0.0, -0.05, 0.05), scatter)],
            {"width": 1024},
            hyperparameter="learning_rate",
            value=2.0**-8,
        )
        for scatter in (None, SeedScatter(0.03, 4, 4))
    )

    assert alone.loss is not None
    assert scattered.loss is not None
    # 12 degrees of freedom: Student's quantile is 2.179; four seeds are common to all sizes
    assert scattered.loss.high - scattered.loss.estimate > 2.17 * 0.03 * math.sqrt(1 + 1 / 4)
    assert "How far another seed would end from this loss is not known" in " ".join(alone.basis)
    assert "Between 4 seeds one run's loss differs by 0.03" in " ".join(scattered.basis)


@pytest.mark.parametrize("loss", [-0.75, 0.0, math.inf])
def test_losses_that_no_power_law_fits_predict_none(loss: float) -> None:
    """An objective that is maximized is negative, and a ladder may have blown up: the optimum is predicted still."""
    exact = rungs((64, 128, 256, 512), 8)
    odd = (*exact[:-1], replace(exact[-1], best=loss, loss=loss))
    facts = AxisFacts("width", 64, odd, Interval(0.0, -0.05, 0.05))

    found = predict([facts], {"width": 1024}, hyperparameter="learning_rate", value=2.0**-8)

    assert found.loss is None
    assert "positive and finite" in " ".join(found.basis)
    assert found.optimum.bounded
