"""Where trials are kept: a store by the scheme of its address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hptransfer.cluster.postgres import SCHEMES, find_address
from hptransfer.cluster.study import find_study
from hptransfer.errors import UsageError
from hptransfer.storage.base import Experiment, TrialStore
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore


def _file(address: str, experiment: Experiment) -> TrialStore:
    return OptunaStore(SQLiteFile(Path(address)), experiment.digest, experiment.space, experiment.usual)


def _server(address: str, experiment: Experiment) -> TrialStore:
    study = find_study(find_address(address), experiment.recipe)
    return OptunaStore(study.database(), experiment.digest, experiment.space, experiment.usual)


#: what opens a store, by the scheme of its address; "" is a path
STORES: Mapping[str, Callable[[str, Experiment], TrialStore]] = {"": _file, **dict.fromkeys(SCHEMES, _server)}


def open_store(address: str | Path, experiment: Experiment) -> TrialStore:
    """Opens the trials of an experiment as their one owner.

    Args:
        address: the path of a database file, created where missing; or the URL of a server where the recipe's study
            exists, which this process then coordinates.
        experiment: which trials, and how their studies are named.

    Raises:
        UsageError: nothing opens such an address, or there is no such study.
        MachineError: the database cannot be used, or another process owns the trials.
    """
    found = re.match(r"([a-z][a-z0-9+.-]*)://", str(address))
    scheme = found[1] if found else ""
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES if name)
        raise UsageError(f"trials are kept in a file or at an address of {known}", received=f"{scheme}://")
    return STORES[scheme](str(address), experiment)
