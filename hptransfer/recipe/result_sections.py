"""What sections that say where a command leaves its results have in common; each reader defines its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from hptransfer.recipe.sections import BELOW, Section, refused, stays_below
from hptransfer.recipe.text_forms import FINAL

Text = Annotated[str, Field(min_length=1, max_length=1000)]


def _below_the_trial(path: str) -> str:
    """What two runs write to the same file would be read as the results of both."""
    if not stays_below(path):
        raise refused(
            "recipe/results-outside",
            "results must be below the trial's folder, named without `..`",
            "name a file alone, and pass '{results}' to the program",
        )
    return path


#: path below the trial's folder
TrialPath = Annotated[Text, AfterValidator(_below_the_trial), BELOW]


class ResultsSection(Section):
    """Where a command leaves its results; the first key names the reader."""

    final: Annotated[str, Field(pattern=FINAL)] = "last"
    """which of the objective's values is the run's: `last`, `best` (of them all, so better than a single one) or
    `mean-of-last-K`"""

    def __hash__(self) -> int:
        """By content, as equality is."""
        return hash(self.model_dump_json())


class NamedColumns(ResultsSection):
    """What results with named columns, keys or tags have in common."""

    value: Text | None = None
    """of the objective; default: the objective's name"""
    curve: Text | None = None
    """of the training loss, recorded as learning curve; default: the objective's values are the curve"""
    step: Text | None = None
    """of the optimizer steps done; default: values are counted from 1"""
    flops: Text | None = None
    """of the run's floating point operations so far; the last one counts"""
