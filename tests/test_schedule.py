"""Schedules against numbers worked out by hand, and against those of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import optimization as peers

from hptransfer.schedule import Schedule, schedule_factor


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # 10 steps, 2 of them warmup (1/2, 2/2), then 8 steps from the peak
        ("constant", [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        # down by 1/8 per step; step 10 would be zero
        ("linear", [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        # half of 1 + cos(k pi / 8): cos(pi/8) = 0.9238795325, cos(pi/4) = 0.7071067812, cos(3 pi/8) = 0.3826834324
        (
            "cosine",
            [0.5, 1, 1, 0.9619397663, 0.8535533906, 0.6913417162, 0.5, 0.3086582838, 0.1464466094, 0.0380602337],
        ),
    ],
)
def test_factors_by_hand(schedule: Schedule, expected: list[float]) -> None:
    """Warmup rises to the peak, and the rest follows the named curve."""
    assert [schedule_factor(schedule, step, 10, 0.2) for step in range(10)] == pytest.approx(expected, abs=1e-9)


def test_no_warmup_starts_at_the_peak() -> None:
    """Without warmup the first step already takes the peak rate."""
    assert schedule_factor("linear", 0, 100, 0.0) == 1.0


def test_all_warmup_ends_at_the_peak() -> None:
    """With warmup 1 the whole run rises, and nothing is divided by zero."""
    assert [schedule_factor("cosine", step, 4, 1.0) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd", "inverse-sqrt"])
@pytest.mark.parametrize("warmup", [0.0, 0.01, 0.5, 1.0])
def test_no_step_is_wasted(schedule: Schedule, warmup: float) -> None:
    """No step has rate zero, none exceeds the peak, even in runs of one step."""
    for steps in (1, 2, 7):
        factors = [schedule_factor(schedule, step, steps, warmup) for step in range(steps)]
        assert all(0 < factor <= 1 for factor in factors)


def noisy_quadratic(schedule: Schedule, steps: int) -> float:
    """What a schedule at its best peak leaves of v = E w^2, relative to the best of all schedules (O8).

    w <- w - rate (w + noise), curvature, noise and v at the start one: v <- (1 - rate)^2 v + rate^2. The best rate at
    every step, v / (v + 1), leaves 1 / (1 + T).
    """
    peaks = np.exp2(np.arange(-12.0, 0.01, 0.05))
    v = np.ones(len(peaks))
    for step in range(steps):
        rates = peaks * schedule_factor(schedule, step, steps, 0.0)
        v = (1 - rates) ** 2 * v + rates**2
    return float(v.min() * (1 + steps))


@pytest.mark.parametrize(
    ("steps", "linear", "constant"), [(64, 1.23, 1.66), (256, 1.34, 1.99), (1024, 1.44, 2.33), (4096, 1.54, 2.68)]
)
def test_decay_to_zero_beats_a_constant_rate_on_a_noisy_quadratic(steps: int, linear: float, constant: float) -> None:
    """O8: linear decay is 23 to 44% above the best schedule for T = 64 to 1024, a constant rate 66 to 133% (section 8).

    The advantage of decay to zero is that of Bergsma et al. 2502.15938.
    """
    assert noisy_quadratic("linear", steps) == pytest.approx(linear, abs=0.006)
    assert noisy_quadratic("constant", steps) == pytest.approx(constant, abs=0.006)


STEPS, RISING = 200, 20
#: some of transformers' functions have no types
untyped: Any = peers


def rates_of(make: Callable[[torch.optim.Optimizer], Any], steps: int = STEPS) -> list[float]:
    """Learning rates that an unmodified scheduler gives an optimizer whose peak is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


PEERS: dict[str, tuple[Schedule, dict[str, float], Callable[[torch.optim.Optimizer], Any]]] = {
    "linear": ("linear", {}, lambda optimizer: untyped.get_linear_schedule_with_warmup(optimizer, RISING, STEPS)),
    "cosine": ("cosine", {}, lambda optimizer: peers.get_cosine_schedule_with_warmup(optimizer, RISING, STEPS)),
    "cosine to a floor": (
        "cosine",
        {"floor": 0.1},
        lambda optimizer: peers.get_cosine_with_min_lr_schedule_with_warmup(optimizer, RISING, STEPS, min_lr_rate=0.1),
    ),
    "wsd": (
        "wsd",
        {"decay_share": 0.3},
        lambda optimizer: peers.get_wsd_schedule(optimizer, RISING, 60, STEPS, decay_type="linear"),
    ),
    "wsd to a floor": (
        "wsd",
        {"decay_share": 0.3, "floor": 0.2},
        lambda optimizer: peers.get_wsd_schedule(optimizer, RISING, 60, STEPS, decay_type="linear", min_lr_ratio=0.2),
    ),
    "inverse-sqrt": ("inverse-sqrt", {}, lambda optimizer: peers.get_inverse_sqrt_schedule(optimizer, RISING)),
    "constant": ("constant", {}, lambda optimizer: peers.get_constant_schedule_with_warmup(optimizer, RISING)),
}


@pytest.mark.parametrize(("schedule", "given", "peer"), PEERS.values(), ids=PEERS)
def test_schedules_are_those_of_transformers(
    schedule: Schedule, given: dict[str, float], peer: Callable[[torch.optim.Optimizer], Any]
) -> None:
    """From the end of the warmup on; transformers' own begins at rate zero, which would waste the first step."""
    ours = [schedule_factor(schedule, step, STEPS, RISING / STEPS, **given) for step in range(STEPS)]

    assert ours[RISING:] == pytest.approx(rates_of(peer)[RISING:], rel=1e-12)
    assert ours[:RISING] == pytest.approx([(step + 1) / RISING for step in range(RISING)])


def test_a_floor_is_where_linear_decay_ends() -> None:
    """Half the way down from 1 to 0.2 is 0.6; step number `steps` would reach 0.2, and the warmup is as without."""
    factors = [schedule_factor("linear", step, 10, 0.2, floor=0.2) for step in range(10)]

    assert factors == pytest.approx([0.5, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])


def test_wsd_without_room_decays_from_the_end_of_the_warmup() -> None:
    """A decay share of 1 is linear decay; one of 0 is constant."""
    whole = [schedule_factor("wsd", step, 50, 0.1, decay_share=1.0) for step in range(50)]
    none = [schedule_factor("wsd", step, 50, 0.1, decay_share=0.0) for step in range(50)]

    assert whole == [schedule_factor("linear", step, 50, 0.1) for step in range(50)]
    assert none == [schedule_factor("constant", step, 50, 0.1) for step in range(50)]


def test_inverse_sqrt_without_warmup_counts_from_the_first_step() -> None:
    """1, 1/sqrt(2), 1/sqrt(3), 1/2."""
    factors = [schedule_factor("inverse-sqrt", step, 4, 0.0) for step in range(4)]

    assert factors == pytest.approx([1, 0.7071067812, 0.5773502692, 0.5])
