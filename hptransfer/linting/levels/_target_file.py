"""`target.yaml` against the evidence beside it: what `scale` would write now, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hptransfer.artifacts.compared import differences
from hptransfer.artifacts.coordinate import CoordinateRecord, headline
from hptransfer.artifacts.json_data import to_document
from hptransfer.artifacts.target import TargetFile
from hptransfer.errors import Finding, Place, UsageError
from hptransfer.evidence.files import Evidence
from hptransfer.evidence.objections import contradictions
from hptransfer.evidence.repair import again
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.scaling.ahead import look_ahead
from hptransfer.scaling.objections import objections_to
from hptransfer.scaling.target import build_target
from hptransfer.transfer.prediction import predicted, registered
from hptransfer.verdict import Verdict

#: sections of which a part is compared
_IN_PART = ("prediction", "provenance", "verdict")
#: when and with what the file was written
_OF_THE_WRITING = ("written", "versions")
_MOST_NAMED = 4
_AS_REGISTERED = "take the file as `scale` wrote it: `git log -p` shows who changed it"


def other_target(loaded: LoadedRecipe, evidence: Evidence, identity: str) -> Iterator[Finding]:
    """What of a target's file is not what follows from the evidence.

    Args:
        loaded: the recipe, with the durations of its sizes.
        evidence: of it, with a tuned.yaml that is not stale.
        identity: sha256 (hex) of the rules, code and data that hold now.

    Raises:
        UsageError: the model cannot be built at the target's size.
    """
    target, tuned = evidence.target, evidence.tuned
    if target is None or tuned is None:
        return
    place, hint = Place(str(evidence.folder / "target.yaml")), f"run {again('scale', loaded.path, evidence)} again"
    use = "tuned" if target.use is None else target.use.use
    ahead = look_ahead(loaded.recipe, loaded.root, target.size, evidence.transfer, use)
    against = [*objections_to(loaded, tuned, evidence.transfer, identity, ahead)]
    against += contradictions(loaded, evidence, identity)
    if not ahead.settled and ahead.scope is not None and target.verdict.forced:
        against.append(ahead.scope.sentence)
    now = build_target(loaded, target.size, tuned, evidence.transfer, against, identity, ahead)
    rule = "target.yaml must be what `scale` makes of the evidence"
    told = _as_told_now(target, now.verdict.coordinate)
    found = list(differences(_compared(told), _compared(now)))
    if told is target and target.verdict.forced and against:  # earlier files object in fewer words
        found += differences(list(target.verdict.objections), against, "verdict.objections")
    if found:
        more = f"; and {len(found) - _MOST_NAMED} more fields" if len(found) > _MOST_NAMED else ""
        received = f"{'; '.join(map(str, found[:_MOST_NAMED]))}{more}"
        yield Finding(rule, received, hint, place, "evidence/other-target")
    yield from _other_digest(target, place, hint)
    yield from _forced(target, against, place, hint)


def _other_digest(target: TargetFile, place: Place, hint: str) -> Iterator[Finding]:
    """A prediction whose date or content is not that of its sha256; what is predicted was compared before."""
    if target.prediction is None:
        return
    try:
        registered(target.prediction)
    except UsageError as error:
        found = error.findings[0]
        received = f"prediction: {found.received}"
        yield Finding(found.rule, received, f"{_AS_REGISTERED}, or {hint}", place, "evidence/other-target")


def _forced(target: TargetFile, against: list[str], place: Place, hint: str) -> Iterator[Finding]:
    said = "; ".join(target.verdict.objections)
    if target.verdict.forced and against:
        rule = "the evidence should support the target"
        yield Finding(
            rule, f"it was forced: {said}", "say in the review why it is used", place, "evidence/forced-target"
        )
    elif target.verdict.forced:
        rule = "a target must not be forced where the evidence supports it"
        yield Finding(
            rule, f"it was forced: {said}; nothing speaks against it now", hint, place, "evidence/other-target"
        )
    elif against:
        rule = "a target that is not forced must be supported by the evidence"
        yield Finding(rule, "; ".join(against), hint, place, "evidence/other-target")


def _as_told_now(target: TargetFile, coordinate: CoordinateRecord | None) -> TargetFile:
    """A file of before the coordinate check's outcome was kept in it, with what its verdict says of it now."""
    verdict = target.verdict
    if verdict.coordinate is not None or verdict.verdict is None or coordinate is None:
        return target
    sentence = headline(Verdict[verdict.verdict], verdict.sentence, coordinate)
    told = verdict.model_copy(update={"coordinate": coordinate, "sentence": sentence})
    return target.model_copy(update={"verdict": told})


def _compared(target: TargetFile) -> Mapping[str, Any]:
    content = to_document(target.document)
    verdict = {name: content["verdict"][name] for name in ("verdict", "sentence", "axes", "coordinate")}
    kept = {name: value for name, value in content.items() if name not in _IN_PART}
    provenance = {name: value for name, value in content["provenance"].items() if name not in _OF_THE_WRITING}
    prediction = content["prediction"] and predicted(content["prediction"])
    return kept | {"verdict": verdict, "provenance": provenance, "prediction": prediction}
