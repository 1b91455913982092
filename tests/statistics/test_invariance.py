"""What is estimated does not depend on how the loss is written: a + b x loss gives the same answer."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hptransfer.statistics.curve import sample_curves
from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling
from hptransfer.statistics.optimum import summarise
from hptransfer.statistics.seed_means import Point, average_sizes

LADDERS = Path(__file__).parents[1] / "data" / "ladders"
#: one per kind: nats, bits that drift, losses near zero, divergences, one that memorises
NAMES = ("quickstart", "images-standard", "tabular", "diffusion-standard", "muon")
#: nats in bits, thousandths and thousands, with constants of both signs; -2.1 takes some losses below zero
SCALES = (1 / math.log(2), 1000.0, 1e-3)
OFFSETS = (0.0, 8.0, -2.1)


@cache
def _ladder(name: str) -> tuple[dict[int, tuple[Point, ...]], float]:
    """Runs per width, and log2 of the value that was carried over."""
    index: Any = json.loads((LADDERS / "index.json").read_text(encoding="utf-8"))[name]["axes"]["width"]
    groups: dict[int, list[Point]] = defaultdict(list)
    with (LADDERS / f"{name}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["axis"] == "width":
                diverged = row["loss"] == "diverged"
                loss = math.inf if diverged else float(row["loss"])
                x = math.log2(float(row[index["hyperparameter"]]))
                groups[int(row["size"])].append(Point(x, int(row["seed"]), loss, diverged))
    return {width: tuple(groups[width]) for width in sorted(groups)}, math.log2(index["transferred"])


def _found(groups: dict[int, tuple[Point, ...]], at: float, a: float, b: float) -> dict[str, list[float]]:
    """Everything that a verdict is made of, losses taken back to their first unit."""
    runs = [[Point(p.x, p.seed, a + b * p.loss, p.diverged) for p in points] for points in groups.values()]
    tables = average_sizes(runs)
    drawn = sample_curves(tables, doublings=[math.log2(width) for width in groups], at=at)
    curves = [draws for draws in drawn if draws is not None]
    drift = drift_per_doubling([KnownOptimum.of(w, d) for w, d in zip(groups, drawn, strict=True) if d is not None])
    optima = [summarise(table, draws) for table, draws in zip(tables, drawn, strict=True)]
    return {
        "drift": [drift.low, drift.estimate, drift.high],
        "optimum": [value for o in optima for value in (o.low, o.log2_value, o.high)],
        "cliff": [o.cliff_distance for o in optima],
        "plateau": [end for o in optima for end in o.plateau],
        "noise": [o.noise / b for o in optima],
        "loss": [(o.loss.estimate - a) / b for o in optima],
        "regret": [
            float(np.quantile((d.at - d.loss) / b, q, method="nearest")) for d in curves for q in (0.025, 0.975)
        ],
        "octave off": [float(np.quantile(d.octave_off / b, 0.5, method="nearest")) for d in curves],
        "walls": [math.nan if table.wall is None else table.wall for table in tables],
        "counts": [float(n) for t in tables for n in (len(t.x), len(t.spiked), len(t.blown))],
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_written_otherwise_gives_the_same_answer(name: str) -> None:
    """Nine ways to write the losses of five real ladders: equal to the rounding of the numbers."""
    groups, at = _ladder(name)
    plain = _found(groups, at, 0.0, 1.0)
    for a in OFFSETS:
        for b in SCALES:
            written = _found(groups, at, a, b)
            for what, numbers in plain.items():
                np.testing.assert_allclose(written[what], numbers, rtol=1e-6, atol=1e-7, err_msg=f"{what}: {a} + {b} x")


def test_a_logarithm_is_not_the_same_unit() -> None:
    """The control: perplexity is no a + b x loss, so some number must differ, or nothing was compared."""
    groups, at = _ladder("quickstart")
    perplexity = {w: tuple(Point(p.x, p.seed, math.exp(p.loss)) for p in points) for w, points in groups.items()}
    plain, other = _found(groups, at, 0.0, 1.0), _found(perplexity, at, 0.0, 1.0)
    assert not np.allclose(plain["drift"], other["drift"], rtol=1e-6, atol=1e-7)
    # and yet it says the same: the curves are nearly straight over so short a stretch
    np.testing.assert_allclose(plain["drift"], other["drift"], atol=0.03)
