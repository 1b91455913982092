"""What a seed does to one size and not to the others, against the noise of one run, on the ladders that ship.

    python -m benchmarks.seed_offsets

Near each size's lowest losses seeds trained at the same values differ by an offset and by noise. What the offsets of a
seed have in common over the sizes is taken out, two-way analysis of variance; the rest is its own offset at each size,
with 1 / values of the noise. Printed per ladder: the standard deviation of the own offsets over that of the noise, most
likely under the F distribution of the two mean squares, with the range that loses less than 1.92 in log likelihood.
Then the log-normal distribution of the ratio under which all ladders are most likely.

The numbers are the source of the prior in hptransfer/statistics/seed_offsets.py; nothing here uses that module.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.seed_tilts import LADDERS

Array = npt.NDArray[np.float64]

#: own offsets over noise, both standard deviations
RATIOS = np.geomspace(0.02, 50, 120)
#: loss of log likelihood at the ends of a 95% interval
_DROP = 1.92


class Ladder(NamedTuple):
    """Sums of squares of one ladder, in the loss's unit squared.

    Attributes:
        name: of its file under tests/data/ladders.
        axis: the axis of size that it lies along.
        seeds: that all sizes have.
        values: near the lowest losses, a mean over sizes.
        own: of what seeds do to single sizes.
        own_df: its degrees of freedom.
        noise: of what is left at each size.
        noise_df: its degrees of freedom.
    """

    name: str
    axis: str
    seeds: int
    values: float
    own: float
    own_df: int
    noise: float
    noise_df: int

    @property
    def scores(self) -> Array:
        """(RATIOS,) log likelihood, the noise's scale integrated out."""
        share = RATIOS**2 + 1 / self.values
        both = self.own_df + self.noise_df
        found = -0.5 * self.own_df * np.log(share) - 0.5 * both * np.log(self.own / share + self.noise)
        return np.asarray(found - found.max())


def load() -> list[Ladder]:
    """All ladders with at least two seeds and two sizes; runs that two files share count once."""
    found: list[Ladder] = []
    for path in sorted(LADDERS.glob("*.csv")):
        runs: dict[str, dict[float, dict[float, dict[int, float]]]] = defaultdict(lambda: defaultdict(dict))
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                loss = math.inf if row["loss"] == "diverged" else float(row["loss"])
                at = runs[row["axis"]][float(row["size"])].setdefault(float(row["learning_rate"]), {})
                at[int(row["seed"])] = loss
        for axis, sizes in runs.items():
            ladder = _ladder(path.stem, axis, sizes)
            if ladder is not None and not any(math.isclose(ladder.own, each.own, rel_tol=0.01) for each in found):
                found.append(ladder)
    return found


def _ladder(name: str, axis: str, sizes: dict[float, dict[float, dict[int, float]]]) -> Ladder | None:
    seeds = sorted(set.intersection(*(set(at) for runs in sizes.values() for at in runs.values())))
    if len(seeds) < 2 or len(sizes) < 2:
        return None
    offsets, noise, noise_df, values = [], 0.0, 0, []
    for runs in sizes.values():
        table = np.array([[at[seed] for seed in seeds] for at in runs.values()])
        table = table[np.isfinite(table).all(axis=1)]
        lowest = table[np.argsort(table.mean(axis=1))][: max(3, len(table) // 2)]
        centred = lowest - lowest.mean(axis=1, keepdims=True)
        offsets.append(centred.mean(axis=0))
        noise += float(((centred - offsets[-1]) ** 2).sum())
        noise_df += (len(lowest) - 1) * (len(seeds) - 1)
        values.append(len(lowest))
    own = np.array(offsets) - np.mean(offsets, axis=0)
    own_df = (len(offsets) - 1) * (len(seeds) - 1)
    return Ladder(name, axis, len(seeds), float(np.mean(values)), float((own**2).sum()), own_df, noise, noise_df)


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
    factors = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 5.0)
    grid = [Prior(float(median), factor) for median in np.geomspace(0.2, 5, 41) for factor in factors]
    return {
        prior: sum(float(np.logaddexp.reduce(log_weight(*prior) + each.scores)) for each in ladders) for prior in grid
    }


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
        f"factor {best.factor:g} ({min(factors):g} to {max(factors):g}) |"
    )


if __name__ == "__main__":
    main()
