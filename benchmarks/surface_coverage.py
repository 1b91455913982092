"""How often the joint fit of several hyperparameters holds the true drifts: generated ladders with known optima.

Losses are E + gain(size) + rise(size) * f(A (x - optimum)), f convex and lowest at 0: parabolas, flanks that steepen on
one side, flanks that flatten. Sizes, drifts, correlation, noise, seeds (which shift and tilt the surface), grids and
where training blows up (to a finite loss, or NaN) are drawn. `python -m benchmarks.surface_coverage [LADDERS]` prints
the table of docs/verdicts.md: per kind of table the share of 95% intervals that hold the true drift, and their widths.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.drift import KnownOptimum, drift_per_doubling
from hptransfer.statistics.surface import fit_surface
from hptransfer.statistics.surface_runs import SurfaceRun

KINDS = ("full grid", "45% of a grid", "random search")
LAWS = ("parabola", "steeper above", "flatter flanks", "exponential")
#: octaves by which a seed displaces an optimum, half of its variance common to all sizes
_TILT = 0.1


@dataclass(frozen=True, slots=True)
class GeneratedLadder:
    """Runs at several sizes, and what is true of them.

    Attributes:
        sizes: (log2 size, runs) each, as `fit_surface` takes them.
        drift: (d,) octaves per doubling by which the optimum moves.
        optimum: (K, d) log2 positions of the optima.
        kind: how the runs are laid out, one of `KINDS`.
        law: shape of the flanks, one of `LAWS`.
        seeds: number of seeds at every combination.
        blows_up: whether runs beyond some line blow up.
    """

    sizes: list[tuple[float, list[SurfaceRun]]]
    drift: npt.NDArray[np.float64]
    optimum: npt.NDArray[np.float64]
    kind: str
    law: str
    seeds: int
    blows_up: bool


def _shape(law: str, v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convex, 0 at 0 and about v^2 / 2 near it; summed over the last axis."""
    match law:
        case "parabola":
            return np.asarray(0.5 * (v**2).sum(axis=-1))
        case "steeper above":
            return np.asarray(((np.exp(0.4 * v) - 0.4 * v - 1) / 0.16).sum(axis=-1))
        case "flatter flanks":
            return np.asarray((2 * (np.sqrt(1 + 0.5 * v**2) - 1)).sum(axis=-1))
    return np.asarray(np.expm1(np.minimum(0.12 * (v**2).sum(axis=-1), 3)) / 0.24)


