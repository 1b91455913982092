"""Loss against parameters N and tokens D: L = E + A N^-alpha + B D^-beta, and how little the data say about E.

Reference: Hoffmann et al. 2203.15556, equation 2. On published ladders very different E fit equally well (OLMo ladder:
0.14, 1.5 and 2.0 nats), and predictions differ with them; so the fit keeps every E that the data cannot reject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hptransfer.errors import UsageError
from hptransfer.statistics.interval import Interval

Array = npt.NDArray[np.float64]

_EXPONENTS = np.geomspace(0.03, 1.5, 48)
#: floors as shares of the lowest loss
_FLOORS = np.linspace(0.0, 0.96, 49)
#: squared residuals may exceed the best fit's by this F ratio (95% of F with 1 and 10 or more degrees of freedom)
_F_RATIO = 5.0
_FEWEST_RUNS = 6


@dataclass(frozen=True, slots=True)
class TwoTermLaw:
    """L = E + A N^-alpha + B D^-beta.

    Attributes:
        floor: E, nats.
        parameters: (A, alpha).
        tokens: (B, beta).
        residual: root mean square of the relative residuals.
    """

    floor: float
    parameters: tuple[float, float]
    tokens: tuple[float, float]
    residual: float

    def at(self, parameters: float, tokens: float) -> float:
        """Loss of a run, nats."""
        (a, alpha), (b, beta) = self.parameters, self.tokens
        return float(self.floor + a * parameters**-alpha + b * tokens**-beta)


@dataclass(frozen=True, slots=True)
class TwoTermFit:
    """All laws the data cannot tell apart, one per floor.

    Attributes:
        best: the law with the smallest residuals.
        compatible: one law per floor that fits about as well, increasing in floor.
        backtest: relative error per doubling of N of the same fit on the largest N when it was held out; None with
            fewer than four different N.
        largest: largest N of the fit.
    """

    best: TwoTermLaw
    compatible: tuple[TwoTermLaw, ...]
    backtest: float | None
    largest: float

    @property
    def floor(self) -> Interval:
        """E with the range that fits about as well: sensitivity, not precision."""
        return Interval(self.best.floor, self.compatible[0].floor, self.compatible[-1].floor)

    def predict(self, parameters: float, tokens: float) -> Interval:
        """The loss of a larger run: every compatible law, and the error of the fit when it had to extrapolate."""
        estimate = self.best.at(parameters, tokens)
        others = [law.at(parameters, tokens) for law in self.compatible]
        doublings = max(0.0, math.log2(parameters / self.largest))
        reach = estimate * math.hypot((self.backtest or 0.0) * doublings, 2 * self.best.residual)
        return Interval(estimate, min([*others, estimate - reach]), max([*others, estimate + reach]))


def fit_two_term(parameters: Sequence[float], tokens: Sequence[float], losses: Sequence[float]) -> TwoTermFit:
    """Fit the law for every floor, globally over both exponents, by relative least squares.

    Args:
        parameters: N of each run, positive.
        tokens: D of each run, positive.
        losses: nats, positive; at least six runs, N and D not proportional to each other.

    Raises:
        UsageError: too few runs, or numbers that are not positive and finite.
    """
    n, d, y = (np.asarray(column, dtype=float) for column in (parameters, tokens, losses))
    if not (len(n) == len(d) == len(y) >= _FEWEST_RUNS) or min(len(np.unique(n)), len(np.unique(d))) < 3:
        raise UsageError(
            f"a law of parameters and tokens needs {_FEWEST_RUNS} runs with 3 values of each", received=f"{len(y)} runs"
        )
    if not all(np.isfinite(column).all() and (column > 0).all() for column in (n, d, y)):
        raise UsageError("parameters, tokens and losses must be positive and finite", received="others")
    laws = _profile(n, d, y)
    best = min(laws, key=lambda law: law.residual)
    allowed = best.residual**2 * (1 + _F_RATIO / max(1, len(y) - 5))
    compatible = tuple(law for law in laws if law.residual**2 <= allowed)
    return TwoTermFit(best, compatible, _backtest(n, d, y), float(n.max()))


def _profile(n: Array, d: Array, y: Array) -> list[TwoTermLaw]:
    """For each floor the best law: exponents on a grid, amplitudes at least 0 by least squares."""
    scale_n, scale_d = float(np.exp(np.log(n).mean())), float(np.exp(np.log(d).mean()))
    p = (n / scale_n) ** -_EXPONENTS[:, None] / y  # relative residuals: everything over y
    q = (d / scale_d) ** -_EXPONENTS[:, None] / y
    pp, qq, pq = (p * p).sum(axis=1)[:, None], (q * q).sum(axis=1)[None], p @ q.T
    determinant = pp * qq - pq**2
    laws = []
    for floor in _FLOORS * y.min():
        rest = 1 - floor / y
        tp, tq = (p @ rest)[:, None], (q @ rest)[None]
        with np.errstate(divide="ignore", invalid="ignore"):
            a = (qq * tp - pq * tq) / determinant
            b = (pp * tq - pq * tp) / determinant
        squares = (rest @ rest) - 2 * (a * tp + b * tq) + a * a * pp + 2 * a * b * pq + b * b * qq
        squares = np.where((a > 0) & (b > 0) & (determinant > 1e-13 * pp * qq), squares, np.inf)
        i, j = np.unravel_index(int(squares.argmin()), squares.shape)
        if not math.isfinite(squares[i, j]):
            continue
        alpha, beta = float(_EXPONENTS[i]), float(_EXPONENTS[j])
        laws.append(
            TwoTermLaw(
                floor=float(floor),
                parameters=(float(a[i, j]) * scale_n**alpha, alpha),
                tokens=(float(b[i, j]) * scale_d**beta, beta),
                residual=math.sqrt(max(float(squares[i, j]), 0.0) / len(y)),
            )
        )
    if not laws:
        raise UsageError("loss must fall with parameters and tokens for a law of both", received="it does not")
    return laws


def _backtest(n: Array, d: Array, y: Array) -> float | None:
    """Largest relative error per doubling on the largest N, fitted without it."""
    held = n == n.max()
    if len(np.unique(n)) < 4 or (~held).sum() < _FEWEST_RUNS or len(np.unique(d[~held])) < 3:
        return None
    law = min(_profile(n[~held], d[~held], y[~held]), key=lambda law: law.residual)
    doublings = math.log2(float(n.max()) / float(n[~held].max()))
    runs = zip(n[held].tolist(), d[held].tolist(), y[held].tolist(), strict=True)
    return float(max(abs(law.at(size, seen) / loss - 1) for size, seen, loss in runs) / doublings)
