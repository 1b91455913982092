"""The gradient noise scale at the proxy's tuned values, on request: the proxy is trained once more per seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hptransfer.checking.design import CheckDesign
from hptransfer.diagnostics.noise_scale import NoiseScaleReport, judge_noise_scale
from hptransfer.engine.measurement_cache import measure
from hptransfer.execution.pool import TaskPool
from hptransfer.trials.identity import Identity
from hptransfer.trials.messages import MeasurementMessage
from hptransfer.trials.spec import TrialSpec

#: what a measurement holds; raised with it, so that caches of older versions are measured again
_FORMAT = 1
#: one seed would take its own path for training
_FEWEST_SEEDS = 2


def check_noise_scale(design: CheckDesign, pool: TaskPool, cache: Path, identity: Identity) -> NoiseScaleReport:
    """Measure what is not in the cache yet and judge it.

    Args:
        design: proxy, seeds and tuned values.
        pool: see `measuring.measure`.
        cache: a JSON file of earlier measurements.
        identity: gives the runs' keys.
    """
    values = design.held | {design.hyperparameter: design.tuned[design.hyperparameter]}
    requests = [
        TrialSpec(design.recipe, design.root, design.proxy, values, seed)
        for seed in range(max(_FEWEST_SEEDS, design.recipe.check.seeds))
    ]
    payloads = {
        hashlib.sha256(f"{identity.key(request)}:noise_scale:{_FORMAT}".encode()).hexdigest(): MeasurementMessage.of(
            "noise_scale", request, identity.fingerprint
        ).payload()
        for request in requests
    }
    measured = measure(payloads, pool, cache, "the noise scale is measured while the proxy trains")
    return judge_noise_scale(measured.values(), design.proxy.batch_size)
