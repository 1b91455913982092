"""Evidence in the terminal."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from hptransfer.diagnostics._coordinate_rows import Measurement
from hptransfer.diagnostics.base import Diagnosed
from hptransfer.diagnostics.coordinate import judge_coordinates
from hptransfer.report.terminal import print_diagnosed, print_long, print_transfer
from hptransfer.sizes import Size
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.seed_means import Point
from hptransfer.transfer.judge import TransferReport, judge, judge_ladder
from hptransfer.transfer.verdict_text import describe_drift, describe_growth
from tests.support.synthetic_ladders import ladder, parabola, raised


def _judged(losses: Sequence[Callable[[float], float]]) -> TransferReport:
    return judge(
        ladder(losses, noise=0.001),
        proxy=Size(64, 2, 64, 64_000),
        hyperparameter="learning_rate",
        transferred=2**-8,
    )


@pytest.fixture(scope="module")
def transfers() -> TransferReport:
    """All optima at 2^-8, divergence from 2^-6 on."""
    return _judged([lambda x: parabola(x) if x < -6.2 else math.inf] * 4)


def _printed(report: TransferReport, *, encoding: str = "utf-8", width: int = 80) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_transfer(report, Console(file=stream, width=width, color_system=None))
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_it_fits_eighty_columns(transfers: TransferReport) -> None:
    """No line is wider than the terminal."""
    assert max(len(line) for line in _printed(transfers).splitlines()) <= 80


def test_it_says_the_verdict_in_words(transfers: TransferReport) -> None:
    """Verdict, cost, what was allowed, what a doubling gains, and the drift, without colour."""
    text = " ".join(_printed(transfers).split())
    assert "TRANSFERS: learning_rate 0.003906 tuned at width 64 costs at most 0." in text
    assert re.search(r"cost at width \d+: 0\.\d+ doublings of width \(0\.\d+ to 0\.\d+; allowed 0\.25\)", text)
    assert "a doubling of width gains 0.1" in text
    assert "drift: the optimum moves" in text


def test_every_size_has_its_row_and_marker(transfers: TransferReport) -> None:
    """Sizes differ by marker, never by colour alone, in the table, the curves and the intervals."""
    lines = _printed(transfers).splitlines()
    for marker, width in zip("●■▲◆", (64, 128, 256, 512), strict=True):
        assert any(line.startswith(f"{marker} ") and f" {width} " in line for line in lines)
        assert any(f"{width} │" in line and marker in line for line in lines)


def test_divergence_is_marked(transfers: TransferReport) -> None:
    """Each size's line shows where its runs blew up."""
    assert sum("✗" in line and "│" in line for line in _printed(transfers).splitlines()) == 4


def test_an_encoding_without_blocks_gets_ascii(transfers: TransferReport) -> None:
    """A terminal that cannot show the characters gets others, not question marks or an error."""
    text = _printed(transfers, encoding="ascii")
    assert "?" not in text
    assert "X diverged" in text


def test_an_open_interval_is_said_to_be_open() -> None:
    """An optimum beyond the grid has no upper end in the table and an arrow in the plot."""
    text = _printed(_judged([parabola, parabola, parabola, lambda x: parabola(x - 3)]))
    assert "to open" in text
    assert "▶" in text


def test_limits_are_printed() -> None:
    """What the evidence cannot show stands above the verdict."""
    report = judge(
        ladder([parabola, parabola], (64, 128), seeds=1),
        proxy=Size(64, 2, 64, 64_000),
        hyperparameter="learning_rate",
        transferred=2**-8,
    )
    text = _printed(report)
    assert "limit: The ladder spans 2x in width" in text
    assert "to decide it:" in text
    assert text.index("limit:") < text.index("INCONCLUSIVE:")


def test_the_coordinate_check_marks_the_layer_at_fault() -> None:
    """A failing slope carries a mark that needs no colour."""
    rows = [
        Measurement(n, seed, 1, layer, "hidden", 0.1 * n**slope * (1 + 0.01 * seed))
        for layer, slope in (("hidden.0", 0.0), ("hidden.1", 1.0))
        for n in (64, 128, 256)
        for seed in range(3)
    ]
    found = Diagnosed.of("coordinate", (judge_coordinates(rows),))
    stream, plain = io.StringIO(), io.TextIOWrapper(io.BytesIO(), "ascii")
    print_diagnosed(found, Console(file=stream, width=80, color_system=None))
    print_diagnosed(found, Console(file=plain, width=80, color_system=None))
    lines = stream.getvalue().splitlines()
    assert any(line.startswith("hidden.1") and "+1.00" in line and "!" in line for line in lines)
    assert not any(line.startswith("hidden.0") and "!" in line for line in lines)
    plain.seek(0)
    assert "+1.00 +- " in plain.read()


def test_what_size_does_is_said(transfers: TransferReport) -> None:
    """Whether larger sizes are worse at their own optimum, and what an octave off costs there, with its growth."""
    text = " ".join(_printed(transfers).split())
    assert "at its own optimum no larger width is worse: yes" in text
    assert "being an octave off adds to the loss:" in text
    assert "per doubling" in text.split("being an octave off adds to the loss:")[1]


def test_a_larger_size_that_is_worse_is_said() -> None:
    """Negative control: losses that rise with size are a NO and a limit."""
    worse = _judged([raised(0.3 * k) for k in range(4)])
    text = " ".join(_printed(worse).split())
    assert "no larger width is worse: NO" in text
    assert "check for a scaling mistake" in text


def _long(text: str, *, terminal: bool) -> list[str]:
    stream = io.StringIO()
    print_long(text, Console(file=stream, width=80, color_system=None, force_terminal=terminal))
    return stream.getvalue().splitlines()


def test_prose_is_wrapped_in_a_terminal_and_whole_elsewhere() -> None:
    """Words, numbers and paths stay whole, however long; a program that reads the output gets a line per line."""
    path = "/" + "/".join(["folder"] * 20)
    text = f"\nprediction at width 8192: optimum 0.003989 {'(0.003658 to 0.004267) ' * 5}\n  written to {path}".rstrip()
    lines = _long(text, terminal=True)

    assert _long(text, terminal=False) == text.split("\n")
    assert all(len(line) <= 80 or line.strip() == path for line in lines)
    assert lines[0] == ""
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())


def test_sizes_with_plural_names_are_called_sizes() -> None:
    """No "each parameters's best" and no "larger parameters"."""
    x = [-10.0 + step for step in range(5)]
    groups = {
        1e6 * 4**step: [Point(at, seed, 3 - 0.1 * step + 0.03 * (at + 8) ** 2) for at in x for seed in range(2)]
        for step in range(3)
    }
    report = judge_ladder(groups, axis="parameters", hyperparameter="learning_rate", transferred=2**-8, reference=1e6)
    text = " ".join(_printed(TransferReport((report,), report.verdict, report.sentence)).split())

    assert "loss above each size's best" in text
    assert "at its own optimum no larger size is worse" in text
    assert "at a fixed value no larger size is worse" in text
    assert "larger parameters" not in text
    assert "loss at the optimum, in the unit of the runs; cost in doublings of parameters" in text


def test_nothing_has_a_sign_of_its_own() -> None:
    """A change that rounds to zero is 0% and 0.00, not -0%."""
    assert describe_growth(Interval(-0.002, -0.03, 0.021)) == "0% per doubling (-3% to +2%)"
    assert describe_drift(Interval(-0.004, -0.02, 0.01)).startswith(
        "the optimum moves 0.00 octaves per doubling (-0.02"
    )
