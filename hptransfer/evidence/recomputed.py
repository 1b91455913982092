"""What the trials of evidence say, against what the files say: keys, the fit, the verdict, and each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from hptransfer.artifacts.compared import Difference, differences
from hptransfer.artifacts.transfer import TransferFile
from hptransfer.artifacts.tuned import Tuned
from hptransfer.checking.complete import left_out, misended, not_carried_on
from hptransfer.checking.rejudged import ReadParameters, own_diagnostics, rejudged
from hptransfer.errors import Finding, HptransferError, Place
from hptransfer.evidence.counted import NOT_COUNTED, Counted, edited_costs
from hptransfer.evidence.files import Evidence
from hptransfer.evidence.former_target import former, of_former_target
from hptransfer.evidence.repair import again, reused
from hptransfer.evidence.stale import Written, written_files
from hptransfer.hyperparameters import NAMES, log_coordinate, log_name
from hptransfer.provenance import is_older, tool_version
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.tuning.refitted import refitted

_Compare: TypeAlias = Callable[[LoadedRecipe], list[Difference]]

_MOST_NAMED = 4
#: what computing with numbers that no command wrote may raise
NOTHING_FOLLOWS = (ValueError, TypeError, AttributeError, ArithmeticError, LookupError)
_AS_WRITTEN = "take the file as the command wrote it: `git log -p` shows who changed it"


def edited_trials(loaded: LoadedRecipe, evidence: Evidence) -> Iterator[Finding]:
    """Trials whose keys are not those of their content, and files whose identity is not that of their parts.

    Args:
        loaded: the recipe, for the hint of what to run.
        evidence: what a run folder holds, as it was read.
    """
    for written in written_files(evidence):
        carried = written.carried
        if carried is None:
            yield _without_trials(written, loaded, evidence)
            continue
        if carried.digest != written.identity:
            rule = "`identity` must be the sha256 of what `evidence.identity` says"
            received = f"{written.identity[:8]}, and its parts give {carried.digest[:8]}"
            yield Finding(rule, received, _AS_WRITTEN, Place(str(written.path)), "evidence/edited-identity")
            continue  # every key would differ, for this one reason
        wrong = [place for place, line in enumerate(carried.trials) if carried.key_of(line) != line.key]
        if wrong:
            rule = "the key of each trial must follow from its size, values, seed and the rules, code and data"
            places = ", ".join(f"evidence.trials[{place}]" for place in wrong[:_MOST_NAMED])
            more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
            yield Finding(rule, f"{places}{more}", _AS_WRITTEN, Place(str(written.path)), "evidence/edited-trials")


def _without_trials(written: Written, loaded: LoadedRecipe, evidence: Evidence) -> Finding:
    run = again("run", loaded.path, evidence)
    return Finding(
        f"{written.path.name} must carry its trials, so that what it says can be computed again",
        "it carries none: an earlier version wrote it, or they were taken out",
        f"run {run} with this version, which writes both files anew: {reused(evidence)}",
        Place(str(written.path)),
        "evidence/without-trials",
    )


def edited_results(
    loaded: LoadedRecipe,
    evidence: Evidence,
    counted: Counted = NOT_COUNTED,
    parameters: ReadParameters | None = None,
) -> Iterator[Finding]:
    """Fields that the trials do not bear out; a file that another target explains is of that one, and not edited.

    Args:
        loaded: the recipe that the evidence is of, with the durations of its sizes.
        evidence: of it, with trials.
        counted: FLOPs of its sizes, as they were counted again.
        parameters: of its model at each width and depth; None where it was not read.
    """
    yield from edited_costs(evidence, loaded.recipe, counted)
    tuned, transfer, folder = evidence.tuned, evidence.transfer, evidence.folder
    anew = f"write it anew by {again('run', loaded.path, evidence)}: {reused(evidence)}"
    before = None if transfer is None else former(loaded, transfer)
    files: list[tuple[Path, str, str, _Compare, str]] = []
    if tuned is not None and tuned.evidence is not None:
        version = tuned.provenance.versions.get("hptransfer", "")
        compare: _Compare = partial(_refitted_fields, tuned, counted)
        hint = f"if this is meant, run {again('run', loaded.path, evidence)}: {reused(evidence)}"
        files.append((folder / "tuned.yaml", "evidence/edited-fit", version, compare, hint))
    if tuned is not None and transfer is not None and transfer.evidence is not None:
        version = transfer.provenance.hptransfer
        compare = partial(rejudged_fields, tuned=tuned, written=transfer, counted=counted, parameters=parameters)
        commands = f"{again('check', loaded.path, evidence)}, then {again('scale', loaded.path, evidence)}"
        hint = f"if this is meant, run {commands}"
        files.append((folder / "transfer.json", "evidence/edited-verdict", version, compare, hint))
    for path, code, version, compare, hint in files:
        found = list(_edited(path, code, version, anew, partial(compare, loaded)))
        if found and before is not None:
            there = list(_edited(path, code, version, anew, partial(compare, before.loaded)))
            if not any(each.code == code for each in there):
                found = [of_former_target(path, before.changes, hint), *there]
        yield from found


def _edited(
    path: Path, code: str, version: str, anew: str, compare: Callable[[], list[Difference]]
) -> Iterator[Finding]:
    """What differs: facts are edited, or judged otherwise by now; words alone may be another version's."""
    rule = f"what {path.name} says must follow from the trials that it carries"
    try:
        found = compare()
    except (HptransferError, *NOTHING_FOLLOWS) as error:
        said = error.findings[0].received or error.findings[0].rule if isinstance(error, HptransferError) else error
        yield Finding(rule, f"nothing follows from them: {said}", _AS_WRITTEN, Place(str(path)), code)
        return
    if not found:
        return
    here = tool_version()
    older, newer = is_older(version, here), is_older(here, version)
    by_another = bool(older or newer)
    install = (
        f"install hptransfer {version} or a later one, and validate again; if there is no such version, {_AS_WRITTEN}"
    )
    if by_another and all(each.in_words for each in found):
        fields = ", ".join(each.field for each in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        received = f"{fields}{more} in other words; by what it says, hptransfer {version} wrote it"
        hint = f"read the sentences that `hptransfer check` prints, or {anew}"
        rule, code = f"{path.name} is worded by this version", "evidence/other-words"
        if newer:  # how a later version words a sentence cannot be known, and a file may state any
            rule, code = f"{path.name} must be of no later version than the one that reads it", "evidence/later-version"
            received, hint = f"{received}, and this is {here}", install
        yield Finding(rule, received, hint, Place(str(path)), code)
        return
    more = f"; and {len(found) - _MOST_NAMED} more fields" if len(found) > _MOST_NAMED else ""
    shown = "; ".join(map(str, sorted(found, key=_weight)[:_MOST_NAMED]))
    if not by_another:
        yield Finding(rule, f"{shown}{more}", _AS_WRITTEN, Place(str(path)), code)
        return
    received = f"{shown}{more}; by what it says, hptransfer {version} wrote it, and this is {here}"
    hint = install if newer else f"{anew}; where nobody meant to change it, {_AS_WRITTEN}"
    yield Finding(rule, received, hint, Place(str(path)), code)


def _weight(found: Difference) -> tuple[bool, int]:
    """Verdicts first, then what is said of the whole."""
    return not found.field.endswith("verdict"), found.field.count(".")


def _refitted_fields(tuned: Tuned, counted: Counted, loaded: LoadedRecipe) -> list[Difference]:
    return refitted(loaded.recipe, tuned, counted.target(loaded.recipe, tuned.spent.target_flops))


def rejudged_fields(
    loaded: LoadedRecipe,
    tuned: Tuned,
    written: TransferFile,
    counted: Counted = NOT_COUNTED,
    parameters: ReadParameters | None = None,
) -> list[Difference]:
    """Fields of `transfer.json` that its trials do not bear out; none where it carries no trials.

    Args:
        loaded: the recipe that was checked.
        tuned: the content of `tuned.yaml`, whose values were checked.
        written: the content of the file.
        counted: FLOPs of its sizes, as they were counted again.
        parameters: of its model at each width and depth; None where it was not read.

    Raises:
        ValueError, UsageError: as `rejudged`.
    """
    lacking = left_out(loaded.recipe, loaded.root, written, tuned.hyperparameters)
    lacking = lacking or [*not_carried_on(tuned.evidence, written.evidence)]
    if lacking:  # whatever else is said follows from other trials
        return lacking
    target = counted.target(loaded.recipe, written.spent.target_flops)
    again = rejudged(loaded.recipe, loaded.root, written, tuned.hyperparameters, target, parameters)
    if again is None:
        return []
    found = [*differences(_judged(written), _judged(again))]
    found += misended(loaded.recipe, loaded.root, again, tuned.hyperparameters)
    if own_diagnostics(loaded.recipe, written):  # what they limit is for their code to say
        return [each for each in found if ".limits" not in each.field]
    return found


def _judged(content: TransferFile) -> dict[str, Any]:
    return {name: value for name, value in content.document.items() if name != "evidence"}


def as_objection(finding: Finding) -> str:
    """A finding as a clause, for refusals that name several.

    Args:
        finding: on a file of a run folder.
    """
    where = Path(finding.place.file).name if finding.place else ""
    return f"{where}: {finding.rule} ({finding.received})"


def other_values(tuned: Tuned, checked: TransferFile) -> Iterator[str]:
    """Values that were checked and are not those that were tuned, a clause each.

    Args:
        tuned: the content of `tuned.yaml`.
        checked: the content of `transfer.json`.
    """
    for each in checked.hyperparameters:
        # a check compares averages by their horizon, 1 / (1 - beta)
        name = next((name for name in NAMES if each.hyperparameter in (name, log_name(name))), None)
        value = None if name is None else tuned.hyperparameters.get(name)
        if name is None or value is None:
            yield f"transfer was checked for {each.hyperparameter}, which tuned.yaml does not have"
            continue
        carried = value if each.hyperparameter == name else 2.0 ** log_coordinate(name, value)
        if not math.isclose(carried, each.transferred, rel_tol=1e-9):
            yield f"transfer was checked at {each.hyperparameter} {each.transferred:.6g}, but {carried:.6g} is tuned"
