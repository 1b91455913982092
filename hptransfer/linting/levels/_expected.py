"""What a recipe expects, held against its committed evidence: nothing is run for it."""

from __future__ import annotations

from hptransfer.checking.expectations import Found, judge_expectations
from hptransfer.errors import Finding, HptransferError
from hptransfer.evidence.files import Evidence
from hptransfer.linting.levels.base import LevelOutcome
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.own_code import model_code
from hptransfer.scaling.ahead import look_ahead
from hptransfer.statistics.interval import Interval

_RULE = "what the recipe expects must be found in its committed evidence"
_HINT = "look for what changed since it was written, or write what is found now"


def held_to(loaded: LoadedRecipe, evidence: Evidence, unread: str | None) -> LevelOutcome:
    """Whether evidence gives what its recipe expects.

    Args:
        loaded: the recipe, with the durations of its sizes.
        evidence: of it, not stale, and with fields that follow from its trials.
        unread: why its model was not read, without which no loss is predicted; None where it was.

    Returns:
        A note for what is met, an error for what is not, and `open` for what the evidence leaves open, as `check` ends
        with 1 and 3.
    """
    expect, tuned, checked = loaded.recipe.expect, evidence.tuned, evidence.transfer
    if expect is None or tuned is None or checked is None:
        return LevelOutcome()
    undecided: tuple[str, ...] = ()
    prediction = None
    if expect.prediction is not None:
        try:
            own = model_code(loaded.recipe)  # which never runs in this process
            why = f"`check`, which runs {' and '.join(dict.fromkeys(own.values()))}, predicts it" if own else unread
            prediction = _predicted(loaded, evidence) if why is None else None
        except HptransferError as error:
            why = f"{error.findings[0].rule}; received: {error.findings[0].received}"
        if why is not None:
            undecided = (f"whether `expect.prediction` is met: {why}",)
            expect = expect.model_copy(update={"prediction": None})
    errors: list[Finding] = []
    open_: list[Finding] = []
    notes: list[str] = []
    for each in judge_expectations(expect, Found(tuned.hyperparameters, checked, prediction)):
        if each.met:
            notes.append(f"committed evidence: {each.sentence}")
            continue
        place = loaded.place(tuple(each.key.split(".")))
        finding = Finding(_RULE, each.sentence, _HINT, place, "expect/not-met")
        (open_ if each.met is None else errors).append(finding)
    return LevelOutcome(tuple(errors), undecided=undecided, notes=tuple(notes), open=tuple(open_))


def _predicted(loaded: LoadedRecipe, evidence: Evidence) -> Interval | None:
    """The loss that the evidence predicts at the recipe's target."""
    ahead = look_ahead(loaded.recipe, loaded.root, loaded.recipe.target_size(), evidence.transfer)
    return None if ahead.prediction is None else ahead.prediction.loss
