"""The status of a run folder as a person reads it, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hptransfer.engine.status import Attempt, SizeStatus, Status
from hptransfer.errors import printable
from hptransfer.report.progress import duration

_MOST_FAILURES = 5


def status_document(status: Status) -> dict[str, Any]:
    """The status as JSON-able data."""
    return {
        "recipe": status.recipe,
        "folder": status.folder,
        "owner": None if status.owner is None else asdict(status.owner),
        "steps": [{"name": step.phase, "finished": step.finished, "wanted": step.wanted} for step in status.steps],
        "sizes": {label: asdict(size) for label, size in status.sizes.items()},
        "running": [_attempt_document(attempt) for attempt in status.running],
        "failed": [_attempt_document(attempt) for attempt in status.failed],
        "flops": status.flops,
        "seconds_left": status.seconds_left,
        "results": _results(status),
        "finished_under_other_versions": status.elsewhere,
    }


def render_status(status: Status) -> Group:
    """The status as text and a table."""
    lines: list[Text | Table] = [Text(f"{status.recipe}: {_who(status)}")]
    steps = [f"{step.phase} {step.finished}/{'?' if step.wanted is None else step.wanted}" for step in status.steps]
    left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
    flops = f"; {status.flops:.3g} FLOPs" if status.flops else ""  # of models that only a trainer knows: not known
    lines.append(Text(f"{', '.join(steps)}{left}{flops}"))
    if status.sizes:
        lines.append(_table(status))
    alive = status.alive
    for attempt in status.running:
        since = "" if attempt.seconds is None else f", since {duration(attempt.seconds)}"
        lines.append(Text(f"{'running' if alive else 'interrupted'}: {_named(attempt)}{since if alive else ''}"))
    for attempt in status.failed[-_MOST_FAILURES:]:
        lines.append(Text(f"failed: {_named(attempt)}: {printable(attempt.cause or '')}: {printable(attempt.message)}"))
    if status.failed:
        lines.append(Text(f"{len(status.failed)} failed trials are left out; `hptransfer retry` requeues them"))
    for name, value in _results(status).items():
        if value is not None:
            lines.append(Text(f"{name}: {printable(value)}"))
    if status.elsewhere:
        lines.append(Text(f"{status.elsewhere} finished trials belong to other versions of the recipe"))
    return Group(*lines)


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    return asdict(attempt) | {"message": printable(attempt.message)}


def _results(status: Status) -> dict[str, str | None]:
    tuned, results = status.results.tuned, status.results
    values = None if tuned is None else ", ".join(f"{name} {value:.4g}" for name, value in tuned.items())
    return {
        "tuned": values,
        "verdict": results.verdict,
        "coordinate check": results.coordinate,
        "target": results.target,
    }


def _who(status: Status) -> str:
    owner = status.owner
    if owner is None:
        return f"nothing runs in {status.folder}"
    if owner.alive is False:
        return f"nothing runs in {status.folder}; {printable(str(owner))} ended without saying so"
    return f"{'running' if owner.alive else 'running elsewhere'} in {status.folder}, {printable(str(owner))}"


def _table(status: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("size")
    for column in SizeStatus.__dataclass_fields__:
        table.add_column(column.replace("_", " "), justify="right")
    for label, size in status.sizes.items():
        counts = (size.finished, size.diverged, size.running, size.failed, size.requeued)
        table.add_row(
            Text(printable(label)), *map(str, counts), "-" if size.best_loss is None else f"{size.best_loss:.4f}"
        )
    return table


def _named(attempt: Attempt) -> str:
    rate = attempt.hyperparameters.get("learning_rate")
    shown = "" if rate is None else f" learning_rate={rate:.4g}"
    return f"{printable(attempt.size)}{shown} seed={attempt.seed} ({attempt.phase})"
