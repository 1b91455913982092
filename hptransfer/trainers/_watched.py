"""A coordinate check recorded by the user's own loop: `hptransfer.watch` writes it while a trial begins."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hptransfer.artifacts.watch import PATH_VARIABLE, SEED_VARIABLE, SIZE_VARIABLE, read_watch_file
from hptransfer.errors import UsageError
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import DiagnosticMessage, TrialMessage


def watched(message: DiagnosticMessage) -> dict[str, Any]:
    """Start the run that a coordinate check asks for, and read what its loop recorded.

    The run ends where it reports a step after the last that is measured; one that reports none goes to its end.

    Args:
        message: of the diagnostic; its options say after which steps is measured.

    Returns:
        "layers" and "parameters", as the coordinate check measures them.

    Raises:
        UsageError: the loop recorded nothing, or not all of the steps.
    """
    last = max(message.options["steps"])
    trainer = TRAINERS.look_up(message.recipe.trainer.name)
    with tempfile.TemporaryDirectory(prefix="hptransfer-watch-") as folder:
        path = Path(folder) / "coordinates.jsonl"
        variables = {
            PATH_VARIABLE: str(path),
            SIZE_VARIABLE: json.dumps(asdict(message.size)),
            SEED_VARIABLE: str(message.seed),
        }
        with _environment(variables):
            trainer.run(TrialMessage.of(message.spec, "watch"), lambda step, loss: step > last)
        runs = read_watch_file(path)[0] if path.exists() else []
    complete = [run for run in runs if not run.missing]
    if not complete:
        said = "nothing" if not runs else f"no step {', '.join(map(str, runs[-1].missing))}"
        raise UsageError(
            "a loop with `watches: true` must record its first steps by `hptransfer.watch`",
            received=f"{said} recorded at {message.size.label}",
            hint="call `hptransfer.watch(model, batch, optimizer=optimizer)` before the first step (docs/watch.md)",
        )
    measured = complete[-1].measured()
    return {"layers": measured["layers"], "parameters": measured["parameters"]}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
