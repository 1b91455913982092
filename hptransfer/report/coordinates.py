"""A coordinate check that somebody else's training recorded, in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hptransfer.artifacts.json_data import to_document
from hptransfer.checking.judge_coordinates import CoordinateJudgement
from hptransfer.errors import printable
from hptransfer.report.terminal import print_diagnosed

if TYPE_CHECKING:
    from rich.console import Console

#: raised when a key of the document changes its meaning or goes away
FORMAT = 1


def describe_coordinates(judgement: CoordinateJudgement) -> Iterator[str]:
    """What was inferred, chosen and left out, one line each, safe to print."""
    return (printable(note) for note in judgement.notes)


def print_coordinates(judgement: CoordinateJudgement, console: Console) -> None:
    """Print each axis with its table and outcome, as the check of a recipe does.

    Args:
        judgement: of every axis along which runs differ.
        console: where tables and sentences are printed.
    """
    print_diagnosed(judgement.diagnosed, console)


def coordinates_document(judgement: CoordinateJudgement) -> dict[str, Any]:
    """The judgement as JSON-able data, null where there is no finite number.

    Args:
        judgement: of every axis along which runs differ.
    """
    return {
        "format": FORMAT,
        "files": [str(path) for path in judgement.sources],
        "verdict": to_document(judgement.verdict),
        "notes": list(judgement.notes),
        "axes": judgement.diagnosed.document,
    }
