"""Fast and weak transfer: regret over what growing gained."""

from __future__ import annotations

import pytest

from hptransfer.statistics.interval import Interval
from hptransfer.transfer.verdict import Speed, speed_of


@pytest.mark.parametrize(
    ("estimate", "low", "high", "speed"),
    [
        # docs/verdicts.md: at most 0.05, with an interval up to 0.1, is fast; above 0.25 is weak
        (0.05, 0.0, 0.1, Speed.FAST),
        (0.051, 0.0, 0.1, Speed.OPEN),
        (0.05, 0.0, 0.11, Speed.OPEN),
        (0.3, 0.25, 0.4, Speed.WEAK),
        (0.3, 0.24, 0.4, Speed.OPEN),
    ],
)
def test_the_ratio_has_a_name(estimate: float, low: float, high: float, speed: Speed) -> None:
    """Both the estimate and the interval decide."""
    assert speed_of(Interval(estimate, low, high)) is speed


def test_a_ratio_that_is_not_known_has_none() -> None:
    """Where nothing was gained there is no ratio."""
    assert speed_of(None) is None
