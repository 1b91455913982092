"""The values that a run of somebody's own reports: passed on as they come, kept as a curve, watched for divergence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hptransfer.errors import UsageError
from hptransfer.trials.trial import CURVE_POINTS, OnLoss, ignore

#: steps above it are no whole numbers of a float any more, and databases cannot hold them
LAST_STEP = 2**53


class DivergedError(Exception):
    """A reported value is not finite; raised through the user's loop, which has nothing left to train."""


class Stream:
    """Reported values of one run.

    Args:
        on_loss: told of every value, and says whether the run ends there.
        sign: -1 where the objective is maximized; values are kept as what is minimized.

    Attributes:
        diverged: whether a value was not finite.
        stopped: whether whoever listens ended the run.
    """

    def __init__(self, on_loss: OnLoss = ignore, sign: int = 1) -> None:
        self._on_loss, self._sign = on_loss, sign
        self._points: list[tuple[int, float]] = []
        self.diverged = self.stopped = False

    def report(self, step: int, value: float) -> None:
        """Takes one value.

        Args:
            step: optimizer steps done, from 1 to `LAST_STEP`, increasing; the same step again replaces its value.
            value: of the objective, in its own direction.

        Raises:
            DivergedError: the value is not finite.
            UsageError: the step lies before the last one.
        """
        if self._points and step < self._points[-1][0]:
            raise UsageError("reported steps must not go back", received=f"step {step} after {self._points[-1][0]}")
        if not math.isfinite(value):
            self.diverged = True
            raise DivergedError(f"{value} at step {step}")
        if self._points and self._points[-1][0] == step:
            self._points.pop()
        self._points.append((step, self._sign * value))
        if self._on_loss(step, self._sign * value):
            self.stopped = True

    def forget(self) -> None:
        """Begins the curve anew; what was passed on stays passed on."""
        self._points.clear()

    @property
    def last(self) -> float | None:
        """The last value, as what is minimized; None before the first."""
        return self._points[-1][1] if self._points else None

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """At most `CURVE_POINTS` points: means over equal numbers of reports, at the step of the last of them."""
        return thinned(self._points)


def thinned(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """A curve with at most `CURVE_POINTS` points.

    Args:
        points: (step, value) in increasing order of steps.
    """
    stride = max(1, -(-len(points) // CURVE_POINTS))
    chunks = [points[start : start + stride] for start in range(0, len(points), stride)]
    return tuple((chunk[-1][0], math.fsum(value for _, value in chunk) / len(chunk)) for chunk in chunks)
