"""What breaks each rule of the catalogue: a rule's own example, a broken recipe or folder, or a test by name.

A rule with a recipe among its examples is fuzzed without being named here. One that needs more than a recipe is in
`tests.support.broken_folders`, or in `FIRED_BY`: `python -m benchmarks.rules_fired` runs those tests and
asks whether each of them makes a finding of its rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from hptransfer.linting.catalogue import all_rules
from tests.support.broken_folders import BROKEN_FOLDERS, RECIPE, BrokenFolder
from tests.support.broken_recipes import BROKEN, MARK

#: test -> codes of rules that ask for committed results, measurements or running code, and that it breaks
_TESTS: dict[str, tuple[str, ...]] = {
    "evidence/test_tampered.py::test_no_evidence_is_an_error": ("evidence/none",),
    "evidence/test_tampered.py::test_a_file_cut_between_two_trials_is_named": ("evidence/unreadable",),
    "evidence/test_tampered.py::test_files_without_trials_say_what_to_run": ("evidence/without-trials",),
    "evidence/test_tampered.py::test_an_edit_is_refused_by_name": (
        "evidence/edited-identity",
        "evidence/edited-trials",
        "evidence/edited-fit",
        "evidence/edited-verdict",
    ),
    "evidence/test_tampered.py::test_evidence_of_other_values_is_refused": ("evidence/other-values",),
    "evidence/test_tampered.py::test_another_versions_words_are_a_warning": ("evidence/other-words",),
    "evidence/test_words.py::test_words_of_a_later_version_are_an_error[99.0]": ("evidence/later-version",),
    "evidence/test_stale.py::test_changed_keys_are_named": ("evidence/stale-recipe",),
    "evidence/test_stale.py::test_a_changed_model_is_named": ("evidence/stale-model",),
    "evidence/test_stale.py::test_a_changed_exponent_is_named": ("evidence/stale-rules",),
    "evidence/test_stale.py::test_a_trainer_that_trains_otherwise_is_named": ("evidence/stale-code",),
    "evidence/test_stale.py::test_changed_data_are_named": ("evidence/stale-data",),
    "evidence/test_stale.py::test_another_torch_is_a_warning": ("evidence/other-environment",),
    "evidence/test_stale.py::test_another_target_is_no_edit": ("evidence/former-target",),
    "linting/test_shared_evidence.py::test_a_copy_has_no_evidence_of_its_own[False]": ("evidence/shared",),
    "evidence/test_target.py::test_an_edited_target_is_refused_by_name": (
        "evidence/stale-target",
        "evidence/other-target",
    ),
    "evidence/test_target.py::test_a_forced_target_is_a_warning": ("evidence/forced-target",),
    "linting/test_weight.py::test_a_model_beyond_the_limits_is_not_decided": ("caps/model",),
    "linting/test_coordinate_level.py::test_it_fails": ("coordinate/fails",),
    "linting/test_coordinate_level.py::test_how_it_ended": ("coordinate/not-measured",),
    "linting/test_coordinate_level.py::test_a_failure_that_is_expected_and_not_found": ("expect/coordinate",),
    "linting/test_full_level.py::test_not_as_expected": ("full/verdict", "expect/not-met"),
    "linting/test_full_level.py::test_against_committed_evidence": ("full/other-verdict", "full/other-optimum"),
    "linting/test_full_level.py::test_a_budget_that_ends_is_no_answer": ("full/no-answer",),
    "linting/test_trust.py::test_each_limit_has_a_rule": tuple(
        f"trust/{why}" for why in ("time", "process", "memory", "processes", "output", "answer")
    ),
}


def _elsewhere() -> dict[str, str]:
    found = {code: f"tests/{test}" for test, codes in _TESTS.items() for code in codes}
    by_number = {rule.id: rule for rule in all_rules()}
    for name, case in BROKEN_FOLDERS.items():
        rule = by_number[case.number]
        if rule.level == "shapes" or not case.is_static:
            found[rule.code] = f"tests/recipe/test_broken_recipes.py::test_rule_and_place_of_a_broken_folder[{name}]"
    examples = "tests/linting/test_catalogue.py::test_examples_are_what_they_are_called"
    with_model = (rule for rule in all_rules() if rule.level == "shapes" and rule.code not in found)
    return found | {rule.code: f"{examples}[{rule.id}]" for rule in with_model}


#: code of a rule that a recipe alone cannot break without a model -> the test that breaks it
FIRED_BY = _elsewhere()


@dataclass(frozen=True, slots=True)
class Planted:
    """A recipe that breaks one rule, or would.

    Attributes:
        text: the recipe with the offence in it.
        room: the folder in which it lies: "broken" is what `BROKEN_FOLDERS` prepare.
        named: what `validate` is asked for there.
    """

    text: str
    room: str = "plain"
    named: str = "r.yaml"


def planted_texts() -> list[Planted]:
    """Wrong examples of the rules that have a recipe for one, broken recipes, and recipes in broken folders."""
    examples = [rule.explanation for rule in all_rules() if rule.explanation is not None and rule.code not in FIRED_BY]
    planted = [Planted(text.whole(text.wrong)) for text in examples if text.base is not None]
    planted += [Planted(text) for _, text, _, _ in BROKEN.values()]
    for case in _static_folders():
        named = case.words[1]
        planted.append(Planted(case.marked.replace(MARK, ""), "broken", "r.yaml" if named == RECIPE else named))
    return planted


def _static_folders() -> list[BrokenFolder]:
    return [case for case in BROKEN_FOLDERS.values() if case.is_static]


def fuzzed() -> set[str]:
    """Codes of the rules that must fire where recipes are fuzzed: all but those that a test by name breaks."""
    return {rule.code for rule in all_rules() if rule.code not in FIRED_BY}
