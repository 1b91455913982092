"""The gradient noise scale on linear regression, where |G|^2 and tr S are exact (O9)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hptransfer.diagnostics.noise_scale import BatchPosition, GradientPair, judge_noise_scale, noise_scale
from hptransfer.errors import UsageError
from tests.support.oracles import RegressionGradients

PROBLEM = RegressionGradients(features=20, noise=0.5)


def pairs_of(seed: int, count: int, small: int = 16, parts: int = 8) -> list[GradientPair]:
    """Independent pairs; the big gradient is the mean of the small ones."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        gradients = PROBLEM.gradients(rng, parts * small).reshape(parts, small, -1).mean(axis=1)
        squares = (gradients**2).sum(axis=1)
        big = float((gradients.mean(axis=0) ** 2).sum())
        found.append(GradientPair(small, parts * small, float(squares.mean()), big))
    return found


def test_the_noise_scale_of_a_regression_is_found() -> None:
    """O9: |G|^2 = |Lambda d|^2, tr S = |Lambda d|^2 + (d' Lambda d + s2) tr Lambda; within 3% from 200,000 samples."""
    pairs = pairs_of(0, 200_000 // 128)

    assert noise_scale(pairs).estimate == pytest.approx(PROBLEM.noise_scale, rel=0.03)
    assert np.mean([pair.signal for pair in pairs]) == pytest.approx(PROBLEM.signal, rel=0.03)
    assert np.mean([pair.noise for pair in pairs]) == pytest.approx(PROBLEM.noise_trace, rel=0.01)


def test_intervals_of_the_noise_scale_cover() -> None:
    """Over 400 tables of 16 pairs the 95% interval holds the exact value in 92 to 98%."""
    hits = sum(noise_scale(pairs_of(seed, 16)).contains(PROBLEM.noise_scale) for seed in range(400))

    assert 0.92 <= hits / 400 <= 0.98


def test_a_mean_of_ratios_would_be_biased() -> None:
    """Negative control: with batches of 2 and 4 a ratio per pair is far off on average, the ratio of means is not."""
    pairs = pairs_of(1, 20_000, small=2, parts=2)
    each = float(np.mean([pair.noise / pair.signal for pair in pairs]))

    assert noise_scale(pairs).estimate == pytest.approx(PROBLEM.noise_scale, rel=0.1)
    assert abs(each / PROBLEM.noise_scale - 1) > 0.3


def test_a_signal_that_drowns_leaves_the_scale_open_above() -> None:
    """Pairs whose |G|^2 scatters about zero: the scale has a lower bound only."""
    rng = np.random.default_rng(0)
    pairs = [GradientPair(1, 2, 2 + float(x), 1 + float(y)) for x, y in 0.2 * rng.standard_normal((12, 2))]

    scale = noise_scale(pairs)

    assert math.isinf(scale.high)
    assert scale.low > 1


def test_one_pair_is_refused() -> None:
    """There is no interval from one."""
    with pytest.raises(UsageError, match="two pairs"):
        noise_scale(pairs_of(0, 1))


def run(seed: int, scale: float) -> dict[str, Any]:
    """A run whose noise scale is `scale` in both metrics: |G|^2 is 1."""
    pairs = [
        {"small": 1 + scale / 16 * luck, "big": 1 + scale / 128 * luck, "adapted_small": 2 + scale / 8 * luck,
         "adapted_big": 2 + scale / 64 * luck}
        for luck in (1 + 0.01 * seed, 1 - 0.01 * seed)
    ]  # fmt: skip
    return {"moments": [{"progress": 1.0, "small_batch": 16, "big_batch": 128, "pairs": pairs}]}


@pytest.mark.parametrize(("scale", "position"), [(200.0, "below"), (2.0, "above"), (16.0, "open")])
def test_the_batch_is_placed(scale: float, position: str) -> None:
    """A batch of 16 against scales of 200, 2 and 16 examples."""
    report = judge_noise_scale([run(1, scale), run(2, scale)], 16)

    assert report.position is BatchPosition(position)
    assert report.rows[0].adapted.estimate == pytest.approx(scale)
    assert report.rows[0].simple.estimate == pytest.approx(scale)


def test_what_twice_the_batch_would_change() -> None:
    """At a critical batch of 16 times the batch: steps 17 to 9 times the fewest, -47%; examples 17/16 to 18/16, +6%."""
    sentence = judge_noise_scale([run(1, 256.0), run(2, 256.0)], 16).sentence

    assert "47% fewer steps for 6% more examples" in sentence
    assert "tuned for it" in sentence


def test_a_batch_within_the_scales_of_training_is_open() -> None:
    """From 4 examples early to 400 late: 16 is neither below nor above, and the sentence has the whole range."""
    runs = [{"moments": run(seed, 4.0)["moments"] + run(seed, 400.0)["moments"]} for seed in (1, 2)]

    report = judge_noise_scale(runs, 16)

    assert report.position is BatchPosition.OPEN
    assert "10% to 48% fewer steps" in report.sentence


def test_training_that_blew_up_has_no_noise_scale() -> None:
    """One seed without moments is enough."""
    report = judge_noise_scale([run(1, 2.0), {"moments": []}], 16)

    assert report.position is BatchPosition.OPEN
    assert report.rows == ()
    assert "not finite" in report.sentence
