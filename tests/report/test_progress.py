"""Progress: counts, time left, and silence where it is due."""

from __future__ import annotations

import io
import math

import pytest

from hptransfer.engine.scheduler import EventKind, TrialEvent
from hptransfer.report.progress import Progress
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState

SIZE = Size(64, 2, 32, 1000)


def event(
    kind: EventKind = "finished", loss: float | None = 2.5, *, cost: float = 1.0, seconds: float = 4.0
) -> TrialEvent:
    """An event, with a trial unless the loss is None."""
    trial = None
    if loss is not None:
        state = TrialState.COMPLETE if math.isfinite(loss) else TrialState.DIVERGED
        trial = Trial("k", SIZE, {"learning_rate": 0.01}, 0, state, loss, seconds=seconds)
    return TrialEvent(kind, SIZE, {"learning_rate": 0.01}, 0, cost, trial, "what happened")


@pytest.fixture
def stream() -> io.StringIO:
    """Takes the place of stderr; not a terminal."""
    return io.StringIO()


def test_the_summary_counts_trials_and_names_the_best(stream: io.StringIO) -> None:
    """Trained and reused trials count as done; diverged and failed are told apart."""
    progress = Progress("tune", 8, 8.0, stream=stream)
    for one in (event(loss=2.5), event("reused", 2.25), event(loss=math.inf), event("failed", None)):
        progress(one)

    assert progress.summary.startswith("3/8, best loss 2.2500, 1 diverged, 1 failed")


def test_the_time_left_is_weighted_by_cost(stream: io.StringIO) -> None:
    """One unit took 4 s; of 11 units 8 are left for two workers: 16 s. A reused trial has no time of its own."""
    progress = Progress("tune", 5, 11.0, workers=2, stream=stream)
    progress(event("reused", cost=2.0, seconds=1000.0))
    assert progress.seconds_left is None
    progress(event(cost=1.0, seconds=4.0))

    assert progress.seconds_left == 16.0


def test_the_last_trial_does_not_share_its_time(stream: io.StringIO) -> None:
    """Two workers do not halve what one trial takes."""
    progress = Progress("tune", 2, 2.0, workers=2, stream=stream)
    progress(event(seconds=4.0))

    assert progress.seconds_left == 4.0


def test_without_a_terminal_lines_are_plain(stream: io.StringIO) -> None:
    """No control characters; the last trial is always told."""
    with Progress("tune w64-d2", 2, 2.0, stream=stream) as progress:
        progress(event(loss=2.5))
        progress(event(loss=2.25))

    assert "\x1b" not in stream.getvalue()
    lines = stream.getvalue().splitlines()
    assert lines[-1] == "tune w64-d2 [2/2, best loss 2.2500] w64-d2 learning_rate=0.01 seed=0: loss 2.2500 (4.0 s)"


def test_many_trials_do_not_flood_a_log(stream: io.StringIO) -> None:
    """A hundred quick trials make two lines: the first and the last."""
    with Progress("check", 100, 100.0, stream=stream) as progress:
        for _ in range(100):
            progress(event())

    assert len(stream.getvalue().splitlines()) == 2


def test_failures_are_always_told(stream: io.StringIO) -> None:
    """Each with its cause."""
    with Progress("check", 10, 10.0, stream=stream) as progress:
        for _ in range(3):
            progress(event("failed", None))

    assert stream.getvalue().count("failed: what happened") == 3


def test_quiet_is_silent(stream: io.StringIO) -> None:
    """Not even failures; the result tells them."""
    with Progress("tune", 2, 2.0, quiet=True, stream=stream) as progress:
        progress(event())
        progress(event("failed", None))
        progress.note("a sentence")

    assert stream.getvalue() == ""
