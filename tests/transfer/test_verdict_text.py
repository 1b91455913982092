"""The words around a verdict: limits, and what would settle it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from hptransfer.statistics.interval import Interval
from hptransfer.statistics.optimum import Optimum
from hptransfer.statistics.seed_means import Point
from hptransfer.statistics.wiener_process import DRAWS
from hptransfer.transfer.advice import next_steps
from hptransfer.transfer.cost import CostUnit
from hptransfer.transfer.criteria import Ladder, SizeEvidence, TransferCriteria
from hptransfer.transfer.evidence import with_loss
from hptransfer.transfer.verdict_text import evidence_limits

_INF = math.inf
_OPTIMUM = Optimum(
    log2_value=-8,
    low=-8.5,
    high=-7.5,
    standard_error=0.25,
    edge=None,
    loss=Interval(3, 2.9, 3.1),
    best_point=(-8, 3),
    noise=0.01,
    noise_from="seeds",
    curvature=0.01,
    cliff_distance=_INF,
    plateau=(-9, -7),
    n_points=18,
    n_seeds=2,
)


#: a doubling of compute gains 0.02 nats
_UNIT = CostUnit("compute", None, Interval(0.02, 0.015, 0.025), Interval(0.3, 0.1, 0.5), Interval(0.01, 0.008, 0.013))
_LOST = Interval(0.001, 0.0, 0.002)


def _ladder(
    cost: Interval,
    drift: Interval = Interval(0, -0.1, 0.1),  # noqa: B008 - it is frozen
    *,
    losses: tuple[float, ...] = (3.0, 2.9, 2.8, 2.7),
    criteria: TransferCriteria | None = None,
    unit: CostUnit = _UNIT,
    **optimum: Any,
) -> Ladder:
    lost = cost if math.isinf(cost.estimate) else _LOST
    sizes = tuple(
        SizeEvidence(
            64 * 2**step,
            _OPTIMUM,
            loss,
            lost,
            lost,
            lost.high,
            lost,
            cost,
            cost,
            cost,
            Interval(0.01, 0.005, 0.02),
            (),
            True,
            (Point(-8.0, 0, loss),),
        )
        for step, loss in enumerate(losses)
    )
    last = replace(sizes[-1], optimum=replace(_OPTIMUM, **optimum))
    return Ladder(
        "width",
        "learning_rate",
        2**-8,
        64,
        criteria or TransferCriteria(cost=0.25),
        unit,
        (*sizes[:-1], last),
        drift,
    )


_SETTLED = Interval(0.05, 0.0, 0.1)
_BOUNDED = TransferCriteria(cost=0.25, drift=0.15)
_DRIFTS = (Interval(0, -0.1, 0.1), Interval(0, -0.3, 0.3), Interval(0.15, 0, 0.3), Interval(0, -_INF, _INF))
_COSTS = (
    _SETTLED,
    Interval(0.25, 0, 1),
    Interval(0.1, 0, _INF),
    Interval(_INF, 0, _INF),
    Interval(_INF, _INF, _INF),
)


@pytest.mark.parametrize(("drift", "cost"), list(product(_DRIFTS, _COSTS)))
@pytest.mark.parametrize("edge", [{}, {"edge": "low", "low": -_INF}, {"edge": "high", "high": _INF}])
def test_every_open_verdict_gets_advice(drift: Interval, cost: Interval, edge: dict[str, Any]) -> None:
    """Open and infinite intervals once overflowed a number of seeds; there is a sentence for every one."""
    advice = next_steps(_ladder(cost, drift, criteria=_BOUNDED, **edge))
    assert advice.endswith(".")
    assert "inf" not in advice
    assert "nan" not in advice


def test_an_edge_is_extended_before_seeds_are_added() -> None:
    """More seeds tell nothing about an optimum beyond the grid."""
    advice = next_steps(_ladder(Interval(0.1, 0, _INF), edge="low", low=-_INF))
    assert "smaller values at width 512" in advice
    assert "seeds per value" not in advice


def test_a_value_that_was_not_sampled_is_to_be_run() -> None:
    """Where nothing is known at the transferred value, that run settles it, not more seeds elsewhere."""
    advice = next_steps(_ladder(Interval(_INF, 0, _INF)))
    assert "learning_rate 0.00391 itself at width 64, 128, 256, 512" in advice
    assert "seeds per value" not in advice


def test_the_number_of_seeds_shrinks_the_interval_enough() -> None:
    """Half width 0.3 must fall to 0.15: four times the two seeds."""
    assert "about 8 seeds per value" in next_steps(_ladder(_SETTLED, Interval(0, -0.3, 0.3), criteria=_BOUNDED)).lower()


def test_a_loss_that_fell_to_a_tenth_is_memorised() -> None:
    """Trap 2: a training loss near 0 makes every ratio to it meaningless; 0.2 against 3 is 6.7%."""
    assert any("memorised" in limit for limit in evidence_limits(_ladder(_SETTLED, losses=(3.0, 2.0, 1.0, 0.2))))
    assert not any("memorised" in limit for limit in evidence_limits(_ladder(_SETTLED)))


def test_more_seeds_are_priced() -> None:
    """Four sizes of two values each, twice the seeds and twice again: 4 sizes x 2 values x 6 seeds x 1e9 FLOPs."""
    ladder = _ladder(_SETTLED, Interval(0, -0.3, 0.3), criteria=_BOUNDED)
    points = tuple(Point(x, seed, 3.0, flops=1e9) for x in (-8.0, -7.0) for seed in range(2))
    priced = replace(ladder, sizes=tuple(replace(size, points=points) for size in ladder.sizes))
    assert next_steps(priced) == "About 8 seeds per value instead of 2 (48 more trials, 4.8e+10 FLOPs)."


def test_the_cost_decides_the_number_of_seeds_where_it_is_what_is_open() -> None:
    """0.15 doublings between estimate and upper end must fall to the 0.1 below the bound: 1.5^2 times two seeds."""
    advice = next_steps(_ladder(Interval(0.15, 0.05, 0.3)))

    assert "about 5 seeds per value instead of 2" in advice.lower()


def test_seeds_are_wanted_where_the_cost_is_open() -> None:
    """Only width 512 may cost too much: 3 more seeds at its one value."""
    ladder = _ladder(_SETTLED)
    last = replace(ladder.largest, cost=Interval(0.15, 0.05, 0.3), doublings=Interval(0.15, 0.05, 0.3))
    advice = next_steps(replace(ladder, sizes=(*ladder.sizes[:-1], last)))

    assert advice == "About 5 seeds per value instead of 2 at width 512 (3 more trials)."


def test_a_rate_that_may_be_nothing_is_what_is_to_be_known() -> None:
    """No number of seeds at the optimum bounds a cost in doublings that may gain nothing."""
    flat = replace(_UNIT, gain=Interval(0.001, -0.001, 0.003))
    ladder = _ladder(Interval(0.15, 0.05, _INF), unit=flat)

    assert "whether a doubling of compute gains anything decides it" in next_steps(ladder).lower()
    assert any("costs are given in deviations between seeds" in limit for limit in evidence_limits(ladder))


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ((64, 256), "add 1 size so that the ladder has 3 over at least 4x in width"),
        ((64,), "add 2 sizes so that the ladder has 3 over at least 4x in width"),
        ((64, 80, 96, 128), "add 1 size so that the ladder spans at least 4x in width"),
        ((64, 128, 256), None),
    ],
)
def test_a_ladder_that_is_too_short_gets_the_sizes_that_the_rule_asks_for(
    values: tuple[int, ...], advice: str | None
) -> None:
    """With two seeds TRANSFERS takes 3 sizes over 4x (docs/verdicts.md), and no more is asked for."""
    ladder = _ladder(_SETTLED)
    short = replace(
        ladder, sizes=tuple(replace(size, value=value) for size, value in zip(ladder.sizes, values, strict=False))
    )

    assert short.enough == (advice is None)
    assert ("add " in next_steps(short).lower()) == (advice is not None)
    assert advice is None or advice in next_steps(short).lower()


@pytest.mark.parametrize(
    ("values", "missing"),
    [((64, 128, 256), "add 1 size so that at least 4 span 8x"), ((64, 96, 128, 256), "add 1 size")],
)
def test_one_seed_is_told_both_ways_out(values: tuple[int, ...], missing: str) -> None:
    """A second seed, or 4 sizes over 8x with 5 values near each optimum (docs/verdicts.md)."""
    ladder = _ladder(_SETTLED)
    points = tuple(Point(x, 0, 3.0 + 0.01 * (x + 8) ** 2) for x in (-10.0, -9.0, -8.0, -7.0, -6.0))
    one = replace(_OPTIMUM, n_seeds=1, noise_from="scatter")
    sizes = tuple(
        replace(size, value=value, optimum=one, points=points)
        for size, value in zip(ladder.sizes, values, strict=False)
    )
    advice = next_steps(replace(ladder, sizes=sizes)).lower()

    assert advice.startswith("run a second seed at every value, or with this one ")
    assert missing in advice
    assert "values near" not in advice
    sparse = next_steps(replace(ladder, sizes=tuple(replace(size, points=points[1:]) for size in sizes)))
    assert "5 values near the optimum at width 64" in sparse


def test_limits_are_named_where_they_apply_and_nowhere_else() -> None:
    """A clean ladder over 8x has none; one without the proxy's runs, or that is less forgiving when large, says so."""
    ladder = _ladder(_SETTLED)
    without = replace(ladder, reference=32)

    assert evidence_limits(ladder) == ()
    assert evidence_limits(ladder, growth=Interval(0.1, 0.05, 0.15)) == ()
    assert evidence_limits(without) == ("The ladder has no runs at the proxy's own width 32.",)
    assert [limit.split(",")[0] for limit in evidence_limits(ladder, growth=Interval(0.5, 0.3, 0.7))] == [
        "The larger the width"
    ]


