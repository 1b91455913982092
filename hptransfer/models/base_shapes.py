"""mup's base-shape files (`.bsh`): which axes of which parameters grow, and their lengths at the base size.

A YAML mapping from parameter name to a list with one entry per axis: the base length of an axis that grows, `null` for
one that does not. The files of microsoft/mup and these are interchangeable.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from mup.infshape import InfShape

from hptransfer.errors import UsageError

_HEADER = """\
# Base shapes, one list per parameter with an entry per axis (read by microsoft/mup's set_base_shapes):
# null: the axis does not grow with the width
# a number: the length of a growing axis at the base size
"""


def read_base_shapes(path: str | Path) -> dict[str, InfShape]:
    """Read a `.bsh` file.

    Args:
        path: path of the `.bsh` file, which is YAML.

    Returns:
        Parameter name -> base length of each axis; lengths of axes that do not grow are not in the file.

    Raises:
        UsageError: the file cannot be read or has another form.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError("a base-shape file must be readable", received=f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError("a base-shape file must be YAML", received=f"{path}: {error}") from None
    if not isinstance(document, dict) or not all(_is_entry(name, axes) for name, axes in document.items()):
        raise UsageError(
            "a base-shape file must map names of parameters to lists of lengths and nulls", received=str(path)
        )
    return {name: InfShape.from_base_shape(axes) for name, axes in document.items()}


def _is_entry(name: object, axes: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(axes, list)
        and all(length is None or (type(length) is int and length >= 1) for length in axes)
    )


def write_base_shapes(path: str | Path, shapes: Mapping[str, InfShape]) -> None:
    """Write a `.bsh` file that microsoft/mup reads.

    Args:
        path: path of the `.bsh` file; an existing one is replaced.
        shapes: parameter name -> base length of each axis.

    Raises:
        UsageError: the file cannot be written.
    """
    content = {name: list(shape.base_shape()) for name, shape in shapes.items()}
    try:
        Path(path).write_text(_HEADER + yaml.safe_dump(content, indent=4), encoding="utf-8")
    except OSError as error:
        raise UsageError("the base-shape file must be writable", received=f"{path}: {error.strerror}") from None
