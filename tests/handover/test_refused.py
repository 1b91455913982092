"""Frameworks that cannot hold a plan are refused by name, with the reason and a way out."""

from __future__ import annotations

import itertools

import pytest

from hptransfer.errors import UsageError
from hptransfer.export.base import EXPORTERS, exporter_named
from hptransfer.handover.refused import REFUSED


@pytest.mark.parametrize("name", [*REFUSED, "NanoTron", "gpt_neox", "gptneox"])
def test_the_reason_and_a_way_out_are_said(name: str) -> None:
    """However the name is spelt."""
    with pytest.raises(UsageError) as caught:
        exporter_named(name)
    (finding,) = caught.value.findings

    assert "read at" in str(finding.received)
    assert finding.hint


@pytest.mark.parametrize("name", [each for each in REFUSED if "--format" in REFUSED[each].way_out])
def test_formats_of_a_way_out_exist(name: str) -> None:
    """What is named there can be written."""
    words = REFUSED[name].way_out.replace("`", " ").split()
    named = [after for word, after in itertools.pairwise(words) if word == "--format"]

    assert named
    assert set(named) <= set(EXPORTERS.built_in)


def test_no_refused_name_is_a_format() -> None:
    """A list is written once."""
    assert not REFUSED.keys() & set(EXPORTERS.built_in)
