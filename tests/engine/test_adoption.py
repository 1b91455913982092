"""Trials of version 0.1: reused where its rules are the same, named with the reason where they are not."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from hptransfer.cluster.study import open_store
from hptransfer.engine.session import Session
from hptransfer.parameterization import applied_rules
from hptransfer.parameterization.roles import Role
from hptransfer.parameterization.rules import Exponents, Quantity
from hptransfer.parameterization.tables import TABLES
from hptransfer.recipe.load import load_recipe
from hptransfer.storage.base import Experiment, PlannedTrial, TrialStore
from hptransfer.storage.snapshot import count_finished
from hptransfer.trials.legacy import legacy_experiment, legacy_key
from hptransfer.trials.spec import TrialSpec, point_of
from hptransfer.trials.trial import Phase, Trial, TrialState
from tests.support.landscape import FINGERPRINT, recipe_text
from tests.support.sessions import grid, recipe_session


def at(session: Session, count: int = 8) -> list[TrialSpec]:
    """Trials at two widths."""
    return grid(session)[:count] + grid(session)[-2:]


def left_by_0_1(tmp_path: Path, text: str, specs: Sequence[TrialSpec]) -> None:
    """A run folder as version 0.1 left it: the last of the trials failed, the one before diverged."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with old_store(tmp_path) as store:
        for place, spec in enumerate(specs):
            key = str(legacy_key(spec, FINGERPRINT))
            opened = store.start(key, spec.size, spec.hyperparameters, spec.seed, Phase.CHECK)
            if place == len(specs) - 1:
                store.abandon(opened, "error", "ValueError: no luck")
                continue
            diverged = place == len(specs) - 2
            state, loss = (TrialState.DIVERGED, math.inf) if diverged else (TrialState.COMPLETE, 2.0 + place)
            store.finish(opened, Trial(key, spec.size, spec.hyperparameters, spec.seed, state, loss, ((1, 3.0),)))
        store.add_planned(specs[0].size, [PlannedTrial(specs[0].hyperparameters, 7)])


def old_store(tmp_path: Path) -> contextlib.closing[TrialStore]:
    """The trials of the experiment as 0.1 named it."""
    recipe = load_recipe(tmp_path / "recipe.yaml").recipe
    experiment = Experiment("landscape", str(legacy_experiment(recipe, FINGERPRINT)), {}, recipe.size(64, 2))
    (tmp_path / "runs" / "landscape").mkdir(parents=True, exist_ok=True)
    return contextlib.closing(open_store(tmp_path / "runs" / "landscape" / "study.db", experiment))


@pytest.fixture
def wanted(tmp_path: Path) -> list[TrialSpec]:
    """What version 0.1 ran."""
    with recipe_session(tmp_path / "elsewhere" / "runs", recipe_text({})) as session:
        return at(session)


def trainings(tmp_path: Path) -> int:
    """How many trials were trained."""
    log = tmp_path / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_trials_of_0_1_are_reused_and_said_once(tmp_path: Path, wanted: list[TrialSpec]) -> None:
    """Nothing is trained again: results, divergences, failures and what the search had planned are there."""
    text = recipe_text({"log": str(tmp_path / "log")})
    left_by_0_1(tmp_path, text, wanted)
    said: list[str] = []
    with recipe_session(tmp_path / "runs", text, say=said.append) as session:
        found = session.run(at(session), Phase.CHECK, lambda event: None)

        assert [trial.loss for trial in found] == [2.0 + place for place in range(8)] + [math.inf]
        assert session.store.blocking_failure(session.key(at(session)[-1])) is not None
        assert [point.seed for point in session.store.planned(wanted[0].size)] == [7]
    with recipe_session(tmp_path / "runs", text, say=said.append) as session:
        assert len(session.store.trials()) == 9

    assert trainings(tmp_path) == 0
    assert said == ["9 finished trials of version 0.1 are reused: its rules for this model are the same"]


