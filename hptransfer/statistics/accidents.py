"""Single runs that went wrong: losses too low or too high for everything beside them, where no second seed shows it.

A run is checked against what the values on its two sides lead to: the chord through its neighbours, and the chords of
either side carried on to it. A convex curve lies between these, however steep or kinked it is, and a cliff agrees with
one side; a run that lies far outside of all three, compared with how far they differ and with the scatter of the other
values about parabolas, belongs to no curve.

Too low is another matter than too high, because a narrow valley between values that did not train looks like luck. So a
low run is an accident only where the others show a valley of their own. Either they clearly rise towards the run from
a lowest value that is none of its neighbours: a curve has one valley, and this would be a second one. Or they bend
upwards on both sides of it, which flanks that level out do not: the run would be a hole in the bottom of a bowl.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hptransfer.statistics.arrays import Array
from hptransfer.statistics.scatter import bend_at_lowest, departures
from hptransfer.statistics.variances import noise_level

#: fewer values than these leave nothing to compare a run with
_FEWEST = 7
#: denser sweeps are averaged over cells, in which one run moves little
_MOST = 200
#: standard errors by which a run lies outside of everything that the values beside it lead to
_FAR = 5.0
#: standard errors by which others clearly rise towards a run that is too low, or bend on both sides of it
_CLEARLY = 3.0
#: and share of the pairs of the others that rise away from that value
_ORDERED = 0.85
#: a chord is carried on by at most so many times its length, where no longer one is to be had
_CARRIED = 2.0
#: octaves by which two values are none
_SAME = 1e-6
#: the median of a chi-square with one degree of freedom
_MIDDLE = 0.455
#: scatter about parabolas is worth a third of a degree of freedom per departure, and this many at most, because curves
#: are no parabolas
_SCATTER_DF = 4.0
#: losses are written with about this accuracy, as a share of what they usually differ by
_ROUNDING = 1e-6
#: differences below this are none: their squares would be
_NOTHING = 1e-100
#: heights above this many times what neighbours usually differ by are cut there
_HIGHEST = 1e9
#: noise below this share of what an octave off costs is lost beside the curves' own roughness
_FINEST = 1e-4


class Means(NamedTuple):
    """Mean losses of one size.

    Attributes:
        x: (m,) log2 values, increasing.
        mean: (m,) mean losses, one per value.
        runs: (m,) runs behind each.
    """

    x: Array
    mean: Array
    runs: Array

    def without(self, places: Sequence[int]) -> Means:
        """The others.

        Args:
            places: indices of the values that are left out.
        """
        return Means(*(np.delete(each, list(places)) for each in self))


def single_accidents(sizes: Sequence[Means]) -> tuple[tuple[int, ...], ...]:
    """Indices of each size's values whose only run went wrong, increasing.

    The clearest is taken first, and what remains is looked at without it.

    Args:
        sizes: mean losses of each size, those of divergences left out.
    """
    sizes = _in_units(sizes)
    seen = [_Scatter.of(size) if _FEWEST <= len(size.x) <= _MOST else None for size in sizes]
    found: list[tuple[int, ...]] = []
    for number, size in enumerate(sizes):
        others = [each for n, each in enumerate(seen) if n != number and each is not None]
        known: list[int] = []
        usual = _usual(others)
        while (stray := _clearest(size.without(known), usual)) is not None:
            known.append(int(np.delete(np.arange(len(size.x)), known)[stray]))
        found.append(tuple(sorted(known)))
    return tuple(found)


def _in_units(sizes: Sequence[Means]) -> list[Means]:
    """Heights above each size's lowest mean in units of what neighbours usually differ by; nothing that overflows."""
    steps = np.concatenate([np.abs(np.diff(size.mean)) for size in sizes])
    unit = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    lowest = [size.mean.min() for size in sizes]
    return [
        size._replace(mean=np.minimum((size.mean - low) / max(unit, _NOTHING), _HIGHEST))
        for size, low in zip(sizes, lowest, strict=True)
    ]


class _Scatter(NamedTuple):
    """Squared departures from parabolas, in the middle and how many, and the bend at the lowest value."""

    middle: float
    number: int
    bend: float

    @classmethod
    def of(cls, size: Means) -> _Scatter:
        """What a size shows by itself."""
        found = departures(size.x, size.mean, np.diag(1 / size.runs))
        return cls(float(np.median(found)) / _MIDDLE, len(found), bend_at_lowest(size.x, size.mean))

    @property
    def deviation(self) -> float:
        """Of one run; before any departure is seen it goes with the bend (`variances.noise_level`)."""
        if not self.bend > _NOTHING:
            return math.sqrt(self.middle)
        df = min(_SCATTER_DF, self.number / 3)
        variance = float(noise_level(np.array(self.middle * df), df, np.array(self.bend)))
        return max(math.sqrt(variance), _FINEST * self.bend)


