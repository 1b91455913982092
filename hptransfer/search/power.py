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
from dataclasses import dataclass
from typing import Literal

from scipy.special import gammainc

from hptransfer.search.space import Space

NoiseSource = Literal["assumed", "measured"]

#: of one run, as a fraction of the loss, where nothing was measured: typical of small proxies (docs/benchmarks.md)
ASSUMED_NOISE = 0.003
#: loss lost one octave from the optimum, as a fraction: median of published learning-rate sweeps
TYPICAL_CURVATURE = 0.003
#: information that searches had about the optimum, as a share of the formula's (docs/benchmarks.md)
EFFICIENCY = 0.2
#: a bowl is no parabola: to a smooth fit its shape is so much further scatter, as a fraction of the loss (same pilots)
MISFIT = 0.004
#: what a recommendation should lose at most, as a fraction of the loss
GOAL = 0.0025
#: octaves to each side of the optimum within which runs see the bowl
_REACH = 2.0
#: below this probability of reaching the goal a budget is called hopeless
_HOPELESS = 0.5
#: and this is enough
_ENOUGH = 0.8


@dataclass(frozen=True, slots=True)
class Power:
    """What a search can be expected to find.

    Attributes:
        trials: of the search.
        dimensions: searched hyperparameters.
        noise: standard deviation of one run, as a fraction of the loss.
        noise_from: "assumed" before anything is measured.
        octaves: standard deviation of the recommended log2 value to expect; inf when the trials cannot fix a bowl.
        chance: probability that the recommendation loses at most `GOAL` of the loss.
    """

    trials: int
    dimensions: int
    noise: float
    noise_from: NoiseSource
    octaves: float
    chance: float

    @property
    def hopeless(self) -> bool:
        """Whether the budget will more likely than not miss the goal."""
        return self.chance < _HOPELESS

    @property
    def sentence(self) -> str:
        """The statement for people."""
        runs = f"{self.trials} trials over {self.dimensions} hyperparameter{'s' if self.dimensions > 1 else ''}"
        noise = f"noise of {self.noise:.2g} of the loss ({self.noise_from})"
        if not math.isfinite(self.octaves):
            return f"{runs} cannot fix a bowl: {_parameters(self.dimensions)} numbers describe one"
        return (
            f"{runs}, {noise}: the recommended learning rate will be known to about +-{self.octaves:.2g} octaves, and "
            f"with probability {self.chance:.0%} it costs at most {GOAL:.2%} of the loss"
        )


def expected_power(
    space: Space, trials: int, noise: float = ASSUMED_NOISE, noise_from: NoiseSource = "assumed"
) -> Power:
    """The power of a search that is yet to run.

    Args:
        space: what is searched.
        trials: of the whole search.
        noise: standard deviation of one run, as a fraction of the loss.
        noise_from: where it comes from.
    """
    dimensions = len(space)
    start = min(trials, 8 if dimensions == 1 else dimensions + 1)
    inside = math.prod(min(1.0, 2 * _REACH / (axis.ends[1] - axis.ends[0])) for axis in space)
    useful = trials - start + start * inside - (_parameters(dimensions) - dimensions - 1) / 2
    if trials < _parameters(dimensions) or useful <= 1:
        return Power(trials, dimensions, noise, noise_from, math.inf, 0.0)
    information = EFFICIENCY * TYPICAL_CURVATURE * _REACH**2 / 3 * useful
    scatter = math.hypot(noise, MISFIT)
    octaves = scatter / (2 * math.sqrt(TYPICAL_CURVATURE * information))
    chance = float(gammainc(dimensions / 2, 2 * GOAL * information / scatter**2))  # chi squared
    return Power(trials, dimensions, noise, noise_from, octaves, chance)


def advice(space: Space, power: Power) -> str:
    """What to do about a hopeless budget."""
    for factor in (2, 4, 8, 16):
        if expected_power(space, factor * power.trials, power.noise).chance >= _ENOUGH:
            more = f"`tune.trials: {factor * power.trials}` would do"
            break
    else:
        more = "more trials alone will not do"
    fewer = ", or search fewer hyperparameters" if len(space) > 1 else ""
    return f"{more}{fewer}, or longer evaluation (`training.evaluation_batches`), which lowers the noise"


def _parameters(dimensions: int) -> int:
    """Coefficients of a full quadratic."""
    return (dimensions + 1) * (dimensions + 2) // 2
