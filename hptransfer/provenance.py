"""What a result was made with: versions of packages, of Python and the platform."""

from __future__ import annotations

import platform
import sys
from functools import cache


def tool_version() -> str:
    """The version of this package as it is installed; "0+unknown" in a source tree that was never installed."""
    return _version("hptransfer")


def versions(*packages: str) -> dict[str, str]:
    """Version by name: of this package, of others, of Python, and the platform's name.

    Args:
        packages: names of distributions, installed or not.
    """
    found = {name: _version(name) for name in ("hptransfer", *packages)}
    return found | {"python": platform.python_version(), "platform": sys.platform}


@cache
def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # a third of the time that `--help` takes

    try:
        return version(name)
    except PackageNotFoundError:
        return "0+unknown"
