"""Where runs diverge: the probability that a run at a point trains, from those that did and those that did not.

Least-squares classification with a Gaussian process (Rasmussen and Williams, 2006, section 6.5): labels of +1 and -1
are regressed on, and the posterior's share above zero is the probability.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import norm

from hptransfer.search.surrogate import Array, matern

#: of the ranges: how far one run's fate says something about its neighbours'
_LENGTH = 0.35
#: before any run, training is likelier than not
_PRIOR = 0.3
_NOISE, _SOFT = 0.02, 0.05


def stable_share(x: Array, trained: npt.NDArray[np.bool_], at: Array) -> Array:
    """Probability in [0, 1] that runs at (m, d) points train.

    Args:
        x: (n, d) where runs ended, in the unit cube.
        trained: (n,) whether each did so without diverging.
        at: (m, d) points.
    """
    if trained.all():
        return np.ones(len(at))
    lengths = np.full(x.shape[1], _LENGTH)
    labels = np.where(trained, 1.0, -1.0) - _PRIOR
    factor = cho_factor(matern(x, x, lengths) + _NOISE * np.eye(len(x)), lower=True)
    cross = matern(at, x, lengths)
    mean = _PRIOR + cross @ cho_solve(factor, labels)
    variance = 1.0 - (cross * cho_solve(factor, cross.T).T).sum(1)
    return np.asarray(norm.cdf(mean / np.sqrt(np.maximum(variance, 0.0) + _SOFT)))
