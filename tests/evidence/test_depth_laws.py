"""Oracle O6: one step of gradient descent on linear networks, whose best rate goes as a known power of depth.

Residual branches L^-a W h: the best rate goes as L^-(1-2a) (1 + L^-2a)^-(L-1), so as 1/L for a plain network, L^0 for
a = 1/2 and L for a = 1 (derived from the vanishing of higher orders of the rate; reference O5, O6).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from hptransfer.evidence.transfer import judge_axis
from hptransfer.evidence.trial import Trial, TrialState
from hptransfer.sizes import Size

Array = npt.NDArray[np.float64]
WIDTH, EXAMPLES, DEPTHS = 256, 4, (4, 8, 16)


def losses_after_one_step(depth: int, alpha: float | None, seed: int) -> Callable[[float], float]:
    """Loss after one step of a rate, for one draw of weights; alpha None is a plain network."""
    rng = np.random.default_rng([seed, depth])
    branch = 1.0 if alpha is None else depth**-alpha
    skip = 0.0 if alpha is None else 1.0
    h_DxB = np.linalg.qr(rng.standard_normal((WIDTH, EXAMPLES)))[0] * WIDTH**0.5
    y_B = np.ones(EXAMPLES)
    v_D = rng.standard_normal(WIDTH) / WIDTH
    weights = [rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5 for _ in range(depth)]
    before = [h_DxB]
    for weight in weights:
        before.append(skip * before[-1] + branch * weight @ before[-1])
    back_DxB = np.outer(v_D, v_D @ before[-1] - y_B) / EXAMPLES
    gradients = []  # as pairs, since each is of rank EXAMPLES
    for weight, seen in zip(reversed(weights), reversed(before[:-1]), strict=True):
        gradients.append((branch * back_DxB, seen))
        back_DxB = skip * back_DxB + branch * weight.T @ back_DxB
    gradients.reverse()

    def loss(rate: float) -> float:
        h = h_DxB
        for weight, (left, right) in zip(weights, gradients, strict=True):
            h = skip * h + branch * (weight @ h - rate * WIDTH * left @ (right.T @ h))
        return float(0.5 * ((v_D @ h - y_B) ** 2).mean())

    return loss


@pytest.mark.parametrize(("alpha", "slope"), [(None, -1.0), (0.5, 0.0), (1.0, 1.0)])
def test_the_best_rate_follows_the_law_of_depth(alpha: float | None, slope: float) -> None:
    """The drift per doubling of depth of a plain, an L^-1/2 and an L^-1 network is -1, about 0 and +1."""
    start = {None: -8.0, 0.5: -7.0, 1.0: -4.0}[alpha]  # the grid's centre at depth 4
    trials = []
    for depth in DEPTHS:
        law = start + slope * np.log2(depth / 4)
        for seed in range(6):
            loss = losses_after_one_step(depth, alpha, seed)
            for x in np.arange(law - 2.5, law + 2.0, 0.5):
                size, rates = Size(WIDTH, depth, 4, 4), {"learning_rate": float(2.0**x)}
                trials.append(Trial(f"{depth}:{x}:{seed}", size, rates, seed, TrialState.COMPLETE, loss(2.0**x)))

    report = judge_axis(trials, axis="depth", hyperparameter="learning_rate", transferred=2.0**start, reference=4)

    # width 256: one seed's best rate scatters by a quarter at depth 8 (reference O5), and (1 + L^-2)^-(L-1) adds 0.09
    assert report.drift.estimate == pytest.approx(slope, abs=0.25)
    assert report.drift.contains(0.0) is (slope == 0.0)
