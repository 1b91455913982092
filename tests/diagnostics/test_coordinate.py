"""The coordinate check on changes with known exponents."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from hptransfer.diagnostics._coordinate_rows import Measurement
from hptransfer.diagnostics.coordinate import CoordinateReport, judge_coordinates
from hptransfer.errors import UsageError
from hptransfer.statistics.slope import RowVerdict, fit_slope

WIDTHS = (128, 256, 512, 1024, 2048)


def _measured(
    slopes: dict[str, float],
    sizes: tuple[int, ...] = WIDTHS,
    *,
    steps: tuple[int, ...] = (1, 3, 10),
    seeds: int = 3,
    scatter: float = 0.03,
    kind: str = "hidden",
) -> list[Measurement]:
    rng = np.random.default_rng(0)
    return [
        Measurement(n, seed, step, layer, kind, 0.1 * n**slope * math.exp(scatter * rng.standard_normal()))
        for layer, slope in slopes.items()
        for n in sizes
        for step in steps
        for seed in range(seeds)
    ]


def _verdicts(report: CoordinateReport) -> dict[str, RowVerdict]:
    return {row.layer: row.verdict for row in report.rows}


@pytest.mark.parametrize(
    ("slope", "verdict"),
    # measured slopes of science.md section 1.1: muP Adam dh2 at t=1, dh3 at t=10; SP SGD dh3 at t=10; SP Adam dh2, df
    [(-0.020, "HOLDS"), (-0.077, "HOLDS"), (0.242, "FAILS"), (0.905, "FAILS"), (1.264, "FAILS")],
)
def test_slopes_are_told_apart(slope: float, verdict: str) -> None:
    """The parameterization that transfers passes, the standard one fails."""
    report = judge_coordinates(_measured({"hidden.1": slope}))
    assert report.verdict is RowVerdict(verdict)
    assert report.rows[0].slope == pytest.approx(slope, abs=0.03)


def test_noise_is_inconclusive() -> None:
    """A slope inside the band with an error that reaches out of it settles nothing."""
    assert judge_coordinates(_measured({"hidden.1": 0.1}, scatter=0.3)).verdict is RowVerdict.INCONCLUSIVE


def test_an_open_check_says_how_many_seeds_would_tell() -> None:
    """With as many seeds as it asks for, the same noise holds; where the slope itself is at the band, none would."""
    few = judge_coordinates(_measured({"hidden.1": 0.0}, scatter=0.3))
    (asked,) = re.findall(r"; (\d+) seeds, or a longer ladder, would tell", few.sentence)
    more = judge_coordinates(_measured({"hidden.1": 0.0}, scatter=0.3, seeds=int(asked)))
    edge = judge_coordinates(_measured({"hidden.1": 0.15}, scatter=0.3))

    assert few.verdict is RowVerdict.INCONCLUSIVE
    assert 4 <= int(asked) <= 30
    assert more.verdict is RowVerdict.HOLDS
    assert "; a longer ladder of widths would tell" in edge.sentence


def test_the_layer_at_fault_is_named() -> None:
    """One layer that was forgotten fails the check, alone."""
    report = judge_coordinates(_measured({"input": 0.0, "hidden.1": 0.9, "readout": 0.0}))
    assert report.verdict is RowVerdict.FAILS
    assert "hidden.1" in report.sentence
    assert _verdicts(report)["readout"] is RowVerdict.HOLDS


def test_a_change_that_vanishes_or_blows_up_fails() -> None:
    """A layer that does not move, or is not finite, has no exponent and does not transfer."""
    rows = _measured({"dead": 0.0, "fine": 0.0})
    for value in (0.0, None, math.inf):
        broken = [
            Measurement(m.size, m.seed, m.step, m.layer, m.kind, value) if m.layer == "dead" and m.size == 128 else m
            for m in rows
        ]
        assert _verdicts(judge_coordinates(broken)) == {"dead": RowVerdict.FAILS, "fine": RowVerdict.HOLDS}


def test_a_bend_is_reported() -> None:
    """The slope of the largest pair must agree with the whole ladder's, else the limit is not reached."""
    bent = [
        Measurement(n, seed, 1, "hidden", "hidden", 0.1 * (1 + 30 / n)) for n in (16, 32, 64, 128) for seed in range(2)
    ]
    (row,) = judge_coordinates(bent).rows
    assert not row.asymptotic


