"""Tree-structured Parzen estimators, by Optuna's TPESampler."""

from __future__ import annotations

from optuna.samplers import TPESampler

from hptransfer.search.optuna_samplers import OptunaSampler

SAMPLER = OptunaSampler(
    TPESampler,
    {"n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": True, "group": False, "constant_liar": True},
)
