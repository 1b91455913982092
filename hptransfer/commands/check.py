"""`hptransfer check`: does the tuned value carry over to the sizes of the ladder?"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hptransfer import __version__
from hptransfer.commands.budget import BudgetOptions
from hptransfer.commands.climbing import Climb, climb
from hptransfer.commands.coordinates import check_coordinates
from hptransfer.commands.cost import spent_on
from hptransfer.commands.design import CheckDesign
from hptransfer.commands.dry_run import dry_run as forecast_command
from hptransfer.commands.running import Session, open_session, relative_cost
from hptransfer.commands.sharpness import check_sharpness
from hptransfer.commands.trial import TrialRequest
from hptransfer.commands.tuned import read_tuned
from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.evidence.collapse import collapse_of
from hptransfer.evidence.coordinate import CoordinateReport
from hptransfer.evidence.transfer import TransferReport
from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.report.beside import print_collapse, print_laziness, print_sharpness
from hptransfer.report.curves import save_curves
from hptransfer.report.documents import to_document, transfer_document
from hptransfer.report.progress import Progress
from hptransfer.report.rounds import print_rounds
from hptransfer.report.terminal import print_coordinates, print_transfer
from hptransfer.storage.run_folder import write_atomically


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found and wrote.

    Attributes:
        report: the judgement.
        coordinate: coordinate checks, one per axis.
        document: the content of `transfer.json`.
        files: what was written, `transfer.json` first.
    """

    report: TransferReport
    coordinate: tuple[CoordinateReport, ...]
    document: dict[str, Any]
    files: tuple[Path, ...]