def test_depth_is_judged_from_step_three_on() -> None:
    """Trap 8: CompleteP's first step falls with depth and is right; it is shown, not judged."""
    rows = _measured({"input": -0.4}, (2, 4, 8), steps=(1,)) + _measured({"input": 0.0}, (2, 4, 8), steps=(3, 10))
    report = judge_coordinates(rows, axis="depth")
    assert report.verdict is RowVerdict.HOLDS
    assert [row.judged for row in report.rows] == [False, True, True]


def test_depth_compares_the_first_and_the_last_block() -> None:
    """Block 7 of 8 has no counterpart in a model of two blocks except as the last one."""
    rows = [
        Measurement(depth, seed, 3, f"blocks.{block}", "residual", 0.1 * depth, initial=float(depth))
        for depth in (2, 4, 8)
        for seed in range(2)
        for block in range(depth)
    ]
    report = judge_coordinates(rows, axis="depth")
    assert [row.layer for row in report.rows] == ["blocks.first", "blocks.last"]
    assert report.verdict is RowVerdict.HOLDS


def test_what_a_block_adds_is_not_judged_in_depth() -> None:
    """The branch of one block shrinks with depth by design."""
    rows = _measured({"blocks.0.down": -1.0}, (2, 4, 8), steps=(3,), kind="branch")
    assert not judge_coordinates(rows, axis="depth").rows[0].judged


def test_the_order_of_measurements_does_not_matter() -> None:
    """A reversed list gives the same report."""
    rows = _measured({"a": 0.0, "b": 0.3})
    assert judge_coordinates(rows) == judge_coordinates(rows[::-1])


def test_a_missing_seed_is_refused() -> None:
    """Slopes per seed need every size."""
    with pytest.raises(UsageError, match="once at every size and seed"):
        judge_coordinates(_measured({"a": 0.0})[1:])


@pytest.mark.parametrize(("sizes", "seeds"), [((128,), 3), (WIDTHS, 1)])
def test_one_size_or_one_seed_is_refused(sizes: tuple[int, ...], seeds: int) -> None:
    """There is no slope through one size and no error from one seed."""
    with pytest.raises(UsageError, match="at least two sizes and two seeds"):
        judge_coordinates(_measured({"a": 0.0}, sizes, seeds=seeds))


def test_what_a_random_readout_adds_is_taken_away() -> None:
    """Logits whose change is a learned part and a random one in squares, 0.1^2 + 16 / n: flat once that is taken.

    As they are they fall as n^-0.4 and fail: Yang et al. (2203.03466, appendix D.1) have the learned part constant and
    the random readout's as n^-1/2.
    """
    rows = [
        Measurement(n, seed, 1, "readout", "logits", math.hypot(0.1, 4 / n**0.5), random=4 / n**0.5)
        for n in WIDTHS[:4]
        for seed in range(2)
    ]

    (row,) = judge_coordinates(rows).rows
    (raw,) = judge_coordinates([replace(m, random=None) for m in rows]).rows

    assert row.slope == pytest.approx(0.0, abs=1e-9)
    assert row.verdict is RowVerdict.HOLDS
    assert raw.slope < -0.15
    assert raw.verdict is RowVerdict.FAILS


def test_what_is_left_of_logits_counts_by_how_well_it_is_known() -> None:
    """Flat learned parts, and random shares that scatter by 4% of their square.

    At the smallest width the learned part is a seventh of the square and its logarithm six times as uncertain. Slopes
    over 100 draws scatter by less than half of what they would were all widths to count alike.
    """
    rng = np.random.default_rng(0)
    weighted, alike = [], []
    for _ in range(100):
        rows = []
        for n in WIDTHS:
            share = 0.25 * (128 / n) ** 0.5
            for seed in range(3):
                whole = math.hypot(0.1, share * math.sqrt(1 + 0.04 * rng.standard_normal()))
                rows.append(Measurement(n, seed, 1, "readout", "logits", whole, random=share))
        left = np.array([math.sqrt(m.change**2 - m.random**2) for m in rows if m.change and m.random])
        weighted.append(judge_coordinates(rows).rows[0].slope)
        alike.append(fit_slope(left.reshape(5, 3).T, np.log2(WIDTHS)).estimate)

    assert np.std(weighted) < 0.5 * np.std(alike)
    assert abs(float(np.mean(weighted))) < 0.02


