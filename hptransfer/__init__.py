"""Tune on a small proxy, check that the optimum transfers, write the configuration of the large run.

The command line is the main door (`hptransfer --help`). From Python, the public names are listed in `__all__`; they are
loaded on first use, so that `import hptransfer` needs neither torch nor optuna.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__", "load_plan"]

try:
    __version__ = version("hptransfer")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0+unknown"

_PUBLIC = {
    "load_plan": "hptransfer.models.applied",
}


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'hptransfer' has no attribute {name!r}")
