"""What `run` would train: what tuning and checking want together."""

from __future__ import annotations

from hptransfer.checking.forecast import wanted_trials as wanted_by_check
from hptransfer.engine.forecast import Forecast, both, forecast
from hptransfer.engine.options import TrainingCommand, TrainingOptions
from hptransfer.tuning.forecast import wanted_trials as wanted_by_tune


def forecast_run(options: TrainingOptions, *, time_steps: bool = False) -> Forecast:
    """As `engine.forecast.forecast`, for tuning and checking.

    Args:
        options: of the command line.
        time_steps: also train a few steps for time and memory.
    """
    return forecast(TrainingCommand.RUN, options, both(wanted_by_tune, wanted_by_check), time_steps=time_steps)
