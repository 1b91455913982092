"""What `tune` does and found, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.scheduler import relative_cost
from hptransfer.engine.session import Session
from hptransfer.report.progress import Progress
from hptransfer.report.terminal import print_long
from hptransfer.tuning.tune import budget_warning

if TYPE_CHECKING:
    from rich.console import Console


def tune_progress(session: Session, *, quiet: bool) -> Progress:
    """The progress of a search and its confirmation on stderr, begun with what must be said before they are paid for.

    Args:
        session: the recipe, its run folder and the workers.
        quiet: whether to show nothing.
    """
    recipe = session.loaded.recipe
    size, total = recipe.proxy_size, recipe.tune.trials + recipe.tune.confirm_seeds
    names = tuple(str(name) for name in recipe.tune.space)
    cost, workers = total * relative_cost(size), session.pool.workers
    progress = Progress(f"tune {size.label}", total, cost, names=names, workers=workers, quiet=quiet)
    for warning in (session.folder.space_warning(), budget_warning(recipe)):
        if warning:
            progress.note(f"warning: {warning}")
    return progress


def print_tuned(tuned: Tuned, console: Console, path: Path) -> None:
    """Print recommendation, interval, best observed, confirmation and warnings.

    Args:
        tuned: the outcome of a search.
        console: the console to print to.
        path: the file that it was written to.
    """
    table = Table(title=f"{tuned.recipe}: tuned at {tuned.size.label}", title_justify="left", box=None, pad_edge=False)
    plateau = f"within {tuned.plateau_fraction:.2%}"
    for column in ("hyperparameter", "recommended", "95% interval", plateau, "best observed"):
        table.add_column(column, justify="left" if column == "hyperparameter" else "right")
    for name, value in tuned.recommended.items():
        low, high = tuned.intervals[name]
        best = tuned.best_observed.hyperparameters[name]
        first, last = tuned.plateaus[name]
        table.add_row(name, f"{value:.4g}", f"{_end(low)} to {_end(high)}", f"{first:.3g} to {last:.3g}", f"{best:.4g}")
    best_loss = f"{tuned.best_observed.loss:.4f} (seed {tuned.best_observed.seed})"
    table.add_row("loss", f"{tuned.expected_loss:.4f}", "", "", best_loss)
    console.print(table)
    fresh = tuned.confirmation
    if fresh.mean is not None:
        spread = "" if fresh.sd is None else f" +- {fresh.sd:.4f}"
        console.print(f"fresh seeds at the recommendation: loss {fresh.mean:.4f}{spread} ({len(fresh.seeds)} seeds)")
    print_long(f"best observed is not recommended by itself: {tuned.best_observed.note}", console)
    count = tuned.trials
    console.print(
        f"{count.finished} trials, {count.diverged} diverged, {count.failed} failed; {tuned.seconds:.0f} s of training"
    )
    console.print(tuned.spent.sentence)
    for warning in tuned.warnings:
        print_long(f"warning: {warning}", console)
    print_long(f"written to {path}", console)


def _end(value: float | None) -> str:
    return "open" if value is None else f"{value:.3g}"
