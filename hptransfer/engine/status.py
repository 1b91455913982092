"""`hptransfer status`: how far a run is, who works on it and what failed. It reads; it neither locks nor writes."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hptransfer.checking.design import CheckDesign
from hptransfer.engine.run_lookup import Located
from hptransfer.recipe.load import recipe_hash
from hptransfer.report.findings import printable
from hptransfer.report.progress import duration
from hptransfer.storage.run_folder import Owner, read_owner
from hptransfer.storage.snapshot import SeenTrial, read_trials
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import TrialState

#: seconds between looks of `--watch`
INTERVAL = 2.0
_MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the journey.

    Attributes:
        name: "search", "confirm" or "check".
        finished: trials that are wanted and finished.
        wanted: trials in all; of a check those it begins with, None before anything is tuned.
    """

    name: str
    finished: int
    wanted: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """A run folder at one moment.

    Attributes:
        recipe: its name.
        folder: the run folder.
        owner: the process that works there.
        steps: how far each step is.
        sizes: per size counts of "finished", "diverged", "running", "failed", "requeued", and the best loss.
        running: trials under way, or left so by a process that was killed.
        failed: those that stand, the latest last.
        flops: of finished trials.
        seconds_left: of the search and the check, by the mean of finished trials; None while nothing runs or is known.
        results: what was written: "tuned", "verdict", "target", each None before; stale ones of another recipe too.
        elsewhere: finished trials of other versions of the recipe.
    """

    recipe: str
    folder: str
    owner: Owner | None
    steps: tuple[Step, ...]
    sizes: dict[str, dict[str, float | int | None]]
    running: tuple[dict[str, Any], ...]
    failed: tuple[dict[str, Any], ...]
    flops: float
    seconds_left: float | None
    results: dict[str, str | None]
    elsewhere: int


def _show(found: Located, watch: bool, as_json: bool) -> None:
    status = read_status(found)
    console = Console(highlight=False)
    if as_json or not watch or not console.is_terminal:
        _tell(status, console, as_json, indent=None if watch else 2)
        while watch and _alive(status):
            time.sleep(INTERVAL)
            status = read_status(found)
            _tell(status, console, as_json, indent=None)
        return
    with Live(render_status(status), console=console, refresh_per_second=4) as live:
        while _alive(status):
            time.sleep(INTERVAL)
            status = read_status(found)
            live.update(render_status(status))


def _tell(status: Status, console: Console, as_json: bool, indent: int | None) -> None:
    if as_json:
        print(json.dumps(status_document(status), indent=indent, allow_nan=False))
    else:
        console.print(render_status(status), soft_wrap=True)
    sys.stdout.flush()


def _alive(status: Status) -> bool:
    return status.owner is not None and status.owner.alive is not False


def read_status(found: Located) -> Status:
    """Look at a run folder."""
    recipe = found.recipe
    proxy = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    request = TrialSpec(recipe, Path(), proxy, {}, 0)
    suffix = request.experiment(found.fingerprint)[:8]
    everything = read_trials(found.folder.study)
    seen = [trial for trial in everything if trial.study.endswith(f"-{suffix}")]
    finished = {trial.key: trial for trial in seen if trial.state == "finished"}
    owner = read_owner(found.folder.path)
    steps = _steps(found, finished.values())
    running = [trial for trial in seen if trial.state == "running"]
    latest = {trial.key: trial for trial in seen}  # a requeued trial may have finished since
    failed = [trial for trial in latest.values() if trial.state == "failed"]
    return Status(
        recipe=recipe.name,
        folder=str(found.folder.path),
        owner=owner,
        steps=steps,
        sizes=_sizes(seen),
        running=tuple(_described(trial) for trial in running),
        failed=tuple(_described(trial) for trial in failed),
        flops=sum(trial.trial.flops for trial in finished.values() if trial.trial),
        seconds_left=_left(steps, finished.values(), len(running)) if owner and owner.alive else None,
        results=_results(found),
        elsewhere=len({trial.key for trial in everything if trial.state == "finished"} - set(finished)),
    )


def _steps(found: Located, finished: Iterable[SeenTrial]) -> tuple[Step, ...]:
    recipe, keys = found.recipe, {trial.key for trial in finished}
    phases = Counter(trial.phase for trial in finished)
    tuned = _tuned(found)
    wanted = recipe.tune.trials
    steps = [
        Step("search", min(phases["search"], wanted), wanted),
        Step("confirm", min(phases["confirm"], recipe.tune.confirm_seeds), recipe.tune.confirm_seeds),
    ]
    if tuned is None:
        return (*steps, Step("check", 0, None))
    first = CheckDesign(recipe, Path(), tuned["hyperparameters"]).first()
    done = sum(request.key(found.fingerprint) in keys for request in first)
    return (*steps, Step("check", done, len(first)))


