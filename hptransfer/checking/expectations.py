"""What a recipe expects against what was found: the one place that decides, for commands and for `validate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hptransfer.artifacts.scope import IntervalRecord
from hptransfer.artifacts.transfer import AxisRecord, TransferFile
from hptransfer.recipe.expect_section import Expect
from hptransfer.statistics.interval import Interval
from hptransfer.statistics.slope import RowVerdict
from hptransfer.transfer.cost_text import amount
from hptransfer.verdict import Verdict

#: exit statuses in the order of what decides, the one that decides first: it does not hold, it is open, it holds
HOLDS_NOT, OPEN, HOLDS = 1, Verdict.INCONCLUSIVE.exit_status, 0


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that the recipe expects.

    Attributes:
        key: keys of the recipe that lead to it, joined by dots.
        expected: what should be, in words.
        found: what there is, in words.
        met: whether it was met; None where what was found leaves it open.
    """

    key: str
    expected: str
    found: str
    met: bool | None

    @property
    def sentence(self) -> str:
        """What was expected, what was found, and whether that is met."""
        outcome = {True: "met", False: "NOT met", None: "undecided"}[self.met]
        return f"{self.key}: expected {self.expected}, found {self.found}: {outcome}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a recipe's expectations are held against.

    Attributes:
        tuned: tuned hyperparameter -> its value, own unit.
        checked: the content of `transfer.json`.
        prediction: of the loss at the recipe's target; None where none was made.
    """

    tuned: Mapping[str, float]
    checked: TransferFile
    prediction: Interval | None = None


def judge_expectations(expect: Expect | None, found: Found) -> tuple[Expectation, ...]:
    """One entry for each thing that is expected; none where nothing is.

    Args:
        expect: the recipe's section; None where it has none.
        found: what was tuned and checked.
    """
    return () if expect is None else tuple(_judged(expect, found))


def judge_coordinate(expect: Expect | None, found: RowVerdict | None) -> Expectation | None:
    """What is expected of the coordinate check; None where neither the recipe nor a failure says anything.

    Args:
        expect: the recipe's section; None where it has none.
        found: over all axes; None where the check was not made.
    """
    asked = None if expect is None else expect.coordinate
    said = "no coordinate check" if found is None else found.value
    if asked is not None:
        open_ = found is None or (found is RowVerdict.INCONCLUSIVE and asked != found)
        return Expectation("expect.coordinate", asked, said, None if open_ else asked == found)
    if found is not RowVerdict.FAILS:
        return None
    return Expectation("expect.coordinate", "no failure (it is not given)", said, met=False)


def exit_status(expectations: Sequence[Expectation], own: int, *, names_verdict: bool) -> int:
    """What a command ends with: 1 where something is not met, 3 where something is open, else 0.

    Args:
        expectations: of the recipe; none where it expects nothing.
        own: the status without any.
        names_verdict: whether a verdict is expected, which then takes the place of the verdict's own status.
    """
    if not expectations:
        return own
    statuses = {_status(each) for each in expectations} | (set() if names_verdict else {own})
    return next(status for status in (HOLDS_NOT, OPEN, HOLDS) if status in statuses)


def _status(each: Expectation) -> int:
    return OPEN if each.met is None else HOLDS if each.met else HOLDS_NOT


def _judged(expect: Expect, found: Found) -> Iterator[Expectation]:
    checked = found.checked
    if expect.verdict is not None:
        yield _of_verdict(expect.verdict, checked.verdict)
    record = checked.coordinate
    coordinate = judge_coordinate(expect, None if record is None else RowVerdict(record.verdict))
    # a negative control that drifts as expected fails this check by its nature
    if coordinate is not None and (expect.coordinate or expect.verdict in (None, Verdict.TRANSFERS)):
        yield coordinate
    for name, asked in expect.optimum.items():
        value = found.tuned.get(name)
        said = "no tuned value" if value is None else f"{value:.4g}"
        met = None if value is None else asked.low <= value <= asked.high
        yield Expectation(f"expect.optimum.{name}", f"{asked.low:.4g} to {asked.high:.4g}", said, met)
    if expect.drift is not None:
        yield _of_drift(expect.drift, [axis for axis in checked.axes if len(axis.sizes) > 1])
    if expect.cost is not None:
        yield _of_cost(expect.cost, checked.axes)
    if expect.prediction is not None:
        asked_loss, loss = expect.prediction, found.prediction
        low, high, value = asked_loss.low, asked_loss.high, asked_loss.contains
        said = "no prediction" if loss is None else f"{loss.low:.4f} to {loss.high:.4f}"
        if value is not None:
            met = None if loss is None else loss.low <= value <= loss.high
            yield Expectation("expect.prediction", f"an interval that contains {value:g}", said, met)
        elif low is not None and high is not None:
            met = None if loss is None else _inside(loss.low, loss.high, low, high)
            yield Expectation("expect.prediction", f"{low:g} to {high:g}", said, met)


def _of_verdict(expected: str, found: Verdict) -> Expectation:
    open_ = found is Verdict.INCONCLUSIVE and expected != found
    return Expectation("expect.verdict", expected, found.value, None if open_ else expected == found)


def _of_drift(most: float, axes: Sequence[AxisRecord]) -> Expectation:
    outcomes = [_inside(*_ends(axis.drift), -most, most) for axis in axes]
    said = ", ".join(
        f"{_signed(axis.drift.low)} to {_signed(axis.drift.high)} of {axis.hyperparameter} along {axis.axis}"
        for axis in axes
    )
    expected = f"at most {most:g} octaves per doubling either way"
    return Expectation("expect.drift", expected, said or "no ladder", _all(outcomes))


def _of_cost(most: float, axes: Sequence[AxisRecord]) -> Expectation:
    outcomes, said = [], []
    for axis in axes:
        low, high = _ends(axis.cost)
        outcomes.append(True if high <= most else False if low > most else None)
        said.append(
            f"{amount(low)} to {amount(high)} {axis.unit.name} of {axis.hyperparameter} at {axis.axis} {axis.dearest:g}"
        )
    return Expectation("expect.cost", f"at most {most:g}", ", ".join(said), _all(outcomes))


def _inside(low: float, high: float, least: float, most: float) -> bool | None:
    """Whether an interval lies inside bounds; None where it crosses one."""
    if least <= low and high <= most:
        return True
    return False if high < least or low > most else None


def _all(outcomes: Sequence[bool | None]) -> bool | None:
    if False in outcomes:
        return False
    return None if None in outcomes or not outcomes else True


def _ends(record: IntervalRecord) -> tuple[float, float]:
    low = -math.inf if record.low is None else record.low
    return low, math.inf if record.high is None else record.high


def _signed(value: float | None) -> str:
    return "open" if value is None else f"{value:+.3f}"
