"""How often the interval of a predicted optimum holds the truth, with the largest sizes hidden.

`python -m benchmarks.backtest [LADDERS]`. Generated ladders have optima that stand still, move along a line, saturate,
bend, turn or wander; their runs pass through the whole estimator. Then come the real ladders under tests/data, each
with one and with two of its largest sizes hidden: what is to be covered there is the optimum that was measured, with
what is not known of it. The reach is the doublings from the largest size that is shown to the one that is predicted,
over the doublings that the shown sizes span: the largest at which 90% are covered is what docs/verdicts.md supports.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.curve import sample_curves
from hptransfer.statistics.drift import KnownOptimum
from hptransfer.statistics.path import follow_path
from hptransfer.statistics.seed_means import Point, average_sizes

_DATA = Path(__file__).parent.parent / "tests" / "data"
#: 0.018 nats per squared natural log unit, the median of 155 slices of a published sweep (StepLaw), per squared octave
_BEND = 0.018 * math.log(2) ** 2
#: optima of sizes lie off their path by this many octaves
_SCATTER = 0.03
#: doublings beyond the shown sizes that generated ladders are asked about
AHEAD = (1, 2, 3, 4, 6)

#: log2 of the optimum at t doublings of the smallest size
PathLaw = Callable[[Array], Array]


def still(rng: np.random.Generator, span: float) -> PathLaw:
    """The optimum does not move."""
    return np.zeros_like


def line(rng: np.random.Generator, span: float) -> PathLaw:
    """It moves steadily."""
    slope = rng.uniform(-0.6, 0.6)
    return lambda t: slope * t


def saturates(rng: np.random.Generator, span: float) -> PathLaw:
    """A shift of a small model that fades as a power of its size."""
    shift, fading = rng.choice([-1, 1]) * rng.uniform(0.3, 1.2), rng.uniform(0.5, 1.5)
    return lambda t: shift * (1 - np.exp2(-fading * t))


def bends(rng: np.random.Generator, span: float) -> PathLaw:
    """One slope before a place within the ladder, another after it, over about a doubling."""
    before, after = rng.uniform(-0.5, 0.5, 2)
    place = rng.uniform(0.25, 0.9) * span
    return lambda t: before * t + (after - before) * 0.3 * np.logaddexp(0, (t - place) / 0.3)


def turns(rng: np.random.Generator, span: float) -> PathLaw:
    """It turns round within the ladder and goes on along a parabola."""
    height, place = rng.choice([-1, 1]) * rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.7) * span
    return lambda t: height * (1 - ((t - place) / (span / 2)) ** 2)


def wanders(rng: np.random.Generator, span: float) -> PathLaw:
    """Its slope takes an independent step at every doubling."""
    slopes = rng.normal(0, 0.2) + np.cumsum(rng.normal(0, 0.15, 16))
    heights = np.concatenate([[0.0], np.cumsum(slopes)])
    return lambda t: np.interp(t, np.arange(17), heights)


#: seeds below it were looked at while the prior was settled
FIRST_SEED = 30000
#: reaches that are told apart
REACHES = (0.35, 0.7, 1.0, 1.5, 2.0)
#: paths along which one line is no good
MOVING = ("saturates", "bends", "turns", "wanders")

PATHS = {"still": still, "line": line, "saturates": saturates, "bends": bends, "turns": turns, "wanders": wanders}


@dataclass(frozen=True, slots=True)
class Held:
    """One prediction against what came.

    Attributes:
        reach: doublings to the predicted size over those that the shown sizes span.
        error: predicted middle minus truth, octaves.
        half: half the width of the 95% interval, octaves; infinite where the ladder gives none.
        covered: whether the interval holds the truth.
    """

    reach: float
    error: float
    half: float
    covered: bool


def hold(known: Sequence[KnownOptimum], at: Sequence[float], truth: Sequence[Array]) -> Iterator[Held]:
    """Predict optima and compare.

    Args:
        known: of the sizes that are shown.
        at: log2 of the hidden sizes.
        truth: per hidden size, one value, or draws of what is known of it.
    """
    span = known[-1].doublings - known[0].doublings
    drawn = follow_path(known, at)
    for row, (place, true) in enumerate(zip(at, truth, strict=True)):
        reach = (place - known[-1].doublings) / span
        if drawn is None:
            yield Held(reach, math.nan, math.inf, covered=True)
            continue
        # what is predicted is what would be measured: the truth's own error belongs to the interval
        own = true - np.median(true)
        low, middle, high = (float(q) for q in np.quantile(drawn[row] + own, (0.025, 0.5, 0.975)))
        centre = float(np.median(true))
        yield Held(reach, middle - centre, (high - low) / 2, low <= centre <= high)


def known_optima(groups: Mapping[float, Sequence[Point]]) -> list[KnownOptimum]:
    """What the estimator knows of every size's optimum.

    Args:
        groups: size -> its runs, increasing.
    """
    doublings = [math.log2(size) for size in groups]
    drawn = sample_curves(average_sizes(list(groups.values())), doublings=doublings)
    return [KnownOptimum.of(size, draws) for size, draws in zip(groups, drawn, strict=True) if draws is not None]


def generated(law: str, seed: int) -> list[Held]:
    """One generated ladder: 4 to 6 sizes a doubling apart, 2 to 4 seeds, noise of 0.05 to 0.3%, half octaves.

    Seeds displace the optimum by 0.02 to 0.17 octaves, half of the variance at all sizes alike, as on measured ladders.

    Args:
        law: a name of `PATHS`.
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng([seed, list(PATHS).index(law)])
    count, seeds, noise = int(rng.integers(4, 7)), int(rng.integers(2, 5)), 3 * 10 ** rng.uniform(-3.3, -2.5)
    path = PATHS[law](rng, count - 1)
    places = np.arange(count + max(AHEAD), dtype=float)
    optima = path(places) + _SCATTER * rng.standard_normal(len(places))
    tilt = rng.uniform(0.02, 0.17) * math.sqrt(0.5)
    shared = tilt * rng.standard_normal(seeds)
    groups = {}
    for place in range(count):
        # a grid of half octaves over four or more, set about the optimum as an adaptive check does
        x = math.floor(2 * optima[place]) / 2 - 2 + rng.choice([-0.5, 0, 0.5]) + np.arange(9) / 2
        points = []
        for number in range(seeds):
            u = x - optima[place] - shared[number] - tilt * rng.standard_normal()
            curve = 3 - 0.05 * place + 2 * _BEND * (np.exp(0.3 * u) - 1 - 0.3 * u) / 0.09
            losses = curve + 0.003 * rng.standard_normal() + noise * rng.standard_normal(len(x))
            points += [
                Point(float(at), number, float(loss), diverged=False) for at, loss in zip(x, losses, strict=True)
            ]
        groups[2.0**place] = points
    at = [float(count - 1 + further) for further in AHEAD]
    return list(hold(known_optima(groups), at, [optima[[int(place)]] for place in at]))


