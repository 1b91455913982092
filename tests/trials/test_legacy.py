"""Keys and rules of version 0.1, frozen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hptransfer.parameterization.roles import Parameter, Role
from hptransfer.parameterization.rules import Quantity
from hptransfer.recipe.schema import Recipe
from hptransfer.trials import legacy
from hptransfer.trials.identity import ParameterReading
from hptransfer.trials.legacy import changed_rules, legacy_experiment, legacy_key, legacy_tables
from hptransfer.trials.spec import TrialSpec
from tests.support.tiny import ROOT, recipe, request

if TYPE_CHECKING:
    import pytest


def test_keys_are_byte_for_byte_those_of_0_1() -> None:
    """As version 0.1's own tests had them, for an MLP and for a factory with other values; multipliers count."""
    document = recipe(training={"batch_size": 64, "evaluation_batches": 16, "optimizer": "sgd"}).model_dump(mode="json")
    document["model"] = {"kind": "factory", "factory": "models:build"}
    document["parameterization"]["init"] = "rule"
    own = Recipe.model_validate_json(json.dumps(document))
    theirs = TrialSpec(own, ROOT, own.size(32, 4), {"learning_rate": 0.5, "weight_decay": 0.25}, 3)
    plain = legacy_key(request(), "data")

    assert plain == "dbcd3e3c10898113fc7f1579f2164be3e8591190089d5012de63bf72df45afbd"
    assert legacy_key(theirs, "data") == "64d15157bf345765f65168f2c8775a5cdd1182f91a2b39b02503f01a4e735483"
    fixed = request(recipe(training={"multipliers": {"readout_init": 2.0}}))
    assert legacy_key(fixed, "data") == legacy_key(request(readout_init=2.0), "data") != plain
    assert legacy_key(request(readout_init=1.0), "data") == plain
    document["parameterization"]["init"] = None
    scaled = Recipe.model_validate_json(json.dumps(document))
    assert legacy_key(TrialSpec(scaled, ROOT, scaled.size(32, 4), {}, 3), "data") is None  # 0.1 scaled no own init


def test_studies_are_named_as_those_of_0_1() -> None:
    """The digest that ended the names of studies of the shipped quickstart, over the data of that machine."""
    from hptransfer.recipe.load import load_recipe

    data = "564b1c5b0b8eb528051418a63a4483d70f9d83daff811fd44fcf09a1441cbc28"
    experiment = legacy_experiment(load_recipe("quickstart").recipe, data)

    assert experiment is not None
    assert experiment[:8] == "fda8d1d0"


def test_what_0_1_did_not_know_has_no_key_of_it() -> None:
    """A trainer of one's own came later: no trial of 0.1 can be one of its."""
    later = recipe(trainer="mine:TRAINER")

    assert legacy_experiment(later, "data") is None
    assert legacy_key(request(later), "data") is None


def test_the_frozen_rules_are_those_of_0_1() -> None:
    """Table 8 of Tensor Programs V: hidden weights under Adam learn as 1/m_in, and their std is m_in^-1/2."""
    rules = legacy_tables()["mup", "adam"].rules

    assert rules[Role.HIDDEN_WEIGHT, Quantity.LEARNING_RATE].exponents.resolved(0.0) == {"fan_in": -1.0}
    assert rules[Role.HIDDEN_WEIGHT, Quantity.INIT_STD].exponents.resolved(0.0) == {"fan_in": -0.5}
    assert len(legacy_tables()) == 32


HIDDEN = Parameter("up", (32, 32), Role.HIDDEN_WEIGHT, 32, 32, 16, 16, False, False, "normal", "said so")


def test_changed_rules_are_named_with_both_exponents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if 0.1 had scaled the rate by m_in^-1/2; roles that the model lacks are not compared."""
    assert changed_rules(recipe(), ParameterReading((HIDDEN,))) == ()

    content = json.loads(Path(legacy.__file__).with_name("rules_0_1.json").read_text())
    for entry in content:
        for rule in entry["rules"] if (entry["name"], entry["family"]) == ("mup", "adam") else ():
            if rule[:2] in (["hidden weight", "learning_rate"], ["router", "learning_rate"]):
                rule[2] = {"fan_in": "-1/2"}
    (tmp_path / "rules_0_1.json").write_text(json.dumps(content))
    monkeypatch.setattr(legacy, "__file__", str(tmp_path / "legacy.py"))
    legacy_tables.cache_clear()
    try:
        assert changed_rules(recipe(), ParameterReading((HIDDEN,))) == (
            "hidden weight learning_rate: fan_in^-1/2 -> fan_in^-1",
        )
    finally:
        legacy_tables.cache_clear()
