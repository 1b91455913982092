"""The loss curves as a figure (PNG for people, SVG for documents), and drawn with characters in the terminal."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from hptransfer.report.costs import cost_title
from hptransfer.transfer.criteria import SizeEvidence
from hptransfer.transfer.judge import AxisReport

if TYPE_CHECKING:
    from rich.console import Console

# Loss curves drawn with characters: one marker per size, and under the same axis where each size's optimum lies.

#: columns left of the plot: the labels of the vertical axis, or the sizes
_MARGIN = 10
_ROWS = 14
#: sizes whose plots need up to so many times the median height are shown whole
_ALIKE = 1.25


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of a plot; sizes differ by marker, so colour carries no meaning of its own."""

    markers: str
    line: str
    transferred: str
    frame: str
    corner: str
    rule: str
    low: str
    high: str
    bar: str
    open_low: str
    open_high: str
    diverged: str
    beyond: str
    plus_minus: str


UNICODE = Glyphs("●■▲◆○□△◇★☆", "·", "┊", "│", "└", "─", "├", "┤", "─", "◀", "▶", "✗", "↑", "±")
ASCII = Glyphs("oxsd*+%#@&", ".", ":", "|", "+", "-", "[", "]", "-", "<", ">", "X", "^", "+-")
_COLOURS = ("magenta", "blue", "cyan", "green", "yellow", "red", "bright_black", "white", "bright_blue", "bright_red")


def glyphs_of(console: Console) -> Glyphs:
    """The characters that a console can show: ASCII where its encoding is not UTF-8."""
    return UNICODE if console.encoding.lower().replace("-", "").startswith("utf") else ASCII


def marker_of(index: int, glyphs: Glyphs) -> str:
    """The marker of the size with this index; they repeat beyond ten sizes."""
    return glyphs.markers[index % len(glyphs.markers)]


def colour_of(index: int) -> str:
    """The colour that goes with the marker, for terminals that have colours."""
    return _COLOURS[index % len(_COLOURS)]


def seed_means(size: SizeEvidence) -> tuple[list[float], list[float]]:
    """(x, mean loss) of the values at which every seed has a finite loss."""
    by_x: dict[float, list[float]] = {}
    for point in size.points:
        by_x.setdefault(round(point.x, 9), []).append(math.inf if point.diverged else point.loss)
    kept = {x: float(np.mean(losses)) for x, losses in sorted(by_x.items()) if all(map(math.isfinite, losses))}
    return list(kept), list(kept.values())


def tallest(size: SizeEvidence) -> float:
    """How far above the best mean a plot needs to reach, nats: it shows the minimum and cuts steep flanks.

    That is four times the excess of the fourth lowest mean: both ends of a parabola two octaves to each side.
    """
    loss = sorted(seed_means(size)[1])
    return min(4 * (loss[min(3, len(loss) - 1)] - loss[0]), loss[-1] - loss[0]) or 0.01 * abs(loss[0]) or 1.0


def top_of(sizes: Sequence[SizeEvidence]) -> float:
    """Loss above a size's best that the top row of a plot stands for, in percent of that best.

    Args:
        sizes: the ladder, at least one size.
    """
    reach = np.array([100 * tallest(size) / abs(min(seed_means(size)[1])) for size in sizes])
    # curves that are alike all fit; the one that is steeper than the others does not flatten them
    return float(reach[reach <= _ALIKE * np.median(reach)].max())


def legend_of(sizes: Sequence[SizeEvidence], glyphs: Glyphs) -> str:
    """What the characters of a plot mean beside the markers of the sizes.

    Args:
        sizes: the ladder, at least one size.
        glyphs: characters that are drawn with.
    """
    top = top_of(sizes)
    clipped = any(_is_above(excess, top) for size in sizes for excess in _excess(size)[1])
    above = f"   {glyphs.beyond} above +{top:.2g}%" if clipped else ""
    return f"{glyphs.transferred} transferred value   {glyphs.diverged} diverged{above}"


