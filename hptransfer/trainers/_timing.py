"""A few real training steps, timed in a worker: what a dry run extrapolates from."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from hptransfer.registry import look_in
from hptransfer.trainers._data import accepted_batches
from hptransfer.trainers._planned_model import planned_model
from hptransfer.trainers._torch_runs import training_settings
from hptransfer.trials.messages import TIMED_STEPS, TimingMessage

#: before them: the first ones allocate
_WARM_UP = 3


def time_steps(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Train a few steps of one trial and evaluate two batches; an entry point of a worker.

    Args:
        payload: JSON-able data of a `TimingMessage`.

    Returns:
        "build" (seconds until the first step), "step" and "evaluation" (seconds each), "memory" (bytes, the most
        that the process held).
    """
    from hptransfer.training.loop import evaluate, training_losses

    message = TimingMessage.parse(payload)
    look_in(message.root)
    spec = message.spec
    started = time.perf_counter()
    corpus = accepted_batches(message)
    module, groups = planned_model(spec)
    settings = training_settings(spec)
    built = time.perf_counter() - started
    steps = training_losses(module, groups, corpus, replace(settings, steps=_WARM_UP + TIMED_STEPS), spec.seed)
    for _ in islice(steps, _WARM_UP):
        pass
    started = time.perf_counter()
    taken = sum(1 for _ in steps)
    step = (time.perf_counter() - started) / taken
    started = time.perf_counter()
    few = settings.first_evaluation_batches(2)
    evaluate(module, corpus, few)
    evaluation = (time.perf_counter() - started) / few.evaluation_batches
    # kilobytes on Linux, bytes on macOS
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"build": built, "step": step, "evaluation": evaluation, "memory": largest}
