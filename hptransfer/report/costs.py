"""What a carried value costs along one axis, line by line, and in a title."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hptransfer.statistics.interval import Interval
from hptransfer.transfer.cost_text import amount, cost_parts, describe_bound
from hptransfer.transfer.criteria import bounds_of
from hptransfer.transfer.judge import AxisReport
from hptransfer.transfer.verdict_text import describe_drift


def describe_costs(report: AxisReport) -> Iterator[str]:
    """The cost where it may be largest under every bound, what it is counted in, and the drift; a line each.

    Args:
        report: the judgement along one axis.
    """
    unit, asked = report.unit, report.criteria
    bounds = bounds_of(asked, unit)
    if not unit.known and not any(bound.name == "deviations" for bound in bounds):
        size = next(size for size in report.sizes if size.value == report.dearest)
        number, ends = cost_parts(unit, size)
        yield f"cost at {report.axis} {size.label}: {number}{f' ({ends})' if ends else ''}"
    for bound in bounds:
        size = max(report.sizes, key=lambda size: (bound.of(size).high, bound.of(size).low, size.value))
        number, ends = cost_parts(unit, size, bound)
        beside = "; ".join([*([ends] if ends else []), f"allowed {describe_bound(unit, bound)}"])
        yield f"cost at {report.axis} {size.label}: {number} ({beside})"
    if unit.gain is not None:
        where = f"over {unit.borrowed}, at the proxy" if unit.borrowed else f"at {report.axis} {report.sizes[-1].label}"
        if unit.gain.high < 0:
            lost = Interval(-unit.gain.estimate, -unit.gain.high, -unit.gain.low)
            yield f"a doubling of {unit.of} gains nothing: it adds {_loss(lost)} to the loss {where}"
        else:
            yield f"a doubling of {unit.of} gains {_loss(unit.gain)} of loss {where}"
    deviation = _loss(unit.deviation)
    yield f"between seeds one run differs by {deviation} of loss (standard deviation, each seed's level included)"
    allowed = "" if asked.drift is None else f" (allowed {asked.drift:g})"
    yield f"drift: {describe_drift(report.drift)}{allowed}"


def cost_title(report: AxisReport) -> str:
    """The verdict with the cost where it may be largest, for a figure.

    Args:
        report: the judgement along one axis.
    """
    size = next(size for size in report.sizes if size.value == report.dearest)
    if math.isinf(size.regret.low):
        return f"{report.verdict.value}: diverges at {report.axis} {size.label}"
    end = "open" if math.isinf(report.cost.high) else f"{amount(report.cost.low)} to {amount(report.cost.high)}"
    middle = "" if math.isinf(report.cost.estimate) else f" {amount(report.cost.estimate)}"
    return f"{report.verdict.value}: costs{middle} {report.unit.name} at {report.axis} {size.label} ({end})"


def _loss(found: Interval) -> str:
    if not math.isfinite(found.high):
        return f"{found.low:.2g} or more"
    return f"{found.estimate:.2g} ({found.low:.2g} to {found.high:.2g})"
