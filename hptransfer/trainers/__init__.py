"""Trainers: whoever turns a wanted trial into a loss curve. `base` has the contract, each other module is one trainer.

Private modules are what the built-in trainer is made of and what a worker process runs.
"""

__all__ = ["_bench", "_torch_runs", "base"]
