"""Expected improvement on a Gaussian process, by Optuna's GPSampler."""

from __future__ import annotations

from optuna.samplers import GPSampler

from hptransfer.search.optuna_samplers import OptunaSampler

SAMPLER = OptunaSampler(GPSampler, {"n_startup_trials": 10, "deterministic_objective": False})
