"""The array type of all numbers here."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: of floats, in any shape
Array = npt.NDArray[np.float64]
