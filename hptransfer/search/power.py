"""What a budget can tell: the spread to expect of the recommended values, said before the budget is spent.

A bowl of curvature c (loss lost per octave squared, as a fraction) seen by n runs of noise s (fraction of the loss)
whose squared distance from the optimum is v on average (octaves squared) gives sd(log2 optimum) = s / (2 c sqrt(n v)):
the formula of n equidistant runs, s / (2 c h sqrt(n (n^2 - 1) / 12)) at spacing h, has v = h^2 (n^2 - 1) / 12. The loss
lost by it is d s^2 / (4 c v n) over d hyperparameters. A search that must find the bowl first, and does not know that
it is one, gets a share of that information, `EFFICIENCY`, and sees the bowl's shape as scatter too, `MISFIT`: both from
pilot seeds of benchmarks/efficiency.py.
"""

from __future__ import annotations

import math

from scipy.special import gammainc

from hptransfer.artifacts.tuned import NoiseSource, Power, quadratic_terms
from hptransfer.search.space import Space

#: of one run, as a fraction of the loss, where nothing was measured: typical of small proxies (docs/benchmarks.md)
ASSUMED_NOISE = 0.003
#: loss lost one octave from the optimum, as a fraction: median of published learning-rate sweeps
TYPICAL_CURVATURE = 0.003
#: information that searches had about the optimum, as a share of the formula's (docs/benchmarks.md)
EFFICIENCY = 0.2
#: a bowl is no parabola: to a smooth fit its shape is so much further scatter, as a fraction of the loss (same pilots)
MISFIT = 0.004
#: octaves to each side of the optimum within which runs see the bowl
_REACH = 2.0
#: this probability of reaching the goal is enough
_ENOUGH = 0.8


def expected_power(
    space: Space, trials: int, goal: float, noise: float = ASSUMED_NOISE, noise_from: NoiseSource = "assumed"
) -> Power:
    """The power of a search that is yet to run.

    Args:
        space: the searched hyperparameters with their bounds.
        trials: number of trials of the whole search.
        goal: what a recommendation should lose at most, as a fraction of the loss.
        noise: standard deviation of one run, as a fraction of the loss.
        noise_from: whether the noise was measured.
    """
    dimensions = len(space)

    def found(octaves: float | None, chance: float) -> Power:
        return Power(
            trials=trials,
            dimensions=dimensions,
            noise=noise,
            noise_from=noise_from,
            octaves=octaves,
            goal=goal,
            chance=chance,
        )

    start = min(trials, 8 if dimensions == 1 else dimensions + 1)
    inside = math.prod(min(1.0, 2 * _REACH / (axis.ends[1] - axis.ends[0])) for axis in space)
    useful = trials - start + start * inside - (quadratic_terms(dimensions) - dimensions - 1) / 2
    if trials < quadratic_terms(dimensions) or useful <= 1:
        return found(None, 0.0)
    information = EFFICIENCY * TYPICAL_CURVATURE * _REACH**2 / 3 * useful
    scatter = math.hypot(noise, MISFIT)
    octaves = scatter / (2 * math.sqrt(TYPICAL_CURVATURE * information))
    chance = float(gammainc(dimensions / 2, 2 * goal * information / scatter**2))  # chi squared
    return found(octaves, chance)


def advice(space: Space, power: Power) -> str:
    """What to do about a hopeless budget, one clause.

    Args:
        space: the searched hyperparameters with their bounds.
        power: what the budget can be expected to find.
    """
    for factor in (2, 4, 8, 16):
        if expected_power(space, factor * power.trials, power.goal, power.noise).chance >= _ENOUGH:
            more = f"`tune.trials: {factor * power.trials}` would do"
            break
    else:
        more = "more trials alone will not do"
    fewer = ", or search fewer hyperparameters" if len(space) > 1 else ""
    return f"{more}{fewer}, or longer evaluation (`training.evaluation_batches`), which lowers the noise"
