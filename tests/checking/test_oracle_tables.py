"""The tables of `recipes/oracles`: written by exact formulas, judged as the page beside them says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.oracle_tables import TABLES
from hptransfer.cli.app import app

FOLDER = Path(__file__).parents[2] / "recipes" / "oracles"


def judged(name: str) -> dict[str, Any]:
    """The one group of `judge` on a table."""
    result = CliRunner().invoke(app, ["judge", str(FOLDER / name), "--json", "--quiet"])
    group: dict[str, Any] = json.loads(result.stdout)["groups"][0]
    return group


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_what_the_formulas_give(name: str) -> None:
    """Nobody edited a number; the last digit may differ between versions of numpy."""
    header, *lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    assert header == "width,learning_rate,seed,loss"
    written = [[float(cell) for cell in line.split(",")] for line in lines]
    exact = [[float(cell) for cell in line.split(",")] for line in TABLES[name]()]
    assert [row[:3] for row in written] == [row[:3] for row in exact]
    assert [row[3] for row in written] == pytest.approx([row[3] for row in exact], rel=1e-4)


# Sakai and Imaizumi: the optimum of the shallow linear network stays under muP and halves per doubling without it
@pytest.mark.parametrize(
    ("name", "drift", "verdict"), [("shallow-mup.csv", 0, "INCONCLUSIVE"), ("shallow-standard.csv", -1, "DRIFTS")]
)
def test_drifts_of_the_shallow_network(name: str, drift: float, verdict: str) -> None:
    """The interval holds the exact drift and the verdict is the one that the page explains."""
    group = judged(name)
    assert group["drift"]["low"] <= drift <= group["drift"]["high"]
    assert group["verdict"] == verdict


def test_a_truncated_spectrum_fails_and_then_recovers() -> None:
    """The optimum moves by more than half an octave between small widths, and by little between large ones."""
    group = judged("truncated-regression.csv")
    optima = [size["optimum"]["log2_value"] for size in group["sizes"]]
    assert group["verdict"] == "DRIFTS"
    assert optima[1] - optima[0] > 0.5
    assert abs(optima[-1] - optima[-2]) < 0.15
