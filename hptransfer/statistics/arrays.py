"""The array type of all numbers here, and the root of a covariance that random numbers are turned with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: of floats, in any shape
Array = npt.NDArray[np.float64]


def root_of(covariance: Array) -> Array:
    """(..., n, n) the symmetric square root of covariances that may be all but singular.

    Of all roots this one alone moves no further than the covariance does. A factor of eigenvectors does: their signs,
    and in directions that vary alike their order, are the linear algebra library's choice, which changes with the
    machine and the number of its threads, and with it which of the same fixed random numbers are drawn.

    Args:
        covariance: (..., n, n), symmetric to rounding.
    """
    values, vectors = np.linalg.eigh((covariance + np.swapaxes(covariance, -1, -2)) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2))
