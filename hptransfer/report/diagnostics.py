"""What stands beside a verdict in the terminal: laziness in depth, sharpness over width, noise scale, loss curves."""

from __future__ import annotations

from rich.console import Console  # noqa: TC002  # as in the other modules of report

from hptransfer.diagnostics.collapse import CollapseReport
from hptransfer.diagnostics.linearization import LazinessReport
from hptransfer.diagnostics.noise_scale import NoiseScaleReport
from hptransfer.diagnostics.sharpness import SharpnessReport
from hptransfer.statistics.interval import Interval


def print_laziness(report: LazinessReport | None, console: Console) -> None:
    """Print how the distance from linearisation goes with depth; nothing where it was not measured."""
    if report is None:
        return
    numbers = zip(report.depths, report.distances, strict=True)
    console.print("linearisation: " + ", ".join(f"{value:.2g} at depth {depth}" for depth, value in numbers))
    console.print(f"{report.verdict.value}: {report.sentence}\n")


def print_sharpness(report: SharpnessReport, console: Console) -> None:
    """Print sharpness against its threshold at every width."""
    shares = ", ".join(f"{row.sharpness:.3g} ({row.ratio:.0%}) at width {row.width}" for row in report.rows)
    console.print(f"sharpness x rate, and its share of the threshold {report.threshold:.3g}: {shares}")
    console.print(f"{report.verdict.value}: {report.sentence}\n")


def print_noise_scale(report: NoiseScaleReport, console: Console) -> None:
    """Print the noise scale along training, and where the batch lies."""
    for row in report.rows:
        console.print(
            f"gradient noise scale after {row.progress:.0%} of training: {_examples(row.adapted)} in the optimizer's "
            f"metric, {_examples(row.simple)} plain"
        )
    console.print(f"{report.sentence}\n")


def _examples(scale: Interval) -> str:
    if not scale.bounded:
        return f"{scale.low:.3g} examples or more"
    return f"{scale.estimate:.3g} examples ({scale.low:.3g} to {scale.high:.3g})"


def print_collapse(report: CollapseReport | None, console: Console) -> None:
    """Print whether the loss curves of the sizes fall onto one; nothing where seeds or curves are too few."""
    if report is None:
        return
    spread = ", ".join(f"{ratio:.2g} at {floor:.3g}" for floor, ratio in report.sensitivity)
    console.print(f"loss curves: {report.outcome.value}: {report.sentence}")
    console.print(f"with an irreducible loss of {report.floor:.3g} nats; by other floors: {spread}\n")
