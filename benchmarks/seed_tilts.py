"""How far a seed displaces the best value of its own curve, measured on the ladders of the recipes that ship.

    python -m benchmarks.seed_tilts [--near 9]

Seeds trained at the same values differ by an offset, by a tilt (one seed prefers larger values than another) and by
noise. Per size the offset is removed and the tilt fitted by generalised least squares: -tilt / (2 bend) is how far the
seed displaces the optimum, in octaves, with the bend of a parabola through the means. The noise left may be correlated
over neighbouring values, exp(-distance / length). Printed per ladder: the standard deviation of the displacement
(restricted maximum likelihood, with the range that loses less than 1.92 in log likelihood), the share of its variance
that a seed's sizes have in common, and the correlation of the noise half an octave apart. Then the same over all
ladders: a log-normal distribution of the standard deviation, one common share, one correlation.

The numbers are the source of the priors in hptransfer/statistics/tilt.py; nothing here uses that module.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LADDERS = Path(__file__).parents[1] / "tests" / "data" / "ladders"
#: losses higher above the best than this many times the rise next to it say nothing about the optimum
_TALLEST = 25
_FEWEST_VALUES = 4
#: share of the noise that is correlated at all; even spacings of half an octave tell it from 1 by 1 in log likelihood
CORRELATED = 0.8
RHOS = np.linspace(0, 0.9, 19)
SPREADS = np.concatenate([[0.0], np.geomspace(0.01, 0.8, 40)])
COMMON = np.linspace(0, 1, 11)
#: loss of log likelihood at the ends of a 95% interval
_DROP = 1.92


@dataclass(frozen=True)
class Rung:
    """Runs of all seeds at one size of a ladder.

    Attributes:
        size: position on the axis.
        x: (m,) log2 of the values near the optimum.
        contrasts: (m, S - 1) orthonormal contrasts between the seeds, nats.
        bend: of a parabola through the means, nats per octave squared.
    """

    size: float
    x: Array
    contrasts: Array
    bend: float


class Ladder(NamedTuple):
    """A ladder of sizes and how many seeds each has."""

    name: str
    axis: str
    seeds: int
    rungs: list[Rung]


def load(near: float = math.inf) -> list[Ladder]:
    """All ladders with at least two seeds.

    Args:
        near: octaves from the lowest mean beyond which values are left out.
    """
    found = []
    for path in sorted(LADDERS.glob("*.csv")):
        runs: dict[str, dict[float, dict[float, dict[int, float]]]] = defaultdict(lambda: defaultdict(dict))
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                at = math.log2(float(row["learning_rate"]))
                loss = math.inf if row["loss"] == "diverged" else float(row["loss"])
                runs[row["axis"]][float(row["size"])].setdefault(at, {})[int(row["seed"])] = loss
        for axis, sizes in runs.items():
            rungs = [rung for size in sorted(sizes) if (rung := _rung(size, sizes[size], near))]
            if rungs and rungs[0].contrasts.shape[1]:
                found.append(Ladder(path.stem, axis, rungs[0].contrasts.shape[1] + 1, rungs))
    return found


def _rung(size: float, runs: dict[float, dict[int, float]], near: float) -> Rung | None:
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in runs.values())))
    x = np.array(sorted(runs))
    loss = np.array([[runs[float(at)][seed] for seed in seeds] for at in x])
    finite = np.isfinite(loss).all(axis=1)
    x, loss = x[finite], loss[finite]
    mean = loss.mean(axis=1)
    best = int(mean.argmin())
    rise = float(np.median((mean - mean[best])[max(0, best - 2) : best + 3]))
    use = (mean - mean[best] <= _TALLEST * rise) | (np.abs(np.arange(len(x)) - best) <= 2)
    use &= np.abs(x - x[best]) <= near + 1e-9
    if use.sum() < _FEWEST_VALUES:
        return None
    bend = float(np.polyfit(x[use], mean[use], 2)[0])
    return Rung(size, x[use], loss[use] @ _helmert(len(seeds)), bend)


def _helmert(n: int) -> Array:
    """(n, n - 1) orthonormal columns that sum to 0, the same for every ladder."""
    columns = np.triu(np.ones((n, n)), 1)[:, 1:] - np.diag(np.arange(n), 0)[:, 1:]
    return np.asarray(columns / np.linalg.norm(columns, axis=0))


def correlation(x: Array, rho: float) -> Array:
    """(m, m) correlation of one seed's noise at log2 values x: `CORRELATED` falls to rho of it in half an octave."""
    apart = np.abs(x[:, None] - x[None])
    return np.asarray((1 - CORRELATED) * (apart == 0) + CORRELATED * (rho ** (2 * apart) if rho else apart == 0))


