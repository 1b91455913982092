"""Storage: the run folder and the trials in it.

run_folder    paths under `runs/<recipe>/`, and the lock of the one process that works there
base          `TrialStore`: what a store of trials offers, and its records
optuna_store  the built-in store: Optuna studies, one per size
database      Optuna's tables in a file or on a server
snapshot      the trials in a file, read without locking or writing
"""

__all__ = ["base", "database", "optuna_store", "run_folder", "snapshot"]
