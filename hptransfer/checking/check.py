"""`hptransfer check`: does the tuned value carry over to the sizes of the ladder?"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hptransfer import __version__
from hptransfer.checking.adaptive import AdaptiveResult, run_adaptive
from hptransfer.checking.coordinate_check import check_coordinates
from hptransfer.checking.design import CheckDesign
from hptransfer.checking.interactions import search_interactions, with_limits
from hptransfer.checking.noise_scale import check_noise_scale
from hptransfer.checking.sharpness import check_sharpness
from hptransfer.diagnostics.collapse import collapse_of
from hptransfer.diagnostics.coordinate import CoordinateReport
from hptransfer.engine.flops import spent_on
from hptransfer.engine.scheduler import relative_cost
from hptransfer.engine.session import Session
from hptransfer.errors import InconclusiveError, UsageError
from hptransfer.files import write_atomically
from hptransfer.recipe.schema import Recipe
from hptransfer.report.adaptive import print_rounds
from hptransfer.report.curves import save_curves
from hptransfer.report.diagnostics import print_collapse, print_laziness, print_noise_scale, print_sharpness
from hptransfer.report.interactions import print_interactions
from hptransfer.report.json_documents import to_document, transfer_document
from hptransfer.report.progress import Progress
from hptransfer.report.terminal import print_coordinates, print_transfer
from hptransfer.scaling.plan import wanted_size
from hptransfer.scaling.registered_prediction import describe_target
from hptransfer.sizes import Size
from hptransfer.transfer.judge import TransferReport, combine_reports
from hptransfer.trials.phase import Phase
from hptransfer.trials.spec import TrialSpec
from hptransfer.trials.trial import Trial, TrialState
from hptransfer.tuning.tuned_file import read_tuned


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


def check(
    session: Session, name: str, *, quiet: bool, show: bool, sharpness: bool = False, noise_scale: bool = False
) -> CheckResult:
    """Run the coordinate check and the ladder, judge them, write `transfer.json` and the figures.

    Args:
        session: of the recipe.
        name: what the user called the recipe, for hints.
        quiet: no progress.
        show: print tables and curves to stdout as they become known.
        sharpness: measure it whatever the recipe says.
        noise_scale: the same.

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
    values = tuned["hyperparameters"]
    designs = [CheckDesign(loaded.recipe, session.root, values, each) for each in loaded.recipe.check.checked]
    console = Console(quiet=not show, highlight=False)
    coordinate = check_coordinates(designs[0], session.pool, folder.path / "coordinate.json", session.identity)
    print_coordinates(coordinate.reports, console)
    print_laziness(coordinate.laziness, console)
    climbs, reports = [], []
    for design in designs:
        climbed = _climb(session, design, quiet)
        _require_finite(climbed.trials, design.proxy)
        if climbed.rounds:
            print_rounds(climbed.rounds, climbed.ended, console)
        climbs.append(climbed)
        reports.append(design.judge(climbed.trials))
    pairs = search_interactions(session, values)
    report = with_limits(combine_reports(reports), pairs, loaded.recipe.check.checked)
    print_transfer(report, console)
    print_interactions(pairs, console)
    _print_target(loaded.recipe, report, console)
    trials = list({trial.key: trial for climbed in climbs for trial in climbed.trials}.values())
    first = designs[0]
    collapse = collapse_of(
        [trial for trial in climbs[0].trials if trial.size in first.sizes("width")],
        axis="width",
        hyperparameter=first.hyperparameter,
        transferred=first.tuned[first.hyperparameter],
    )
    print_collapse(collapse, console)
    sharp = None
    if sharpness or loaded.recipe.check.sharpness:
        sharp = check_sharpness(first, session.pool, folder.path / "sharpness.json", session.identity)
        print_sharpness(sharp, console)
    noisy = None
    if noise_scale or loaded.recipe.check.noise_scale:
        noisy = check_noise_scale(first, session.pool, folder.path / "noise-scale.json", session.identity)
        print_noise_scale(noisy, console)
    document = transfer_document(
        report,
        recipe=loaded.recipe.name,
        recipe_hash=loaded.hash,
        coordinate=coordinate.reports,
        linearisation=coordinate.laziness,
        sharpness=sharp,
        noise_scale=noisy,
        collapse=collapse,
        provenance=_provenance(session, trials),
        adaptive=_rounds(designs, climbs),
        interactions=pairs,
    )
    spent = spent_on(session.store.trials(), session.costs.of_target())
    document["spent"] = to_document(spent)
    files = _write(session, report, document)
    session.announce("check", document)
    console.print(spent.sentence)
    _compare_with_expectation(session, report, console)
    return CheckResult(report, coordinate.reports, document, files)


