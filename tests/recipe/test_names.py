"""Names that a recipe may give are those of the lists that own them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hptransfer.parameterization import options
from hptransfer.parameterization.options import CHOICES
from hptransfer.parameterization.tables import PARAMETERIZATIONS, TABLES
from tests.support.recipe_texts import GPT, edited, faults


@pytest.mark.parametrize(
    ("option", "literal"),
    [
        ("weight_decay", options.WeightDecay),
        ("eps", options.Eps),
        ("batch_rule", options.BatchRuleName),
        ("betas", options.Betas),
        ("muon_scale", options.MuonScale),
    ],
)
def test_every_choice_is_explained(option: str, literal: object) -> None:
    """The names of an option that types allow are those that plans and docs explain."""
    assert set(get_args(literal)) == set(CHOICES[option])


def test_every_parameterization_can_be_named(tmp_path: Path) -> None:
    """A table that is added can be chosen in a recipe without another list."""
    assert {name for name, _ in TABLES} == set(PARAMETERIZATIONS)
    for name in PARAMETERIZATIONS:
        assert faults(tmp_path, edited(GPT, ("{name: completep}", f"{{name: {name}}}"))) == ()


def test_an_unknown_parameterization_is_answered_with_the_list(tmp_path: Path) -> None:
    """Rule, nearest name and code are those of any other name."""
    (found,) = faults(tmp_path, edited(GPT, ("{name: completep}", "{name: complete}")))

    assert found.rule == "`parameterization.name` must be one of " + ", ".join(
        f"`{name}`" for name in PARAMETERIZATIONS
    )
    assert (found.hint, found.code) == ("did you mean `completep`?", "recipe/unknown-value")
