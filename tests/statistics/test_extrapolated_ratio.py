"""A ratio that grows steadily goes on growing, with an interval that covers."""

from __future__ import annotations

import numpy as np
import pytest

from hptransfer.statistics.extrapolated_ratio import changes
from hptransfer.statistics.wiener_process import DRAWS

SIZES = np.array([6.0, 7.0, 8.0, 9.0, 10.0])


def measured(slope: float, error: float, rng: np.random.Generator, wander: float = 0.0) -> tuple[np.ndarray, float]:
    """(5, DRAWS) draws about a measured line, and its true change over two further doublings."""
    steps = slope + wander * rng.standard_normal(6)
    line = np.cumsum(np.append(0.0, steps))
    seen = line[:5] + error * rng.standard_normal(5)
    return seen[:, None] + error * rng.standard_normal((5, DRAWS)), float(line[6] - line[4])


@pytest.mark.parametrize("slope", [0.0, 0.6, -0.4])
def test_a_line_goes_on(slope: float) -> None:
    """Known to 0.05 at every size: two doublings further twice the slope is inside, and the middle is near it."""
    logs, truth = measured(slope, 0.05, np.random.default_rng(0))
    found = changes(SIZES, logs, 12.0, since=4, stream=141)
    low, middle, high = np.quantile(found, (0.025, 0.5, 0.975))

    assert low < truth < high
    assert middle == pytest.approx(truth, abs=0.25)


def test_intervals_cover() -> None:
    """100 lines of random slopes that wander by 0.25 per doubling, measured to 0.1 or 0.4: at least 90% are inside."""
    rng, inside = np.random.default_rng(1), []
    for number in range(100):
        logs, truth = measured(float(rng.normal(0.4, 0.4)), 0.1 if number % 2 else 0.4, rng, wander=0.25)
        low, high = np.quantile(changes(SIZES, logs, 12.0, since=4, stream=141), (0.025, 0.975))
        inside.append(low <= truth <= high)

    assert np.mean(inside) >= 0.9


def test_nothing_changes_on_the_way_to_itself() -> None:
    """The size it is compared with: no change, to what measuring leaves open."""
    logs, _ = measured(0.5, 1e-6, np.random.default_rng(2))

    assert np.abs(changes(SIZES, logs, 10.0, since=4, stream=141)).max() < 0.02


def test_one_size_shows_no_slope() -> None:
    """Nothing is known but the prior: a doubling changes the ratio by a factor of two, more or less."""
    found = changes(SIZES[:1], np.zeros((1, DRAWS)), 7.0, since=0, stream=141)

    assert np.std(found) == pytest.approx(1.03, rel=0.1)
