"""One parameterization against another: best losses, how much smaller the other may be, what is left at infinity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.judge import AxisReport, judge_ladder
from hptransfer.transfer.penalty import penalties

WIDTHS = (64, 128, 256, 512, 1024)
XS = tuple(-10 + 0.5 * step for step in range(9))


def group(
    best: Callable[[float], float],
    *,
    rng: int,
    widths: tuple[int, ...] = WIDTHS,
    optimum: float = -8.0,
    flops: bool = False,
) -> AxisReport:
    """A ladder whose lowest loss at a width is `best(width / 64)`; three seeds that differ by 0.001."""
    generator = np.random.default_rng(rng)
    groups = {
        width: [
            Point(x, seed, best(width / 64) + 0.03 * (x - optimum) ** 2 + 0.001 * float(generator.standard_normal()),
                  flops=float(width) ** 2 if flops else 0.0)
            for x in XS for seed in range(3)
        ]
        for width in widths
    }  # fmt: skip
    return judge_ladder(groups, axis="width", hyperparameter="learning_rate", transferred=2.0**-8, reference=64)


def mup(ratio: float) -> float:
    """2 + ratio^-0.5."""
    return float(2.0 + ratio**-0.5)


def test_a_constant_penalty_stays_at_infinite_size() -> None:
    """0.1 more at every width: R(inf) is 0.1, and the sign is told."""
    (found,) = penalties({"sp": group(lambda ratio: mup(ratio) + 0.1, rng=1), "mup": group(mup, rng=2)})

    assert (found.group, found.against) == ("sp", "mup")
    assert [each.size for each in found.sizes] == list(WIDTHS)
    assert all(each.loss.contains(0.1) and each.loss.high - each.loss.low < 0.02 for each in found.sizes)
    assert found.asymptote is not None
    assert found.asymptote.contains(0.1)
    assert found.asymptote.low > 0
    assert "stays above at infinite width" in found.sentence


def test_the_penalty_in_doublings_is_how_much_smaller_the_other_may_be() -> None:
    """2 + (8 / 2^d)^-0.5 = 2.1 + 8^-0.5 at width 512: 2^d = 1.646, so a width 0.719 doublings smaller does as well."""
    (found,) = penalties({"sp": group(lambda ratio: mup(ratio) + 0.1, rng=1), "mup": group(mup, rng=2)})
    at = next(each for each in found.sizes if each.size == 512)

    assert found.unit == "width"
    assert at.doublings is not None
    assert at.doublings.contains(0.719)
    assert at.doublings.high - at.doublings.low < 0.6
    assert "doublings of width" in found.sentence


def test_doublings_are_of_compute_where_runs_say_it() -> None:
    """FLOPs as width squared: a doubling of the width is two of compute, so it is twice as many."""
    made = {"sp": group(lambda ratio: mup(ratio) + 0.1, rng=1, flops=True), "mup": group(mup, rng=2, flops=True)}
    (found,) = penalties(made)
    at = next(each for each in found.sizes if each.size == 512)

    assert found.unit == "compute"
    assert at.doublings is not None
    assert at.doublings.contains(2 * 0.719)


def test_a_penalty_that_vanishes_is_not_said_to_stay() -> None:
    """0.3 ratio^-0.5 more: clearly worse at every width, and R(inf) = 0 lies in its interval."""
    (found,) = penalties({"sp": group(lambda ratio: mup(ratio) + 0.3 * ratio**-0.5, rng=3), "mup": group(mup, rng=4)})

    assert all(each.loss.low > 0 for each in found.sizes)
    assert found.asymptote is not None
    assert found.asymptote.contains(0)
    assert "is open" in found.sentence


def test_two_sizes_have_no_asymptote() -> None:
    """Two points lie on every law."""
    (found,) = penalties({"a": group(mup, rng=1, widths=(64, 512)), "b": group(lambda r: mup(r) - 0.1, rng=2)})

    assert found.asymptote is None
    assert [each.size for each in found.sizes] == [64, 512]
    assert found.group == "a"


def test_a_best_loss_on_an_edge_is_open_below() -> None:
    """The optimum lies beyond the grid: the group may be better than was seen, so nothing is said in doublings."""
    (found,) = penalties({"sp": group(lambda ratio: mup(ratio) + 0.1, rng=1, optimum=-5.0), "mup": group(mup, rng=2)})

    assert all(each.loss.low == -float("inf") for each in found.sizes)
    assert all(each.doublings is None for each in found.sizes)
    assert found.asymptote is None


def test_one_group_has_nothing_to_be_compared_with() -> None:
    """Nor do groups without a size in common."""
    assert penalties({"mup": group(mup, rng=1)}) == ()
    assert penalties({"a": group(mup, rng=1, widths=(64, 128)), "b": group(mup, rng=2, widths=(256, 512))}) == ()


def test_asymptotes_cover() -> None:
    """R(inf) = 0.05 with c n^-0.7 on top, noise 0.001: held by the interval in 28 of 30 draws or more."""
    held = 0
    for rng in range(30):
        above = group(lambda ratio: mup(ratio) + 0.05 + 0.1 * ratio**-0.7, rng=2 * rng, widths=(64, 128, 256, 512))
        (found,) = penalties({"sp": above, "mup": group(mup, rng=2 * rng + 1, widths=(64, 128, 256, 512))})
        assert found.asymptote is not None
        held += found.asymptote.contains(0.05)

    assert held >= 28


def test_the_unit_of_the_loss_cancels_in_doublings() -> None:
    """Losses as 5 + 2 x loss: the same doublings to rounding, differences twice as large."""
    plain = {"sp": group(lambda ratio: mup(ratio) + 0.1, rng=1), "mup": group(mup, rng=2)}
    scaled = {name: _scaled(report) for name, report in plain.items()}
    (before,), (after,) = penalties(plain), penalties(scaled)

    assert after.sizes[-1].loss.estimate == pytest.approx(2 * before.sizes[-1].loss.estimate, rel=0.05)
    assert before.sizes[-1].doublings is not None
    assert after.sizes[-1].doublings is not None
    assert after.sizes[-1].doublings.estimate == pytest.approx(before.sizes[-1].doublings.estimate, rel=0.05)


def _scaled(report: AxisReport) -> AxisReport:
    groups = {size.value: [Point(run.x, run.seed, 5 + 2 * run.loss) for run in size.points] for size in report.sizes}
    return judge_ladder(groups, axis="width", hyperparameter="learning_rate", transferred=2.0**-8, reference=64)


def seeded(extra: Callable[[float], float], offsets: np.ndarray, rng: int, *, first_seed: int = 0) -> AxisReport:
    """A ladder whose seeds add `offsets` (sizes x seeds) to all losses of a size; noise of 0.001 on top."""
    generator = np.random.default_rng(rng)
    groups = {
        width: [
            Point(x, first_seed + seed,
                  mup(width / 64) + extra(width / 64) + 0.03 * (x + 8) ** 2 + float(offsets[place, seed])
                  + 0.001 * float(generator.standard_normal()))
            for x in XS for seed in range(offsets.shape[1])
        ]
        for place, width in enumerate(WIDTHS[:4])
    }  # fmt: skip
    return judge_ladder(groups, axis="width", hyperparameter="learning_rate", transferred=2.0**-8, reference=64)


def above(ratio: float) -> float:
    """0.05 + 0.1 ratio^-0.7."""
    return float(0.05 + 0.1 * ratio**-0.7)


def test_what_a_seed_does_in_both_groups_cancels() -> None:
    """Three seeds that differ by 0.01 alike in both: their names tell, and intervals are less than half as wide."""
    offsets = np.random.default_rng(1).normal(0, 0.01, 3) * np.ones((4, 1))
    best = seeded(lambda _: 0.0, offsets, rng=1)
    (paired,) = penalties({"sp": seeded(above, offsets, rng=2), "mup": best})
    (strange,) = penalties({"sp": seeded(above, offsets, rng=2, first_seed=3), "mup": best})

    for one, other in zip(paired.sizes, strange.sizes, strict=True):
        assert one.loss.contains(above(one.size / 64))
        assert 2 * (one.loss.high - one.loss.low) < other.loss.high - other.loss.low


@pytest.mark.parametrize(("common", "other"), [(True, 0), (False, 0), (False, 3)])
def test_intervals_cover_what_seeds_do(common: bool, other: int) -> None:
    """Seeds of 0.01 at all sizes and 0.004 at one, the first alike in both groups or not, 20 ladders of 4 sizes.

    A ladder's sizes hold or miss together: of 95% intervals more than 3 ladders of 20 miss in 2 of 100 cases.
    """
    held = 0
    for index in range(20):
        rng = np.random.default_rng([index, 5])
        first, second = (rng.normal(0, 0.01, 3) + rng.normal(0, 0.004, (4, 3)) for _ in range(2))
        if common:
            shared = rng.normal(0, 0.01, 3)
            first, second = (shared + rng.normal(0, 0.004, (4, 3)) for _ in range(2))
        (found,) = penalties(
            {
                "sp": seeded(above, first, rng=2 * index, first_seed=other),
                "mup": seeded(lambda _: 0.0, second, rng=2 * index + 1),
            }
        )
        held += sum(each.loss.contains(above(each.size / 64)) for each in found.sizes)

    assert held >= 68
