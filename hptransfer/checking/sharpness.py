"""Sharpness at the tuned values over the ladder of widths, on request: each width is trained once more per seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hptransfer.checking.design import CheckDesign
from hptransfer.diagnostics.sharpness import SharpnessReport, judge_sharpness
from hptransfer.engine.measurement_cache import measure
from hptransfer.execution.pool import TaskPool
from hptransfer.parameterization.applied_rules import Chosen
from hptransfer.parameterization.batch_and_duration import optimizer_values
from hptransfer.training.optimizers.base import OPTIMIZERS
from hptransfer.trials.identity import Identity, options_of
from hptransfer.trials.messages import MeasurementMessage
from hptransfer.trials.spec import TrialSpec

#: what a measurement holds; raised with it, so that caches of older versions are measured again
_FORMAT = 1
#: one seed has no error
_FEWEST_SEEDS = 2


def check_sharpness(design: CheckDesign, pool: TaskPool, cache: Path, identity: Identity) -> SharpnessReport:
    """Measure what is not in the cache yet and judge it.

    Args:
        design: widths, seeds and tuned values.
        pool: see `measuring.measure`.
        cache: a JSON file of earlier measurements.
        identity: gives the runs' keys.
    """
    values = design.held | {design.hyperparameter: design.tuned[design.hyperparameter]}
    requests = [
        TrialSpec(design.recipe, design.root, size, values, seed)
        for size in design.sizes("width")
        for seed in range(max(_FEWEST_SEEDS, design.recipe.check.seeds))
    ]
    payloads = {
        hashlib.sha256(f"{identity.key(request)}:sharpness:{_FORMAT}".encode()).hexdigest(): MeasurementMessage.of(
            "sharpness", request, identity.fingerprint
        ).payload()
        for request in requests
    }
    limit = OPTIMIZERS.look_up(design.recipe.training.optimizer).threshold(_optimizer_values(requests[-1]))
    measured = measure(payloads, pool, cache, "sharpness is measured after training at every width")
    return judge_sharpness(measured.values(), limit)


def _optimizer_values(spec: TrialSpec) -> dict[str, float]:
    """Betas and momentum of a run; betas follow batch and duration."""
    recipe = spec.recipe
    chosen = Chosen.of(recipe.parameterization, recipe.training.optimizer, options_of(recipe))
    table = chosen.beside or chosen.table
    moved = optimizer_values(table, chosen.options, spec.base, spec.size, spec.hyperparameters)
    return {**spec.hyperparameters, **moved}
