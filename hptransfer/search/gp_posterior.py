"""What few runs leave possible: surrogates whose parameters are drawn, not fitted.

A handful of runs fixes neither the noise nor the lengths over which losses vary, and one fitted set of them is too sure
of where the minimum lies. Nor does it fix whether a bowl is lopsided, and a symmetric model of a bowl that is steeper
on one side puts the minimum too far to the other. So every axis may be bent (Snoek et al., "Input Warping for Bayesian
Optimization of Non-Stationary Functions", 2014, with one parameter).
"""

from __future__ import annotations

import math

import numpy as np

from hptransfer.search.surrogate import Array, Data, Surrogate

#: spread of the bends
_BEND = 1.5
#: steps of the chain before the first draw, and between two
_BURN_IN, _APART = 20, 4


def plausible_surrogates(
    x: Array, losses: Array, bends: Array, count: int, rng: np.random.Generator
) -> list[Surrogate]:
    """Surrogates drawn from the posterior of their parameters, by elliptical slice sampling.

    Source: Murray, Adams and MacKay, "Elliptical slice sampling", 2010, figure 2.

    Args:
        x: (n, d) inputs in the unit cube, n at least 2.
        losses: (n,) nats; infinite where diverged, some finite.
        bends: (d,) expected bend of each axis, see `Surrogate`.
        count: draws wanted.
        rng: of the draws.
    """
    data = Data(x, losses)
    own = len(data.priors)
    mean = np.concatenate([data.priors[:, 0], bends])
    spread = np.concatenate([data.priors[:, 1], np.full(len(bends), _BEND)])
    state = np.concatenate([data.fit(), bends])
    density = data.likelihood(state[:own], state[own:])
    found = []
    for step in range(_BURN_IN + count * _APART):
        threshold = density + math.log(1.0 - rng.random())
        other = rng.normal(0.0, spread)
        angle = rng.uniform(0.0, 2 * math.pi)
        low, high = angle - 2 * math.pi, angle
        while True:
            moved = mean + (state - mean) * math.cos(angle) + other * math.sin(angle)
            density = data.likelihood(moved[:own], moved[own:])
            # at angle 0 the chain stays where it is, so the bracket ends there at the latest
            if density >= threshold or high - low < 1e-9:
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = rng.uniform(low, high)
        state = moved
        if step >= _BURN_IN and (step - _BURN_IN) % _APART == 0:
            found.append(data.surrogate(state[:own], state[own:]))
    return found
