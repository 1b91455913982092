"""What a run reported, put in order: a learning curve, the objective's values, and the one it is judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hptransfer.errors import UsageError
from hptransfer.recipe.result_sections import ResultsSection
from hptransfer.recipe.schema import Objective
from hptransfer.trainers._stream import DivergedError, Stream
from hptransfer.trainers.results.base import Report
from hptransfer.trials.trial import OnLoss


class MeasuredRun:
    """Takes the reports of one run.

    Args:
        results: how the final value is made of the objective's values.
        objective: its name and direction.
        on_loss: told of every point of the curve, and says whether the run ends there.

    Attributes:
        stream: keeps the learning curve, and tells whoever listens.
        flops: the last floating point operations that were reported; 0 before.
        reports: how many there were.
    """

    def __init__(self, results: ResultsSection, objective: Objective, on_loss: OnLoss) -> None:
        self._results, self._objective = results, objective
        self._apart = getattr(results, "curve", None) is not None
        # a training loss is minimized, whatever becomes of the objective
        self.stream = Stream(on_loss, 1 if self._apart else objective.sign)
        self.flops = 0.0
        self.reports = 0
        self._values: list[tuple[int, float]] = []
        self._last = {"value": 0, "curve": 0}

    def take(self, reports: Iterable[Report]) -> None:
        """Takes what was reported since the last time.

        Args:
            reports: in the order in which they were made.

        Raises:
            DivergedError: a value is not finite.
            UsageError: steps do not increase.
        """
        for report in reports:
            self.reports += 1
            if report.anew:
                self._forget()
            if report.flops is not None and math.isfinite(report.flops):
                self.flops = max(report.flops, 0.0)
            if report.curve is not None:
                self._point(self._step("curve", report.step), report.curve)
            if report.value is not None:
                step = self._step("value", report.step)
                if not self._apart:
                    self._point(step, report.value)
                if not math.isfinite(report.value):
                    raise DivergedError(f"{report.value} at step {step}")
                while self._values and self._values[-1][0] >= step:
                    self._values.pop()  # the same step again replaces its value
                self._values.append((step, report.value))

    def _forget(self) -> None:
        """The results were written anew: the final value and the curve are those of what is there now."""
        self._values.clear()
        self._last = dict.fromkeys(self._last, 0)
        self.flops = 0.0
        self.stream.forget()

    def _point(self, step: int, value: float) -> None:
        if step >= 1 or not math.isfinite(value):  # what is measured before the first step is on no curve
            self.stream.report(max(step, 1), value)

    def _step(self, what: str, step: int | None) -> int:
        last = self._last[what]
        found = last + 1 if step is None else step
        if found < last:
            raise UsageError(
                "steps of results must not go back",
                received=f"step {found} after step {last}",
                hint="begin each run with new results: write to '{results}' or below '{trial_dir}'",
            )
        self._last[what] = found
        return found

    @property
    def final(self) -> float | None:
        """The value that the run is judged by, in the objective's own direction; None where none was reported."""
        values = [value for _, value in self._values]
        if not values:
            return None
        how = self._results.final
        if how == "best":
            return self._objective.sign * min(self._objective.sign * value for value in values)
        count = 1 if how == "last" else int(how.rpartition("-")[2])
        if count > len(values):
            received = f"{len(values)} values, `final: {how}`"
            raise UsageError("a run must report as many values as its final one is made of", received=received)
        return math.fsum(values[-count:]) / count
