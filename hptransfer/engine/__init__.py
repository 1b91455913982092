"""Engine: sessions that train the trials which are missing, within a budget, and survive what goes wrong.

options            what the command line says to the commands that train, each option once
open_session       `open_session(recipe, ...)`: recipe, run folder, trials and workers together
session            `Session`: what a step needs to train trials
scheduler          `run_requests`: reuses what is finished, trains what is missing
identity           the identity of a recipe's trials, from its rules, code and data
measurement_cache  measurements that are no trials, made once
flops              FLOPs by size, and what was spent
planned            the plan of a recipe at a size, and why there is none at one of its sizes
forecast           what a command would take, from short real timings
process_launch     how many processes train a trial; workers that start early
run_lookup         from a recipe or a run folder to both
status             how far a run is, read without a lock
"""

__all__ = [
    "command_proposal",
    "durations",
    "flops",
    "forecast",
    "identity",
    "measurement_cache",
    "model_proposal",
    "new_recipe",
    "open_session",
    "options",
    "planned",
    "process_launch",
    "readings",
    "rehearsal",
    "run_lookup",
    "scheduler",
    "session",
    "status",
    "throughput",
]
