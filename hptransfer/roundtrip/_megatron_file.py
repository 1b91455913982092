"""The exported Python file of Megatron-LM: its two values are read, and its code must be the exporter's."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hptransfer.errors import Place, UsageError
from hptransfer.export._megatron_flags import python_text
from hptransfer.handover.manifest import exported_text
from hptransfer.handover.megatron import Python

PYTHON = "hptransfer_megatron.py"
_DATA = ("OVERRIDES", "OUTPUT_STD")
#: keys of Megatron's `ParamGroupOverride` that the format writes
_KEYS = ("max_lr", "min_lr", "wd_mult", "eps")


def read_python(path: Path) -> Python:
    """What the file adds; it is parsed, not run.

    Args:
        path: of the exported Python file.

    Raises:
        UsageError: it is missing or damaged, or its code is not that which the exporter writes.
    """
    values, code = _parsed(path)
    for mine, theirs in zip([*code, None], [*_parsed_text(python_text(Python([], {})))[1], None], strict=False):
        if mine is None or theirs is None or ast.dump(mine) != ast.dump(theirs):
            if mine is theirs:
                break
            raise UsageError(
                "the code of the exported Python file must be as it was written; of it only OVERRIDES and OUTPUT_STD "
                "are read",
                received="a statement is missing" if mine is None else ast.unparse(mine).splitlines()[0][:80],
                hint="export again, and keep code of your own in a file of your own",
                place=Place(str(path), None if mine is None else mine.lineno),
            )
    try:
        overrides = [
            (tuple(_texts(names)), {str(key): _number(key, value) for key, value in own.items()})
            for names, own in values["OVERRIDES"]
        ]
        stds = {int(inputs): _number("OUTPUT_STD", std) for inputs, std in values["OUTPUT_STD"].items()}
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            "the exported Python file must hold OVERRIDES and OUTPUT_STD as they were written",
            received=f"{path}: {error}",
        ) from None
    return Python(overrides, stds)


def _texts(names: Any) -> list[str]:
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{names!r} are no patterns")
    return list(names)


def _number(key: Any, value: Any) -> float:
    if key not in (*_KEYS, "OUTPUT_STD"):
        raise ValueError(f"{key!r} is none of {', '.join(_KEYS)}")
    number = float(value)
    if not math.isfinite(number) or number < 0 or (key == "max_lr" and number == 0):
        raise ValueError(f"{key} {value!r}")
    return number


def _parsed(path: Path) -> tuple[Mapping[str, Any], list[ast.stmt]]:
    text = exported_text(path)
    try:
        return _parsed_text(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            "the exported Python file must be Python with literal values for OVERRIDES and OUTPUT_STD",
            received=f"{path}: {error}",
            hint="export again",
        ) from None


def _parsed_text(text: str) -> tuple[Mapping[str, Any], list[ast.stmt]]:
    """The values of the two names, and every other statement."""
    values: dict[str, Any] = {}
    code: list[ast.stmt] = []
    for node in ast.parse(text).body:
        name = node.targets[0].id if _assigns(node) else None  # type: ignore[attr-defined]  # an assignment to a name
        if name in _DATA and name not in values:
            values[name] = ast.literal_eval(node.value)  # type: ignore[attr-defined]  # an assignment, as matched above
        else:
            code.append(node)
    return values, code


def _assigns(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
