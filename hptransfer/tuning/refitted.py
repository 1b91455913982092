"""`tuned.yaml` against the trials that it carries: which of its fields do not follow from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.artifacts.compared import Difference, differences
from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.flops import is_short
from hptransfer.recipe.schema import Recipe
from hptransfer.tuning.complete import incomplete, misplaced, misplaced_trials
from hptransfer.tuning.outcome import Outcome, outcome_of

#: settings of a search that another version, or another Optuna, may choose otherwise for the same recipe
_OF_THE_VERSION = ("arguments", "optuna")


def refitted(recipe: Recipe, written: Tuned, target_flops: float | None) -> list[Difference]:
    """Fields of `tuned.yaml` that its trials do not bear out; none where it carries no trials.

    Not computed again are the sampler's arguments, which a version chooses, versions, and failed attempts.

    Args:
        recipe: that was tuned, with the durations of its sizes.
        written: the content of the file.
        target_flops: floating point operations of the target's run; None where they are not known.

    Raises:
        ValueError: the trials contradict themselves, or nothing can be recommended by them.
    """
    outcome = outcome_of(recipe, written)
    if outcome is None or written.evidence is None:
        return []
    lacking = [*misplaced_trials(written.evidence), *incomplete(outcome)]
    if lacking:  # whatever else is said follows from another search
        return lacking
    short = is_short(recipe, recipe.target_size())
    again = outcome.content(target_flops, short=short)
    if again is None:
        raise ValueError("no recommendation follows from the trials")
    again["trials"] = {
        "finished": len(outcome.searched),
        "diverged": outcome.diverged,
        "failed": written.trials.failed,
    }
    again["search"] = _decided(outcome.settings)
    stated = _plain(written, again) | {"search": _decided(written.search)}
    found = list(differences(stated, to_document(again)))
    found += differences(to_document(written.provenance.seeds), to_document(outcome.seeds), "provenance.seeds")
    found += _in_order(written, outcome)
    found += misplaced(outcome)
    data = written.evidence.identity.get("data", {}).get("fingerprint")
    if data != written.provenance.data:
        found.append(Difference("provenance.data", written.provenance.data, data))
    return found


def _plain(written: Tuned, again: dict[str, Any]) -> dict[str, Any]:
    return {name: to_document(getattr(written, name)) for name in again}


def _decided(search: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a search as far as a recipe decides them, those of its lines alike."""
    return {
        name: {line: _decided(of) if isinstance(of, Mapping) else of for line, of in value.items()}
        if name == "lines" and isinstance(value, Mapping)
        else value
        for name, value in search.items()
        if name not in _OF_THE_VERSION
    }


def _in_order(written: Tuned, outcome: Outcome) -> Iterator[Difference]:
    """Lines that are not stated in the order in which a recipe has them searched; which they are is compared before."""
    lines = written.search.get("lines")
    stated = {"search.lines": lines if isinstance(lines, Mapping) else {}, "evidence.groups": outcome.lines}
    wanted = list(outcome.settings.get("lines", ()))
    for field, given in stated.items():
        names = list(given)
        if names != wanted and (field == "evidence.groups" or set(names) == set(wanted)):
            yield Difference(field, names, wanted)
