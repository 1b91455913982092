"""The headline of a comparison: what differs is in it, wherever it differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptransfer.handover.trained import Difference
from hptransfer.report.exported import describe_verification
from hptransfer.scaling.verify_export import ExportVerification

DECAY = Difference(("a", "b"), "weight_decay", 0.1, 0.0)
SCHEDULE = "at step 0 of 100 the rates are 1 of their peaks, planned 0.1"


@pytest.mark.parametrize(
    ("differences", "schedule", "said"),
    [
        ((), None, "AS PLANNED: export (torch) against target.yaml: 75 parameters, no difference"),
        ((), SCHEDULE, "DIFFERS: export (torch) against target.yaml: 75 parameters, the schedule differs"),
        ((DECAY,), None, "DIFFERS: export (torch) against target.yaml: 75 parameters, 2 values differ"),
        (
            (DECAY,), SCHEDULE,
            "DIFFERS: export (torch) against target.yaml: 75 parameters, 2 values differ and the schedule differs",
        ),
    ],
)  # fmt: skip
def test_the_headline_says_what_differs(differences: tuple[Difference, ...], schedule: str | None, said: str) -> None:
    """A schedule that differs is a difference."""
    found = ExportVerification(
        "torch", Path("export"), Path("target.yaml"), (), 75, differences, "torch", (), (), (), schedule
    )

    assert describe_verification(found).split("\n")[0] == said
