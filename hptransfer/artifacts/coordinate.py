"""What `transfer.json` and `target.yaml` say of the coordinate check, beside the ladder's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from hptransfer.artifacts.base import Record
from hptransfer.statistics.slope import RowVerdict
from hptransfer.verdict import Verdict


class CoordinateRecord(Record):
    """The coordinate check over all axes along which it was made."""

    verdict: Literal["HOLDS", "FAILS", "INCONCLUSIVE"]
    """any axis that FAILS decides, then any that is INCONCLUSIVE"""
    sentence: str
    """the sentences of the axes that decided, each with its axis"""

    @property
    def fails(self) -> bool:
        """Whether the parameterization does not do what its rules say."""
        return self.verdict == RowVerdict.FAILS

    @property
    def clause(self) -> str:
        """The outcome as a clause."""
        return f"the coordinate check {'FAILS' if self.fails else 'is ' + self.verdict} {self.sentence}"

    @classmethod
    def of(cls, document: object) -> Self | None:
        """The record of the diagnostic's document; None where the check was not made.

        Args:
            document: what `diagnostics.coordinate` of `transfer.json` holds, a report for each axis.
        """
        reports = [each for each in document if isinstance(each, Mapping)] if isinstance(document, list | tuple) else []
        axes = [(str(each["axis"]), RowVerdict(each["verdict"]), str(each["sentence"])) for each in reports]
        if not axes:
            return None
        overall = combine(verdict for _, verdict, _ in axes)
        said = "; ".join(
            f"along {axis}: {_without(text, verdict)}" for axis, verdict, text in axes if verdict is overall
        )
        return cls(verdict=overall.value, sentence=said.rstrip("."))


def combine(verdicts: Iterable[RowVerdict]) -> RowVerdict:
    """One outcome over axes: any FAILS decides, then any INCONCLUSIVE; nothing judged is INCONCLUSIVE.

    Args:
        verdicts: of the axes that were judged.
    """
    seen = set(verdicts)
    if RowVerdict.FAILS in seen:
        return RowVerdict.FAILS
    return RowVerdict.HOLDS if seen == {RowVerdict.HOLDS} else RowVerdict.INCONCLUSIVE


def headline(verdict: Verdict, sentence: str, coordinate: CoordinateRecord | None) -> str:
    """The verdict's sentence with what the coordinate check takes from it.

    Args:
        verdict: what the ladder says.
        sentence: what the ladder says, in words.
        coordinate: None where the check was not made.
    """
    if coordinate is None or not coordinate.fails:
        return sentence
    return f"{sentence} {objection(verdict, coordinate)}"


def objection(verdict: Verdict, coordinate: CoordinateRecord) -> str:
    """What a failing check takes from a ladder's verdict, one sentence.

    Args:
        verdict: what the ladder says.
        coordinate: of a check that FAILS.
    """
    fails = f"{coordinate.clause[0].upper()}{coordinate.clause[1:]}."
    if verdict is Verdict.TRANSFERS:
        return f"But the parameterization is broken, so nothing is claimed beyond the checked sizes. {fails}"
    return fails


def with_coordinate(data: dict[str, Any]) -> dict[str, Any]:
    """A transfer file's plain data with the outcome of its coordinate check, which its format's first files lacked.

    Args:
        data: of a file with this format's number.
    """
    found = data.get("diagnostics")
    if "coordinate" in data or not isinstance(found, Mapping):
        return data
    try:
        record = CoordinateRecord.of(found.get("coordinate"))
    except (KeyError, ValueError):  # of another version of the diagnostic, which a strict reader takes as it is
        return data
    told: dict[str, Any] = {"coordinate": None if record is None else record.model_dump(mode="json")}
    if (
        isinstance(data.get("sentence"), str) and data.get("verdict") in Verdict.__members__
    ):  # which left the failure out
        told["sentence"] = headline(Verdict[data["verdict"]], data["sentence"], record)
    return {**data, **told}


def _without(sentence: str, verdict: RowVerdict) -> str:
    """A report's sentence begins with its verdict."""
    return sentence.removeprefix(f"{verdict.value}: ")
