"""How a positive quantity that was measured at several sizes goes on to others.

What a wrong value loses and what growing gains both change with the size, and with them their ratio, which a cost in
doublings is made of. On the ladders of the recipes that ship the first hardly changes (by -9% to +17% per doubling)
and the second falls, so that the ratio grows by up to 116% per doubling, nearly along a line in log2 size
(`python -m benchmarks.every_ladder --ratios`). So its logarithm is taken for a line that wanders: Brownian motion with
a drift that the sizes show.
"""

from __future__ import annotations

import numpy as np

from hptransfer.statistics import wiener_process
from hptransfer.statistics.arrays import Array, root_of

#: standard deviation of the slope before anything is measured, log2 per doubling; measured slopes are 0 to 1.1
_SLOPE = 1.0
#: log2 by which the quantity wanders off its line per square root of a doubling: the ladders that ship scatter about
#: lines by 0.14 (root mean square), which is what this much leaves over three to four doublings
_WANDER = 0.25
#: the level is free
_LEVEL = 30.0
#: variance added to what is measured, that keeps sizes regular
_RIDGE = 1e-6


def changes(at: Array, logs: Array, where: float, *, since: int, stream: int) -> Array:
    """(DRAWS,) log2 of the quantity at another size over that at one of the sizes.

    Args:
        at: (K,) log2 of the sizes, increasing, at least one.
        logs: (K, DRAWS) draws of the quantity's log2 that belong together.
        where: log2 of the other size; within the ladder as well.
        since: index of the size that it is compared with.
        stream: number of the random stream of what is not known.
    """
    places = np.append(at, where) - min(float(at[0]), where)
    early = np.minimum(places[:, None], places[None])
    prior = _LEVEL**2 + _SLOPE**2 * np.outer(places, places) + _WANDER**2 * early
    known, measured = len(at), np.atleast_2d(np.cov(logs)) + _RIDGE * np.eye(len(at))
    gain = np.linalg.solve(prior[:known, :known] + measured, prior[:known]).T
    # the draws bring the errors of what was measured along; what is left is what the line and its wandering add
    left = prior - gain @ prior[:known] - gain @ measured @ gain.T
    middle = np.median(logs, axis=1, keepdims=True)
    drawn = middle.mean() + gain @ (logs - middle.mean()) + root_of(left) @ wiener_process.normal(stream, known + 1)
    return np.asarray(drawn[known] - drawn[since])
