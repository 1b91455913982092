"""Covariance matrix adaptation, by Optuna's CmaEsSampler."""

from __future__ import annotations

from optuna.samplers import CmaEsSampler

from hptransfer.search.optuna_samplers import OptunaSampler

SAMPLER = OptunaSampler(
    CmaEsSampler,
    {"n_startup_trials": 1, "use_separable_cma": False, "with_margin": False, "lr_adapt": False},
    has_state=True,
)
