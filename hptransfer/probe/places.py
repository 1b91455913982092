"""Whose line it is: the user's, or the plumbing of a library."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType

import torch

_TORCH = os.path.dirname(torch.__file__) + os.sep
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARY = sysconfig.get_paths()["stdlib"] + os.sep
#: folders of installed packages that carry tensors from one line of a model to the next
_PLUMBING = tuple(
    f"{os.sep}{name}{os.sep}" for name in ("einops", "jaxtyping", "beartype", "numpy", "accelerate", "peft")
)
_SEEN: dict[str, bool] = {}


def user_file(file: str) -> bool:
    """Whether a file is a model's own, not the plumbing of a library.

    Args:
        file: path as frames give it.
    """
    known = _SEEN.get(file)
    if known is None:
        known = _SEEN[file] = _of_the_user(file)
    return known


def _of_the_user(file: str) -> bool:
    installed = "site-packages" in file or "dist-packages" in file
    if file.startswith((_TORCH, _HERE, "<frozen", "<string", "<__array")):
        return False
    if file.startswith(_LIBRARY) and not installed:
        return False
    if f"{os.sep}transformers{os.sep}" in file and installed:
        return f"{os.sep}transformers{os.sep}models{os.sep}" in file
    return not (installed and any(part in file for part in _PLUMBING))


def user_line() -> str:
    """File and line of the innermost frame that is the user's, such as "model.py:41"; "" where none is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if user_file(frame.f_code.co_filename):
            return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
