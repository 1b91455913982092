"""Judging text as if it were a file, and what came out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from hptransfer.cli.app import app

#: (file name -> content, options) -> the command's result
Judge = Callable[..., Result]


def judge_in(folder: Path) -> Judge:
    """A function that writes files into the folder and judges them as one table.

    Args:
        folder: an empty one, in which the command runs.
    """

    def judge(content: str | bytes | dict[str, str | bytes], *options: str, name: str = "runs.csv") -> Result:
        files: dict[str, str | bytes] = content if isinstance(content, dict) else {name: content}
        for file, text in files.items():
            (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        return CliRunner().invoke(app, ["judge", *(str(folder / file) for file in files), *options])

    return judge


def judged(result: Result) -> dict[str, Any]:
    """The JSON on stdout, with everything else of the result in the message where there is none."""
    assert result.exit_code in (0, 1, 3), result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def ladder_of(document: dict[str, Any]) -> list[float]:
    """The sizes that were judged."""
    return [size["value"] for size in document["groups"][0]["sizes"]]


def words(text: str) -> str:
    """A text without its line breaks, which depend on the terminal."""
    return " ".join(text.split())
