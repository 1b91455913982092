"""A trial's key: what determines a run is in it, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from hptransfer.parameterization import applied_rules
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity
from hptransfer.parameterization.tables import TABLES
from hptransfer.recipe.schema import Recipe
from hptransfer.trials.identity import Identity, ParameterReading, TrainerIdentity
from hptransfer.trials.spec import TrialSpec
from tests.support.identities import identity, key
from tests.support.tiny import recipe, request


def test_what_determines_a_run_is_in_its_key() -> None:
    """Any change to model, data, training, parameterization, base, size, hyperparameters or seed is another run."""
    requests = [
        request(),
        request(recipe(model={"context": 5})),
        request(recipe(data={"validation_fraction": 0.2})),
        request(recipe(training={"schedule": "cosine"})),
        request(recipe(training={"clip": 1.0})),
        request(recipe(trainer="tests.plugin.hptransfer_lab.trainer:TRAINER")),
        request(recipe(training={"evaluation_batches": 3})),
        request(recipe(training={"steps": 6})),
        request(recipe(parameterization={"name": "standard"})),
        request(recipe(parameterization={"decay_timescale": "held"})),
        request(recipe(sizes={"base": {"width": 32, "depth": 2}})),
        request(width=32),
        request(seed=1),
        request(learning_rate=0.0040001),
        request(warmup=0.2),
        *(request(recipe(training={"optimizer": name})) for name in ("lion", "muon", "adafactor", "adamh", "muonh")),
        request(recipe(training={"optimizer": "muon"}), adam_learning_rate=0.5),
        request(recipe(training={"optimizer": "muon"}, parameterization={"muon_scale": "match_rms_adamw"})),
        request(recipe(training={"optimizer": "muonh"}, parameterization={"update_rank": "fixed"})),
    ]

    keys = [key(one) for one in requests] + [key(request(), "other data")]

    assert len(set(keys)) == len(keys)


def test_what_does_not_determine_a_run_is_not_in_its_key() -> None:
    """Name, search, criteria, target and folder do not change what is trained, so trials are reused across them."""
    other = recipe(
        tune={"trials": 99, "space": {"warmup": {"low": 0.1, "high": 0.5, "scale": "linear"}}},
        check={"octaves": 3.0},
        sizes={"widths": [16, 32], "target": {"width": 4096, "depth": 2}},
        # the recipe's own learning rate is a hyperparameter, and the request names another
        training={"learning_rate": 0.5},
    )
    elsewhere = TrialSpec(other, Path("elsewhere"), other.size(16, 2), {"learning_rate": 0.1}, 0)

    assert key(elsewhere) == key(request(learning_rate=0.1))


def test_values_written_out_are_as_left_out() -> None:
    """A default of the schema, a batch size of 64, the table's own option, whichever way they are spelled."""
    plain = recipe(training={"batch_size": None})
    spelled = recipe(
        model={"activation": "relu"},
        data={"validation_fraction": 0.1},
        training={"batch_size": 64, "schedule": "linear", "beta1": 0.9},
        parameterization={"name": "mup", "weight_decay": "constant", "eps": "gradient", "batch_rule": "none"},
    )
    deep = recipe(model={"kind": "gpt", "embedding": None}, parameterization={"name": "completep"})
    alpha = recipe(model={"kind": "gpt", "embedding": None}, parameterization={"name": "completep", "alpha": 1.0})

    assert key(request(plain)) == key(request(spelled))
    scale, rank = (
        (recipe(training={"optimizer": name}), recipe(training={"optimizer": name}, parameterization={option: default}))
        for name, option, default in (("muon", "muon_scale", "original"), ("muonh", "update_rank", "full"))
    )

    assert key(request(deep)) == key(request(alpha))
    assert [key(request(one)) for one, _ in (scale, rank)] == [key(request(other)) for _, other in (scale, rank)]


