"""Storage: the run folder and the trials in it."""

__all__ = ["base", "database", "optuna_store", "run_folder", "snapshot"]