@pytest.mark.parametrize(("power", "verdict"), [(-0.5, "INCONCLUSIVE"), (0.5, "FAILS")])
def test_logits_that_are_all_random_share(power: float, verdict: str) -> None:
    """Nothing learned can be told apart: open where the change falls as it does; growth is never a random share's."""
    rows = [
        Measurement(n, seed, 1, "readout", "logits", n**power, random=1.01 * n**power)
        for n in WIDTHS
        for seed in range(2)
    ]

    report = judge_coordinates(rows)

    assert report.verdict is RowVerdict(verdict)
    assert report.rows[0].slope == pytest.approx(power)


def _stream(layer: str, power: float, depths: tuple[int, ...] = (2, 4, 8)) -> list[Measurement]:
    """A residual network: the stream's change is flat, one layer's in the last block goes as the last block's place."""
    return [
        m
        for depth in depths
        for seed in range(2)
        for m in (
            Measurement(depth, seed, 3, f"blocks.{depth - 1}", "residual", 0.1, 1.0),
            Measurement(depth, seed, 3, f"blocks.{depth - 1}.{layer}", "hidden", 0.1 * (1 - 1 / depth) ** power, 1.0),
        )
    ]


@pytest.mark.parametrize(("power", "verdict"), [(0.0, "HOLDS"), (0.5, "HOLDS"), (1.0, "HOLDS"), (-1.0, "FAILS")])
def test_a_layer_of_the_last_block_may_rise_with_its_place(power: float, verdict: str) -> None:
    """Its input has passed (L - 1) of L blocks: over depths 2, 4, 8 its change rises by depth^0.40 at most."""
    report = judge_coordinates(_stream("q", power), axis="depth")
    row = next(row for row in report.rows if row.layer == "blocks.last.q")

    # slope through log2 of 1/2, 3/4, 7/8 at 1, 2, 3: (log2(7/8) + 1) / 2
    assert row.allowed == pytest.approx((0.0, (math.log2(7 / 8) + 1) / 2))
    assert row.verdict is RowVerdict(verdict)


def test_growth_beyond_its_place_fails_in_the_last_block() -> None:
    """Depth^0.7 is no matter of place, and the allowance shrinks to 0.04 on a ladder of deeper networks."""
    shallow = [replace(m, change=0.1 * m.size**0.7) if "q" in m.layer else m for m in _stream("q", 0.0)]
    deep = [replace(m, change=0.1 * m.size**0.25) if "q" in m.layer else m for m in _stream("q", 0.0, (16, 32, 64))]

    assert judge_coordinates(shallow, axis="depth").verdict is RowVerdict.FAILS
    assert judge_coordinates(deep, axis="depth").verdict is RowVerdict.FAILS


def test_layers_of_the_first_block_are_shown_only() -> None:
    """After half a block of L the stream has changed by 1/L more than the embedding: a moving place, not a rule."""
    rows = [
        Measurement(depth, seed, 3, layer, kind, 0.1 / depth, 1.0)
        for depth in (2, 4, 8)
        for seed in range(2)
        for layer, kind in (("blocks.0", "residual"), ("blocks.0.up", "hidden"))
    ]

    judged = {row.layer: row.judged for row in judge_coordinates(rows, axis="depth").rows}

    assert judged["blocks.first.up"] is False
    assert judged["blocks.first"] is False


def test_without_residual_blocks_every_layer_is_compared() -> None:
    """A plain MLP has no stream to divide: its last hidden layer must be flat."""
    rows = _measured({"hidden.0": 0.3}, (2, 4, 8), steps=(3,))

    (first, _) = judge_coordinates(rows + _measured({"hidden.1": 0.0}, (2, 4, 8), steps=(3,)), axis="depth").rows

    assert first.judged
    assert first.allowed == (0.0, 0.0)


@pytest.mark.parametrize(("power", "verdict"), [(0.0, "HOLDS"), (0.5, "FAILS")])
def test_a_start_that_falls_is_no_growth(power: float, verdict: str) -> None:
    """The stream starts at sqrt(1 + 4 / L), so a flat change rises relative to it; one that grows still fails."""
    rows = [
        Measurement(depth, seed, 3, f"blocks.{depth - 1}", "residual", 0.1 * depth**power, math.sqrt(1 + 4 / depth))
        for depth in (2, 4, 8)
        for seed in range(2)
    ]

    (row,) = judge_coordinates(rows, axis="depth").rows

    assert row.slope == pytest.approx(power + row.allowed[1])
    assert row.slope > power + 0.2
    assert row.verdict is RowVerdict(verdict)
