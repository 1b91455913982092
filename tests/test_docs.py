"""The documentation points at things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every relative link of every page leads to a file of the repository."""
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]

    assert broken == []


def test_every_exit_status_of_an_error_is_documented() -> None:
    """The exit status of each error class has its row in docs/exit-status.md."""
    from hptransfer import errors

    documented = set(re.findall(r"^\| (\d+)", (ROOT / "docs/exit-status.md").read_text(), flags=re.MULTILINE))
    raised = {
        str(kind.exit_status)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.HptransferError)
    }

    assert raised <= documented


def test_the_recipe_reference_is_generated_from_the_schema() -> None:
    """docs/recipe.md equals what the schema says now."""
    from hptransfer.recipe.document import document

    assert (ROOT / "docs/recipe.md").read_text(encoding="utf-8") == document()


def test_every_test_that_the_page_of_faults_names_exists() -> None:
    """docs/faults.md promises a test per fault; a renamed test must be renamed there."""
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| F")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9_]+_[a-z0-9_]+)`", row.rsplit("|", 2)[1])}
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def test_(\w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    files = {str(file.relative_to(ROOT / "tests"))[:-3] for file in (ROOT / "tests").rglob("test_*.py")}
    mentioned = {name for row in rows for name in re.findall(r"`(\w+/test_\w+)`", row)}

    assert len(rows) > 20
    assert sorted(named - defined) == []
    assert sorted(mentioned - files) == []
