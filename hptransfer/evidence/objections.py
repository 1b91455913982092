"""What speaks against evidence, as clauses: for `scale`, which refuses with them or writes them into a forced target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.evidence.files import Evidence
from hptransfer.evidence.recomputed import as_objection, edited_results, edited_trials
from hptransfer.evidence.stale import written_files
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.trials.changed_parts import changed_parts

_MOST_NAMED = 4


def contradictions(loaded: LoadedRecipe, evidence: Evidence, identity: str) -> Iterator[str]:
    """What in the files does not follow from the trials that they carry, a clause each.

    Files of another recipe, other rules, code or data are not computed again: they are refused for that.

    Args:
        loaded: the recipe, with the durations of its sizes.
        evidence: of it.
        identity: sha256 (hex) of the rules, code and data that hold now.
    """
    for finding in edited_trials(evidence):
        if finding.code != "evidence/without-trials":
            yield as_objection(finding)
    files = list(written_files(evidence))
    if all(each.recipe_hash == loaded.hash and each.identity == identity for each in files):
        yield from map(as_objection, edited_results(loaded, evidence))


def changes_by_file(evidence: Evidence, now: Mapping[str, Any]) -> dict[str, list[str]]:
    """What changed since each file was written, by its name; nothing of files that carry no trials.

    Args:
        evidence: of a recipe.
        now: what determines its trials now, `Identity.shared`.
    """
    found = {}
    for written in written_files(evidence):
        if written.carried is not None:
            texts = [change.text for change in changed_parts(written.carried.identity, now)]
            more = [f"and {len(texts) - _MOST_NAMED} more"] if len(texts) > _MOST_NAMED else []
            found[written.path.name] = [*texts[:_MOST_NAMED], *more]
    return found


def files_without_trials(evidence: Evidence) -> list[str]:
    """Names of files that carry none, so that nothing in them can be computed again.

    Args:
        evidence: of a recipe.
    """
    return [each.path.name for each in written_files(evidence) if each.carried is None]
