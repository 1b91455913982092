"""The generated page of the documentation."""

from __future__ import annotations

from pathlib import Path

from hptransfer.parameterization.document import PROVENANCE, reference_page
from hptransfer.parameterization.rules import Source
from hptransfer.parameterization.tables import TABLES

PAGE = Path(__file__).parents[2] / "docs/parameterizations.md"


def test_the_page_is_the_tables() -> None:
    """docs/parameterizations.md is what the tables generate; write it anew after a change of a table."""
    assert PAGE.read_text(encoding="utf-8") == reference_page()


def sources() -> list[Source]:
    """Of every rule, the named alternatives and residual branches included."""
    rules = [rule for table in TABLES.values() for rule in table.rules.values()]
    rules += [rule for table in TABLES.values() for column in table.choices.values() for rule in column.values()]
    return [rule.source for rule in rules] + [table.residual.source for table in TABLES.values() if table.residual]


def test_every_source_is_on_the_page() -> None:
    """A reader of the page finds where each number comes from."""
    page = PAGE.read_text(encoding="utf-8")

    assert {str(source) for source in sources() if str(source) not in page} == set()


def test_it_is_said_how_every_source_is_known() -> None:
    """No paper is cited without saying whether it was read, quoted by others or derived, and none is listed in vain."""
    assert {source.paper for source in sources()} == set(PROVENANCE)


# CompleteP (arXiv 2505.01618) Table 1, hidden learning rate and eps of residual blocks
def test_alpha_is_printed_as_a_letter() -> None:
    """The residual exponent is a parameter of the page, not a number."""
    row = next(
        line
        for line in reference_page().split("### completep, Adam\n")[1].splitlines()
        if line.startswith("| hidden weight")
    )

    assert "m_in^-1 m_L^(alpha-1)" in row
    assert "m_out^-1 m_L^-alpha" in row
