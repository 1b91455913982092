"""A diagnostic that is no part of the package: the sum of the widths, as workers see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hptransfer.diagnostics.base import Bench, Diagnostic, Facts, Line, Request

#: what each width is multiplied with, so that options are seen to reach the worker
FACTOR = 3


@dataclass(frozen=True, slots=True)
class WidthSum:
    """The report.

    Attributes:
        sizes: the widths that were measured, increasing.
        sum: of the widths, times the factor.
    """

    sizes: tuple[int, ...]
    sum: int


class AddWidths(Diagnostic[WidthSum]):
    """Asks every width for its own number."""

    rule = "a worker must know its width"

    def requests(self, facts: Facts) -> list[Request]:
        """Every width once."""
        return [Request(facts.spec(size, 0), {"factor": FACTOR}) for size in facts.ladders["width"]]

    def measure(self, bench: Bench) -> dict[str, Any]:
        """The width, times the factor."""
        return {"number": bench.options["factor"] * bench.spec.size.width}

    def judge(self, facts: Facts, measured: Sequence[Mapping[str, Any]]) -> WidthSum:
        """The sum."""
        widths = tuple(run["size"]["width"] for run in measured)
        return WidthSum(widths, sum(run["number"] for run in measured))

    def show(self, report: WidthSum) -> Iterator[Line]:
        """One sentence."""
        yield Line(f"widths add up to {report.sum} ±0")
        yield Line("")


DIAGNOSTIC = AddWidths()
