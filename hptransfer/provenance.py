"""What a result was made with: versions of packages, of Python and the platform."""

from __future__ import annotations

import platform
import sys
from functools import cache

#: characters of a version; no release has as many, and a longer one is none once it is cut
_LONGEST = 100


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


def is_older(version: str, than: str) -> bool | None:
    """Whether a version comes before another; None where either is none (PEP 440), so that no release has it.

    Args:
        version: as a file states it.
        than: the version that it may come before.
    """
    from packaging.version import Version  # takes longer to import than `--help` may

    try:
        return Version(version[:_LONGEST]) < Version(than)
    except ValueError:  # of a number with too many digits as well
        return None


@cache
def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # a third of the time that `--help` takes

    try:
        return version(name)
    except PackageNotFoundError:
        return "0+unknown"
