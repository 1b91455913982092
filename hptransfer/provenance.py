"""What a result was made with: versions of packages, of Python and the platform."""

from __future__ import annotations

import platform
import sys
from importlib import metadata


def versions(*packages: str) -> dict[str, str]:
    """Version by name: of this package, of others, of Python, and the platform's name.

    Args:
        packages: names of distributions, installed or not.
    """
    found = {name: _version(name) for name in ("hptransfer", *packages)}
    return found | {"python": platform.python_version(), "platform": sys.platform}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"
