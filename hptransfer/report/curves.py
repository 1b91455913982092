"""The loss curves as a figure: PNG for people, SVG for documents."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.report.plot import diverged_values, seed_means, tallest
from hptransfer.transfer.criteria import SizeEvidence
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.verdict_text import describe_drift

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: markers differ per size as well as colours, so that the figure reads in grey
_MARKERS = "os^Dv<>pPX"


def save_curves(axis: AxisReport, paths: Sequence[Path]) -> None:
    """Draw one axis and write it to every path, in the format its suffix names (.png, .svg, .pdf).

    Args:
        axis: the report to draw.
        paths: files to write; their folders must exist.

    Raises:
        OSError: a file cannot be written.
    """
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "hptransfer", "svg.fonttype": "none", "font.size": 10}):
        figure = _figure(axis)
        for path in paths:
            # no date: the same evidence gives the same file
            metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, dpi=160, metadata=metadata)


def _figure(report: AxisReport) -> Figure:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 6.4))
    figure.subplots_adjust(left=0.1, right=0.78, top=0.94, bottom=0.09, hspace=0.16)
    losses, optima = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    shades = colormaps["viridis"]
    for index, size in enumerate(report.sizes):
        colour = shades(0.92 * (1 - index / max(1, len(report.sizes) - 1)))
        _curve(losses, size, colour, _MARKERS[index % len(_MARKERS)], f"{report.axis} {size.value}")
        _optimum(optima, index, size, colour, _MARKERS[index % len(_MARKERS)])
    _limits(losses, report)
    for panel in (losses, optima):
        panel.axvline(report.transferred, color="0.35", linestyle="--", linewidth=1)
        panel.grid(alpha=0.25)
    losses.plot([], [], color="0.35", linestyle="--", linewidth=1, label="transferred value")
    if any(diverged_values(size) for size in report.sizes):
        losses.plot([], [], color="0.35", linestyle="", marker="x", label="diverged")
    losses.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    losses.set_ylabel("validation loss (nats)")
    optima.set_xscale("log", base=2)
    optima.set_xlabel(report.hyperparameter.replace("_", " "))
    optima.set_ylabel(report.axis)
    optima.set_yticks(range(len(report.sizes)), [str(size.value) for size in report.sizes])
    optima.set_ylim(-0.6, len(report.sizes) - 0.4)
    optima.set_title("optimum with 95% interval", fontsize=9, loc="left")
    losses.set_title(f"{report.verdict.value}: {describe_drift(report.drift)}", fontsize=11, loc="left")
    return figure


def _curve(panel: Axes, size: SizeEvidence, colour: Any, marker: str, label: str) -> None:
    x, loss = seed_means(size)
    panel.plot([2.0**v for v in x], loss, color=colour, marker=marker, markersize=5, linewidth=1.4, label=label)
    single = [(2.0**p.x, p.loss) for p in size.points if not p.diverged and math.isfinite(p.loss)]
    panel.plot(*zip(*single, strict=True), linestyle="", marker=".", markersize=3, color=colour, alpha=0.5)
    panel.plot(size.optimum.value, size.optimum.loss.estimate, marker="*", markersize=13, color=colour, mec="black")
    # diverged runs have no loss: they are marked along the top edge
    top = panel.get_xaxis_transform()
    blown = [2.0**v for v in diverged_values(size)]
    panel.plot(blown, [0.985] * len(blown), linestyle="", marker="x", color=colour, transform=top, clip_on=False)


def _optimum(panel: Axes, row: int, size: SizeEvidence, colour: Any, marker: str) -> None:
    """The interval as a bar; an open end is an arrow that leaves the sampled region."""
    optimum = size.optimum
    tried = [point.x for point in size.points]
    low, high = max(optimum.low, min(tried)), min(optimum.high, max(tried))
    panel.plot([2.0**low, 2.0**high], [row, row], color=colour, linewidth=3, solid_capstyle="butt")
    for end, arrow, is_open in ((low, "<", math.isinf(optimum.low)), (high, ">", math.isinf(optimum.high))):
        panel.plot(2.0**end, row, marker=arrow if is_open else "|", markersize=10, color=colour)
    panel.plot(optimum.value, row, marker=marker, markersize=7, color=colour, markeredgecolor="black")


def _limits(panel: Axes, report: AxisReport) -> None:
    """Show the minima, not the flanks: cut losses far above the best."""
    best = [min(*seed_means(size)[1], size.optimum.loss.estimate) for size in report.sizes]
    span = max(best) - min(best) + statistics.median(tallest(size) for size in report.sizes)
    panel.set_ylim(min(best) - 0.05 * span, min(best) + 1.08 * span)
