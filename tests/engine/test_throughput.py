"""How fast runs are: what finished trials achieved, at their own sizes and elsewhere."""

from __future__ import annotations

from hptransfer.engine.throughput import achieved, given
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState

SMALL, LARGE, OTHER = Size(16, 2, 8, 100), Size(64, 2, 8, 100), Size(64, 2, 16, 100)


def trial(size: Size, flops: float, seconds: float) -> Trial:
    """A finished one."""
    return Trial("k", size, {}, 0, TrialState.COMPLETE, 1.0, flops=flops, seconds=seconds)


def test_each_size_has_its_own_rate_and_others_the_largests() -> None:
    """FLOPs over seconds, summed over a size's trials: 100 at the small one, (900 + 900) / (1 + 2) at the large one."""
    found = achieved([trial(SMALL, 100, 1), trial(LARGE, 900, 1), trial(LARGE, 900, 2)])

    assert found.seconds(1000, SMALL) == 10
    assert found.seconds(1200, LARGE) == 2
    assert found.seconds(1200, OTHER) == 2
    assert "600 FLOP/s, that of w64-d2" in found.source


def test_trials_that_say_nothing_are_left_out() -> None:
    """No FLOPs, or no time; then no time is known."""
    found = achieved([trial(SMALL, 0, 1), trial(SMALL, 5, 0)])

    assert found.everywhere is None
    assert found.seconds(1000, SMALL) is None


def test_unknown_flops_have_no_time() -> None:
    """Whatever the speed."""
    assert given(10.0).seconds(None, SMALL) is None
    assert given(10.0).seconds(100.0, SMALL) == 10
