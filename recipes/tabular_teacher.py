"""A network that learns a table of 16 columns, of which a fixed teacher knows the target: what `tabular.yaml` names.

The teacher, exactly: rows x are drawn from N(0, I) in 16 dimensions; 32 directions a_k from N(0, I / 16) and weights
v_k from N(0, 1 / 32), once, by NumPy's `default_rng(2026)`; y = sum_k v_k tanh(2 a_k . x) + 0.1 n with n from N(0, 1).
So no model gets below a mean squared error of 0.01.

Plain PyTorch and NumPy; nothing here knows of hptransfer. Tensor names carry their shape: B batch (rows), I columns, D
width.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS, DIRECTIONS, NOISE = 16, 32, 0.1
#: seed of evaluation rows, which no trial has
EVALUATION = 2**40


class Regressor(nn.Module):
    """Layer-normed hidden layers between the columns and one number.

    Args:
        width: D, units of every hidden layer.
        depth: number of hidden layers, the first included, at least 1.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.input = nn.Linear(COLUMNS, width)
        self.input_norm = nn.LayerNorm(width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.hidden_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth - 1))
        self.readout = nn.Linear(width, 1)

    def forward(self, rows_BxI: Tensor) -> Tensor:
        """B x 1 predictions."""
        h_BxD = functional.relu(self.input_norm(self.input(rows_BxI)))
        for linear, norm in zip(self.hidden, self.hidden_norms, strict=True):
            h_BxD = functional.relu(norm(linear(h_BxD)))
        found: Tensor = self.readout(h_BxD)
        return found


def training_batch(seed: int, step: int, batch_size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fresh rows with their targets: a pure function of its arguments."""
    directions, weights = _teacher()
    random = np.random.default_rng((seed, step))
    rows_BxI = random.normal(size=(batch_size, COLUMNS))
    target_B = np.tanh(2 * rows_BxI @ directions) @ weights + NOISE * random.normal(size=batch_size)
    return rows_BxI, target_B[:, None]


def evaluation_batch(index: int, batch_size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows that no trial sees, the same for all."""
    return training_batch(EVALUATION, index, batch_size)


@cache
def _teacher() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions, columns x directions, and their weights."""
    random = np.random.default_rng(2026)
    directions = random.normal(size=(COLUMNS, DIRECTIONS)) / COLUMNS**0.5
    return directions, random.normal(size=DIRECTIONS) / DIRECTIONS**0.5
