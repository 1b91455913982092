"""The coordinate check within a budget: what is measured follows from cost alone, and planted mistakes are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hptransfer.checking.within_budget import check_within, measure_within, starting_values
from hptransfer.parameterization import tables
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity
from hptransfer.parameterization.tables import TABLES
from hptransfer.sizes import Size
from tests.support.recipe_texts import MLP, edited, load_text

SIZES = tuple(Size(width, 2, 64, 6400) for width in (64, 128, 256, 512))
SMALL = edited(MLP, ("[64, 128, 256, 512]", "[64, 128, 256, 512, 1024]"))


class Clock:
    """Time that passes as runs take it: 1 s at width 64, in proportion to the square of the width."""

    def __init__(self) -> None:
        self.now = 100.0
        self.runs: list[tuple[int, int]] = []

    def __call__(self) -> float:
        """Seconds so far."""
        return self.now

    def measure(self, size: Size, seed: int) -> Mapping[str, Any]:
        """One run."""
        self.now += (size.width / 64) ** 2
        self.runs.append((size.width, seed))
        return {"width": size.width, "seed": seed}


@pytest.mark.parametrize(
    ("budget", "widths", "seeds"),
    [
        (1000.0, (64, 128, 256, 512), 6),  # 85 s a seed: more than the most would fit
        (340.0, (64, 128, 256, 512), 4),
        (255.0, (64, 128, 256, 512), 3),
        (254.0, (64, 128, 256), 6),  # three seeds of all do not fit, 12 of three widths would
        (3.5, (64,), 3),
        (1.5, (64,), 1),
    ],
)
def test_what_fits(budget: float, widths: tuple[int, ...], seeds: int) -> None:
    """The largest sizes are left out first, three seeds at least are kept for the others; never beyond the budget."""
    clock = Clock()
    found = measure_within(SIZES, clock.measure, budget, 6, clock)

    assert tuple(size.width for size in found.sizes) == widths
    assert found.seeds == seeds
    assert found.seconds <= budget
    assert {(run["width"], run["seed"]) for run in found.runs} == {(w, s) for w in widths for s in range(seeds)}


def test_where_it_starts(tmp_path: Path) -> None:
    """The recipe's own rate, and the middle of the search where that lies outside."""
    inside = load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  learning_rate: 0.02"))).recipe
    outside = load_text(tmp_path, edited(MLP, ("steps: 100", "steps: 100\n  learning_rate: 0.5"))).recipe

    assert starting_values(inside) == {"learning_rate": 0.02}
    assert starting_values(outside)["learning_rate"] == pytest.approx(10**-2.5)


def recipe(tmp_path: Path) -> Mapping[str, Any]:
    """The payload of a small recipe."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return {"path": str(file), "seconds": 20.0}


def test_a_correct_recipe_holds(tmp_path: Path) -> None:
    """The MLP under muP, with the power that six seeds over 16 times the width have."""
    (axis,) = check_within(recipe(tmp_path))["axes"]

    assert (axis["verdict"], axis["sizes"], axis["seeds"]) == ("HOLDS", [64, 128, 256, 512, 1024], 6)
    assert 0.15 < axis["least"] < 0.3
    assert axis["faults"] == []


def test_a_rule_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of hidden weights as width^-1/2, where Table 8 of Tensor Programs V has width^-1."""
    row = (Role.HIDDEN_WEIGHT, Quantity.LEARNING_RATE)
    rule = TABLES["mup", "adam"].rules[row]
    changed = replace(rule, exponents=rule.exponents * Exponents(fan_in=0.5))
    table = replace(TABLES["mup", "adam"], rules=dict(TABLES["mup", "adam"].rules) | {row: changed})
    monkeypatch.setattr(tables, "TABLES", dict(TABLES) | {("mup", "adam"): table})

    payload = recipe(tmp_path)
    # plans are remembered per process, by what they depend on: not by tables that a test exchanges
    Path(payload["path"]).write_text(edited(SMALL, ("steps: 100", "steps: 90\n  learning_rate: 0.0041")))
    (axis,) = check_within(payload)["axes"]
    assert axis["verdict"] == "FAILS"
    assert "hidden" in axis["faults"][0]["sentence"]
    assert "learning rate" in axis["faults"][0]["repair"]


def test_too_few_sizes_are_said(tmp_path: Path) -> None:
    """Two neighbouring widths FAIL correct plans now and then, so they decide nothing."""
    payload = recipe(tmp_path)
    Path(payload["path"]).write_text(edited(SMALL, ("[64, 128, 256, 512, 1024]", "[64, 128]")))
    found = check_within(payload)

    assert found["axes"] == []
    assert found["open"] == [
        "whether changes depend on width: 6 seeds of widths 64, 128 are too little, 3 seeds over a factor of 4 at "
        "least are needed"
    ]
