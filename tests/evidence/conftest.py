"""What tests of kept evidence share."""

from __future__ import annotations

import json

import pytest

from tests.support.kept_evidence import KEPT


@pytest.fixture
def _version_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that is installed is the one that wrote the files, whichever it is."""
    text = (KEPT / "kept" / "mup-adamw" / "transfer.json").read_text()
    version = json.loads(text)["provenance"]["hptransfer"]
    monkeypatch.setattr("hptransfer.evidence.recomputed.tool_version", lambda: version)
