"""The figure of the curves."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from hptransfer.report.curves import ASCII, UNICODE, draw_curves, legend_of, save_curves
from hptransfer.transfer.judge import AxisReport, judge_axis
from tests.support.synthetic_ladders import ladder, parabola


@pytest.fixture(scope="module")
def axis() -> AxisReport:
    """Four widths, divergence on the right, the largest width's optimum open."""
    diverging = [lambda x: parabola(x) if x < -6.2 else math.inf] * 3
    return judge_axis(
        ladder([*diverging, lambda x: parabola(x - 3)], noise=0.001),
        axis="width",
        hyperparameter="learning_rate",
        transferred=2**-8,
        reference=64,
    )


def test_png_and_svg_are_written(axis: AxisReport, tmp_path: Path) -> None:
    """The suffix names the format."""
    png, svg = tmp_path / "curves.png", tmp_path / "curves.svg"
    save_curves(axis, [png, svg], "nats")
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    for label in ("width 64", "width 512", "transferred value", "diverged", "learning rate", "DRIFTS"):
        assert label in text


def test_the_same_evidence_gives_the_same_file(axis: AxisReport, tmp_path: Path) -> None:
    """No date and no random ids: a figure in a repository changes when the evidence does."""
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    save_curves(axis, [first], "nats")
    save_curves(axis, [second], "nats")
    assert first.read_text() == second.read_text()


def test_matplotlib_is_loaded_only_to_draw() -> None:
    """Importing the module costs no matplotlib."""
    code = "import sys, hptransfer.report.curves; print('matplotlib' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def _drawn(*, steep: bool) -> AxisReport:
    """Four widths; on a steep one the loss goes on rising to the right, far above what the plot shows."""
    return judge_axis(
        ladder([*[parabola] * 3, lambda x: parabola(x + 1.5 if steep else x)], noise=0.0),
        axis="width",
        hyperparameter="learning_rate",
        transferred=2**-8,
        reference=64,
    )


def test_values_above_the_plot_are_arrows_and_no_plateau() -> None:
    """Losses beyond the top are marked, the legend says so, and no line joins them along the top row."""
    report = _drawn(steep=True)
    rows = draw_curves(report.sizes, report.transferred, glyphs=UNICODE).plain.splitlines()[:14]
    plain = draw_curves(report.sizes, report.transferred, glyphs=ASCII).plain.splitlines()[:14]

    assert "\u2191" in rows[0]
    assert rows[0].rstrip().endswith("\u2191")
    assert not any("\u2191" in row for row in rows[1:])
    alone = draw_curves(report.sizes[-1:], report.transferred).plain.splitlines()[0]
    last = alone.rindex("\u2191")
    assert not alone[alone[:last].rindex("\u2191") + 1 : last].strip(f" {UNICODE.transferred}")
    assert "^" in plain[0]
    assert plain[0].isascii()
    top = rows[0].split("%")[0].strip()
    assert legend_of(report.sizes, UNICODE).endswith(f"\u2191 above {top}%")
    assert legend_of(report.sizes, ASCII).endswith(f"^ above {top}%")


def test_a_plot_that_shows_everything_speaks_of_no_arrows() -> None:
    """The legend names what is drawn."""
    report = _drawn(steep=False)

    assert "above" not in legend_of(report.sizes, UNICODE)
    assert "\u2191" not in draw_curves(report.sizes, report.transferred).plain