def generate(index: int, *, dimension: int = 2, kind: str | None = None, seeds: int | None = None) -> GeneratedLadder:
    """One ladder; the same index makes the same one.

    Args:
        index: number of the ladder, at least 0.
        dimension: number of hyperparameters, 2 or 3.
        kind: how combinations are chosen; None takes turns.
        seeds: runs of each combination; None takes turns between one and two.
    """
    rng = np.random.default_rng([index, dimension, 13])
    kind = kind or KINDS[index % len(KINDS)]
    law = LAWS[index // len(KINDS) % len(LAWS)]
    seeds = seeds or 1 + index // 2 % 2
    count, blows_up = int(rng.integers(3, 6)), bool(rng.random() < 0.5)
    drift = rng.uniform(-0.6, 0.6, dimension) * (rng.random(dimension) < 0.75)
    doublings = np.arange(count) * float(rng.choice([1.0, 1.5]))
    optimum = rng.uniform(-0.3, 0.3, dimension) + np.outer(doublings - doublings.mean(), drift)
    root = _root(rng, dimension)
    noise = float(rng.choice([0.002, 0.005]))
    rise = 0.03 * 0.9**doublings
    common = rng.normal(0, _TILT * math.sqrt(0.5), (seeds, dimension))
    normal = rng.normal(size=dimension)
    normal[0] = abs(normal[0]) + 1.0
    normal /= np.linalg.norm(normal)
    sizes = []
    for size in range(count):
        runs = []
        own = rng.normal(0, _TILT * math.sqrt(0.5), (seeds, dimension))
        offset = rng.normal(0, noise, seeds)
        for x in _combinations(rng, kind, dimension):
            beyond = float((x - optimum[size]) @ normal) > 2.2
            for seed in range(seeds):
                away = (x - optimum[size] - common[seed] - own[seed]) @ root
                loss = 2 + 0.6 * 0.8 ** doublings[size] + rise[size] * float(_shape(law, away)) + offset[seed]
                loss += float(rng.normal(0, noise))
                if blows_up and beyond:
                    loss = float(rng.uniform(4, 5))
                runs.append(SurfaceRun(tuple(float(v) for v in x), seed, loss, blows_up and beyond and index % 4 == 0))
        sizes.append((float(doublings[size]), runs))
    return GeneratedLadder(sizes, drift, optimum, kind, law, seeds, blows_up)


def _root(rng: np.random.Generator, dimension: int) -> npt.NDArray[np.float64]:
    """(d, d) so that the curvature is root root', with drawn correlations between -0.7 and 0.7."""
    correlation = np.eye(dimension)
    for i in range(dimension):
        for j in range(i):
            correlation[i, j] = correlation[j, i] = rng.uniform(-0.7, 0.7) / (dimension - 1)
    scale = rng.uniform(0.7, 1.4, dimension)
    return np.asarray(np.linalg.cholesky(correlation * np.outer(scale, scale)))


def _combinations(rng: np.random.Generator, kind: str, dimension: int) -> npt.NDArray[np.float64]:
    """(n, d) combinations within three octaves of 0 along each axis."""
    if kind == "random search":
        return np.asarray(rng.uniform(-3, 3, (24 if dimension == 2 else 48, dimension)))
    line = np.linspace(-3, 3, 7 if dimension == 2 else 5)
    grid = np.array(list(product(line, repeat=dimension)))
    if kind == "full grid":
        return grid
    return grid[rng.random(len(grid)) < 0.45]


def covered(ladder: GeneratedLadder) -> list[tuple[bool, float]] | None:
    """(whether the interval holds the true drift, its width) for each hyperparameter; None where nothing was fitted."""
    surface = fit_surface(ladder.sizes)
    if surface is None:
        return None
    found = []
    for axis, drift in enumerate(ladder.drift):
        known = [
            KnownOptimum.of(2**doublings, surface.profile(size, axis).draws)
            for size, (doublings, _) in enumerate(ladder.sizes)
        ]
        interval = drift_per_doubling(known)
        found.append((interval.contains(float(drift)), interval.high - interval.low))
    return found


def measure(ladders: Sequence[GeneratedLadder]) -> dict[str, tuple[int, float, float]]:
    """Group -> (drifts, share of their intervals that hold the truth, median width in octaves per doubling)."""
    groups: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for ladder in ladders:
        found = covered(ladder)
        if found is None:  # nothing is claimed, right or wrong
            groups["not fitted"] += [(False, math.inf)] * len(ladder.drift)
            continue
        named = "blow-ups" if ladder.blows_up else "no blow-ups"
        for group in ("all", ladder.kind, ladder.law, f"{ladder.seeds} seeds", f"{len(ladder.sizes)} sizes", named):
            groups[group] += found
    return {
        group: (len(rows), float(np.mean([held for held, _ in rows])), float(np.median([width for _, width in rows])))
        for group, rows in sorted(groups.items())
    }


def main(argv: Sequence[str]) -> None:
    """Print the table for so many ladders of two hyperparameters, and an eighth as many of three."""
    number = int(argv[0]) if argv else 240
    for dimension, count in ((2, number), (3, number // 8)):
        print(f"\n{dimension} hyperparameters\n\n| ladders | drifts | covered | median width |\n|---|--:|--:|--:|")
        for group, (drifts, share, width) in measure([generate(i, dimension=dimension) for i in range(count)]).items():
            print(f"| {group} | {drifts} | {share:.1%} | {width:.3f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
