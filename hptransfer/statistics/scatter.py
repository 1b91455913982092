"""What one sweep shows of noise without a second seed: departures from parabolas, and how much it bends."""

from __future__ import annotations

import numpy as np

from hptransfer.statistics.arrays import Array


def departures(x: Array, mean: Array, noise: Array) -> Array:
    """(m - 3,) squared departures of four neighbouring means from a parabola, in units of one run's variance.

    The third divided difference of four values is free of their parabola; with one seed it is all there is to see noise
    by.

    Args:
        x: (m,) log2 values, increasing.
        mean: (m,) mean losses, one per value.
        noise: (m, m) covariance of the means for runs of variance 1.
    """
    if len(x) < 4:
        return np.zeros(0)
    four = np.arange(len(x) - 3)[:, None] + np.arange(4)
    weight = 1 / np.prod(x[four][:, :, None] - x[four][:, None] + np.eye(4), axis=2)
    variance = np.einsum("wi,wij,wj->w", weight, noise[four[:, :, None], four[:, None]], weight)
    return np.asarray((weight * mean[four]).sum(axis=1) ** 2 / variance)


def bend_at_lowest(x: Array, mean: Array) -> float:
    """Bend of a parabola through the lowest mean and its neighbours, one or two on each side, whichever bends less.

    Args:
        x: (m,) log2 values, increasing, three at least.
        mean: (m,) mean losses, one per value.

    Returns:
        Losses per squared octave, at least 0.
    """
    best, found = int(mean.argmin()), []
    for reach in (1, 2):
        near = slice(max(0, min(best - reach, len(x) - 3)), max(3, best + reach + 1))
        u = x[near] - x[best]
        basis = np.stack([np.ones_like(u), u, u * u], axis=1)
        found.append(abs(float(np.linalg.lstsq(basis, mean[near] - mean[best], rcond=None)[0][2])))
    return min(found)
