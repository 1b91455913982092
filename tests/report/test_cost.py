"""Cost tables as people read them: 80 columns, never cropped; and as data."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from hptransfer.costing.estimate import CostEstimate, CostRow
from hptransfer.report.cost import cost_document, print_cost, show_cost, size_text, time_text
from hptransfer.sizes import Size
from hptransfer.trials.run_cost import RunCost

SIZE = Size(16384, 126, 2048, 15_600_000_000_000)
COST = RunCost(SIZE, 3.8e25, 405_853_388_800, 10**12, 10**12, 2 * 10**12, 10**14, 2048)


def estimate(*, flops: float | None = 3.8e25, seconds: float | None = 9.5e10) -> CostEstimate:
    """The largest numbers there are: a Llama 3.1 405B."""
    rows = (
        CostRow("target w16384-d126", 1, 1.56e13, flops, 1.0, 0.0385, COST.memory, seconds),
        CostRow("coordinate check", 1234, 1.56e13, flops, 0.000123, 0.0000123, COST.memory, seconds),
    )
    return CostEstimate("llama", rows, (COST,), "at 4e+14 FLOP/s, as given", flops is not None, ("one note",))


def printed(found: CostEstimate, width: int) -> str:
    """In a terminal so wide."""
    out = StringIO()
    print_cost(found, Console(file=out, width=width, force_terminal=True, color_system=None, highlight=False))
    return out.getvalue()


def test_the_tables_fit_eighty_columns() -> None:
    """With the largest models and the longest names."""
    lines = printed(estimate(), 80).splitlines()
    tables = [line for line in lines if line.startswith(("target", "coordinate", "memory", "w16384", "   "))]

    assert len(tables) == 6
    assert max(map(len, tables)) <= 80
    assert "4.06e+11" in printed(estimate(), 80)


def test_a_narrow_terminal_loses_nothing() -> None:
    """The terminal breaks the lines; no cell is cropped."""
    assert printed(estimate(), 20) == printed(estimate(), 200)
    assert "…" not in printed(estimate(), 20)
    assert "3.8e+25" in printed(estimate(), 20)


def test_unknown_times_say_what_gives_them() -> None:
    """A dash, and the option."""
    text = printed(estimate(seconds=None), 80)

    assert "time is not known" in text
    assert "`--flops-per-second 4e14`" in text


def test_unknown_flops_compare_tokens() -> None:
    """The column says so, and a sentence."""
    text = printed(estimate(flops=None, seconds=None), 80)

    assert "tokens" in text.splitlines()[2]
    assert "FLOPs are not known" in text


def test_json_has_the_memory_in_all(capsys: pytest.CaptureFixture[str]) -> None:
    """And every field of a row."""
    assert show_cost(estimate(), as_json=True) == 0
    found = json.loads(capsys.readouterr().out)

    assert found == cost_document(estimate())
    assert found["sizes"][0]["memory"] == 4 * 10**12 + 10**14
    assert found["rows"][0]["of_tuning_there"] == 0.0385


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (512, "0.512 kB"),
        (53907326092, "53.9 GB"),
        (999_600_000, "1 GB"),
        (12.1e12, "12.1 TB"),
        (2e16, "20 PB"),
    ],
)
def test_sizes_as_text(size: float | None, text: str) -> None:
    """Three digits and a decimal unit."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "0.012 s"), (90.0, "90 s"), (7200.0, "2.0 h"), (180 * 86400, "180 d")]
)
def test_times_as_text(seconds: float, text: str) -> None:
    """From milliseconds to days."""
    assert time_text(seconds) == text