def test_the_drift_decides_the_number_of_seeds_by_its_distance_from_the_band() -> None:
    """Half width 0.15 must fall to the 0.1 between +0.05 and the band's end: 1.5^2 times the two seeds, rounded up."""
    advice = next_steps(_ladder(_SETTLED, Interval(0.05, -0.1, 0.2), criteria=_BOUNDED))

    assert "about 5 seeds per value instead of 2" in advice.lower()


def test_three_sizes_over_eight_times_are_no_reason_to_add_one() -> None:
    """More seeds are."""
    ladder = _ladder(_SETTLED, Interval(0, -0.3, 0.3), criteria=_BOUNDED)
    three = replace(ladder, sizes=(ladder.sizes[0], *ladder.sizes[2:]))

    assert "add " not in next_steps(three).lower()


def test_an_optimum_that_is_open_on_both_sides_is_at_no_end() -> None:
    """Losses that hardly differ have a lowest one at an end of the grid by chance."""
    limits = evidence_limits(_ladder(_LOST, edge="low", low=-_INF, high=_INF))
    assert "At width 512 the losses do not show on which side of the values tried the optimum lies." in limits


def test_a_divergence_costs_more_than_a_deviation_that_is_open_above() -> None:
    """One seed bounds the deviation from below alone; infinitely more loss is infinitely many of any deviation."""
    unit = replace(_UNIT, gain=None, exponent=None, deviation=Interval(0.01, 0.008, _INF))
    size = _ladder(_LOST).sizes[0]

    diverged = with_loss(size, np.full(DRAWS, _INF), unit, 0, open_above=False)
    assert diverged.deviations == Interval(_INF, _INF, _INF)
    finite = with_loss(size, np.full(DRAWS, 0.02), unit, 0, open_above=False)
    assert finite.deviations == Interval(0.02 / 0.01, 0.0, 0.02 / 0.008)
