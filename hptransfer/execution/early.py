"""Workers that start while their command still loads its modules: importing torch takes longer than all the rest.

The pool of the same entry takes them over. A command that ends without one leaves nothing behind: a worker whose
coordinator is gone ends by itself.
"""

from __future__ import annotations

import os

from hptransfer.execution.child import Child
from hptransfer.execution.devices import gpu_of, visible_gpus

_started: dict[str, list[Child]] = {}


def start_early(entry: str, workers: int) -> None:
    """Start the workers of the pool to come; see `WorkerPool` for the arguments."""
    gpus = visible_gpus(os.environ)
    _started[entry] = [Child(entry, slot, gpu_of(slot, gpus)) for slot in range(workers)]


def take_early(entry: str, workers: int) -> list[Child]:
    """Those that were started for this entry, at most `workers` of them; each is given once."""
    children = _started.pop(entry, [])
    for child in children[workers:]:
        child.close()
    return children[:workers]
