"""Progress on stderr: one live line on a terminal, plain lines elsewhere; never on stdout, which holds results."""

from __future__ import annotations

import math
import os
import sys
import time
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hptransfer.engine.scheduler import TrialEvent
from hptransfer.sizes import Size
from hptransfer.trials.trial import Trial, TrialState

#: seconds between plain lines; failures and the last trial are always shown
_INTERVAL = 5.0


class Progress:
    """Shows trials done, the best loss so far and the time left; call it with every `TrialEvent`.

    Args:
        title: what is going on, for example "tune w64-d2".
        total: trials expected in all, those of earlier runs included.
        total_cost: their cost, in the unit of `TrialEvent.cost`; the time left is weighted by it.
        names: hyperparameters to show with a trial.
        workers: trials at a time.
        quiet: whether nothing is shown at all.
        usual: sizes are named by width and depth, and by batch and tokens where they are not this one's.
        stream: where to write; stderr by default.
    """

    def __init__(
        self,
        title: str,
        total: int,
        total_cost: float,
        *,
        names: tuple[str, ...] = ("learning_rate",),
        workers: int = 1,
        quiet: bool = False,
        usual: Size | None = None,
        stream: IO[str] | None = None,
    ) -> None:
        self._title, self._total, self._total_cost = title, total, total_cost
        self._names, self._workers, self._quiet, self._usual = names, workers, quiet, usual
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._is_live = self._console.is_terminal and not quiet and not os.environ.get("CI")
        self._done = 0
        self._failed = 0
        self._diverged = 0
        self._done_cost = 0.0
        self._timed_cost = 0.0
        self._timed_seconds = 0.0
        self._best = math.inf
        self._told = -math.inf
        # last, because it renders at once
        self._live = Live(console=self._console, refresh_per_second=4, transient=True, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live:
            self._live.stop()

    def __call__(self, event: TrialEvent) -> None:
        """Takes notice of an event."""
        if event.trial is not None:
            self._count(event, event.trial)
        if event.kind in ("failed", "left out"):
            self._failed += 1
        if not self._quiet:
            self._tell(event)

    def expect(self, trials: int, cost: float) -> None:
        """More trials will come than were announced."""
        self._total += trials
        self._total_cost += cost

    def note(self, text: str) -> None:
        """Shows a sentence."""
        if not self._quiet:
            self._console.print(text, markup=False)

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the trials timed so far; None before the first."""
        if not self._timed_cost:
            return None
        left = max(0.0, self._total_cost - self._done_cost)
        at_a_time = max(1, min(self._workers, self._total - self._done))
        return self._timed_seconds / self._timed_cost * left / at_a_time

    @property
    def summary(self) -> str:
        """Done, best, time left, in one line."""
        parts = [f"{self._done}/{self._total}"]
        if math.isfinite(self._best):
            parts.append(f"best loss {self._best:.4f}")
        if self._diverged:
            parts.append(f"{self._diverged} diverged")
        if self._failed:
            parts.append(f"{self._failed} failed")
        left = self.seconds_left
        if left is not None and self._done < self._total:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def _count(self, event: TrialEvent, trial: Trial) -> None:
        self._done += 1
        self._done_cost += event.cost
        if event.kind == "finished":
            self._timed_cost += event.cost
            self._timed_seconds += trial.seconds
        if trial.state is TrialState.DIVERGED:
            self._diverged += 1
        else:
            self._best = min(self._best, trial.loss)

    def _tell(self, event: TrialEvent) -> None:
        if event.kind in ("failed", "retried", "left out"):
            self._console.print(f"{self._place(event)}: {event.kind}: {event.message}", markup=False)
        elif not self._is_live and event.kind == "finished" and event.trial is not None:
            now = time.monotonic()
            if now - self._told >= _INTERVAL or self._done >= self._total:
                self._told = now
                line = f"{self._title} [{self.summary}] {self._place(event)}: {_result(event.trial)}"
                self._console.print(line, markup=False)

    def _place(self, event: TrialEvent) -> str:
        shown = event.hyperparameters
        values = " ".join(f"{name}={shown[name]:.4g}" for name in self._names if name in shown)
        return f"{event.size.label_relative_to(self._usual or event.size)} {values} seed={event.seed}"

    def _render(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(self._total_cost, 1e-9), completed=self._done_cost, width=24)
        grid.add_row(Text(self._title, "bold"), bar, Text(self.summary))
        return grid


def _result(trial: Trial) -> str:
    loss = trial.state.value if trial.state is not TrialState.COMPLETE else f"loss {trial.loss:.4f}"
    return f"{loss} ({trial.seconds:.1f} s)"


def duration(seconds: float) -> str:
    """A time as people read it: 90 s, 12 min, 3.5 h."""
    whole = math.ceil(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{round(whole / 60)} min"
    return f"{whole / 3600:.1f} h"
