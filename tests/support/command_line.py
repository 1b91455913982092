"""The command line in a child process, and the smallest recipe that really trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