class Displaced(NamedTuple):
    """Displacements of one rung: (S - 1,) contrasts, their error variance, and the log likelihood of the noise."""

    contrasts: Array
    variance: float
    log_likelihood: float


def displaced(rung: Rung, rho: float) -> Displaced:
    """How far seeds displace the optimum, octaves, under noise with this correlation, tilts being free."""
    m, n = rung.contrasts.shape
    basis = np.stack([np.ones(m), rung.x - rung.x.mean()], axis=1)
    covariance = correlation(rung.x, rho)
    inverse = np.linalg.inv(covariance)
    gram = basis.T @ inverse @ basis
    fit = np.linalg.solve(gram, basis.T @ inverse)
    slopes = (fit @ rung.contrasts)[1]
    rest = rung.contrasts - basis @ (fit @ rung.contrasts)
    df = n * (m - 2)
    square = float(np.einsum("is,ij,js->", rest, inverse, rest))
    logdet = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(gram)[1]
    score = -0.5 * n * logdet - 0.5 * df * math.log(square)
    variance = square / df * float(np.linalg.inv(gram)[1, 1])
    return Displaced(-slopes / (2 * rung.bend), variance / (2 * rung.bend) ** 2, score)


def likelihood(ladder: Ladder, rho: float) -> Array:
    """(SPREADS, COMMON) log likelihood of the ladder's displacements."""
    found = [displaced(rung, rho) for rung in ladder.rungs]
    contrasts = np.stack([each.contrasts for each in found])
    errors = np.diag([each.variance for each in found])
    squares, k, n = contrasts @ contrasts.T, *contrasts.shape
    table = np.empty((len(SPREADS), len(COMMON)))
    for (i, spread), (j, common) in product(enumerate(SPREADS), enumerate(COMMON)):
        covariance = spread**2 * (common + (1 - common) * np.eye(k)) + errors
        table[i, j] = -0.5 * n * np.linalg.slogdet(covariance)[1] - 0.5 * np.trace(np.linalg.solve(covariance, squares))
    return table


def _range(values: Array, scores: Array) -> str:
    inside = values[scores > scores.max() - _DROP]
    return f"{values[scores.argmax()]:.2f} ({inside.min():.2f} to {inside.max():.2f})"


class Prior(NamedTuple):
    """A log-normal spread over ladders: its median in octaves and the factor of one standard deviation."""

    median: float
    factor: float
    score: float


def _log_weight(median: float, factor: float) -> Array:
    """Log probabilities of the positive `SPREADS` under a log-normal distribution."""
    weight = -0.5 * (np.log(SPREADS[1:] / median) / math.log(factor)) ** 2
    return np.asarray(weight - np.logaddexp.reduce(weight))


def prior_of(tables: Sequence[Array]) -> Prior:
    """The log-normal distribution of spreads under which all ladders are most likely.

    Args:
        tables: (SPREADS, COMMON) log likelihood of each ladder, all common shares equally probable.
    """
    each = [np.logaddexp.reduce(table[1:], axis=1) for table in tables]

    def score(median: float, factor: float) -> float:
        weight = _log_weight(median, factor)
        return float(sum(np.logaddexp.reduce(weight + table) for table in each))

    grid: Iterable[tuple[float, float]] = product(np.geomspace(0.02, 0.4, 31), (1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 4))
    return max((Prior(m, f, score(m, f)) for m, f in grid), key=lambda prior: prior.score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--near", type=float, default=math.inf, help="only values this many octaves from the best")
    ladders = load(parser.parse_args().near)
    noises = [
        np.array([sum(displaced(rung, float(rho)).log_likelihood for rung in ladder.rungs) for rho in RHOS])
        for ladder in ladders
    ]
    pooled = np.sum(noises, axis=0)
    tables = [likelihood(ladder, float(RHOS[pooled.argmax()])) for ladder in ladders]
    print("| ladder | axis | seeds | sizes | tilt, octaves | common to a seed's sizes | correlation of the noise |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for ladder, table, noise in zip(ladders, tables, noises, strict=True):
        print(
            f"| {ladder.name} | {ladder.axis} | {ladder.seeds} | {len(ladder.rungs)} "
            f"| {_range(SPREADS, table.max(axis=1))} | {_range(COMMON, table.max(axis=0))} | {_range(RHOS, noise)} |"
        )
    prior = prior_of(tables)
    weight = _log_weight(prior.median, prior.factor)[:, None]
    shared = np.sum([np.logaddexp.reduce(weight + table[1:], axis=0) for table in tables], axis=0)
    spread = f"{prior.median:.3f}, factor {prior.factor:g}"
    print(f"| all | | | | {spread} | {_range(COMMON, shared)} | {_range(RHOS, pooled)} |")
    print(f"without correlation the log likelihood of the noise is {pooled.max() - pooled[0]:.1f} lower")


if __name__ == "__main__":
    main()
