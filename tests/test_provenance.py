"""Versions that results carry."""

from __future__ import annotations

import platform

import numpy as np

import hptransfer
from hptransfer.provenance import versions


def test_versions_are_those_of_this_process() -> None:
    """This package first, what was asked for, Python and the platform; a package that is missing is no error."""
    found = versions("numpy", "no-such-distribution")

    assert list(found) == ["hptransfer", "numpy", "no-such-distribution", "python", "platform"]
    assert found["hptransfer"] == hptransfer.__version__
    assert found["numpy"] == np.__version__
    assert found["no-such-distribution"] == "0+unknown"
    assert found["python"] == platform.python_version()
