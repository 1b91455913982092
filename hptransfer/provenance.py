"""What a result was made with: versions of packages, of Python and the platform."""

from __future__ import annotations

import platform
import sys
from functools import cache


@cache
def tool_version() -> str:
    """The version of this package as it is installed; "0+unknown" in a source tree that was never installed."""
    from importlib.metadata import PackageNotFoundError, version  # a third of the time that `--help` takes

    try:
        return version("hptransfer")
    except PackageNotFoundError:
        return "0+unknown"


def versions(*packages: str) -> dict[str, str]:
    """Version by name: of this package, of others, of Python, and the platform's name.

    Args:
        packages: names of installed distributions.
    """
    from importlib.metadata import version

    others = {name: version(name) for name in packages}
    return {"hptransfer": tool_version()} | others | {"python": platform.python_version(), "platform": sys.platform}
