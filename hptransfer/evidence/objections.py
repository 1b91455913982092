"""What speaks against evidence, as clauses: `scale` refuses with them, or writes them into a forced target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.evidence.files import Evidence
from hptransfer.evidence.recomputed import as_objection, edited_results, edited_trials
from hptransfer.evidence.stale import written_files
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.schema import Recipe
from hptransfer.trials.changed_parts import changed_parts
from hptransfer.trials.identity import Identity

_MOST_NAMED = 4
#: findings that leave the trials and what follows from them as they are: evidence serves any number of targets
_NO_CONTRADICTION = ("evidence/other-words", "evidence/former-target")


@dataclass(frozen=True, slots=True)
class Weighed:
    """What speaks against the files of a run folder.

    Attributes:
        changed: name of a file -> what changed since it was written; nothing of files that carry no trials.
        contradictions: what does not follow from the trials that the files carry, a clause each.
        without_trials: names of files that carry none.
    """

    changed: Mapping[str, Sequence[str]]
    contradictions: tuple[str, ...]
    without_trials: tuple[str, ...]


def weigh(loaded: LoadedRecipe, folder: Path, tuned: Tuned, checked: TransferFile | None, now: Identity) -> Weighed:
    """What speaks against the evidence for a target.

    Args:
        loaded: the recipe, with the durations of its sizes.
        folder: the run folder, for messages.
        tuned: the content of `tuned.yaml`.
        checked: the content of `transfer.json`; None without a check.
        now: the identity of the recipe's trials by rules, code and data as they are.
    """
    evidence = Evidence(folder, tuned, checked)
    changed = changes_by_file(evidence, now.shared(), loaded.recipe)
    found = tuple(contradictions(loaded, evidence, now.digest))
    return Weighed(changed, found, tuple(files_without_trials(evidence)))


def contradictions(loaded: LoadedRecipe, evidence: Evidence, identity: str) -> Iterator[str]:
    """What in the files does not follow from the trials that they carry, a clause each.

    Files of another recipe, other rules, code or data are not computed again: they are refused for that.

    Args:
        loaded: the recipe, with the durations of its sizes.
        evidence: what its run folder holds, as it was read.
        identity: sha256 (hex) of the rules, code and data that hold now.
    """
    for finding in edited_trials(loaded, evidence):
        if finding.code != "evidence/without-trials":
            yield as_objection(finding)
    files = list(written_files(evidence))
    if all(each.recipe_hash == loaded.hash and each.identity == identity for each in files):
        found = (each for each in edited_results(loaded, evidence) if each.code not in _NO_CONTRADICTION)
        yield from map(as_objection, found)


def changes_by_file(evidence: Evidence, now: Mapping[str, Any], recipe: Recipe) -> dict[str, list[str]]:
    """What changed since each file was written, by its name; nothing of files that carry no trials.

    Args:
        evidence: what a run folder holds, as it was read.
        now: what determines its trials now, `Identity.shared`.
        recipe: the one that says now by which keys sizes are written.
    """
    found = {}
    for written in written_files(evidence):
        if written.carried is not None:
            texts = [change.text for change in changed_parts(written.carried.identity, now, recipe)]
            more = [f"and {len(texts) - _MOST_NAMED} more"] if len(texts) > _MOST_NAMED else []
            found[written.path.name] = [*texts[:_MOST_NAMED], *more]
    return found


def files_without_trials(evidence: Evidence) -> list[str]:
    """Names of files that carry none, so that nothing in them can be computed again.

    Args:
        evidence: what a run folder holds, as it was read.
    """
    return [each.path.name for each in written_files(evidence) if each.carried is None]
