"""`evidence`: what `tune` and `check` wrote follows from its trials, and is of the recipe, rules, code and data now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from shlex import quote

from hptransfer.errors import Finding, HptransferError, Place
from hptransfer.evidence.counted import NOT_COUNTED, Counted, count_again, trained_twice
from hptransfer.evidence.files import NEEDED, Evidence, behind_a_link, elsewhere, folder_of, read_evidence, run_folders
from hptransfer.evidence.present import Present, present, unmeasured
from hptransfer.evidence.recomputed import NOTHING_FOLLOWS, edited_results, edited_trials, other_values
from hptransfer.evidence.repair import again
from hptransfer.evidence.stale import (
    environment,
    identity_here,
    of_another_recipe,
    sizes_of,
    stale,
    stale_target,
    written_files,
)
from hptransfer.linting.levels._apart import bounded
from hptransfer.linting.levels._expected import held_to
from hptransfer.linting.levels.base import LevelOutcome, Subject
from hptransfer.recipe.own_code import model_code
from hptransfer.registry import untrusted_recipe

#: what evidence consists of; recipe.json is optional, because it holds the path at which the run was made
_COMMITTED = "tuned.yaml, transfer.json and, where it was written, target.yaml"
#: findings that leave a recipe valid, unless `--strict` is given
_WARNINGS = ("evidence/other-environment", "evidence/other-words", "evidence/forced-target")
#: what is not asked of evidence with a fault
_FOLLOWS = "whether fit, verdict and target follow from the trials, and are what the recipe expects"


class EvidenceLevel:
    """The files of the run folder against their trials, the recipe and each other; nothing is trained."""

    claim = (
        "its committed evidence is of the recipe, rules, code and data as they are, and its fit, verdict and target "
        "follow from the trials that it carries and are what it expects; whether somebody trained those is not claimed"
    )

    def run(self, subject: Subject) -> LevelOutcome:
        """Computes again what the files say.

        Args:
            subject: a recipe without errors at the levels before.
        """
        found = bounded("evidence", subject, _outcome) if not subject.options.trust else _outcome(subject)
        return replace(found, notes=(*_passed_over(subject), *found.notes))


LEVEL = EvidenceLevel()


def _outcome(subject: Subject) -> LevelOutcome:
    loaded, options = subject.loaded, subject.options
    folder = folder_of(loaded, options.runs)
    evidence = read_evidence(folder, named=options.runs is not None)
    if evidence.unreadable:
        return LevelOutcome(errors=evidence.unreadable, unasked=(_FOLLOWS,))
    if evidence.tuned is None or evidence.transfer is None:
        return LevelOutcome(errors=(_none(subject, evidence),), unasked=(_FOLLOWS,))
    held = LevelOutcome()
    with nullcontext() if options.trust else untrusted_recipe():
        now = present(loaded, sizes_of(evidence, loaded.recipe), evidence.tuned.provenance.data, trust=options.trust)
        counted = count_again(now.loaded, evidence, trust=options.trust)
        found = list(_findings(evidence, now, counted))
        undecided = [*now.undecided, *unmeasured(now, evidence), *counted.undecided, *trained_twice(evidence)]
        if not _faulty(found):
            more, reason = _target(evidence, now)
            found += more
            undecided += reason
        if not _faulty(found):  # what was edited, or is of another recipe, says nothing of what this one gives
            held = held_to(now.loaded, evidence, _unread(now))
    errors = [each for each in found if options.strict or each.code not in _WARNINGS]
    warnings = [each for each in found if each not in errors]
    undecided += held.undecided
    return replace(
        held,
        errors=(*errors, *held.errors),
        warnings=tuple(warnings),
        undecided=tuple(undecided),
        unasked=(_FOLLOWS,) if _faulty(found) else (),
    )


def _faulty(found: Sequence[Finding]) -> bool:
    return any(finding.code not in _WARNINGS for finding in found)


def _none(subject: Subject, evidence: Evidence) -> Finding:
    loaded, runs = subject.loaded, subject.options.runs
    missing = [
        name for name, content in zip(NEEDED, (evidence.tuned, evidence.transfer), strict=True) if content is None
    ]
    place = Place(str(loaded.path))
    rule = "a recipe must have its evidence beside it, or in the folder that `--runs` names"
    received = f"no {' and no '.join(missing)} in {evidence.folder}"
    if runs is not None and _is_run_folder(runs, loaded.recipe.name):
        above = runs.parent if runs.name else Path("..")
        hint = f"`--runs` is the folder of run folders, and {runs} is one of those: write `--runs {quote(str(above))}`"
        return Finding(rule, received, hint, place, "evidence/none")
    hint = f"run {again('run', loaded.path, evidence)} and commit {_COMMITTED}"
    if (other := elsewhere(loaded, evidence.folder)) is not None:
        hint = f"{other} has them: write `--runs {quote(str(other.parent))}`; else {hint}"
    return Finding(rule, received, hint, place, "evidence/none")


def _passed_over(subject: Subject) -> tuple[str, ...]:
    """Which of two run folders was read, where the user named none and both are there."""
    loaded = subject.loaded
    if subject.options.runs is not None:
        return ()
    folder = folder_of(loaded, None)
    others = [
        each for each in run_folders(loaded) if each != folder and not behind_a_link(each) and os.path.lexists(each)
    ]
    return tuple(f"evidence was read from {folder}, and not from {each} (`--runs` names one)" for each in others)


def _is_run_folder(runs: Path, name: str) -> bool:
    """Whether a folder that was named as the one of run folders is the recipe's own run folder."""
    return Path(os.path.abspath(runs)).name == name and any(os.path.lexists(runs / file) for file in NEEDED)


