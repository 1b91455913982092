"""Independent uniform points, by Optuna's RandomSampler."""

from __future__ import annotations

from optuna.samplers import RandomSampler

from hptransfer.search.optuna_samplers import OptunaSampler

SAMPLER = OptunaSampler(RandomSampler, {})
