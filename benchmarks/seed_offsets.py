"""What a seed does to one size and not to the others, against the noise of one run, on the ladders that ship.

    python -m benchmarks.seed_offsets

Near each size's lowest losses seeds trained at the same values differ by an offset and by noise. What the offsets of a
seed have in common over the sizes is taken out, two-way analysis of variance; the rest is its own offset at each size,
with the mean of the noise there. Noise is alike at neighbouring values (benchmarks/seed_tilts.py: 0.6 half an octave
apart): its mean over four values has half of its variance, not a quarter, and only two thirds of it are left beside the
mean. Printed per ladder: the standard deviation of the own offsets over that of the noise, most likely under the F
distribution of the two mean squares, with the range that loses less than 1.92 in log likelihood. Then the log-normal
distribution of the ratio under which all ladders are most likely; and what is to be expected of another ladder, every
such distribution weighted by how likely the ladders are under it, its median and its factor on logarithmic scales.

The numbers are the source of the prior in hptransfer/statistics/seed_offsets.py; nothing here uses that module.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.seed_tilts import LADDERS, correlation

Array = npt.NDArray[np.float64]

#: own offsets over noise, both standard deviations
RATIOS = np.geomspace(0.02, 50, 120)
#: loss of log likelihood at the ends of a 95% interval
_DROP = 1.92
#: correlation of one seed's noise half an octave apart, as measured over all ladders
RHO = 0.6


class Ladder(NamedTuple):
    """Sums of squares of one ladder, in the loss's unit squared.

    Attributes:
        name: of its file under tests/data/ladders.
        axis: the axis of size that it lies along.
        seeds: that all sizes have.
        shared: variance of the mean of noise of variance 1 over the lowest values, a mean over sizes.
        own: of what seeds do to single sizes.
        own_df: its degrees of freedom.
        noise: of what is left at each size, as much larger as is hidden in the means.
        noise_df: its degrees of freedom.
    """

    name: str
    axis: str
    seeds: int
    shared: float
    own: float
    own_df: int
    noise: float
    noise_df: float

    @property
    def scores(self) -> Array:
        """(RATIOS,) log likelihood, the noise's scale integrated out."""
        share = RATIOS**2 + self.shared
        both = self.own_df + self.noise_df
        found = -0.5 * self.own_df * np.log(share) - 0.5 * both * np.log(self.own / share + self.noise)
        return np.asarray(found - found.max())


def load(rho: float = RHO) -> list[Ladder]:
    """All ladders with at least two seeds and two sizes; runs that two files share count once.

    Args:
        rho: correlation of one seed's noise half an octave apart, from 0 to less than 1.
    """
    found: list[Ladder] = []
    for path in sorted(LADDERS.glob("*.csv")):
        runs: dict[str, dict[float, dict[float, dict[int, float]]]] = defaultdict(lambda: defaultdict(dict))
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                loss = math.inf if row["loss"] == "diverged" else float(row["loss"])
                at = runs[row["axis"]][float(row["size"])].setdefault(float(row["learning_rate"]), {})
                at[int(row["seed"])] = loss
        for axis, sizes in runs.items():
            ladder = _ladder(path.stem, axis, sizes, rho)
            if ladder is not None and not any(math.isclose(ladder.own, each.own, rel_tol=0.01) for each in found):
                found.append(ladder)
    return found