def _usual(others: Sequence[_Scatter]) -> float:
    """Deviation of one run at other sizes; 0 where there are none."""
    return float(np.median([each.deviation for each in others])) if others else 0.0


def _clearest(size: Means, usual: float) -> int | None:
    """The run that went wrong most clearly; None where none did.

    Args:
        size: its values with their mean losses.
        usual: deviation of one run at other sizes.
    """
    if not _FEWEST <= len(size.x) <= _MOST:
        return None
    place, value, error = _led_to(size)
    off = value - size.mean[place]
    # outside of all three, and by more than these differ among themselves
    apart = (np.abs(np.sign(off).sum(axis=0)) == len(off)) & (np.abs(off).min(axis=0) > np.ptp(off, axis=0))
    strays = []
    for column in np.flatnonzero(apart & (size.runs[place] == 1)):
        others, nearest = size.without([int(place[column])]), float(np.abs(off[:, column]).min())
        deviation = max(_Scatter.of(others).deviation, usual, _ROUNDING * nearest)
        clear = nearest / float(error[column]) / deviation
        if clear > _FAR and (off[0, column] < 0 or _show_a_valley(others, int(place[column]), deviation)):
            strays.append((clear, int(place[column])))
    return max(strays)[1] if strays else None


def _led_to(size: Means) -> tuple[npt.NDArray[np.intp], Array, Array]:
    """What the values beside one lead to.

    Returns:
        (n,) indices of the values that have such neighbours; (3, n) the chord through both neighbours and those of
        either side carried on; (n,) standard errors of the value against the first, in deviations of one run.
    """
    x, inner = size.x, np.arange(1, len(size.x) - 1)
    # the nearest value that makes a chord as long as the gap to which it is carried, else the last one
    left = np.maximum(np.searchsorted(x, 2 * x[inner - 1] - x[inner] + _SAME, side="right") - 1, 0)
    right = np.minimum(np.searchsorted(x, 2 * x[inner + 1] - x[inner] - _SAME), len(x) - 1)
    gap = np.stack([x[inner] - x[inner - 1], x[inner + 1] - x[inner]])
    chord = np.stack([x[inner - 1] - x[left], x[right] - x[inner + 1]])
    inside = (_CARRIED * chord + _SAME >= gap).all(axis=0)
    place, left, right = inner[inside], left[inside], right[inside]
    near = np.stack([place - 1, place - 1, place + 1])
    other = np.stack([place + 1, left, right])
    share = (x[place] - x[near]) / (x[other] - x[near])
    value = size.mean[near] + share * (size.mean[other] - size.mean[near])
    ran = 1 / size.runs
    return place, value, np.sqrt(ran[place] + (1 - share[0]) ** 2 * ran[place - 1] + share[0] ** 2 * ran[place + 1])


def _show_a_valley(others: Means, place: int, deviation: float) -> bool:
    """Whether the others show that a value below them is not where their curve is lowest.

    Args:
        others: mean losses without that value.
        place: index of its right neighbour among them.
        deviation: standard deviation of one run.
    """
    sides = [Means(*(each[side] for each in others)) for side in (slice(0, place), slice(place, None))]
    return _rises(others, place, deviation) or all(_sag(side) > _CLEARLY * deviation for side in sides)


def _sag(side: Means) -> float:
    """How far values lie below the chord from the first to the last on average, in standard errors of runs of 1."""
    if len(side.x) < 3:
        return 0.0
    share = (side.x - side.x[0]) / (side.x[-1] - side.x[0])
    weight = np.full(len(share), -1 / (len(share) - 2))
    weight[0], weight[-1] = 1 - share[1:-1].mean(), share[1:-1].mean()
    return float(weight @ side.mean) / math.sqrt(float(weight**2 @ (1 / side.runs)))


def _rises(others: Means, place: int, deviation: float) -> bool:
    """Whether the others rise clearly towards a value from a lowest one that is none of its neighbours, and stay high.

    Args:
        others: mean losses without that value.
        place: index of its right neighbour among them.
        deviation: standard deviation of one run.
    """
    best = int(others.mean.argmin())
    if best in (place - 1, place):
        return False
    # the neighbour on the way from there, and everything beyond
    higher = np.arange(place - 1, len(others.x)) if best < place else np.arange(place + 1)
    error = deviation * np.sqrt(1 / others.runs[higher] + 1 / others.runs[best])
    clear = bool((others.mean[higher] - others.mean[best] > _CLEARLY * error).all())
    return clear and _ordered(others.mean, best) >= _ORDERED


def _ordered(mean: Array, best: int) -> float:
    """Share of the pairs on either side of the lowest value of which the one further away is the higher one."""
    pairs, higher = 0, 0
    for side in (mean[:best][::-1], mean[best + 1 :]):
        i, j = np.triu_indices(len(side), 1)
        pairs += len(i)
        higher += int((side[j] > side[i]).sum())
    return higher / pairs if pairs else 0.0
