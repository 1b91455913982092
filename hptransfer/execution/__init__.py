"""Execution: tasks in worker processes, whatever they do.

pool     a pool of persistent processes; `child` is its side of one, `worker` the process's own
outcome  how a task ended, and failures in a row
limits   time and memory of a task's process group
devices  which GPU a process sees
early    workers that start while their command still loads
frames   where in the user's code a task failed
signals  what Ctrl-C and SIGTERM do
"""

__all__ = ["limits", "outcome", "pool", "signals", "worker"]