def _ladder(name: str, axis: str, sizes: dict[float, dict[float, dict[int, float]]], rho: float) -> Ladder | None:
    seeds = sorted(set.intersection(*(set(at) for runs in sizes.values() for at in runs.values())))
    if len(seeds) < 2 or len(sizes) < 2:
        return None
    contrasts = len(seeds) - 1
    offsets, noise, noise_df, seen, shared = [], 0.0, 0.0, 0.0, []
    for runs in sizes.values():
        table = np.array([[at[seed] for seed in seeds] for at in runs.values()])
        finite = np.isfinite(table).all(axis=1)
        x, table = np.log2(list(runs))[finite], table[finite]
        lowest = np.argsort(table.mean(axis=1))[: max(3, len(table) // 2)]
        centred = table[lowest] - table[lowest].mean(axis=1, keepdims=True)
        offsets.append(centred.mean(axis=0))
        noise += float(((centred - offsets[-1]) ** 2).sum())
        alike = correlation(x[lowest], rho)
        shared.append(float(alike.mean()))
        # the residuals' expected square, and how many independent ones scatter as they do (Satterthwaite 1946)
        left = alike - alike.mean(axis=0) - alike.mean(axis=1, keepdims=True) + alike.mean()
        seen += contrasts * float(np.trace(left))
        noise_df += contrasts * float(np.trace(left)) ** 2 / float((left**2).sum())
    own = np.array(offsets) - np.mean(offsets, axis=0)
    own_df = (len(offsets) - 1) * contrasts
    noise *= noise_df / seen
    return Ladder(name, axis, len(seeds), float(np.mean(shared)), float((own**2).sum()), own_df, noise, noise_df)


def log_weight(median: float, factor: float) -> Array:
    """Log probabilities of the `RATIOS` under a log-normal distribution.

    Args:
        median: of the ratio over the ladders.
        factor: of one standard deviation.
    """
    weight = -0.5 * (np.log(RATIOS / median) / math.log(factor)) ** 2
    return np.asarray(weight - np.logaddexp.reduce(weight))


class Prior(NamedTuple):
    """A log-normal ratio over ladders: its median and the factor of one standard deviation."""

    median: float
    factor: float


def scores_of(ladders: Sequence[Ladder]) -> dict[Prior, float]:
    """Log likelihood of all ladders under each log-normal distribution of their ratios.

    Args:
        ladders: those that have seeds to compare, at least one.
    """
    factors = np.geomspace(1.2, 6, 24).tolist()
    grid = [Prior(float(median), factor) for median in np.geomspace(0.1, 5, 40) for factor in factors]
    return {
        prior: sum(float(np.logaddexp.reduce(log_weight(*prior) + each.scores)) for each in ladders) for prior in grid
    }


def expected(score: Mapping[Prior, float]) -> Prior:
    """Median and factor of what is to be expected of another ladder.

    Args:
        score: log likelihood of all ladders under each distribution, as by `scores_of`.
    """
    best = max(score.values())
    weight = {prior: math.exp(each - best) for prior, each in score.items()}
    density = np.sum([each * np.exp(log_weight(*prior)) for prior, each in weight.items()], axis=0)
    density /= density.sum()
    middle = float(density @ np.log(RATIOS))
    spread = math.sqrt(float(density @ (np.log(RATIOS) - middle) ** 2))
    return Prior(math.exp(middle), math.exp(spread))


def main() -> None:
    """Print the table."""
    ladders = load()
    print("| ladder | axis | seeds | own offset over noise |")
    print("|---|---|--:|--:|")
    for each in ladders:
        inside = RATIOS[each.scores > -_DROP]
        print(
            f"| {each.name} | {each.axis} | {each.seeds} "
            f"| {RATIOS[each.scores.argmax()]:.2f} ({inside.min():.2f} to {inside.max():.2f}) |"
        )
    score = scores_of(ladders)
    best = max(score, key=lambda prior: score[prior])
    medians, factors = zip(*(prior for prior in score if score[prior] > score[best] - _DROP), strict=True)
    print(
        f"| all | | | {best.median:.2f} ({min(medians):.2f} to {max(medians):.2f}), "
        f"factor {best.factor:.1f} ({min(factors):.1f} to {max(factors):.1f}) |"
    )
    another = expected(score)
    print(f"| another | | | {another.median:.2f}, factor {another.factor:.1f} |")
    for rho in (0.0, 0.35, 0.8):
        other = scores_of(load(rho))
        likely = max(other, key=lambda prior: other[prior])
        print(
            f"with a correlation of {rho:g} half an octave apart: most likely {likely.median:.2f}, "
            f"factor {likely.factor:.1f}; another ladder {{:.2f}}, factor {{:.1f}}".format(*expected(other))
        )


if __name__ == "__main__":
    main()
