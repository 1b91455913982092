"""Every sampler of the folder passes the conformance suite, and users find each in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hptransfer.search.base import SAMPLERS, Sampler
from hptransfer.testing.samplers import SamplerConformance


class TestConformance(SamplerConformance):
    """The suite over all samplers."""

    @pytest.fixture(params=SAMPLERS.names)
    def sampler(self, request: pytest.FixtureRequest) -> Sampler:
        """One after the other."""
        return SAMPLERS.look_up(request.param)


def test_the_docs_name_every_sampler() -> None:
    """The table of docs/search.md has each name of the folder in its first column, and no other."""
    text = Path(__file__).parents[2].joinpath("docs/search.md").read_text(encoding="utf-8")
    table = text[text.index("| name | what it does |") :].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert sorted(named) == sorted(SAMPLERS.names)
