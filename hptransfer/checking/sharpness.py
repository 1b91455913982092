"""Sharpness at the tuned values over the ladder of widths, on request: each width is trained once more per seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hptransfer.checking.design import CheckDesign
from hptransfer.diagnostics.sharpness import SharpnessReport, judge_sharpness
from hptransfer.engine.measurement_cache import measure
from hptransfer.execution.pool import TaskPool
from hptransfer.trainers.torch import training_settings
from hptransfer.training.optimizers.base import OPTIMIZERS
from hptransfer.trials.spec import TrialSpec

#: what a measurement holds; raised with it, so that caches of older versions are measured again
_FORMAT = 1
#: one seed has no error
_FEWEST_SEEDS = 2


def check_sharpness(design: CheckDesign, pool: TaskPool, cache: Path, fingerprint: str) -> SharpnessReport:
    """Measure what is not in the cache yet and judge it.

    Args:
        design: widths, seeds and tuned values.
        pool: see `measuring.measure`.
        cache: a JSON file of earlier measurements.
        fingerprint: of the corpus.
    """
    values = design.held | {design.hyperparameter: design.tuned[design.hyperparameter]}
    requests = [
        TrialSpec(design.recipe, design.root, size, values, seed)
        for size in design.sizes("width")
        for seed in range(max(_FEWEST_SEEDS, design.recipe.check.seeds))
    ]
    payloads = {
        hashlib.sha256(f"{request.key(fingerprint)}:sharpness:{_FORMAT}".encode()).hexdigest(): request.payload()
        | {"task": "sharpness"}
        for request in requests
    }
    settings = training_settings(requests[-1])
    limit = OPTIMIZERS.look_up(settings.optimizer).threshold(settings.optimizer_values)
    measured = measure(payloads, pool, cache, "sharpness is measured after training at every width")
    return judge_sharpness(measured.values(), limit)