@pytest.mark.parametrize("record", ["5", "null", "[]", '{"x": 1}', '{"key": "a", "size": {}}'])
def test_a_damaged_record_is_not_used(tmp_path: Path, wanted: list[TrialSpec], record: str) -> None:
    """It is counted among those that are left, and trained again; `status` passes over it."""
    text = recipe_text({"log": str(tmp_path / "log")})
    left_by_0_1(tmp_path, text, wanted)
    path = tmp_path / "runs" / "landscape" / "study.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE trial_user_attribute_id = "
            "(SELECT MIN(trial_user_attribute_id) FROM trial_user_attributes WHERE key = 'trial')",
            (record,),
        )
    said: list[str] = []
    with recipe_session(tmp_path / "runs", text, say=said.append) as session:
        assert len(session.store.trials()) == 8
        session.run(at(session), Phase.CHECK, lambda event: None)
        assert len(session.store.trials()) == 9

    assert trainings(tmp_path) == 1
    assert "8 finished trials of version 0.1 are reused" in said[0]
    assert "; 1 are not used" in said[0]
    assert count_finished(path) == 9


def test_an_interrupted_adoption_goes_on(tmp_path: Path, wanted: list[TrialSpec]) -> None:
    """Each trial is there once, whenever the process before ended."""
    text = recipe_text({"log": str(tmp_path / "log")})
    left_by_0_1(tmp_path, text, wanted)
    with recipe_session(tmp_path / "elsewhere" / "runs", text) as session:
        digest, keys = session.identity.experiment, {spec.point: session.key(spec) for spec in wanted}
    recipe = load_recipe(tmp_path / "recipe.yaml").recipe
    here = Experiment("landscape", digest, {}, recipe.size(64, 2))
    seen: list[Trial] = []

    def new_key(trial: Trial) -> str:
        seen.append(trial)
        if len(seen) > 3:
            raise KeyboardInterrupt
        return keys[point_of(trial)]

    store = open_store(tmp_path / "runs" / "landscape" / "study.db", here)
    with contextlib.closing(store), pytest.raises(KeyboardInterrupt):
        store.adopt(str(legacy_experiment(recipe, FINGERPRINT)), new_key)
    said: list[str] = []
    with recipe_session(tmp_path / "runs", text, say=said.append) as session:
        assert len(session.store.trials()) == 9
        assert len({trial.key for trial in session.store.trials()}) == 9
    assert said == ["9 finished trials of version 0.1 are reused: its rules for this model are the same"]


def with_another_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden weights' learning rate under Adam follows m_in^-1/2."""
    table, rule = TABLES["mup", "adam"], (Role.HIDDEN_WEIGHT, Quantity.LEARNING_RATE)
    rules = {**table.rules, rule: replace(table.rules[rule], exponents=Exponents(fan_in=-0.5))}
    changed = {**TABLES, ("mup", "adam"): replace(table, rules=MappingProxyType(rules))}
    monkeypatch.setattr(applied_rules, "TABLES", changed)


def test_where_a_rule_changed_the_rule_is_named(
    tmp_path: Path, wanted: list[TrialSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trials stay in the database, unused, and are trained anew."""
    text = recipe_text({"log": str(tmp_path / "log")})
    left_by_0_1(tmp_path, text, wanted)
    with_another_rule(monkeypatch)
    said: list[str] = []
    with recipe_session(tmp_path / "runs", text, say=said.append) as session:
        session.run(at(session)[:2], Phase.CHECK, lambda event: None)

    assert trainings(tmp_path) == 2
    assert said == [
        "9 finished trials of version 0.1 are not used: the rules changed: hidden weight learning_rate: "
        "fan_in^-1 -> fan_in^-1/2"
    ]


def test_a_rule_that_changes_between_versions_is_named_and_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of the old rule leave the study's view; going back finds them."""
    text = recipe_text({"log": str(tmp_path / "log")})
    said: list[str] = []
    with recipe_session(tmp_path / "runs", text, say=said.append) as session:
        session.run(grid(session)[:3], Phase.CHECK, lambda event: None)
    with monkeypatch.context() as patch:
        with_another_rule(patch)
        with recipe_session(tmp_path / "runs", text, say=said.append) as session:
            assert session.store.trials() == []
            session.run(grid(session)[:3], Phase.CHECK, lambda event: None)
    with recipe_session(tmp_path / "runs", text) as session:
        assert len(session.run(grid(session)[:3], Phase.CHECK, lambda event: None)) == 3

    assert trainings(tmp_path) == 6
    assert said == [
        "3 finished trials follow other rules and are not used: hidden weight learning_rate: fan_in^-1 -> fan_in^-1/2"
    ]
