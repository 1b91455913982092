"""`tuned.yaml` against the trials that it carries: which of its fields do not follow from them."""

from __future__ import annotations

from typing import Any

from hptransfer.artifacts.compared import Difference, differences
from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.flops import is_short
from hptransfer.recipe.schema import Recipe
from hptransfer.tuning.outcome import outcome_of


def refitted(recipe: Recipe, written: Tuned) -> list[Difference]:
    """Fields of `tuned.yaml` that its trials do not bear out; none where it carries no trials.

    The recipe's search settings, versions, and failed attempts are not computed again.

    Args:
        recipe: that was tuned, with the durations of its sizes.
        written: the content of the file.

    Raises:
        ValueError: the trials contradict themselves, or nothing can be recommended by them.
    """
    outcome = outcome_of(recipe, written)
    if outcome is None or written.evidence is None:
        return []
    short = is_short(recipe, recipe.target_size())
    again = outcome.content(written.spent.target_flops, short=short)
    if again is None:
        raise ValueError("no recommendation follows from the trials")
    again["trials"] = {
        "finished": len(outcome.searched),
        "diverged": outcome.diverged,
        "failed": written.trials.failed,
    }
    found = list(differences(_plain(written, again), to_document(again)))
    data = written.evidence.identity.get("data", {}).get("fingerprint")
    if data != written.provenance.data:
        found.append(Difference("provenance.data", written.provenance.data, data))
    return found


def _plain(written: Tuned, again: dict[str, Any]) -> dict[str, Any]:
    return {name: to_document(getattr(written, name)) for name in again}
