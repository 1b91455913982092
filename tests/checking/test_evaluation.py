"""What the losses of a check were measured on, and their noise beside the bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hptransfer.checking.evaluation import evaluation_of
from hptransfer.recipe.objective import NO_UNIT, evaluation_text, unit_of
from hptransfer.recipe.schema import Recipe
from hptransfer.transfer.judge import TransferReport, judge_axis
from hptransfer.trials.trial import EVALUATION_ERROR, Trial
from tests.support.recipe_texts import MLP, edited, load_text
from tests.support.synthetic_ladders import ladder, parabola

FINGERPRINT = "ab12cd34" + "0" * 56


def recipe(folder: Path, more: str = "", data: str = "{kind: stdlib-text}") -> Recipe:
    """The small recipe with lines at its top and other data."""
    return load_text(folder, more + edited(MLP, ("{kind: stdlib-text}", data))).recipe


def report(trials: list[Trial]) -> TransferReport:
    """Over the widths of a ladder."""
    axis = judge_axis(trials, axis="width", hyperparameter="learning_rate", transferred=2**-8, reference=64)
    return TransferReport((axis,), axis.verdict, axis.sentence)


def test_the_evaluation_set_is_named(tmp_path: Path) -> None:
    """Size, data and fingerprint; the user's own words first."""
    own = "objective: {evaluation: the first chapters}\n"

    assert evaluation_text(recipe(tmp_path), FINGERPRINT) == (
        "1,024 examples of stdlib-text validation, sha256 ab12cd34"
    )
    assert evaluation_text(recipe(tmp_path, data="{kind: stdlib-text, evaluation_examples: 50}"), FINGERPRINT) == (
        "50 examples of stdlib-text validation, sha256 ab12cd34"
    )
    assert evaluation_text(recipe(tmp_path, own), FINGERPRINT) == (
        "the first chapters (1,024 examples of stdlib-text validation, sha256 ab12cd34)"
    )


def test_the_size_of_the_set_changes_what_is_trained_and_its_default_does_not(tmp_path: Path) -> None:
    """Another evaluation is another loss; a key without its line is the same key."""
    plain, null, fifty = (
        load_text(tmp_path, edited(MLP, ("stdlib-text}", f"stdlib-text{more}}}"))).hash
        for more in ("", ", evaluation_examples: null", ", evaluation_examples: 50")
    )

    assert plain == null != fifty


def test_units(tmp_path: Path) -> None:
    """What the recipe says, else what the built-in loss says; of a loss of one's own only the recipe can say it."""
    loss = ("  steps: 100\n", "  steps: 100\n  loss: 'nowhere:loss'\n")

    assert unit_of(recipe(tmp_path)) == "nats"
    assert unit_of(load_text(tmp_path, edited(MLP, loss)).recipe) == NO_UNIT
    assert unit_of(load_text(tmp_path, "objective: {unit: pixels}\n" + edited(MLP, loss)).recipe) == "pixels"


def test_the_noise_stands_beside_the_bound(tmp_path: Path) -> None:
    """The median over the largest width; a quarter of a doubling gains a quarter of 0.1 nats, known to a tenth."""
    trials = [
        replace(each, provenance={EVALUATION_ERROR: "0.02" if each.size.width == 512 else "9.9"})
        for each in ladder([parabola] * 4, noise=0.0005)
    ]

    found = evaluation_of(recipe(tmp_path), FINGERPRINT, report(trials), trials)

    assert found.error == 0.02
    assert found.bound == pytest.approx(0.25 * 0.1, rel=0.1)
    assert found.sentence.startswith(
        "losses are nats, over 1,024 examples of stdlib-text validation, sha256 ab12cd34; standard error 0.02 at "
        "width 512, allowed regret 0.027 (all trials share the examples"
    )


def test_trials_that_keep_no_error_have_none(tmp_path: Path) -> None:
    """Those of earlier versions: the set is named all the same."""
    trials = ladder([parabola] * 4, noise=0.0005)

    found = evaluation_of(recipe(tmp_path), FINGERPRINT, report(trials), trials)

    assert found.error is None
    assert found.sentence == "losses are nats, over 1,024 examples of stdlib-text validation, sha256 ab12cd34"


def test_a_loss_that_says_its_unit_to_workers_has_it_in_reports(tmp_path: Path) -> None:
    """An object with `unit`: trials carry it, so nothing of the user's is imported for a word."""
    loss = ("  steps: 100\n", "  steps: 100\n  loss: 'nowhere:loss'\n")
    own = load_text(tmp_path, edited(MLP, loss)).recipe
    trials = [replace(each, provenance={"unit": "bits"}) for each in ladder([parabola] * 4, noise=0.0005)]

    assert evaluation_of(own, FINGERPRINT, report(trials), trials).unit == "bits"