def _print_target(recipe: Recipe, report: TransferReport, console: Console) -> None:
    """What the checked value is expected to cost at the target; `scale` registers the prediction."""
    proxy = recipe.size(recipe.proxy.width, recipe.proxy.depth)
    ahead = describe_target(report, proxy=proxy, size=wanted_size(recipe, None, None))
    if ahead:
        console.print(Text(f"{ahead}\n"))


def _rounds(designs: Sequence[CheckDesign], climbs: Sequence[AdaptiveResult]) -> dict[str, object]:
    """What the rounds of each hyperparameter bought; those of the first stand by themselves."""
    first, *others = ({"ended": climbed.ended, "rounds": climbed.rounds} for climbed in climbs)
    names = (design.hyperparameter for design in designs[1:])
    return first | ({"others": dict(zip(names, others, strict=True))} if others else {})


def _climb(session: Session, design: CheckDesign, quiet: bool) -> AdaptiveResult:
    first = design.first()
    announced = {session.key(request) for request in first}
    cost = sum(relative_cost(request.size) for request in first)
    title = f"check {session.loaded.recipe.name}"
    with Progress(
        title,
        len(first),
        cost,
        names=(design.hyperparameter,),
        workers=session.pool.workers,
        quiet=quiet,
        usual=design.proxy,
    ) as progress:

        def run(requests: Sequence[TrialSpec]) -> list[Trial]:
            more = [request for request in requests if session.key(request) not in announced]
            progress.expect(len(more), sum(relative_cost(request.size) for request in more))
            return session.run(requests, Phase.CHECK, progress)

        return run_adaptive(design, run, workers=session.pool.workers)


def _require_finite(trials: Sequence[Trial], usual: Size) -> None:
    trained = {trial.size for trial in trials if trial.state is TrialState.COMPLETE}
    blown = sorted({trial.size for trial in trials} - trained)
    if blown:
        raise InconclusiveError(
            "every size must train at some value without diverging",
            received=f"divergence at all values of {', '.join(size.label_relative_to(usual) for size in blown)}",
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
        other = "" if axis.hyperparameter == report.axes[0].hyperparameter else f"-{_slug(axis.hyperparameter)}"
        paths = [folder.figures / f"transfer-{axis.axis.replace(' x ', '-')}{other}.{kind}" for kind in ("png", "svg")]
        save_curves(axis, paths)
        files += paths
    # last: who finds it finds the figures that belong to it
    write_atomically(folder.transfer, json.dumps(document, indent=2, allow_nan=False) + "\n")
    return tuple(files)


def _slug(name: str) -> str:
    """A name as part of a file's: 1/(1 - beta2) becomes beta2."""
    return re.sub(r"^1/\(1 - (\w+)\)$", r"\1", name)


def _compare_with_expectation(session: Session, report: TransferReport, console: Console) -> None:
    expected = session.loaded.recipe.expect
    if expected is not None:
        same = expected.verdict == report.verdict
        console.print(f"expected {expected.verdict}: {'as expected' if same else f'but it is {report.verdict}'}")