def _findings(evidence: Evidence, now: Present, counted: Counted) -> Iterator[Finding]:
    """In the order of what they rest on: trials, what they are of, what follows from them, each other."""
    yield from now.faults
    yield from edited_trials(now.loaded, evidence)
    outdated = list(stale(evidence, now))
    yield from outdated
    yield from environment(evidence, now)
    # fields of another recipe's evidence are not those that this one's settings lead to
    of_another = any(of_another_recipe(written, now) for written in written_files(evidence))
    if not of_another and not any(finding.code == "evidence/stale-recipe" for finding in outdated):
        # another model has other FLOPs: that it changed is said above
        yield from edited_results(
            now.loaded, evidence, *((NOT_COUNTED, None) if outdated else (counted, now.parameters))
        )
    if evidence.tuned is not None and evidence.transfer is not None:
        differing = [*other_values(evidence.tuned, evidence.transfer)]
        if evidence.tuned.identity != evidence.transfer.identity:
            differing.append("tuned.yaml and transfer.json are of other rules, code or data")
        if differing:
            rule = "transfer must be checked for the values in tuned.yaml"
            hint = f"run {again('check', now.loaded.path, evidence)}"
            place = Place(str(evidence.folder / "transfer.json"))
            yield Finding(rule, "; ".join(differing), hint, place, "evidence/other-values")
    yield from stale_target(now.loaded, evidence)


def _target(evidence: Evidence, now: Present) -> tuple[Sequence[Finding], Sequence[str]]:
    """What target.yaml lacks; undecided where the model was not read."""
    if evidence.target is None:
        return (), ()
    if named := model_code(now.loaded.recipe):
        said = " and ".join(dict.fromkeys(named.values()))
        return (), (f"whether target.yaml follows from the evidence: `scale`, which runs {said}, makes it again",)
    if _unread(now) is not None:
        return (), ("whether target.yaml follows from the evidence: the model was not read",)
    from hptransfer.linting.levels._target_file import other_target  # imports torch, which only a target needs here

    try:
        return list(other_target(now.loaded, evidence, identity_here(evidence, now))), ()
    except HptransferError as error:
        finding = error.findings[0]
        place = Place(str(evidence.folder / "target.yaml"))
        return [replace(finding, place=place, code="evidence/other-target")], ()
    except NOTHING_FOLLOWS as error:
        rule = "target.yaml must be what `scale` makes of the evidence"
        hint = f"run {again('scale', now.loaded.path, evidence)} again"
        place = Place(str(evidence.folder / "target.yaml"))
        return [Finding(rule, f"nothing follows from it: {error}", hint, place, "evidence/other-target")], ()


def _unread(now: Present) -> str | None:
    return "the model was not read" if "rules" not in now.parts and now.undecided else None
