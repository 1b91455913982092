"""Loss curves that obey an exact law collapse; wrong durations and wrong floors are seen."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hptransfer.diagnostics.collapse import CollapseOutcome, RunCurve, comparable, curves_of, judge_collapse
from hptransfer.errors import UsageError
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState
from tests.support.recipe_texts import MLP, load_text

FLOOR, MU, NU = 1.5, 0.5, 0.4
RATIO = NU / MU


def curves(*, seeds: int = 3, noise: float = 0.005, stretch: float = 0.0) -> list[RunCurve]:
    """L = L0 + t^-mu + p^-nu trained to t* = r^(-1/mu) p^(nu/mu), equations 5 to 7 of 2507.02119.

    `stretch` trains larger sizes for longer than compute-optimal: p^stretch times as long.
    """
    rng = np.random.default_rng(0)
    progress = np.linspace(0.02, 1, 200)
    found = []
    for size in (1e3, 4e3, 1.6e4, 6.4e4):
        duration = RATIO ** (-1 / MU) * size ** (NU / MU) * (size / 1e3) ** stretch
        reducible = (progress * duration) ** -MU + size**-NU
        for seed in range(seeds):
            # a seed's luck: an offset and a tilt of the reducible loss
            luck = 1 + noise * (rng.standard_normal() + rng.standard_normal() * (progress - 0.5))
            found.append(RunCurve(size, seed, progress, FLOOR + reducible * luck))
    return found


def test_the_exact_law_collapses_onto_its_closed_form() -> None:
    """Without noise the normalised curve is (r x^-mu + 1) / (r + 1), and sizes do not differ."""
    report = judge_collapse(curves(noise=0.0), floor=FLOOR)

    assert report.curve == pytest.approx((RATIO * report.progress**-MU + 1) / (RATIO + 1), rel=1e-4)
    assert report.between.max() < 1e-9


def test_sizes_that_differ_less_than_seeds_are_a_supercollapse() -> None:
    """Seeds differ by an offset that normalisation removes: sizes then differ less than seeds do."""
    report = judge_collapse(curves(), floor=FLOOR)

    assert report.outcome is CollapseOutcome.SUPERCOLLAPSE
    assert report.ratio is not None
    assert report.ratio < 1


def test_wrong_durations_break_the_collapse() -> None:
    """Durations that grow faster than compute-optimal: the curves no longer agree."""
    right, wrong = (judge_collapse(curves(noise=0.002, stretch=s), floor=FLOOR) for s in (0.0, 0.2))

    assert right.ratio is not None
    assert wrong.ratio is not None
    assert wrong.ratio > 3 * right.ratio
    assert wrong.outcome is CollapseOutcome.FAILS


def test_a_wrong_floor_is_shown_as_sensitivity() -> None:
    """The floor is the weak point: the ratio at another floor is larger, and it is in the report."""
    report = judge_collapse(curves(noise=0.002), floor=FLOOR, floors=(1.3, FLOOR, 9.0))

    assert [floor for floor, _ in report.sensitivity] == [1.3, FLOOR]
    assert report.sensitivity[0][1] > 2 * report.sensitivity[1][1]


def test_one_seed_is_judged_by_the_spread_alone_and_said_so() -> None:
    """Seed noise is unknown with one seed per size."""
    report = judge_collapse(curves(seeds=1, noise=0.0), floor=FLOOR)

    assert report.ratio is None
    assert report.outcome is CollapseOutcome.COLLAPSE
    assert "seed noise is unknown" in report.sentence


def test_trials_carry_their_curves() -> None:
    """Recorded (step, loss) pairs become curves over the share of training; diverged trials have none."""
    size = Size(64, 2, 8, 1000)
    done = Trial("a", size, {}, 0, TrialState.COMPLETE, 2.0, curve=((10, 4.0), (20, 3.0), (40, 2.0)))
    blown = Trial("b", size, {}, 1, TrialState.DIVERGED, math.inf, curve=((10, 4.0), (20, 9.0)))
    (found,) = curves_of([done, blown], "width")

    assert (found.size, found.progress.tolist()) == (64, [0.25, 0.5, 1.0])


@pytest.mark.parametrize(
    ("length", "holds"),
    [
        ("tokens_per_parameter: 20", True),
        ("steps: 100", False),  # the wide are then trained for less of their compute-optimal duration
        ("tokens_per_parameter: 20\n  warmup_steps: 10", False),  # another share of every run
        ("tokens_per_parameter: 20\n  warmup_tokens: 6400", False),
    ],
)
def test_curves_are_compared_where_the_papers_conditions_hold(tmp_path: Path, length: str, holds: bool) -> None:
    """A fixed multiple of the compute-optimal duration, and one schedule as a share of it; silence elsewhere."""
    text = MLP.replace("steps: 100", length).replace("  target:", "  parameters: {w64-d2: 9000}\n  target:")

    assert comparable(load_text(tmp_path, text).recipe) is holds


def test_what_cannot_be_compared_is_refused() -> None:
    """Two sizes, a floor above the losses, a curve that stops early."""
    runs = curves()
    for bad, floor in (
        (runs[:6], FLOOR),
        (runs, 9.0),
        ([*runs, RunCurve(9e9, 0, np.array([0.1, 0.5]), np.ones(2) * 3)], 1),
    ):
        with pytest.raises(UsageError):
            judge_collapse(bad, floor=floor)
