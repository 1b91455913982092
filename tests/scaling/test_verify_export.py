"""Rates that a scheduler treats differently by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hptransfer.artifacts.target import TargetFile
from hptransfer.handover.trained import Reading
from hptransfer.roundtrip.base import READERS
from tests.support.exported import llama_target, round_trip


@pytest.mark.parametrize(("minimum", "kept"), [(0.0, True), (0.001, False)])
def test_an_absolute_minimum_is_named(
    minimum: float, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One factor for all rates keeps their ratios; a floor that is a rate does not, at the step where it tells most."""
    reader: Any = READERS.look_up("torch")
    own = type(reader).read

    def read(self: Any, folder: Path, target: TargetFile) -> Reading:
        found: Reading = own(self, folder, target)
        peaks = {each.name: each.learning_rate for each in found.parameters}

        def rates(step: int) -> Mapping[str, float]:
            """Halved at every step, but not below the minimum."""
            return {name: max(peak / 2**step, minimum) for name, peak in peaks.items()}

        return replace(found, schedule=None, rates=rates)

    monkeypatch.setattr(type(reader), "read", read)
    found = round_trip(tmp_path, "torch", llama_target())

    assert found.holds is kept
    # three steps; at the last the largest rate, 0.01, is at a quarter, and the writers', 0.01 / 6, at 0.001
    assert (found.schedule or "").startswith("" if kept else "the rates' ratios are not kept: at step 2 of 3 ")
    assert kept or ("at 0.6 of its peak" in str(found.schedule) and "at 0.25; that is" in str(found.schedule))
