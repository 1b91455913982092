"""The search for cycles is off within, and afterwards as it was."""

from __future__ import annotations

import gc

import pytest

from hptransfer.execution.collector import collector_paused


def _fails() -> None:
    with collector_paused():
        assert not gc.isenabled()
        raise ValueError("within")


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_as_it_was(before: bool) -> None:
    """Also where what runs within fails."""
    was = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with pytest.raises(ValueError, match="within"):
            _fails()
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()
