"""Steps against examples to reach one loss: the hyperbola of McCandlish et al. (arXiv 1812.06162).

(S / Smin - 1) (E / Emin - 1) = 1 with E = B S says S = Smin (1 + Bc / B) and E = Emin (1 + B / Bc), where
Bc = Emin / Smin is the critical batch: there a run takes twice the fewest steps and twice the fewest examples. It holds
where every batch size has its own best learning rate, and for one loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array
from hptransfer.statistics.interval import Interval

#: fewer batch sizes than this cannot show whether the hyperbola holds
FEWEST_BATCHES = 4
#: by how much ln S may lie off the hyperbola: a tenth of the steps is as well as steps to a loss are ever known; half
#: of that no use of the hyperbola notices, however small the noise
TOLERANCE, NEGLIGIBLE = 0.1, 0.05
#: a lack of fit is seen where chance would give it less often than this
_RARE = 0.01
#: the critical batch is sought this many times beyond the batches that were trained
_REACH = 1e3
_NODES = 2001
#: relative accuracy of a number of steps
_ROUNDING = 1e-4
#: streams of random numbers of their own
_PICK, _WIDTH, _PLACE, _ABOVE, _BELOW, _WITHIN = 70, 71, 72, 73, 74, 75

Fit = Literal["holds", "open", "does not hold"]


@dataclass(frozen=True, slots=True)
class Hyperbola:
    """What batches and the steps that they took to one loss say.

    Attributes:
        batches: the batch sizes, increasing.
        steps: steps to the loss at each, the geometric mean of its runs.
        fewest_steps: Smin, with 95% interval; open where no batch comes near it.
        fewest_examples: Emin, with 95% interval likewise.
        critical_batch: Bc = Emin / Smin.
        misfit: root mean square of ln S about the hyperbola, degrees of freedom taken off: 0.1 is 10% of the steps.
        fit: whether the hyperbola describes them.
        unit: of the steps and of the examples, in the plural.
    """

    batches: tuple[float, ...]
    steps: tuple[float, ...]
    fewest_steps: Interval
    fewest_examples: Interval
    critical_batch: Interval
    misfit: float
    fit: Fit
    unit: tuple[str, str] = ("steps", "examples")

    @property
    def sentence(self) -> str:
        """What was found, one line for a person; no numbers of a law that does not hold."""
        over = f"{len(self.batches)} batch sizes from {self.batches[0]:g} to {self.batches[-1]:g}"
        law = f"the hyperbola of {self.unit[0]} and {self.unit[1]}, (S/Smin - 1)(E/Emin - 1) = 1,"
        off = f"off it by {self.misfit:.1%}"
        if self.fit == "does not hold":
            return f"{law} does not hold over {over}: {self.unit[0]} lie {off}, and no critical batch is given"
        state = "holds" if self.fit == "holds" else "is neither shown nor excluded"
        return (
            f"{law} {state} over {over} ({off}): critical batch {_ends(self.critical_batch)}, fewest {self.unit[0]} "
            f"{_ends(self.fewest_steps)}, fewest {self.unit[1]} {_ends(self.fewest_examples)}"
        )


def fit_hyperbola(
    batches: Sequence[float], steps: Sequence[float], *, unit: tuple[str, str] = ("steps", "examples")
) -> Hyperbola:
    """Fit Smin, Emin and the critical batch to runs that reached one loss.

    ln S = ln Smin + ln(1 + Bc / B) with errors of one standard deviation; ln Bc is taken to be equally likely within a
    thousand times of the batches, ln Smin anywhere, the standard deviation on a log scale.

    Args:
        batches: examples per step of each run; several runs of one batch size show the noise.
        steps: optimizer steps until the loss was reached, positive, each at the best learning rate of its batch.
        unit: of steps and examples, in the plural.

    Raises:
        UsageError: fewer than four batch sizes, or a number that is not positive and finite.
    """
    batch, count = np.asarray(batches, dtype=float), np.asarray(steps, dtype=float)
    if not (np.isfinite(batch).all() and np.isfinite(count).all() and (batch > 0).all() and (count > 0).all()):
        raise UsageError("batch sizes and steps must be positive and finite", received=f"{batches}, {steps}"[:200])
    different, row = np.unique(batch, return_inverse=True)
    if len(different) < FEWEST_BATCHES:
        raise UsageError(
            f"{FEWEST_BATCHES} batch sizes must reach the loss to fit a hyperbola", received=str(len(different))
        )
    logs = np.log(count)
    centre = np.log(math.sqrt(different[0] * different[-1]))
    reach = math.log(different[-1] / different[0]) / 2 + math.log(_REACH)
    critical = np.linspace(centre - reach, centre + reach, _NODES)
    rest = logs[:, None] - np.log1p(np.exp(critical[None] - np.log(batch)[:, None]))
    place = rest.mean(axis=0)
    squares = ((rest - place) ** 2).sum(axis=0) + len(logs) * _ROUNDING**2
    freedom = len(logs) - 1
    weight = (squares / squares.min()) ** (-freedom / 2)
    cumulative = np.cumsum(weight) / weight.sum()
    picked = np.searchsorted(cumulative, wiener_process.uniform(_PICK)).clip(0, _NODES - 1)
    spread = np.sqrt(squares[picked] / wiener_process.chi_square(_WIDTH, freedom) / len(logs))
    fewest = place[picked] + spread * wiener_process.normal(_PLACE, 1)[0]
    within = (wiener_process.uniform(_WITHIN) - 0.5) * float(critical[1] - critical[0])
    drawn, best = critical[picked] + within, int(squares.argmin())
    tail = 0.025
    low_open = bool(cumulative[np.searchsorted(critical, critical[0] + math.log(2))] > tail)
    high_open = bool(1 - cumulative[np.searchsorted(critical, critical[-1] - math.log(2))] > tail)
    means = np.bincount(row, logs) / np.bincount(row)
    misfit, fit = _goodness(different, row, logs, means, float(critical[best]), float(place[best]))
    return Hyperbola(
        batches=tuple(map(float, different)),
        steps=tuple(map(float, np.exp(means))),
        fewest_steps=_interval(fewest, float(place[best]), low=high_open, high=False),
        fewest_examples=_interval(fewest + drawn, float(place[best] + critical[best]), low=low_open, high=False),
        critical_batch=_interval(drawn, float(critical[best]), low=low_open, high=high_open),
        misfit=misfit,
        fit=fit,
        unit=unit,
    )


def _interval(draws: Array, best: float, *, low: bool, high: bool) -> Interval:
    """The exponentials of draws with their 95% interval; open ends have no bound but what cannot be."""
    ends = [float(np.exp(end)) for end in np.quantile(draws, (0.025, 0.975))]
    below, above = 0.0 if low else ends[0], math.inf if high else ends[1]
    return Interval(min(max(math.exp(best), below), above), below, above)


def _goodness(
    batch: Array, row: npt.NDArray[np.intp], logs: Array, means: Array, critical: float, place: float
) -> tuple[float, Fit]:
    """How far the means lie off the best hyperbola, and whether that is chance, little, or another law."""
    runs = np.bincount(row)
    off = means - place - np.log1p(np.exp(critical) / batch)
    freedom = len(batch) - 2
    lack = float((runs * off**2).sum())
    misfit = math.sqrt(float((off**2).sum()) / freedom)
    inside, inside_freedom = float(((logs - means[row]) ** 2).sum()), len(logs) - len(batch)
    if inside_freedom < len(batch) and len(batch) > FEWEST_BATCHES:
        # without repeats, noise is what a bend of ln S in ln B leaves over
        bent = np.polynomial.Polynomial.fit(np.log(batch), means, 2)(np.log(batch))
        inside, inside_freedom = float(((means - bent) ** 2).sum()), len(batch) - 3
    surely_off = misfit * math.sqrt(freedom / float(np.quantile(wiener_process.chi_square(_ABOVE, freedom), 0.95)))
    if surely_off > TOLERANCE:
        return misfit, "does not hold"
    seen = inside_freedom > 0 and _chance(lack / freedom, freedom, inside / inside_freedom, inside_freedom) < _RARE
    if seen and misfit > NEGLIGIBLE:
        return misfit, "does not hold"
    return misfit, "holds" if misfit <= (NEGLIGIBLE if inside_freedom == 0 else TOLERANCE) else "open"


def _chance(lack: float, freedom: int, noise: float, noise_freedom: int) -> float:
    """How often noise alone makes the ratio of these two variances as large: Fisher's F by draws."""
    above = wiener_process.chi_square(_ABOVE, freedom) / freedom
    below = wiener_process.chi_square(_BELOW, noise_freedom) / noise_freedom
    return float((above / below >= lack / max(noise, _ROUNDING**2)).mean())


