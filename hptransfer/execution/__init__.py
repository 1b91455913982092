"""Execution: tasks in worker processes, whatever they do.

pool     a pool of persistent processes, which may start early; `child` is its side of one process
worker   the process's own side
outcome  how a task ended, and where in the user's code it failed
limits   time and memory of a task's process group; which GPU it sees
signals  what Ctrl-C and SIGTERM do
collector  Python's search for cycles, paused
"""

__all__ = ["collector", "confined", "limits", "outcome", "pool", "progress", "signals", "worker"]