def _tuned(found: Located) -> dict[str, Any] | None:
    try:
        tuned = yaml.safe_load(found.folder.tuned.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    usable = isinstance(tuned, dict) and tuned.get("recipe_hash") == recipe_hash(found.recipe)
    return tuned if usable else None


def _results(found: Located) -> dict[str, str | None]:
    results: dict[str, str | None] = {"tuned": None, "verdict": None, "target": None}
    if (tuned := _tuned(found)) is not None:
        results["tuned"] = ", ".join(f"{name} {value:.4g}" for name, value in tuned["recommended"].items())
    try:
        transfer = json.loads(found.folder.transfer.read_text(encoding="utf-8"))
        if transfer["recipe_hash"] == recipe_hash(found.recipe):
            results["verdict"] = str(transfer["verdict"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not checked yet
    if found.folder.target.exists():
        results["target"] = str(found.folder.target)
    return results


def _sizes(seen: Sequence[SeenTrial]) -> dict[str, dict[str, float | int | None]]:
    sizes: dict[str, dict[str, float | int | None]] = {}
    for study in dict.fromkeys(trial.study for trial in seen):
        latest = {trial.key: trial for trial in seen if trial.study == study}
        counts = Counter(trial.state for trial in latest.values())
        trials = [trial.trial for trial in latest.values() if trial.trial is not None]
        losses = [trial.loss for trial in trials if trial.state is TrialState.COMPLETE]
        sizes[study.rpartition("-")[0]] = {
            "finished": counts["finished"],
            "diverged": sum(trial.state is TrialState.DIVERGED for trial in trials),
            "running": counts["running"],
            "failed": counts["failed"],
            "requeued": counts["requeued"],
            "best_loss": min(losses, default=None),
        }
    return sizes


def _described(trial: SeenTrial) -> dict[str, Any]:
    return {
        "key": trial.key,
        "size": trial.study.rpartition("-")[0],
        "phase": trial.phase,
        "seed": trial.seed,
        "hyperparameters": trial.hyperparameters,
        "seconds": None if trial.started is None else max(0.0, time.time() - trial.started),
        "cause": trial.cause,
        "message": printable(trial.message),
    }


def _left(steps: Sequence[Step], finished: Iterable[SeenTrial], running: int) -> float | None:
    """By the mean of finished trials; a check's wide trials take longer than what was timed before them."""
    seconds = [trial.trial.seconds for trial in finished if trial.trial is not None]
    left = sum(step.wanted - step.finished for step in steps if step.wanted is not None)
    return left * sum(seconds) / len(seconds) / max(1, running) if seconds else None


def status_document(status: Status) -> dict[str, Any]:
    """The status as JSON-able data."""
    owner = status.owner
    return {
        "recipe": status.recipe,
        "folder": status.folder,
        "owner": owner
        and {
            "pid": owner.pid,
            "host": owner.host,
            "started": owner.started,
            "command": list(owner.command),
            "alive": owner.alive,
        },
        "steps": [{"name": s.name, "finished": s.finished, "wanted": s.wanted} for s in status.steps],
        "sizes": status.sizes,
        "running": list(status.running),
        "failed": list(status.failed),
        "flops": status.flops,
        "seconds_left": status.seconds_left,
        "results": status.results,
        "finished_under_other_versions": status.elsewhere,
    }


def render_status(status: Status) -> Group:
    """The status as a person reads it."""
    lines: list[Text | Table] = [Text(f"{status.recipe}: {_who(status)}")]
    steps = [f"{step.name} {step.finished}/{'?' if step.wanted is None else step.wanted}" for step in status.steps]
    left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
    lines.append(Text(f"{', '.join(steps)}{left}; {status.flops:.3g} FLOPs"))
    if status.sizes:
        lines.append(_table(status))
    alive = _alive(status)
    for trial in status.running:
        since = "" if trial["seconds"] is None else f", since {duration(trial['seconds'])}"
        lines.append(Text(f"{'running' if alive else 'interrupted'}: {_place(trial)}{since if alive else ''}"))
    for trial in status.failed[-_MOST_FAILURES:]:
        lines.append(Text(f"failed: {_place(trial)}: {trial['cause']}: {trial['message']}"))
    if status.failed:
        lines.append(Text(f"{len(status.failed)} failed trials are left out; `hptransfer retry` requeues them"))
    for name, value in status.results.items():
        if value is not None:
            lines.append(Text(f"{name}: {printable(value)}"))
    if status.elsewhere:
        lines.append(Text(f"{status.elsewhere} finished trials belong to other versions of the recipe"))
    return Group(*lines)


def _who(status: Status) -> str:
    owner = status.owner
    if owner is None:
        return f"nothing runs in {status.folder}"
    if owner.alive is False:
        return f"nothing runs in {status.folder}; {printable(str(owner))} ended without saying so"
    return f"{'running' if owner.alive else 'running elsewhere'} in {status.folder}, {printable(str(owner))}"


def _table(status: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    columns = ("finished", "diverged", "running", "failed", "requeued", "best_loss")
    table.add_column("size")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for label, counts in status.sizes.items():
        best = counts["best_loss"]
        row = [str(counts[column]) for column in columns[:-1]]
        table.add_row(label, *row, "-" if best is None else f"{best:.4f}")
    return table


def _place(trial: dict[str, Any]) -> str:
    values = trial["hyperparameters"]
    shown = f" learning_rate={values['learning_rate']:.4g}" if "learning_rate" in values else ""
    return f"{trial['size']}{shown} seed={trial['seed']} ({trial['phase']})"