def _is_above(excess: float, top: float) -> bool:
    """Whether a loss lies higher than what rounds to the top row.

    Args:
        excess: loss above a size's best, in percent of it.
        top: what the top row stands for.
    """
    return excess > top * (1 + 0.5 / (_ROWS - 1))


def diverged_values(size: SizeEvidence) -> list[float]:
    """The x at which at least one seed diverged, increasing."""
    return sorted({point.x for point in size.points if point.diverged})


def draw_curves(
    sizes: Sequence[SizeEvidence], transferred: float, *, width: int = 80, glyphs: Glyphs = UNICODE
) -> Text:
    """Draw excess loss against the hyperparameter, then one line per size with the optimum and its interval.

    The vertical axis is the loss above each size's own best, in percent: curves of different sizes then share a floor,
    and what differs is where their minima are. A mean beyond the top is an arrow on the top row, in place of its
    marker, and its curve leaves the plot: on the top row it would look like a plateau.

    Args:
        sizes: the ladder, at least one size.
        transferred: the transferred value in the hyperparameter's own unit; a vertical line.
        width: columns of the terminal, at least 40.
        glyphs: characters that are drawn with.
    """
    canvas = _Canvas(sizes, math.log2(transferred), max(40, width), glyphs)
    for index, size in enumerate(sizes):
        canvas.curve(index, size)
    return Text("\n").join([*canvas.plot(), *canvas.axis(), *canvas.optima(sizes)])


