"""At fixed values: losses that rise with the size are listed, and noise is not taken for a rise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.transfer.mechanics import FixedValues, fixed_values

WIDTHS = (64, 128, 256, 512)
XS = tuple(-10 + 0.5 * step for step in range(9))


def ladder(
    loss: Callable[[int, float], float],
    *,
    seeds: int = 3,
    offset: float = 0.004,
    noise: float = 0.002,
    rng: int = 0,
    scale: tuple[float, float] = (0.0, 1.0),
    axis: str = "width",
) -> AxisReport:
    """A ladder over widths, each seed of each width with an offset of its own; an infinite loss is a divergence."""
    generator = np.random.default_rng(rng)
    groups = {}
    for width in WIDTHS:
        luck = offset * generator.standard_normal(seeds)
        groups[width] = [
            Point(x, seed, scale[0] + scale[1] * (clean + luck[seed] + noise * float(generator.standard_normal())))
            if math.isfinite(clean := loss(width, x))
            else Point(x, seed, math.inf, True)
            for x in XS
            for seed in range(seeds)
        ]
    return judge_ladder(groups, axis=axis, hyperparameter="learning_rate", transferred=2.0**-8, reference=64)


def better(width: int, x: float) -> float:
    """Wider is better at every value: 3 + 8 / width, and a bowl that does not move."""
    return 3 + 8 / width + 0.02 * (x + 8) ** 2


def drifting(width: int, x: float) -> float:
    """The optimum falls by half an octave per doubling: above it a wider model is worse, below it better."""
    return 3 + 2 / width + 0.1 * (x + 8 + 0.5 * math.log2(width / 64)) ** 2


def of(report: AxisReport) -> FixedValues:
    """What the report says; the axes here have values to compare."""
    found = fixed_values(report)
    assert found is not None
    return found


def test_where_wider_is_better_everywhere_it_says_yes() -> None:
    """The gain from 64 to 512 is 0.11 nats and every step is beyond the noise of many seeds."""
    found = of(ladder(better, seeds=8, offset=0.001, noise=0.001))

    assert found.never_worse is True
    assert (found.compared, found.rises) == (9, ())
    assert found.sentence == "at a fixed value no larger width is worse: yes, at all 9 values"


def test_where_the_optimum_falls_larger_values_rise() -> None:
    """At 2^-7, one octave above the smallest width's optimum, 512 is 0.1 (2.5^2 - 1) - 2/64 + 2/512 = 0.498 higher."""
    found = of(ladder(drifting))

    assert found.never_worse is False
    rises = {round(math.log2(rise.value), 1): rise for rise in found.rises}
    assert min(rises) >= -9.0  # at 2^-9 the widest is at 0.025 against 0.1
    at = rises[-7.0]
    assert at.by is not None
    assert (at.low, at.high) == (64, 512)
    assert at.by.contains(0.1 * (2.5**2 - 1) - 2 / 64 + 2 / 512)
    assert "NO, at" in found.sentence
    assert "higher at width 512 than at 64" in found.sentence


def test_a_value_that_diverges_at_larger_sizes_only_is_listed() -> None:
    """It trains at 64 and 128 and diverges from 256 on."""
    found = of(ladder(lambda width, x: math.inf if x == -6 and width > 128 else better(width, x)))
    (rise,) = [rise for rise in found.rises if rise.by is None]

    assert rise.value == 2.0**-6
    assert rise.high > 128
    assert "diverges at width" in found.sentence


def test_what_diverges_at_the_smallest_size_says_nothing() -> None:
    """A larger size that trains where a smaller one does not is no worse for it."""
    found = of(ladder(lambda width, x: math.inf if x == -6 and width < 128 else better(width, x)))

    assert found.rises == ()


def test_one_seed_tells_no_rise_but_a_divergence() -> None:
    """Without a second seed the seeds' own offsets are not known."""
    found = of(ladder(drifting, seeds=1))

    assert found.rises == ()
    assert found.never_worse is None
    assert "one seed does not tell" in found.sentence
    diverged = of(ladder(lambda width, x: math.inf if x == -6 and width > 128 else drifting(width, x), seeds=1))
    assert [rise.by for rise in diverged.rises] == [None]


def test_noise_alone_rises_nowhere() -> None:
    """Sizes that do not differ at all: about one ladder in twenty lists anything, all comparisons together."""
    seen = [of(ladder(lambda width, x: 3 + 0.02 * (x + 8) ** 2, seeds=3, rng=rng)) for rng in range(60)]

    assert sum(bool(found.rises) for found in seen) <= 4


def test_the_unit_of_the_loss_does_not_matter() -> None:
    """Losses written as 7 + 3 x loss: the same values, intervals three times as wide."""
    plain, scaled = of(ladder(drifting)), of(ladder(drifting, scale=(7.0, 3.0)))

    assert [rise.value for rise in plain.rises] == [rise.value for rise in scaled.rises]
    for before, after in zip(plain.rises, scaled.rises, strict=True):
        assert before.by is not None
        assert after.by is not None
        assert after.by.low == pytest.approx(3 * before.by.low, rel=1e-6)


@pytest.mark.parametrize("axis", ["batch_size", "tokens"])
def test_axes_of_the_run_are_not_asked(axis: str) -> None:
    """A larger batch on the same tokens may be worse at a fixed value, and nothing says otherwise."""
    assert fixed_values(ladder(drifting, axis=axis)) is None
