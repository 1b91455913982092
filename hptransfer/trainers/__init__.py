"""Trainers: whoever turns a wanted trial into a loss curve. `base` has the contract, each other module is one trainer.

Private modules are what the built-in trainer is made of and what a worker process runs.

base           what a trainer is, and the registry of all of them
_bench         model, data and settings of a run, for diagnostics that measure in it
_planned_model a run's plan, and its model as the plan has it
_torch_runs    one run in this process, by the plan of its size
_data          a recipe's data in a worker
"""

__all__ = ["_bench", "_kept_process", "_logs", "_scripts", "_torch_runs", "_trial_run", "base"]
