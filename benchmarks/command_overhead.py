"""What one trial of the trainer `command` costs beyond the command itself.

    python benchmarks/command_overhead.py [--trials 200]

The command prints one loss and ends, so nearly all of its time is the start of a process. It is timed alone, by
`subprocess.run`, and as a trial by `RunsCommand.run`, in turns within one process, without and with a model whose plan
is made and written for each trial. Prints medians in milliseconds as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hptransfer.recipe.schema import Recipe
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import TrialMessage
from hptransfer.trials.spec import TrialSpec

COMMAND = ["/bin/sh", "-c", "echo loss 1.5"]


def recipe(**sections: Any) -> Recipe:
    """A recipe of the command."""
    document: dict[str, Any] = {
        "name": "overhead",
        "trainer": {
            "command": COMMAND,
            "results": {"stdout": r"loss (\S+)"},
            "accepts": ["plan"],
        },
        "training": {"steps": 5},
        "parameterization": {"name": "measured"},
        "sizes": {"base": {"width": 64, "depth": 2}, "widths": [64], "target": {"width": 512, "depth": 2}},
        "tune": {"space": {"learning_rate": {"low": 0.001, "high": 1.0}}},
    }
    return Recipe.model_validate_json(json.dumps(document | sections))


def main() -> None:
    """Time the three, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plain = recipe()
        planned = recipe(model={"kind": "gpt"}, parameterization={"name": "mup"})
        ways: dict[str, Callable[[int], object]] = {
            "alone": lambda seed: subprocess.run(COMMAND, check=True, capture_output=True),
            "as a trial": lambda seed: trial(plain, root, seed),
            "as a trial with a plan": lambda seed: trial(planned, root, seed),
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for seed in range(trials):
            for way, run in ways.items():
                started = time.perf_counter()
                run(seed)
                seconds[way].append(time.perf_counter() - started)
    median = {way: 1000 * statistics.median(values) for way, values in seconds.items()}
    document = {
        "trials": trials,
        "median_ms": {way: round(value, 1) for way, value in median.items()},
        "beyond_ms": {way: round(value - median["alone"], 1) for way, value in median.items() if way != "alone"},
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }
    print(json.dumps(document, indent=2))


def trial(wanted: Recipe, root: Path, seed: int) -> None:
    """One trial, with its logs in a run folder."""
    spec = TrialSpec(wanted, root, wanted.proxy_size, {"learning_rate": 0.01}, seed)
    message = TrialMessage.of(spec, f"{seed:016x}", folder=root / "runs")
    assert TRAINERS.look_up("command").run(message).finished().loss == 1.5


if __name__ == "__main__":
    main()
