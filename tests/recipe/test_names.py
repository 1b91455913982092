"""Names that a recipe may give are those of the lists that own them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hptransfer.parameterization import rules as options
from hptransfer.parameterization.role_presets import FAMILIES
from hptransfer.parameterization.roles import READ_ONLY, Role
from hptransfer.parameterization.rules import CHOICES
from hptransfer.parameterization.tables import MEASURED, PARAMETERIZATIONS, TABLES
from tests.support.recipe_texts import GPT, edited, faults


@pytest.mark.parametrize(
    ("option", "literal"),
    [
        ("weight_decay", options.WeightDecay),
        ("eps", options.Eps),
        ("batch_rule", options.BatchRuleName),
        ("betas", options.Betas),
        ("muon_scale", options.MuonScale),
        ("beside_muon", options.BesideMuon),
        ("update_rank", options.UpdateRank),
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
        f"`{name}`" for name in (*PARAMETERIZATIONS, MEASURED)
    )
    assert (found.hint, found.code) == ("did you mean `completep`?", "recipe/unknown-value")


OWN = GPT.replace(
    "{kind: gpt, head_dim: 16}", "{kind: factory, factory: 'my:build', preset: PRESET, roles: {'blocks.*': ROLE}}"
)


@pytest.mark.parametrize(
    ("preset", "role", "clean"),
    [
        *((name, "readout", True) for name in FAMILIES),
        *(("llama", f"'{role.value}, fan-in 1, zeros'", role not in READ_ONLY) for role in Role),
        ("gpt", "readout", False),
        ("llama", "'readout, fan-in x'", False),
        ("llama", "'readout, uniform'", False),
    ],
)
def test_presets_and_roles_are_those_that_are_known(tmp_path: Path, preset: str, role: str, clean: bool) -> None:
    """A family or a role that is added can be named; built-in models and tied embeddings are not named but read."""
    text = OWN.replace("PRESET", preset).replace("ROLE", role)

    assert (faults(tmp_path, text) == ()) == clean


def test_a_role_that_does_not_exist_is_answered_with_the_roles(tmp_path: Path) -> None:
    """The rule lists the roles, and not what a recipe's name may hold."""
    (found,) = faults(tmp_path, OWN.replace("PRESET", "llama").replace("ROLE", "readot"))

    assert found.rule.startswith("`model.roles.blocks.*` must be one of embedding, hidden weight, ")
    assert found.code == "recipe/unknown-value"
