"""Durations and amounts of memory: what is read, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.recipe.quantities import memory, seconds
from tests.support.recipe_texts import MLP, described, faults, load_text


@pytest.mark.parametrize(("text", "amount"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5 h", 5400), ("1d", 86400)])
def test_durations(text: str, amount: float) -> None:
    """A number and s, m, h or d."""
    assert seconds(text) == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("500MB", 500_000_000), ("4GB", 4_000_000_000), ("1.5GiB", 1_610_612_736), ("1TiB", 2**40)]
)
def test_amounts_of_memory(text: str, amount: int) -> None:
    """Powers of ten with B alone, powers of two with iB."""
    assert memory(text) == amount


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-2h", "0s", "1e3s", "2H", "4GB"])
def test_what_is_no_duration(text: str) -> None:
    """Without unit, with another unit, or nothing at all."""
    with pytest.raises(ValueError, match="a number and a unit"):
        seconds(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "time: soon",
            '12:9 `budget.time` must be a number and a unit: 90s, 30m, 2h or 1d | "soon" (text) | for example `30m`',
        ),
        ("time: 90", "12:9 `budget.time` must be a number and a unit: 90s, 30m, 2h or 1d | 90 | write 90s"),
        (
            "trial_memory: 4",
            "12:17 `budget.trial_memory` must be a number and a unit: 500MB, 4GB or 1.5GiB | 4 | write 4MB",
        ),
        ("flops: 0", "12:10 `budget.flops > 0` must hold | 0 | write a number above 0"),
        ("trial: 3", "12:3 `trial` is not a key of `budget` | None | did you mean `trials`?"),
    ],
)
def test_faults_of_a_budget_are_located(tmp_path: Path, line: str, message: str) -> None:
    """What is wrong with a limit is said at its line, with what to write."""
    (finding,) = faults(tmp_path, MLP.replace("tune:\n", f"budget:\n  {line}\ntune:\n"))

    assert described(finding).startswith(message)


def test_a_budget_is_no_part_of_the_evidence(tmp_path: Path) -> None:
    """Raising a limit leaves what was tuned and checked valid."""
    plain = load_text(tmp_path, MLP)
    limited = load_text(tmp_path, MLP + "budget: {trials: 5, time: 2h, trial_memory: 4GB}\n")

    assert limited.hash == plain.hash
    assert limited.recipe.budget.time == "2h"
