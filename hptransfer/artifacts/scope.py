"""What a check says of a target, as `transfer.json` and `target.yaml` keep it: per axis, and over all of them."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from hptransfer.artifacts.base import Record
from hptransfer.artifacts.json_data import to_document
from hptransfer.transfer.coverage import TargetReport


class IntervalRecord(Record):
    """An estimate with its 95% interval."""

    estimate: float | None
    """null: only a bound is known"""
    low: float | None
    """null: open"""
    high: float | None
    """null: open"""
    bounded: bool
    """whether both ends are known"""


class CoverageRecord(Record):
    """One axis of the target, or one hyperparameter that was tuned and never checked."""

    axis: str
    """width, depth, batch_size, tokens, tokens_per_parameter, or a hyperparameter"""
    value: float | None
    """the target's; null for a hyperparameter; of tokens per parameter up to a factor"""
    largest: float | None
    """the largest that was checked; null: none was"""
    standing: Literal["unchanged", "covered", "not covered", "accepted"]
    """accepted: not covered, and the recipe's `sizes.target.accept` names it"""
    cost: IntervalRecord | None
    """of the carried value there, in `unit`; null: open"""
    reason: str
    """why it stands so"""


class ScopeRecord(Record):
    """The judgement of a target."""

    covered: bool
    """whether every axis is unchanged or covered"""
    accepted: bool
    """whether something is not covered, and the recipe accepts all of that"""
    settled: bool
    """covered or accepted: `scale` and `check` end with 0 where the verdict allows it, else with 3"""
    axes: tuple[CoverageRecord, ...]
    """what differs from the proxy, and what was tuned and never checked"""
    cost: IntervalRecord | None
    """of the carried value over all axes together, in `unit`; null: an axis leaves it open"""
    unit: str
    """of costs, in the plural"""
    optimum: IntervalRecord
    """the best value expected there, own unit; null where the path of the optima is open"""
    gain: IntervalRecord | None
    """what using it instead would gain, in `unit`; null: open"""
    sentence: str
    hyperparameter: str
    """that optimum and gain are of, the name that octaves are counted of"""
    value: float
    """used there, own unit"""
    turns: bool = False
    """whether the optimum's path turns along an axis of the target"""
    tuned: float | None = None
    """where `value` is the predicted optimum: the tuned value at the target, over which `gain` is; null elsewhere"""
    together: IntervalRecord | None = None
    """cost of all values that are carried along with it, over all axes together; null: it is carried alone, or open"""

    @classmethod
    def of(cls, report: TargetReport) -> Self:
        """The record of a judgement."""
        # through JSON text, because pydantic's strict mode takes a list for a tuple there and nowhere else
        return cls.model_validate_json(json.dumps(to_document(report) | report.standings))


def with_standings(data: dict[str, Any], key: str) -> dict[str, Any]:
    """A file's plain data whose scope has what later versions wrote.

    At first `covered` was true where axes are accepted too, and `accepted` and `settled` were not there.

    Args:
        data: of a whole file.
        key: under which its scope stands, if it has one.
    """
    scope = data.get(key)
    axes = scope.get("axes") if isinstance(scope, dict) and "settled" not in scope else None
    if not isinstance(scope, dict) or not isinstance(axes, list):
        return data
    standings = [each.get("standing") if isinstance(each, dict) else None for each in axes]
    settled = all(standing != "not covered" for standing in standings)
    covered = settled and "accepted" not in standings
    return data | {key: scope | {"covered": covered, "accepted": settled and not covered, "settled": settled}}
