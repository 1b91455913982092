"""What a result was made with: versions of packages, of Python and the platform."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

try:
    #: of this package
    VERSION = metadata.version("hptransfer")
except metadata.PackageNotFoundError:  # running from a source tree that was never installed
    VERSION = "0+unknown"


def versions(*packages: str) -> dict[str, str]:
    """Version by name: of this package, of others, of Python, and the platform's name.

    Args:
        packages: names of installed distributions.
    """
    others = {name: metadata.version(name) for name in packages}
    return {"hptransfer": VERSION} | others | {"python": platform.python_version(), "platform": sys.platform}
