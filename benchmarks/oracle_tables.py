"""Writes `recipes/oracles/*.csv` from exact formulas: `python -m benchmarks.oracle_tables`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.oracles import Array, LinearRegressionSgd, ShallowLinearNet

FOLDER = Path(__file__).parents[1] / "recipes" / "oracles"
#: eigenvalues of the kernel of four data points, and steps of gradient descent
_KERNEL, _STEPS = (2.0, 1.0, 0.5, 0.25), 4
_SEEDS = range(5)


def shallow(*, standard: bool) -> list[str]:
    """Rows width, learning_rate, seed, loss of the shallow linear network on one grid of half octaves."""
    low, high = (-14.0, 3.0) if standard else (-1.0, 4.0)
    rows = []
    for width in (1024, 2048, 4096, 8192, 16384):
        for seed in _SEEDS:
            losses = ShallowLinearNet(_KERNEL, _STEPS, width, standard).draw(seed)
            rates = np.exp2(np.arange(low, high + 0.25, 0.5))
            rows += _rows(width, rates, seed, np.asarray(losses(rates)))
    return rows


def truncated() -> list[str]:
    """Rows of SGD on a power-law regression of which each width represents the first modes; 0.1% noise per run."""
    noise = np.random.default_rng(0)
    rows = []
    for width in (8, 16, 32, 64, 128, 256):
        rates = np.exp2(np.arange(-7.0, 1.25, 0.5))
        exact = LinearRegressionSgd(width, steps=256, batch=8).losses(rates)
        for seed in _SEEDS:
            rows += _rows(width, rates, seed, exact * (1 + 1e-3 * noise.standard_normal(len(rates))))
    return rows


def _rows(width: int, rates: Array, seed: int, losses: Array) -> list[str]:
    return [f"{width},{x:.6g},{seed},{y:.6g}" for x, y in zip(rates, losses, strict=True)]


TABLES = {
    "shallow-mup.csv": lambda: shallow(standard=False),
    "shallow-standard.csv": lambda: shallow(standard=True),
    "truncated-regression.csv": truncated,
}

if __name__ == "__main__":
    for name, rows in TABLES.items():
        (FOLDER / name).write_text("\n".join(["width,learning_rate,seed,loss", *rows()]) + "\n", encoding="utf-8")
