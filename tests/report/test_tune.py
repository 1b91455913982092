"""What `tune` says before it trains, and how its result is printed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from hptransfer.artifacts.tuned import TrialCount
from hptransfer.report.tune import print_tuned, tune_progress
from hptransfer.tuning.tune import tune
from tests.support.landscape import recipe_text
from tests.support.sessions import recipe_session
from tests.support.tuned_results import tuned_result

if TYPE_CHECKING:
    import pytest


def printed(**changes: object) -> str:
    """The text of a result."""
    console = Console(width=120, record=True, file=io.StringIO())
    print_tuned(tuned_result(**changes), console, Path("tuned.yaml"))
    return console.export_text()


def test_recommendation_and_best_are_told_apart(tmp_path: Path) -> None:
    """The table of a search has both, the interval, and the reason why they differ."""
    with recipe_session(tmp_path / "runs", recipe_text({"noise": 0.01})) as session:
        result = tune(session)
    console = Console(width=120, record=True, file=io.StringIO())
    print_tuned(result, console, Path("tuned.yaml"))
    text = console.export_text()

    assert f"{result.recommended['learning_rate']:.4g}" in text
    assert "best observed" in text
    assert "partly chance" in text
    assert "12 trials, 0 diverged, 0 failed" in text


def test_numbers_of_the_file_are_printed() -> None:
    """Value, open end, plateau and its width, both losses, fresh seeds, counts, cost, warnings, path."""
    text = printed(
        intervals={"learning_rate": (None, 0.05)},
        plateau_fraction=0.01,
        trials=TrialCount(finished=12, diverged=1, failed=2),
        warnings=("not every confirmation trial could be trained",),
    )

    assert [line.rstrip() for line in text.splitlines()] == [
        "tiny: tuned at w16-d2",
        "hyperparameter  recommended  95% interval   within 1.00%    best observed",
        "learning_rate       0.03125  open to 0.05  0.025 to 0.04             0.03",
        "loss                 2.0000                               1.9000 (seed 0)",
        "fresh seeds at the recommendation: loss 2.0000 +- 0.2500 (2 seeds)",
        "best observed is not recommended by itself: it was lucky",
        "12 trials, 1 diverged, 2 failed; 6 s of training",
        "spent 1e+09 FLOPs in 14 trials: 1% of the target run's 1e+11",
        "warning: not every confirmation trial could be trained",
        "written to tuned.yaml",
    ]


def test_a_budget_that_will_miss_the_goal_is_said_before_it_is_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Five trials of two hyperparameters cannot fix a bowl: said on stderr first, and again in the result."""
    space = "learning_rate: {low: 0.0009765625, high: 0.25}\n    weight_decay: {low: 0.0001, high: 1.0}"
    text = recipe_text({}, space=space, trials=5)
    with recipe_session(tmp_path / "runs", text) as session, tune_progress(session, quiet=False) as progress:
        assert "cannot fix a bowl" in capsys.readouterr().err.splitlines()[0]
        result = tune(session, progress)

    assert any("cannot fix a bowl" in warning for warning in result.warnings)
