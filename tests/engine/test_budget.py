"""Budgets: what they stop, what they count, and that raising one continues."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.spent import percent
from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.budget import Limits, Meter, limits_of
from hptransfer.engine.flops import is_short, spent_on
from hptransfer.engine.options import BudgetOptions
from hptransfer.errors import BudgetError, MachineError, UsageError
from hptransfer.execution.limits import TaskLimits
from hptransfer.recipe.schema import Budget
from hptransfer.storage.base import FailedTrial
from tests.support.landscape import TARGET_FLOPS, TRIAL_FLOPS, recipe_text
from tests.support.sessions import recipe_session, tune_and_write
from tests.support.tiny import recipe


def tuned(tmp_path: Path, options: BudgetOptions, landscape: dict[str, Any] | None = None) -> Tuned:
    """Tunes in tmp_path/runs; a second call continues there."""
    text = recipe_text((landscape or {}) | {"log": str(tmp_path / "log")})
    with recipe_session(tmp_path / "runs", text, options=options) as session:
        return tune_and_write(session)


def trainings(tmp_path: Path) -> int:
    """How many trials were trained."""
    return len((tmp_path / "log").read_text().splitlines())


def failures(tmp_path: Path) -> list[FailedTrial]:
    """Failures that the study has."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        return session.store.failures()


@pytest.mark.parametrize(
    ("options", "finished", "said"),
    [
        (BudgetOptions(max_trials=5), 5, "5 of 5 trials"),
        (
            BudgetOptions(max_flops=5.5 * TRIAL_FLOPS),
            5,
            "5e+06 of 5.5e+06 FLOPs, and the next trial (w64-d2) needs 1e+06",
        ),
    ],
    ids=["trials", "FLOPs"],
)
def test_a_budget_that_ends_early_has_no_answer_and_can_be_raised(
    tmp_path: Path, options: BudgetOptions, finished: int, said: str
) -> None:
    """Exactly what it allows is trained, exit status 3, no tuned.yaml; without it, the same search goes on."""
    with pytest.raises(BudgetError) as stop:
        tuned(tmp_path, options)

    assert trainings(tmp_path) == finished
    assert said in (stop.value.findings[0].received or "")
    assert "continues" in (stop.value.findings[0].hint or "")
    assert stop.value.exit_status == 3
    assert not (tmp_path / "runs" / "landscape" / "tuned.yaml").exists()
    assert tuned(tmp_path, BudgetOptions()).trials.finished == 12
    assert trainings(tmp_path) == 12 + 2


def test_a_spent_budget_trains_nothing_more(tmp_path: Path) -> None:
    """Totals count over all interruptions: the same command again is refused at once."""
    for _ in range(2):
        with pytest.raises(BudgetError):
            tuned(tmp_path, BudgetOptions(max_trials=5))

    assert trainings(tmp_path) == 5


def test_a_budget_that_suffices_changes_nothing(tmp_path: Path) -> None:
    """12 searched and 2 confirmed trials fit into 14."""
    result = tuned(tmp_path, BudgetOptions(max_trials=14, max_flops=14 * TRIAL_FLOPS, max_time="1h"))

    assert result.trials.finished == 12
    assert len(result.confirmation.losses) == 2