def check_command(
    recipe: str,
    runs: Path,
    workers: int,
    *,
    max_trials: int | None,
    max_flops: float | None,
    max_time: str | None,
    trial_time: str | None,
    trial_memory: str | None,
    sharpness: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Check transfer of the tuned values and print the verdict.

    Args:
        recipe: path or name of a recipe.
        runs: the folder of run folders; `runs/<name>/tuned.yaml` must exist.
        workers: trials at a time.
        max_trials: see `BudgetOptions`, as for the four that follow.
        max_flops: floating point operations.
        max_time: wall time of this command.
        trial_time: wall time of a trial.
        trial_memory: memory of a trial.
        sharpness: measure it whatever the recipe says.
        dry_run: print what it would take instead.
        as_json: print `transfer.json` instead of tables.
        quiet: no progress.

    Returns:
        The verdict's exit status: 0 TRANSFERS, 1 DRIFTS, 3 INCONCLUSIVE.
    """
    options = BudgetOptions(max_trials, max_flops, max_time, trial_time, trial_memory)
    if dry_run:
        return forecast_command("check", recipe, runs, workers, options, as_json=as_json)
    with open_session(recipe, runs, workers, options=options) as session:
        result = check(session, recipe, quiet=quiet, show=not as_json, sharpness=sharpness)
    if as_json:
        print(json.dumps(result.document, indent=2, allow_nan=False))
    return result.report.verdict.exit_status


def check(session: Session, name: str, *, quiet: bool, show: bool, sharpness: bool = False) -> CheckResult:
    """Run the coordinate check and the ladder, judge them, write `transfer.json` and the figures.

    Args:
        session: of the recipe.
        name: what the user called the recipe, for hints.
        quiet: no progress.
        show: print tables and curves to stdout as they become known.
        sharpness: measure it whatever the recipe says.

    Raises:
        UsageError: nothing was tuned, or with another version of the recipe.
        InconclusiveError: some size diverged at every value that was tried.
    """
    loaded, folder = session.loaded, session.folder
    tuned = read_tuned(folder.tuned, name)
    if tuned.get("recipe_hash") != loaded.hash:
        raise UsageError(
            "transfer is checked for values that were tuned with the same recipe",
            received=f"{folder.tuned} is of another version of it",
            hint=f"run `hptransfer tune {name}` again; trials that are still valid are reused",
        )
    design = CheckDesign(loaded.recipe, session.root, tuned["hyperparameters"])
    console = Console(quiet=not show, highlight=False)
    coordinate = check_coordinates(design, session.pool, folder.path / "coordinate.json", session.fingerprint)
    print_coordinates(coordinate.reports, console)
    print_laziness(coordinate.laziness, console)
    climbed = _climb(session, design, quiet)
    trials = climbed.trials
    _require_finite(trials)
    report = design.judge(trials)
    if climbed.rounds:
        print_rounds(climbed.rounds, climbed.ended, console)
    print_transfer(report, console)
    along_width = [trial for trial in trials if trial.size in design.sizes("width")]
    collapse = collapse_of(
        along_width, axis="width", hyperparameter=design.hyperparameter, transferred=design.tuned[design.hyperparameter]
    )
    print_collapse(collapse, console)
    sharp = None
    if sharpness or loaded.recipe.check.sharpness:
        sharp = check_sharpness(design, session.pool, folder.path / "sharpness.json", session.fingerprint)
        print_sharpness(sharp, console)
    document = transfer_document(
        report,
        recipe=loaded.recipe.name,
        recipe_hash=loaded.hash,
        coordinate=coordinate.reports,
        linearisation=coordinate.laziness,
        sharpness=sharp,
        collapse=collapse,
        provenance=_provenance(session, trials),
        adaptive={"ended": climbed.ended, "rounds": climbed.rounds},
    )
    spent = spent_on(session.store.trials(), session.costs.of_target())
    document["spent"] = to_document(spent)
    files = _write(session, report, document)
    console.print(spent.sentence)
    _compare_with_expectation(session, report, console)
    return CheckResult(report, coordinate.reports, document, files)


def _climb(session: Session, design: CheckDesign, quiet: bool) -> Climb:
    first = design.first()
    announced = {request.key(session.fingerprint) for request in first}
    cost = sum(relative_cost(request.size) for request in first)
    title = f"check {session.loaded.recipe.name}"
    with Progress(
        title, len(first), cost, names=(design.hyperparameter,), workers=session.pool.workers, quiet=quiet
    ) as progress:

        def run(requests: Sequence[TrialRequest]) -> list[Trial]:
            more = [request for request in requests if request.key(session.fingerprint) not in announced]
            progress.expect(len(more), sum(relative_cost(request.size) for request in more))
            return session.run(requests, "check", progress)

        return climb(design, run, workers=session.pool.workers)


def _require_finite(trials: Sequence[Trial]) -> None:
    trained = {trial.size for trial in trials if trial.state is TrialState.COMPLETE}
    blown = sorted({trial.size for trial in trials} - trained)
    if blown:
        raise InconclusiveError(
            "every size must train at some value without diverging",
            received=f"divergence at all values of {', '.join(size.label for size in blown)}",
            hint="raise `check.octaves`, or look for a mistake in the parameterization: the ladder reaches far down",
        )


def _provenance(session: Session, trials: Sequence[Trial]) -> dict[str, object]:
    recipe = session.loaded.recipe
    return {
        "hptransfer": __version__,
        "python": platform.python_version(),
        "torch": sorted({trial.provenance.get("torch", "") for trial in trials}),
        "data": session.fingerprint,
        "seeds": recipe.check.seeds,
        "trials": len(trials),
        "diverged": sum(trial.state is TrialState.DIVERGED for trial in trials),
        "flops": sum(trial.flops for trial in trials),
        "seconds": sum(trial.seconds for trial in trials),
    }


def _write(session: Session, report: TransferReport, document: dict[str, Any]) -> tuple[Path, ...]:
    folder = session.folder
    folder.figures.mkdir(exist_ok=True)
    files = [folder.transfer]
    for axis in report.axes:
        paths = [folder.figures / f"transfer-{axis.axis}.{kind}" for kind in ("png", "svg")]
        save_curves(axis, paths)
        files += paths
    # last: who finds it finds the figures that belong to it
    write_atomically(folder.transfer, json.dumps(document, indent=2, allow_nan=False) + "\n")
    return tuple(files)


def _compare_with_expectation(session: Session, report: TransferReport, console: Console) -> None:
    expected = session.loaded.recipe.expect
    if expected is not None:
        same = expected.verdict == report.verdict
        console.print(f"expected {expected.verdict}: {'as expected' if same else f'but it is {report.verdict}'}")