@pytest.mark.parametrize("section", ["model", "data", "training", "parameterization"])
def test_a_new_field_at_its_default_changes_no_key(section: str) -> None:
    """A later version's schema knows a field more; a recipe that leaves it out, or spells its default, is the same."""
    now = recipe()
    kind: type[BaseModel] = type(getattr(now, section))
    later = create_model(kind.__name__, __base__=kind, novelty=(str, "none"))
    content = getattr(now, section).model_dump(mode="json")

    for given in ({}, {"novelty": "none"}):
        extended = now.model_copy(update={section: later.model_validate_json(json.dumps(content | given))})
        assert key(request(extended)) == key(request(now))
    other = now.model_copy(update={section: later.model_validate_json(json.dumps(content | {"novelty": "some"}))})
    assert key(request(other)) != key(request(now))


@contextmanager
def rule_changed(
    monkeypatch: pytest.MonkeyPatch, name: str, role: Role, quantity: Quantity, power: Exponents
) -> Iterator[None]:
    """One rule of one table is another one."""
    table = TABLES[name, "adam"]
    rules = {**table.rules, (role, quantity): replace(table.rules[role, quantity], exponents=power)}
    changed = {**TABLES, (name, "adam"): replace(table, rules=MappingProxyType(rules))}
    with monkeypatch.context() as patch:
        patch.setattr(applied_rules, "TABLES", changed)
        yield


def test_another_exponent_is_another_trial_and_another_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden weights' learning rate under Adam, m_in^-1 in Table 8 of Tensor Programs V, becomes m_in^-1/2."""
    before = identity(request())
    with rule_changed(monkeypatch, "mup", Role.HIDDEN_WEIGHT, Quantity.LEARNING_RATE, Exponents(fan_in=-0.5)):
        after = identity(request())

        assert after.digest != before.digest
        assert after.key(request()) != before.key(request())


def test_an_exponent_of_a_role_that_the_model_lacks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An MLP routes to no experts."""
    before = identity(request())
    with rule_changed(monkeypatch, "mup", Role.ROUTER, Quantity.LEARNING_RATE, Exponents(fan_in=-0.5)):
        after = identity(request())

        assert (after.digest, after.key(request())) == (before.digest, before.key(request()))


class Reader:
    """Readings of nothing, counted."""

    asked = 0

    def at(self, width: int, depth: int) -> ParameterReading:
        """No parameters."""
        self.asked += 1
        return ParameterReading(())

    def layers(self) -> ParameterReading:
        """No parameters."""
        return self.at(1, 1)


def given(recipe_: Recipe, reader: Reader, **changes: Any) -> Identity:
    """An identity from its parts."""
    return Identity(recipe_, "data", TrainerIdentity("torch", **({"version": 1} | changes)), reader)


def test_who_trains_and_with_which_code_is_in_the_key() -> None:
    """The trainer's version, whatever it says of itself, and digests of the user's own code."""
    changes: list[Mapping[str, Any]] = [
        {},
        {"version": 2},
        {"parts": {"precision": "bf16"}},
        {"code": {"mine": "0" * 64}},
    ]
    keys = {given(recipe(), Reader(), **change).key(request()) for change in changes}

    assert len(keys) == len(changes)


def test_a_trainer_that_follows_no_rules_reads_no_model() -> None:
    """Its trials have keys all the same, which the parameterization's name enters as it is given."""
    reader = Reader()
    first = given(recipe(), reader, follows_rules=False)
    other = given(recipe(parameterization={"name": "standard"}), reader, follows_rules=False)

    assert first.key(request()) != other.key(request())
    assert reader.asked == 0


def test_a_key_is_computed_once() -> None:
    """The same wanted trial again asks for nothing, however its values are spelled."""
    reader = Reader()
    of = given(recipe(), reader)
    first = of.key(request(learning_rate=0.5))
    asked = reader.asked

    assert of.key(request(learning_rate=0.5, readout_init=1.0)) == first
    assert reader.asked == asked


def test_keys_do_not_depend_on_the_process() -> None:
    """Another process, with another hash seed, computes the same key: a resumed run finds its trials."""
    program = (
        "from tests.support.identities import key; from tests.support.tiny import request; "
        "print(key(request(learning_rate=2.0**-7)))"
    )

    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert there.stdout.strip() == key(request(learning_rate=2.0**-7))
