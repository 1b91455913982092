"""What a result was made with: versions of packages, of Python and the platform."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from hptransfer import __version__


def versions(*packages: str) -> dict[str, str]:
    """Version by name: of this package, of others, of Python, and the platform's name.

    Args:
        packages: names of installed distributions.
    """
    others = {name: metadata.version(name) for name in packages}
    return {"hptransfer": __version__} | others | {"python": platform.python_version(), "platform": sys.platform}