class _Canvas:
    def __init__(self, sizes: Sequence[SizeEvidence], at: float, width: int, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.columns = width - _MARGIN - 2
        tried = [point.x for size in sizes for point in size.points]
        self.low, self.high = min([*tried, at]), max([*tried, at])
        if self.low == self.high:
            self.low, self.high = self.low - 1, self.high + 1
        self.top = top_of(sizes)
        self.cells = [[(" ", "")] * self.columns for _ in range(_ROWS)]
        self.at = self.column(at)
        for row in self.cells:
            row[self.at] = (glyphs.transferred, "dim")

    def column(self, x: float) -> int:
        return round((min(max(x, self.low), self.high) - self.low) / (self.high - self.low) * (self.columns - 1))

    def row(self, excess: float) -> int:
        return _ROWS - 1 - round(min(excess / self.top, 1.0) * (_ROWS - 1))

    def curve(self, index: int, size: SizeEvidence) -> None:
        """Dots between the seed means, then the means themselves, so that markers stay on top."""
        x, excess = _excess(size)
        for (x0, y0), (x1, y1) in zip(zip(x, excess, strict=True), list(zip(x, excess, strict=True))[1:], strict=False):
            for column in range(self.column(x0) + 1, self.column(x1)):
                share = (column - self.column(x0)) / (self.column(x1) - self.column(x0))
                height = y0 + share * (y1 - y0)
                if _is_above(height, self.top):
                    continue
                row = self.row(height)
                if self.cells[row][column][0] in (" ", self.glyphs.transferred):
                    self.cells[row][column] = (self.glyphs.line, colour_of(index))
        for position, value in zip(x, excess, strict=True):
            drawn = self.glyphs.beyond if _is_above(value, self.top) else marker_of(index, self.glyphs)
            self.cells[self.row(value)][self.column(position)] = (drawn, colour_of(index))

    def plot(self) -> Iterable[Text]:
        for number, row in enumerate(self.cells):
            label = ""
            if number in (0, _ROWS // 2, _ROWS - 1):
                label = f"+{self.top * (1 - number / (_ROWS - 1)):.2g}%"
            line = Text(f"{label:>{_MARGIN - 1}} {self.glyphs.frame}")
            for character, style in row:
                line.append(character, style)
            yield line

    def axis(self) -> Iterable[Text]:
        yield Text(" " * _MARGIN + self.glyphs.corner + self.glyphs.rule * self.columns)
        labels = [" "] * (self.columns + 8)
        ticks = np.linspace(self.low, self.high, 5)
        for tick in ticks:
            value = 2.0**tick
            text = f"{value:.0f}" if 100 <= value < 1e6 else f"{value:.2g}"
            start = max(0, min(self.column(tick) - len(text) // 2, self.columns - len(text)))
            labels[start : start + len(text)] = list(text)
        yield Text(" " * (_MARGIN + 1) + "".join(labels).rstrip())

    def optima(self, sizes: Sequence[SizeEvidence]) -> Iterable[Text]:
        for index, size in enumerate(sizes):
            cells = [" "] * self.columns
            cells[self.at] = self.glyphs.transferred
            optimum = size.optimum
            start, end = self.column(optimum.low), self.column(optimum.high)
            cells[start : end + 1] = [self.glyphs.bar] * (end + 1 - start)
            cells[start] = self.glyphs.low if optimum.low >= self.low else self.glyphs.open_low
            cells[end] = self.glyphs.high if optimum.high <= self.high else self.glyphs.open_high
            for x in diverged_values(size):
                cells[self.column(x)] = self.glyphs.diverged
            # an arrow stays visible when the estimate is the end of the grid
            first = 1 if optimum.low < self.low else 0
            last = self.columns - (2 if optimum.high > self.high else 1)
            cells[min(max(self.column(optimum.log2_value), first), last)] = marker_of(index, self.glyphs)
            line = Text(f"{size.label:>{_MARGIN - 1}} {self.glyphs.frame}")
            line.append("".join(cells), colour_of(index))
            yield line


def _excess(size: SizeEvidence) -> tuple[list[float], list[float]]:
    """x, and loss above the size's best mean in percent of it."""
    x, loss = seed_means(size)
    best = min(loss)
    return x, [100 * (value - best) / abs(best) for value in loss]


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: markers differ per size as well as colours, so that the figure reads in grey
_MARKERS = "os^Dv<>pPX"


def save_curves(axis: AxisReport, paths: Sequence[Path], unit: str) -> None:
    """Draw one axis and write it to every path, in the format its suffix names (.png, .svg, .pdf).

    Args:
        axis: the report to draw.
        paths: files to write; their folders must exist.
        unit: in which losses are, for the axis.

    Raises:
        OSError: a file cannot be written.
    """
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "hptransfer", "svg.fonttype": "none", "font.size": 10}):
        figure = _figure(axis, unit)
        for path in paths:
            # no date: the same evidence gives the same file
            metadata: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(path, dpi=160, metadata=metadata)


def _figure(report: AxisReport, unit: str) -> Figure:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 6.4))
    figure.subplots_adjust(left=0.1, right=0.78, top=0.94, bottom=0.09, hspace=0.16)
    losses, optima = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    shades = colormaps["viridis"]
    for index, size in enumerate(report.sizes):
        colour = shades(0.92 * (1 - index / max(1, len(report.sizes) - 1)))
        _curve(losses, size, colour, _MARKERS[index % len(_MARKERS)], f"{report.axis} {size.label}")
        _optimum(optima, index, size, colour, _MARKERS[index % len(_MARKERS)])
    _limits(losses, report)
    for panel in (losses, optima):
        panel.axvline(report.transferred, color="0.35", linestyle="--", linewidth=1)
        panel.grid(alpha=0.25)
    losses.plot([], [], color="0.35", linestyle="--", linewidth=1, label="transferred value")
    if any(diverged_values(size) for size in report.sizes):
        losses.plot([], [], color="0.35", linestyle="", marker="x", label="diverged")
    losses.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    losses.set_ylabel(f"validation loss ({unit})")
    optima.set_xscale("log", base=2)
    optima.set_xlabel(report.hyperparameter.replace("_", " "))
    optima.set_ylabel(report.axis)
    optima.set_yticks(range(len(report.sizes)), [size.label for size in report.sizes])
    optima.set_ylim(-0.6, len(report.sizes) - 0.4)
    optima.set_title("optimum with 95% interval", fontsize=9, loc="left")
    losses.set_title(cost_title(report), fontsize=11, loc="left")
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
