"""For programs: one JSON object with every recipe of either version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hptransfer.linting.compared.recipes import RecipeComparison, Version
from hptransfer.report.compared.base import Compared


def render(found: Compared) -> Iterator[str]:
    """Yields the document as one text.

    Args:
        found: all recipes of two versions.
    """
    document = {
        "base": found.base,
        "head": found.head,
        "recipes": [_recipe(each) for each in found.recipes],
        "regressed": len(found.regressed),
    }
    yield json.dumps(document, indent=2)


def _recipe(each: RecipeComparison) -> dict[str, Any]:
    return {
        "path": each.path,
        "status": each.status,
        "base": _version(each.base),
        "head": _version(each.head),
        "changes": [asdict(change) for change in each.changes],
        "comments": [{"how": how, "comment": comment} for how, comment in each.comments],
        "evidence_files": [asdict(change) for change in each.files],
        "evidence_values": [asdict(change) for change in each.values],
        "plan": None if each.plan is None else asdict(each.plan),
        "undecided": list(each.undecided),
        "not_compared": list(each.not_compared),
        "regressions": list(each.regressions),
    }


def _version(version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "path": version.path,
        "hash": version.loaded.hash if version.loaded else None,
        "errors": [finding.rule for finding in version.errors],
        "evidence": asdict(version.evidence),
    }
