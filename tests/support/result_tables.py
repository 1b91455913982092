"""Tables of finished runs with a known truth, as people export them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One run."""

    width: int
    learning_rate: float
    seed: int
    loss: float


def ladder(
    *,
    drift: float = 0.0,
    widths: tuple[int, ...] = (64, 128, 256, 512),
    exponents: range = range(-11, -4),
    seeds: int = 3,
    cliff: int = -5,
    floor: float = 1.5,
) -> list[Row]:
    """Runs whose optimum is 2^-8 at the smallest width and moves by `drift` octaves per doubling.

    From 2^cliff up every run is NaN.
    """
    rng = np.random.default_rng(1)

    def rows() -> Iterator[Row]:
        for width in widths:
            best = -8 + drift * math.log2(width / widths[0])
            for exponent in exponents:
                for seed in range(seeds):
                    loss = floor + 8 / width**0.5 + 0.03 * (exponent - best) ** 2 + 0.004 * float(rng.standard_normal())
                    yield Row(width, 2.0**exponent, seed, loss if exponent < cliff else math.nan)

    return list(rows())


def csv_of(rows: list[Row], header: str = "width,lr,seed,loss", delimiter: str = ",") -> str:
    """The rows as text."""
    lines = (delimiter.join(repr(cell) for cell in row) for row in rows)
    return "\n".join([header.replace(",", delimiter), *lines]) + "\n"
