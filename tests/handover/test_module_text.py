"""The schedule that exported files hold is the plan's at every step, runs of one step too."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest

from hptransfer.artifacts.target import TrainingRecord
from hptransfer.handover.module_text import schedule_function
from hptransfer.schedule import Schedule, schedule_factor

STEPS = [1, 2, 3, 7, 20, 101]
SHARES = [0.0, 0.001, 0.1, 0.5, 1.0]


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_the_written_function_is_the_schedule(schedule: Schedule) -> None:
    """Against the schedule of the runs that were tuned, warmups and decays that round to nothing or to all of it."""
    for steps, warmup, floor, share in itertools.product(STEPS, SHARES, (0.0, 0.1, 1.0), SHARES):
        decay = share if schedule == "wsd" else None
        record = TrainingRecord(
            steps=steps, batch_size=1, schedule=schedule, warmup=warmup, clip=None, floor=floor, decay_share=decay
        )
        module: dict[str, Any] = {}
        exec("import math\n" + schedule_function(record), module)  # noqa: S102  # as who imports the file does
        for step in range(steps):
            planned = schedule_factor(schedule, step, steps, warmup, floor=floor, decay_share=share)
            assert module["factor"](step) == pytest.approx(planned, rel=1e-12, abs=1e-15)
        assert module["factor"](steps + 5) == module["factor"](steps - 1)


def test_a_share_that_an_older_file_does_not_say_is_the_usual_one() -> None:
    """A fifth of 20 steps: the first factor below one is the second of the last four, 3/4."""
    record = TrainingRecord(steps=20, batch_size=1, schedule="wsd", warmup=0.0, clip=None, decay_share=None)
    module: dict[str, Any] = {}
    exec("import math\n" + schedule_function(record), module)  # noqa: S102  # as above

    assert [module["factor"](step) for step in (0, 16, 17, 19)] == [1.0, 1.0, 0.75, 0.25]
