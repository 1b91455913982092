"""A check in the terminal and on disk: its parts as they become known, its progress, figures and `transfer.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from hptransfer.artifacts.spent import Spent
from hptransfer.checking.adaptive import AdaptiveResult
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.expected import CoordinateOutcome, Expected
from hptransfer.checking.result import CheckPart, CheckResult
from hptransfer.diagnostics.base import Diagnosed
from hptransfer.engine.scheduler import relative_cost
from hptransfer.report.curves import save_curves
from hptransfer.report.prediction import describe_outlook
from hptransfer.report.progress import Progress
from hptransfer.report.terminal import print_diagnosed, print_long, print_transfer, rounds_table
from hptransfer.storage.run_folder import RunFolder
from hptransfer.transfer.judge import TransferReport
from hptransfer.transfer.scope import Outlook
from hptransfer.trials.spec import TrialSpec

if TYPE_CHECKING:
    from rich.console import Console


def render_check(result: CheckResult, console: Console) -> None:
    """Print everything that a check found.

    Args:
        result: everything that the check found.
        console: where tables and sentences are printed.
    """
    for part in result.parts:
        print_part(part, console)


def print_part(part: CheckPart, console: Console) -> None:
    """Print one part of a check.

    Args:
        part: one of the things that a check finds.
        console: where tables and sentences are printed.
    """
    match part:
        case Diagnosed():
            print_diagnosed(part, console)
        case AdaptiveResult():
            if part.rounds:
                console.print(rounds_table(part.rounds))
                console.print(Text(f"no more trials: {part.ended}\n"))
        case TransferReport():
            print_transfer(part, console)
        case Outlook():
            for said in describe_outlook(part):
                console.print(Text(f"{said}\n"))
        case Spent():
            console.print(part.sentence)
        case CoordinateOutcome():
            print_long(part.sentence, console)
        case Expected():
            for each in part.each:
                print_long(each.sentence, console)
        case _:  # what the losses were measured on
            console.print(Text(f"{part.sentence}\n"))


@dataclass(frozen=True, slots=True)
class CheckPrinter:
    """Prints a check while it runs: a `CheckListener`.

    Attributes:
        console: where parts are printed; a quiet one prints none.
        recipe: name of the recipe, for the progress on stderr.
        workers: trials at a time.
        quiet: whether progress is left out.
    """

    console: Console
    recipe: str
    workers: int
    quiet: bool

    def part(self, part: CheckPart) -> None:
        """Print a part as soon as it is known."""
        print_part(part, self.console)

    @contextmanager
    def ladder(self, design: CheckDesign, specs: Sequence[TrialSpec]) -> Iterator[_Announced]:
        """Show the progress of one ladder.

        Args:
            design: sizes and checked hyperparameter of the ladder.
            specs: trials that it begins with.
        """
        with Progress(
            f"check {self.recipe}",
            len(specs),
            _cost(specs),
            names=(design.hyperparameter,),
            workers=self.workers,
            quiet=self.quiet,
            usual=design.proxy,
        ) as progress:
            yield _Announced(progress)


@dataclass(frozen=True, slots=True)
class _Announced:
    """A progress that counts trials by their specs."""

    progress: Progress

    @property
    def on_event(self) -> Progress:
        """Shows a trial's event."""
        return self.progress

    def expect(self, specs: Sequence[TrialSpec]) -> None:
        """More trials will come than were announced."""
        self.progress.expect(len(specs), _cost(specs))


def _cost(specs: Sequence[TrialSpec]) -> float:
    return sum(relative_cost(spec.size) for spec in specs)


def save_check(result: CheckResult, folder: RunFolder) -> tuple[Path, ...]:
    """Write the figures and `transfer.json`.

    Args:
        result: everything that the check found.
        folder: run folder of the recipe.

    Returns:
        What was written, `transfer.json` first.
    """
    folder.figures.mkdir(exist_ok=True)
    files = [folder.transfer]
    axes = result.report.axes
    for axis in axes:
        other = "" if axis.hyperparameter == axes[0].hyperparameter else f"-{_slug(axis.hyperparameter)}"
        paths = [folder.figures / f"transfer-{axis.axis.replace(' x ', '-')}{other}.{kind}" for kind in ("png", "svg")]
        save_curves(axis, paths, result.unit)
        files += paths
    # last: who finds it finds the figures that belong to it
    result.evidence.write_json(folder.transfer)
    return tuple(files)


def _slug(name: str) -> str:
    """A name as part of a file's: 1/(1 - beta2) becomes beta2."""
    return re.sub(r"^1/\(1 - (\w+)\)$", r"\1", name)
