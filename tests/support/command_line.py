"""The command line, in a child process or in this one, and the smallest recipe that really trains."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from hptransfer.cli.app import app

ROOT = Path(__file__).parents[2]


RECIPE = """\
name: tiny
model: {kind: mlp, context: 4, embedding: 4}
data: {kind: text, files: ["*.txt"]}
training: {steps: 6, batch_size: 16, evaluation_batches: 2}
parameterization: {name: mup}
sizes:
  base: {width: 8, depth: 2}
  widths: [8, 16, 32, 64]
  target: {width: 128, depth: 2}
tune:
  space: {learning_rate: {low: 0.001, high: 0.25}}
  trials: 6
  confirm_seeds: 1
check: {octaves: 1.0, coordinate: {seeds: 2}}
"""


def hptransfer(folder: Path, *arguments: str, installed: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a child process, as a user calls it.

    Args:
        folder: in which it is called.
        arguments: words of the command line after `hptransfer`.
        installed: a folder of further installed packages.
    """
    path = os.pathsep.join(map(str, (ROOT, *([installed] if installed else []))))
    return subprocess.run(
        [sys.executable, "-m", "hptransfer", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in this process, without the seconds that a new one takes to start and to import.

    For recipes whose code is not the user's: modules of a folder would stay imported.

    Args:
        folder: in which it is called.
        arguments: words of the command line after `hptransfer`.
    """
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)
