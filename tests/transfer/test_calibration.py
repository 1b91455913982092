"""A fixed-seed cut of benchmarks/calibration.py: intervals cover, and verdicts err as rarely as they should.

The full table is in docs/calibration.md. Bounds are three standard errors below 95%: 96 optima, in ladders of four that
go together, and 24 drifts.
"""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import verdict_laws
from benchmarks.calibration import Setting, coverage, run
from benchmarks.verdict_calibration import outcome
from hptransfer.verdict import Verdict

_EQUAL, _UNEQUAL = (1.0, 1.0, 1.0, 1.0), (1.0, 3.0, 0.5, 2.0)


@pytest.mark.parametrize(
    ("law", "spacing", "noise", "seeds", "levels"),
    [
        ("parabola", 0.5, 0.003, 1, _EQUAL),
        ("parabola", 1.0, 0.003, 5, _UNEQUAL),
        ("diverges at +0.4", 0.5, 0.003, 2, _EQUAL),
        ("jumps to 7.8 at +1.2", 1.0, 0.001, 2, _EQUAL),
        ("O2 SGD regression", 1.0, 0.01, 5, _EQUAL),
    ],
)
def test_intervals_cover(law: str, spacing: float, noise: float, seeds: int, levels: tuple[float, ...]) -> None:
    """95% intervals of optimum and drift hold the exact truth."""
    found = coverage(run(Setting((law,), spacing, noise, seeds, levels), 24))
    assert found.optimum >= 0.86
    assert found.drift >= 0.81


def _verdicts(drift: float) -> Counter[str]:
    """At the default recipe's budget: five widths over 16x, nine values, four seeds, 0.2% noise."""
    setting = Setting(("steeper right",), 0.5, 0.002, 4, (1.0,) * 5, (drift,), tuned=True)
    return Counter(each.verdict for each in run(setting, 20))


def test_a_drift_of_half_an_octave_is_not_called_transfer() -> None:
    """At most 5% may be; of 20 tables none is."""
    assert _verdicts(0.5)["TRANSFERS"] == 0


def test_no_drift_is_called_transfer() -> None:
    """At least 80% must be, at the default budget."""
    assert _verdicts(0.0)["TRANSFERS"] >= 16


def _on_plateaus(multiple: float, each: int) -> Counter[Verdict]:
    """Five sizes, half octaves, a flat bottom of 1.4 octaves, noise a fifth of what a doubling of compute buys."""
    settings = [verdict_laws.Setting("plateau", multiple, 0.2, seeds, 5, 0) for seeds in (3, 4, 5)]
    return Counter(outcome((setting, 940_000 + n)).verdict for setting in settings for n in range(each))


def test_plateaus_settle() -> None:
    """A value that stays on the flat bottom costs nothing, and at least 80% of 24 ladders must say so.

    With curves that have several dips, and half the bound, a third did.
    """
    assert _on_plateaus(0.0, 8)[Verdict.TRANSFERS] >= 20


def test_a_value_that_leaves_its_plateau_does_not_transfer() -> None:
    """It costs twice what is allowed."""
    assert _on_plateaus(2.0, 4)[Verdict.TRANSFERS] == 0
