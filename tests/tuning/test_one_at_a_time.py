"""One hyperparameter at a time: lines through the learning rate's optimum, then the combination."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.tuned import Tuned
from hptransfer.trials.trial import Phase, Trial
from tests.support.landscape import recipe_text
from tests.support.sessions import recipe_session, tune_and_write

TWO = "learning_rate: {low: 0.0009765625, high: 0.25}\n    readout_learning_rate: {low: 0.0625, high: 16}"


THREE = TWO + "\n    readout_init: {low: 0.0625, high: 16}"


def tuned(tmp_path: Path, landscape: dict[str, Any], trials: int = 19, space: str = TWO) -> tuple[Tuned, list[Trial]]:
    """The result and all search trials; a second call continues the first."""
    text = recipe_text(landscape, trials=trials, space=space).replace("  space:", "  order: one-at-a-time\n  space:")
    with recipe_session(tmp_path / "runs", text) as session:
        return tune_and_write(session), session.store.trials(phase=Phase.SEARCH)


def test_lines_find_an_optimum_without_interaction(tmp_path: Path) -> None:
    """2^-6.3 and 2^1.6 are found from nine trials each, and trained together once."""
    result, trials = tuned(tmp_path, {"optimum": -6.3, "readout": 1.6})

    assert math.log2(result.recommended["learning_rate"]) == pytest.approx(-6.3, abs=0.05)
    assert math.log2(result.recommended["readout_learning_rate"]) == pytest.approx(1.6, abs=0.05)
    assert result.expected_loss == pytest.approx(2.0, abs=0.001)
    assert result.trials.finished == len(trials) == 19
    assert result.warnings == ()


def test_the_learning_rate_comes_first_and_is_held(tmp_path: Path) -> None:
    """The first line varies the learning rate alone, the second the multiplier at one tried learning rate."""
    _, trials = tuned(tmp_path, {"optimum": -6.0, "readout": 1.0})
    points = [(t.hyperparameters["learning_rate"], t.hyperparameters["readout_learning_rate"]) for t in trials]

    first = points[:9]
    assert {readout for _, readout in first} == {1.0}
    assert len({rate for rate, _ in first}) == 9
    (held, count), _ = Counter(rate for rate, _ in points).most_common(2)
    assert (held, count) == (2.0**-6, 9 + 1 + (points[-1][0] == held))  # with the one the first line trained


def test_interaction_is_said(tmp_path: Path) -> None:
    """Where one can replace the other, moving both is too much: the best one by one lose together."""
    landscape = {"optimum": -6.0, "readout": 1.5, "trade": 0.5}
    result, _ = tuned(tmp_path, landscape, trials=22, space=THREE)

    assert any("they interact" in warning for warning in result.warnings)


def test_it_continues_where_it_was(tmp_path: Path) -> None:
    """Run again it trains nothing, and gives the same."""
    first, trials = tuned(tmp_path, {"optimum": -6.3, "readout": 1.6})
    again, after = tuned(tmp_path, {"optimum": -6.3, "readout": 1.6})

    assert again == first
    assert {trial.key for trial in after} == {trial.key for trial in trials}