def real_ladders() -> Iterator[tuple[str, dict[float, list[Point]]]]:
    """(name, size -> runs) of every ladder that is kept as data."""
    folder = _DATA / "ladders"
    for name, entry in json.loads((folder / "index.json").read_text("utf-8")).items():
        with (folder / f"{name}.csv").open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        for axis, described in entry["axes"].items():
            groups: dict[float, list[Point]] = defaultdict(list)
            for row in rows:
                if row["axis"] == axis:
                    lost = row["loss"] == "diverged"
                    x = math.log2(float(row[described["hyperparameter"]]))
                    loss = math.inf if lost else float(row["loss"])
                    groups[float(row["size"])].append(Point(x, int(row["seed"]), loss, lost))
            yield f"{name}, {axis}", dict(sorted(groups.items()))


def gemstones() -> dict[float, list[Point]]:
    """The shapes of the Gemstones preflight at depth 6 and more by their parameters, of one seed."""
    with (_DATA / "gemstones" / "gemstones_preflight.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    groups: dict[float, list[Point]] = defaultdict(list)
    for row in rows:
        size = float(row["depth"]) * float(row["width"]) ** 2
        groups[size].append(Point(math.log2(float(row["lr_base"])), 0, float(row["loss"]), diverged=False))
    return dict(sorted(groups.items()))


def hidden(groups: Mapping[float, Sequence[Point]], hide: int) -> list[Held]:
    """The largest size of a real ladder, predicted without the largest `hide` ones.

    Args:
        groups: size -> its runs, increasing.
        hide: how many sizes are hidden, at least 1.
    """
    whole = known_optima(groups)
    sizes = list(groups)
    shown = {size: groups[size] for size in sizes[:-hide]}
    if len(shown) < 3:
        return []
    return list(hold(known_optima(shown), [whole[-1].doublings], [whole[-1].draws]))


def row(name: str, held: Sequence[Held]) -> str:
    """One line of the table.

    Args:
        name: of what was predicted.
        held: predictions of hidden optima, at least one.
    """
    covers = np.mean([each.covered for each in held])
    half = float(np.median([each.half for each in held]))
    error = float(np.nanmedian([abs(each.error) for each in held]))
    reach = float(np.median([each.reach for each in held]))
    return f"{name:<40} {reach:>5.2f} {covers:>7.1%} {half:>10.2f} {error:>6.2f} {half / error:>6.1f}  {len(held)}"


def main() -> int:
    """Print the table; 1 where a next size of paths that bend is covered in under 90%, or intervals are too wide."""
    ladders = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{'path':<40} reach  covers  half width  error  ratio  ladders")
    following: list[Held] = []
    by_reach: dict[tuple[str, float], list[Held]] = defaultdict(list)
    for law in PATHS:
        found = [generated(law, FIRST_SEED + seed) for seed in range(ladders)]
        for index, further in enumerate(AHEAD):
            print(row(f"{law}, {further} further", [each[index] for each in found]), flush=True)
        for each in (held for row_ in found for held in row_):
            by_reach[law, next(end for end in REACHES if each.reach <= end)].append(each)
        if law in MOVING:
            following += [each[0] for each in found]
    print(row("paths that move otherwise, 1 further", following))
    for end in REACHES:
        for law in PATHS:
            print(row(f"{law}, reach up to {end:g}", by_reach[law, end]))
    for hide in (1, 2):
        real = [(name, each) for name, groups in real_ladders() for each in hidden(groups, hide)]
        for name, each in real:
            print(row(f"{name}, {hide} hidden", [each]))
        print(row(f"real ladders, {hide} hidden", [each for _, each in real]), flush=True)
    for each in hidden(gemstones(), 1):
        print(row("gemstones, one seed", [each]))
    covers = float(np.mean([each.covered for each in following]))
    ratio = np.median([each.half for each in following]) / np.nanmedian([abs(each.error) for each in following])
    return int(covers < 0.9 or ratio > 3)


if __name__ == "__main__":
    sys.exit(main())