def test_wall_time_ends_the_command_and_its_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of a minute do not outlast four seconds and the grace; they are interrupted, not failed."""
    monkeypatch.setattr("hptransfer.engine.scheduler.GRACE", 0.5)
    started = time.monotonic()
    with pytest.raises(BudgetError) as stop:
        tuned(tmp_path, BudgetOptions(max_time="4s"), {"seconds": 60})

    assert time.monotonic() - started < 30
    assert "4 s of wall time are over" in (stop.value.findings[0].received or "")
    assert {failed.cause for failed in failures(tmp_path)} == {"interrupted"}


def test_a_trial_over_its_time_fails_alone(tmp_path: Path) -> None:
    """Two points hang and are killed after half a second each; the search finds its optimum with others."""
    result = tuned(tmp_path, BudgetOptions(trial_time="0.5s"), {"hang": [-5.0, -8.0]})

    assert result.trials.finished == 12
    failed = failures(tmp_path)
    assert {(each.cause, each.message) for each in failed} == {
        ("timeout", "the trial ran for more than 0.5 s and was killed")
    }


def test_a_trial_over_its_memory_fails_alone(tmp_path: Path) -> None:
    """One point holds 600 MB of 400 MB."""
    result = tuned(tmp_path, BudgetOptions(trial_memory="400MB"), {"hold": [-5.0], "megabytes": 600})

    assert result.trials.finished == 12
    assert {each.cause for each in failures(tmp_path)} == {"out of memory"}


def test_when_every_trial_takes_too_long_the_run_stops(tmp_path: Path) -> None:
    """Three in a row are enough, and the message says which limit to raise and how to go on."""
    with pytest.raises(MachineError) as stop:
        tuned(tmp_path, BudgetOptions(trial_time="0.3s"), {"seconds": 60})

    assert "raise `budget.trial_time`" in (stop.value.findings[0].hint or "")
    assert "hptransfer retry landscape" in (stop.value.findings[0].hint or "")


def test_options_override_the_recipe() -> None:
    """Each option replaces its key alone."""
    budget = Budget(trials=7, flops=1e9, time="2h", trial_time="90s", trial_memory="4GB")

    assert limits_of(budget, BudgetOptions()) == Limits(7, 1e9, 7200.0, TaskLimits(90.0, 4_000_000_000))
    assert limits_of(budget, BudgetOptions(max_trials=9, max_time="30m", trial_memory="1GiB")) == Limits(
        9, 1e9, 1800.0, TaskLimits(90.0, 2**30)
    )


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (BudgetOptions(max_time="soon"), "`--max-time` must be a number and a unit: 90s, 30m, 2h or 1d"),
        (BudgetOptions(trial_memory="4"), "`--trial-memory` must be a number and a unit: 500MB, 4GB or 1.5GiB"),
        (BudgetOptions(max_flops=-1.0), "`--max-flops` must be positive and finite"),
        (BudgetOptions(max_flops=float("nan")), "`--max-flops` must be positive and finite"),
    ],
)
def test_an_option_that_is_no_amount_is_named(options: BudgetOptions, rule: str) -> None:
    """The rule names the option, not a key of the recipe."""
    with pytest.raises(UsageError) as refusal:
        limits_of(Budget(), options)

    assert refusal.value.findings[0].rule == rule


def test_what_was_spent_is_said_beside_the_target(tmp_path: Path) -> None:
    """14 trials of 1e6 FLOPs are 1.4% of a target of 1e9; the number is in the result and in the file."""
    result = tuned(tmp_path, BudgetOptions())

    assert result.spent.trials == 14
    assert result.spent.fraction_of_target == pytest.approx(14 * TRIAL_FLOPS / TARGET_FLOPS)
    said = "spent 1.4e+07 FLOPs in 14 trials: 1.4% of the target run's 1e+09"
    assert result.spent.sentence == f"{said} on the proxy's tokens (`sizes.target.tokens` sets its own)"
    assert "fraction_of_target: 0.014" in (tmp_path / "runs" / "landscape" / "tuned.yaml").read_text()


def test_a_target_on_the_proxys_tokens_is_said_to_be_one(tmp_path: Path) -> None:
    """A share of a run that short misleads; with tokens of its own nothing is remarked, however many."""
    own = {"target": {"width": 64, "depth": 2, "tokens": 10**9}}
    brief, long = recipe(), recipe(sizes={"base": {"width": 16, "depth": 2}, "widths": [16], **own})
    said = spent_on([], 1e9, short=is_short(brief, brief.target_size())).sentence

    assert said.endswith("1e+09 on the proxy's tokens (`sizes.target.tokens` sets its own)")
    assert not is_short(long, long.target_size())
    assert not is_short(brief, brief.target_size(tokens=10**6))


def test_a_target_of_unknown_cost_is_said_to_be_unknown() -> None:
    """No fraction is invented."""
    assert spent_on([], None).sentence == "spent 0 FLOPs in 0 trials; what the target's run costs is not known"
    assert [percent(value) for value in (0.00312, 0.12, 3.4)] == ["0.31%", "12%", "340%"]


def test_a_meter_without_limits_never_objects(tmp_path: Path) -> None:
    """The default costs nothing and asks nobody."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        size = session.loaded.recipe.size(64, 2)

    assert Meter(Limits()).blocking_limit([], [], size) is None