def steps_to_reach(curves: Mapping[float, Mapping[float, float]]) -> tuple[float, dict[float, float]]:
    """The loss that most batch sizes pass, the lowest of such, and the steps at which each passes it.

    Args:
        curves: batch size -> steps of a run -> its final loss at the best learning rate.

    Returns:
        The loss, and batch size -> steps, interpolated in ln steps between two runs; those that do not pass it are left
        out.
    """
    levels = sorted({loss for runs in curves.values() for loss in runs.values() if math.isfinite(loss)})
    found = {
        level: {batch: at for batch, runs in curves.items() if (at := _crossing(runs, level)) is not None}
        for level in ((low + high) / 2 for low, high in pairwise(levels))
    }
    if not found:
        return math.nan, {}
    level = max(found, key=lambda each: (len(found[each]), -each))
    return level, found[level]


def _crossing(runs: Mapping[float, float], level: float) -> float | None:
    """Steps at which the loss first falls to a level; None where the runs do not pass it."""
    for (before, above), (after, below) in pairwise(sorted(runs.items())):
        if above > level >= below:
            share = (above - level) / (above - below)
            return math.exp(math.log(before) + share * math.log(after / before))
    return None


def _ends(interval: Interval) -> str:
    high = "open" if math.isinf(interval.high) else f"{interval.high:.3g}"
    return f"{interval.estimate:.3g} ({interval.low:.3g} to {high})"
